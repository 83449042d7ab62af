//! What tokens cost, as the models file states it.

use std::{borrow::Cow, fmt};

use domain::price::Price;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

/// Digits behind the point that are kept: a price per million tokens then is a whole number of picos per token.
const DECIMALS: usize = 6;

/// What tokens of a model cost, per million.
///
/// There is no list of prices in the binary: it would be wrong from the day on which a vendor changes one, and nobody
/// would notice. What is not stated here has no price, and its tokens are reported as such.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceTag {
    /// A million tokens of requests.
    pub prompt: Amount,
    /// A million tokens of answers, reasoning included; 0 for embeddings.
    pub completion: Amount,
    /// A million tokens of requests that the vendor had in its cache; the same as `prompt` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Amount>,
    /// The currency, as its ISO 4217 code.
    #[schemars(example = &"USD")]
    pub currency: String,
}

/// An amount of money, as a number or as a text, exactly as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount(String);

/// What is wrong with a price.
#[derive(Debug)]
pub(crate) struct PriceMistake {
    /// The key of what is wrong.
    pub(crate) key: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to try.
    pub(crate) help: Option<String>,
}

impl PriceTag {
    /// Returns the price, or every mistake in it.
    pub(crate) fn price(&self) -> Result<Price, Vec<PriceMistake>> {
        let mut mistakes = Vec::new();
        let mut picos = |key, amount: &Amount| {
            amount.picos_per_token().unwrap_or_else(|message| {
                mistakes.push(PriceMistake { key, message, help: None });
                0
            })
        };
        let prompt = picos("prompt", &self.prompt);
        let completion = picos("completion", &self.completion);
        let cached = self.cached.as_ref().map_or(prompt, |cached| picos("cached", cached));
        if let Some(meant) = meant_by(&self.currency) {
            let message = format!("`{}` is not the code of a currency, which is three capital letters", self.currency);
            let help = meant.map(|code| format!("write `currency: {code}`"));
            mistakes.push(PriceMistake { key: "currency", message, help });
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Price { currency: self.currency.clone(), prompt, cached, completion })
    }
}

/// Returns `None` where `currency` is a code, else the code that may be meant.
fn meant_by(currency: &str) -> Option<Option<String>> {
    let code = currency.trim().to_ascii_uppercase();
    match code.as_str() {
        // What people call the yuan; a budget in CNY would not be spent by it.
        "RMB" | "元" | "¥" | "￥" | "人民币" => Some(Some("CNY".to_owned())),
        "$" | "US$" => Some(Some("USD".to_owned())),
        "€" => Some(Some("EUR".to_owned())),
        _ if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) => Some(None),
        _ => (code != currency).then_some(Some(code)),
    }
}

impl Amount {
    /// Returns the picos that one token costs where a million cost this much. Nothing is rounded.
    fn picos_per_token(&self) -> Result<u64, String> {
        let text = self.0.trim();
        let digits = text.strip_prefix('+').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if digits.starts_with('-') {
            return Err(format!("a price of {text} is negative"));
        }
        if !is_number(whole) || !is_number(fraction) || whole.len() + fraction.len() == 0 {
            return Err(format!("`{text}` is not an amount of money; write it like `0.15`"));
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > DECIMALS {
            return Err(format!(
                "a price of {text} has more than {DECIMALS} decimals; prices are those of a million tokens"
            ));
        }
        let picos = format!("{whole}{fraction:0<DECIMALS$}");
        picos.parse().map_err(|_| format!("a price of {text} for a million tokens is too much to be counted"))
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Decimal;
        impl Visitor<'_> for Decimal {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount of money, such as 0.15")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount(number.to_string()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Amount, E> {
                Ok(Amount(number.to_string()))
            }

            // The shortest decimal that reads back as this number is what was written, and it has no exponent.
            fn visit_f64<E: Error>(self, number: f64) -> Result<Amount, E> {
                Ok(Amount(number.to_string()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
                Ok(Amount(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Decimal)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["number", "string"],
            "description": "An amount of money with up to 6 decimals, as a number or a text.",
            "minimum": 0,
            "examples": [0.15],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn price(tag: Value) -> Result<Price, Vec<PriceMistake>> {
        serde_json::from_value::<PriceTag>(tag).unwrap().price()
    }

    #[test]
    fn an_amount_is_taken_exactly_however_it_is_written() {
        for (amount, picos) in [
            (json!(0.15), 150_000),
            (json!("0.150"), 150_000),
            (json!("0.1500000000"), 150_000),
            (json!(2), 2_000_000),
            (json!("+2."), 2_000_000),
            (json!(".000001"), 1),
            (json!(0.000_001), 1),
            (json!(0), 0),
            (json!(0.1), 100_000),
            (json!(1.1), 1_100_000),
            (json!(123_456.789_012), 123_456_789_012),
        ] {
            let price = price(json!({ "prompt": amount, "completion": "0.6", "currency": "USD" })).unwrap();
            assert_eq!((price.prompt, price.cached, price.completion), (picos, picos, 600_000), "{amount}");
        }
        let price = price(json!({ "prompt": 1, "completion": 2, "cached": 0.25, "currency": "CNY" })).unwrap();
        assert_eq!((price.cached, price.currency.as_str()), (250_000, "CNY"));
    }

    #[test]
    fn what_is_no_price_is_told_by_its_key() {
        for (amount, word) in [
            (json!(-1), "negative"),
            (json!(-0.5), "negative"),
            (json!("-0.5"), "negative"),
            (json!(0.123_456_7), "more than 6 decimals"),
            (json!("1e-3"), "not an amount"),
            (json!("0,15"), "not an amount"),
            (json!("."), "not an amount"),
            (json!(""), "not an amount"),
            (json!("18446744073709.551616"), "too much"),
        ] {
            let mistakes = price(json!({ "prompt": 1, "completion": amount, "currency": "USD" })).unwrap_err();
            assert_eq!((mistakes.len(), mistakes[0].key), (1, "completion"), "{amount}");
            assert!(mistakes[0].message.contains(word), "{mistakes:?}");
        }
        for (currency, meant) in
            [("usd", Some("USD")), ("RMB", Some("CNY")), ("$", Some("USD")), ("", None), ("EURO", None), ("€€€", None)]
        {
            let mistakes = price(json!({ "prompt": 1, "completion": 1, "currency": currency })).unwrap_err();
            assert_eq!(mistakes[0].key, "currency");
            assert_eq!(mistakes[0].help, meant.map(|code| format!("write `currency: {code}`")), "{currency}");
        }
        let all = price(json!({ "prompt": -1, "completion": "x", "cached": "y", "currency": "z" })).unwrap_err();
        assert_eq!(all.len(), 4);
    }
}
