//! How tokens are spread over records.

use serde::Serialize;

use crate::progress::thousands;

/// Tokens of records, as they differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Tokens of all records, reckoned from those that were counted.
    pub(crate) total: u64,
    /// How many records were counted.
    pub(crate) counted: u64,
    pub(crate) average: f64,
    pub(crate) least: u64,
    pub(crate) most: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
}

impl Spread {
    /// Makes it of what was counted of `n` records; nothing where nothing was.
    pub(super) fn of(mut counted: Vec<u64>, n: u64) -> Option<Self> {
        counted.sort_unstable();
        let (least, most) = (*counted.first()?, *counted.last()?);
        let n_counted = counted.len();
        let average = counted.iter().sum::<u64>() as f64 / n_counted as f64;
        let at = |percent: usize| counted.get(n_counted * percent / 100).copied().unwrap_or(most);
        Some(Self {
            total: (average * n as f64).round() as u64,
            counted: n_counted as u64,
            average,
            least,
            most,
            p50: at(50),
            p90: at(90),
            p99: at(99),
        })
    }

    /// Says it to people.
    pub(super) fn told(&self) -> String {
        let Self { average, least, most, p50, p90, p99, .. } = self;
        format!(
            "{average:.1} on average, {} to {}; p50 {}, p90 {}, p99 {}",
            thousands(*least),
            thousands(*most),
            thousands(*p50),
            thousands(*p90),
            thousands(*p99)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_total_is_the_average_of_those_that_were_counted_times_all() {
        let spread = Spread::of(vec![50, 10, 20, 40, 30], 100).unwrap();
        assert_eq!((spread.average, spread.total, spread.counted), (30.0, 3000, 5));
        assert_eq!((spread.least, spread.most), (10, 50));
        assert_eq!((spread.p50, spread.p90, spread.p99), (30, 50, 50));
        assert_eq!(Spread::of(Vec::new(), 7), None);
    }
}
