//! What tokens of a route cost, and how they are counted.

use std::collections::BTreeMap;

use domain::price::amount;
use gateway::ModelsFile;
use serde::Serialize;

use crate::{pipeline::models_of, talk};

/// The cost of a step, by currency.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Priced {
    #[serde(flatten)]
    pub(crate) by_currency: BTreeMap<String, Range>,
    /// Models without a price.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unpriced: Vec<String>,
}

/// An amount that depends on which of a route's models answers, in picos.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Range {
    /// By the models' weights.
    #[serde(serialize_with = "as_amount")]
    pub(crate) expected: u128,
    /// Where the cheapest model answers everything.
    #[serde(serialize_with = "as_amount")]
    pub(crate) least: u128,
    /// Where the dearest does.
    #[serde(serialize_with = "as_amount")]
    pub(crate) most: u128,
}

fn as_amount<S: serde::Serializer>(picos: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(*picos as f64 / domain::price::PICOS as f64)
}

impl Priced {
    /// Adds the tokens of a route.
    pub(super) fn add(&mut self, file: &ModelsFile, route: &str, prompt: f64, completion: Option<f64>) {
        let models = models_of(file, route);
        let prices = file.prices();
        let total_weight: f64 = models.iter().map(|model| f64::from(model.weight)).sum();
        let mut ranges: BTreeMap<&str, (f64, f64, f64)> = BTreeMap::new();
        for model in &models {
            let Some(price) = prices.0.get(&model.name) else {
                if !self.unpriced.contains(&model.name) {
                    self.unpriced.push(model.name.clone());
                }
                continue;
            };
            let cost = prompt * price.prompt as f64 + completion.unwrap_or_default() * price.completion as f64;
            let range = ranges.entry(&price.currency).or_insert((0.0, f64::INFINITY, 0.0));
            range.0 += cost * f64::from(model.weight) / total_weight;
            (range.1, range.2) = (range.1.min(cost), range.2.max(cost));
        }
        for (currency, (expected, least, most)) in ranges {
            let range = self.by_currency.entry(currency.to_owned()).or_default();
            range.expected += expected.round() as u128;
            range.least += least.round() as u128;
            range.most += most.round() as u128;
        }
    }

    /// Tells people.
    pub(super) fn tell(&self, knows_answers: bool, is_upper_bound: bool) {
        for (currency, Range { expected, least, most }) in &self.by_currency {
            let at_most = if is_upper_bound { "at most " } else { "" };
            let what = if knows_answers { "" } else { ", for the prompts alone" };
            let range = if least == most {
                String::new()
            } else {
                format!(" ({} to {}, by which model answers)", amount(*least), amount(*most))
            };
            talk::say(format!("  cost: {at_most}{} {currency}{range}{what}", amount(*expected)));
        }
        if !self.unpriced.is_empty() {
            talk::say(format!(
                "  no price is known of `{}`: add `price: {{ prompt: …, completion: …, currency: USD }}` in the models file",
                self.unpriced.join("`, `")
            ));
        }
    }
}
