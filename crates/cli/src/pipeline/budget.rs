//! What a run may spend, as people write it: `5 USD`, `2.5M tokens`.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use domain::price::PICOS;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// The most that a run may spend: of money, by currency, and of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BudgetConfig {
    /// Picos by currency.
    pub(crate) money: BTreeMap<String, u128>,
    pub(crate) tokens: Option<u64>,
}

const EXAMPLES: &str = "write an amount with its currency or with `tokens`, such as `5 USD`, `0.50 CNY` or `2M tokens`";

impl BudgetConfig {
    fn add(&mut self, text: &str) -> Result<(), String> {
        let wrong = || format!("`{text}` is not a budget; {EXAMPLES}");
        let (number, unit) = text.trim().rsplit_once(char::is_whitespace).ok_or_else(wrong)?;
        let (number, unit) = (number.trim(), unit.trim());
        if unit.eq_ignore_ascii_case("tokens") || unit.eq_ignore_ascii_case("token") {
            let (number, factor) = match number.char_indices().next_back() {
                Some((at, 'k' | 'K')) => (&number[..at], 1_000),
                Some((at, 'm' | 'M')) => (&number[..at], 1_000_000),
                Some((at, 'b' | 'B' | 'g' | 'G')) => (&number[..at], 1_000_000_000),
                _ => (number, 1),
            };
            let tokens = decimal(number.trim(), factor).and_then(|tokens| u64::try_from(tokens).ok());
            let tokens = tokens.filter(|tokens| *tokens > 0).ok_or_else(wrong)?;
            if self.tokens.replace(tokens).is_some() {
                return Err("a budget of tokens is there twice".to_owned());
            }
            return Ok(());
        }
        if unit.len() != 3 || !unit.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let picos = decimal(number, PICOS).filter(|picos| *picos > 0).ok_or_else(wrong)?;
        if self.money.insert(unit.to_owned(), picos).is_some() {
            return Err(format!("a budget in {unit} is there twice"));
        }
        Ok(())
    }
}

/// Reads a decimal number of units that are worth `factor`; `None` where it is none, or a part of it would be lost.
fn decimal(text: &str, factor: u128) -> Option<u128> {
    let text = text.replace([',', '_'], "");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    if whole.is_empty() || !whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let scale = 10_u128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let digits: u128 = format!("{whole}{part}").parse().ok()?;
    let scaled = digits.checked_mul(factor)?;
    scaled.is_multiple_of(scale).then(|| scaled / scale)
}

impl<'de> Deserialize<'de> for BudgetConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Budgets;
        impl<'de> Visitor<'de> for Budgets {
            type Value = BudgetConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a budget: {EXAMPLES}")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<BudgetConfig, E> {
                let mut budget = BudgetConfig::default();
                budget.add(text).map_err(E::custom)?;
                Ok(budget)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<BudgetConfig, A::Error> {
                let mut budget = BudgetConfig::default();
                while let Some(text) = list.next_element::<Cow<'_, str>>()? {
                    budget.add(&text).map_err(A::Error::custom)?;
                }
                Ok(budget)
            }
        }
        deserializer.deserialize_any(Budgets)
    }
}

impl JsonSchema for BudgetConfig {
    fn schema_name() -> Cow<'static, str> {
        "Budget".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": "string", "examples": ["5 USD", "2M tokens"] });
        json_schema!({
            "description": "The most that the run may spend, such as `5 USD` or `[5 USD, 2M tokens]`: when one of them is \
                            spent, nothing new is asked, and the run stops with exit status 4. It overshoots by no more \
                            than what is in flight.",
            "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn budgets_are_read_as_people_write_them() {
        let read = |value: serde_json::Value| serde_json::from_value::<BudgetConfig>(value).map_err(|e| e.to_string());
        assert_eq!(read(json!("5 USD")).unwrap().money["USD"], 5 * PICOS);
        assert_eq!(read(json!("0.000000000001 CNY")).unwrap().money["CNY"], 1);
        assert_eq!(read(json!("1,250.50 USD")).unwrap().money["USD"], 1_250_500_000_000_000);
        assert_eq!(read(json!("2.5M tokens")).unwrap().tokens, Some(2_500_000));
        assert_eq!(read(json!("300 k tokens")).unwrap().tokens, Some(300_000));
        let both = read(json!(["5 USD", "700 tokens", "3 CNY"])).unwrap();
        assert_eq!((both.money.len(), both.tokens), (2, Some(700)));
        for wrong in ["5", "USD", "5 dollars", "-1 USD", "0 USD", "1.5 tokens", "1e3 USD", "5 usd"] {
            let error = read(json!(wrong)).unwrap_err();
            assert!(error.contains("such as `5 USD`"), "{wrong}: {error}");
        }
        assert!(read(json!(["5 USD", "6 USD"])).unwrap_err().contains("twice"));
    }
}
