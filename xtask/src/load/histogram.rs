//! Durations, counted in classes: 64 for each doubling, so that a percentile is off by 0.8 % at most.

use std::time::Duration;

const CLASSES: u64 = 64;
const CLASS_BITS: u32 = CLASSES.trailing_zeros();

/// How often which durations came.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    n: u64,
    greatest: u64,
}

impl Histogram {
    /// Counts a duration.
    pub(super) fn add(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let class = class_of(nanos);
        if self.counts.len() <= class {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += 1;
        self.n += 1;
        self.greatest = self.greatest.max(nanos);
    }

    /// Adds all that another one counted.
    pub(super) fn extend(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.n += other.n;
        self.greatest = self.greatest.max(other.greatest);
    }

    /// Returns how many were counted.
    #[cfg(test)]
    pub(super) fn n(&self) -> u64 {
        self.n
    }

    /// Returns the nanoseconds below or at which `share` (0 to 1) of all lie; 0 where nothing was counted.
    pub(super) fn percentile(&self, share: f64) -> u64 {
        let rank = ((self.n as f64 * share).ceil() as u64).max(1);
        let mut before = 0;
        for (class, count) in self.counts.iter().enumerate() {
            before += count;
            if before >= rank {
                return middle_of(class).min(self.greatest);
            }
        }
        self.greatest
    }
}

fn class_of(number: u64) -> usize {
    let class = match number.checked_ilog2() {
        Some(doubling) if doubling > CLASS_BITS => {
            let shift = doubling - CLASS_BITS;
            u64::from(shift) * CLASSES + (number >> shift)
        }
        _ => number,
    };
    class as usize
}

fn middle_of(class: usize) -> u64 {
    let class = class as u64;
    if class < 2 * CLASSES {
        return class;
    }
    let shift = class / CLASSES - 1;
    ((class - shift * CLASSES) << shift) + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_percent_of_the_exact_ones() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        for n in 1..=10_000_u64 {
            let half = if n % 2 == 0 { &mut one } else { &mut other };
            half.add(Duration::from_nanos(n * n));
        }
        one.extend(&other);
        assert_eq!(one.n(), 10_000);
        for (share, exact) in [(0.0001, 1.0), (0.5, 2.5e7), (0.99, 9_900.0 * 9_900.0), (1.0, 1e8)] {
            let told = one.percentile(share) as f64;
            assert!((told - exact).abs() <= exact / 100.0, "{share}: {told} for {exact}");
        }
        assert_eq!(Histogram::default().percentile(0.99), 0);
    }
}
