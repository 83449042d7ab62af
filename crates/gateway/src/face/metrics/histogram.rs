//! How times are spread: counts in fixed buckets, six to a power of ten.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Bounds for requests: 100 µs to 700 s, in nanoseconds.
pub(super) static TIMES: [u64; 42] = bounds(100_000);
/// Bounds for what the gateway itself takes: 1 µs to 700 ms.
pub(super) static SHORT_TIMES: [u64; 36] = bounds(1_000);

const fn bounds<const N: usize>(first: u64) -> [u64; N] {
    const STEPS: [u64; 6] = [10, 15, 20, 30, 50, 70];
    let (mut all, mut tenth, mut n) = ([0; N], first / 10, 0);
    while n < N {
        all[n] = tenth * STEPS[n % 6];
        n += 1;
        if n % 6 == 0 {
            tenth *= 10;
        }
    }
    all
}

/// Times, counted by bucket.
#[derive(Debug)]
pub(super) struct Histogram {
    pub(super) bounds: &'static [u64],
    /// One more than there are bounds: the last is for all that are longer.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|bound| *bound < nanos);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Returns the count of each bucket, and the sum of all times in nanoseconds. They may differ by what is added while
    /// they are read.
    pub(super) fn read(&self) -> (Vec<u64>, u64) {
        (self.counts.iter().map(|n| n.load(Ordering::Relaxed)).collect(), self.sum.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_bucket_that_ends_where_it_does() {
        assert_eq!((TIMES[0], TIMES[6], TIMES[41]), (100_000, 1_000_000, 700_000_000_000));
        assert_eq!((SHORT_TIMES[1], SHORT_TIMES[35]), (1_500, 700_000_000));
        assert!(TIMES.is_sorted() && SHORT_TIMES.is_sorted());
        let times = Histogram::new(&TIMES);
        for (nanos, bucket) in [(0, 0), (100_000, 0), (100_001, 1), (1_000_000, 6), (700_000_000_001, 42)] {
            let before = times.read().0[bucket];
            times.add(Duration::from_nanos(nanos));
            assert_eq!(times.read().0[bucket], before + 1, "{nanos}");
        }
        assert_eq!(times.read().1, 700_001_200_002);
    }
}
