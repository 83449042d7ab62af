//! The budget: what was billed, and when it is enough.

use std::collections::BTreeMap;

use domain::{
    Billed, Usage,
    price::{Prices, amount},
};

/// What a run may spend. It is looked at before each attempt, so the run overshoots by no more than what is in flight.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    /// What tokens cost.
    pub prices: Prices,
    /// The most of each currency, in picos.
    pub money: BTreeMap<String, u128>,
    /// The most tokens, of requests and answers together.
    pub tokens: Option<u64>,
}

/// What was spent of a budget, by this process and by earlier ones, over all steps.
pub(super) struct Spending {
    budget: Budget,
    money: BTreeMap<String, u128>,
    tokens: u64,
}

impl Spending {
    pub(super) fn new<'a>(budget: Budget, billed: impl Iterator<Item = &'a Billed>) -> Self {
        let mut spending = Self { budget, money: BTreeMap::new(), tokens: 0 };
        for (upstream, usage) in billed.flat_map(|billed| &billed.0) {
            spending.add(upstream, usage);
        }
        spending
    }

    pub(super) fn add(&mut self, upstream: &str, usage: &Usage) {
        self.tokens += usage.total();
        if let Some(price) = self.budget.prices.0.get(upstream) {
            match self.money.get_mut(&price.currency) {
                Some(sum) => *sum += price.of(usage),
                None => {
                    self.money.insert(price.currency.clone(), price.of(usage));
                }
            }
        }
    }

    /// Tells which part of the budget is spent, in words, if one is.
    pub(super) fn spent(&self) -> Option<String> {
        let of_money = self.budget.money.iter().find_map(|(currency, limit)| {
            let spent = self.money.get(currency).copied().unwrap_or_default();
            (spent >= *limit).then(|| {
                format!(
                    "the budget of {} {currency} is spent (billed so far: {} {currency})",
                    amount(*limit),
                    amount(spent)
                )
            })
        });
        of_money.or_else(|| {
            let limit = self.budget.tokens.filter(|limit| self.tokens >= *limit)?;
            Some(format!("the budget of {limit} tokens is spent (billed so far: {} tokens)", self.tokens))
        })
    }
}

#[cfg(test)]
mod tests {
    use domain::price::Price;

    use super::*;

    #[test]
    fn a_budget_is_spent_when_one_part_of_it_is_and_earlier_processes_count() {
        let price = Price { currency: "USD".to_owned(), prompt: 1_000_000, cached: 1_000_000, completion: 2_000_000 };
        let prices = Prices(BTreeMap::from([("a".to_owned(), price)]));
        // 100 and 10 tokens: 120 picos times a million.
        let usage = Usage { prompt_tokens: 100, completion_tokens: 10, ..Usage::default() };
        let mut before = Billed::default();
        before.add("a", usage);
        let money = BTreeMap::from([("USD".to_owned(), 240_000_000)]);
        let budget = Budget { prices, money, tokens: Some(1000) };
        let mut spending = Spending::new(budget, std::iter::once(&before));
        assert_eq!(spending.spent(), None);
        spending.add("a", &usage);
        let told = spending.spent().expect("two answers cost all of it");
        assert_eq!(told, "the budget of 0.00024 USD is spent (billed so far: 0.00024 USD)");

        let mut spending = Spending::new(Budget { tokens: Some(330), ..Budget::default() }, [&before].into_iter());
        spending.add("unpriced", &usage);
        assert_eq!(spending.spent(), None);
        spending.add("unpriced", &usage);
        assert!(spending.spent().is_some_and(|told| told.contains("330 tokens")));
    }
}
