//! What tokens cost.
//!
//! Money is counted in whole picos: millionths of a millionth of a currency's unit. A price per million tokens is then a
//! whole number of picos per token down to a price of 0.000001, and no sum is ever rounded.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{Billed, Usage};

/// Picos in one unit of a currency.
pub const PICOS: u128 = 1_000_000_000_000;

/// What the tokens of one upstream cost, in picos per token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// The currency, as an ISO 4217 code: `USD`, `CNY`.
    pub currency: String,
    /// A token of a request.
    pub prompt: u64,
    /// A token of a request that the upstream had in its cache.
    pub cached: u64,
    /// A token of an answer.
    pub completion: u64,
}

impl Price {
    /// Returns what `usage` costs, in picos.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> u128 {
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        u128::from(usage.prompt_tokens - cached) * u128::from(self.prompt)
            + u128::from(cached) * u128::from(self.cached)
            + u128::from(usage.completion_tokens) * u128::from(self.completion)
    }
}

/// Prices by upstream, as the models file names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prices(pub BTreeMap<String, Price>);

impl Prices {
    /// Returns what a bill comes to.
    #[must_use]
    pub fn cost(&self, billed: &Billed) -> Cost {
        let mut cost = Cost::default();
        for (upstream, usage) in &billed.0 {
            match self.0.get(upstream) {
                Some(price) => *cost.money.entry(price.currency.clone()).or_default() += price.of(usage),
                None => cost.unpriced_tokens += usage.total(),
            }
        }
        cost
    }
}

/// What something cost: one amount for each currency, and the tokens of which no price is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Picos by currency.
    pub money: BTreeMap<String, u128>,
    /// Tokens of upstreams without a price.
    pub unpriced_tokens: u64,
}

/// `1.2345 USD + 0.50 CNY`; nothing where there is no price at all.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (currency, picos)) in self.money.iter().enumerate() {
            let plus = if n > 0 { " + " } else { "" };
            write!(f, "{plus}{} {currency}", amount(*picos))?;
        }
        Ok(())
    }
}

/// Writes picos as a decimal: two digits behind the point, or as many as show the first two that are not zero.
#[must_use]
pub fn amount(picos: u128) -> String {
    let (whole, rest) = (picos / PICOS, picos % PICOS);
    let digits = format!("{rest:012}");
    let first = digits.find(|c| c != '0').unwrap_or(0);
    let shown = if whole > 0 { 2 } else { (first + 2).clamp(2, 12) };
    // Rounded to the last digit that is shown.
    let unit = 10_u128.pow(12 - u32::try_from(shown).unwrap_or(12));
    let rounded = (picos + unit / 2) / unit * unit;
    let digits = format!("{:012}", rounded % PICOS);
    format!("{}.{}", rounded / PICOS, &digits[..shown])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_is_added_up_exactly_and_by_currency() {
        let price = |currency: &str, prompt, cached, completion| Price {
            currency: currency.to_owned(),
            prompt,
            cached,
            completion,
        };
        let prices = Prices(BTreeMap::from([
            ("a".to_owned(), price("USD", 150_000, 75_000, 600_000)),
            ("b".to_owned(), price("CNY", 2_000_000, 2_000_000, 8_000_000)),
        ]));
        let mut billed = Billed::default();
        let usage = Usage { prompt_tokens: 1000, completion_tokens: 100, cached_tokens: 400, reasoning_tokens: 0 };
        for upstream in ["a", "a", "b", "c"] {
            billed.add(upstream, usage);
        }
        let cost = prices.cost(&billed);
        // Twice 600 × 0.15 + 400 × 0.075 + 100 × 0.60 for a million each.
        assert_eq!(cost.money["USD"], 2 * (600 * 150_000 + 400 * 75_000 + 100 * 600_000));
        assert_eq!((cost.to_string().as_str(), cost.unpriced_tokens), ("0.0028 CNY + 0.00036 USD", 1100));
    }

    #[test]
    fn amounts_are_written_for_people() {
        for (picos, text) in [
            (0, "0.00"),
            (PICOS, "1.00"),
            (1_234_567_890_123, "1.23"),
            (12_345 * PICOS / 100, "123.45"),
            (PICOS / 1000, "0.0010"),
            (360_000_000, "0.00036"),
            (999_999_999_999, "1.00"),
            (1, "0.000000000001"),
        ] {
            assert_eq!(amount(picos), text, "{picos}");
        }
    }
}
