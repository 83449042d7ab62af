//! What happened when, in constant memory, however long it takes.

/// Kinds of things that are counted over time.
pub(super) const SERIES: usize = 3;
/// Fine buckets; when a time lies beyond the last one, they all become twice as wide.
const FINE: usize = 4096;

/// Counts over time, from the first moment on.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    begun: Option<u64>,
    width: u64,
    buckets: Vec<[u64; SERIES]>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { begun: None, width: 1, buckets: Vec::new() }
    }
}

impl Timeline {
    /// Makes sure that the timeline reaches to `at` (milliseconds). The first call says where it begins; what lies before
    /// that, because a clock was set back, is taken for the beginning.
    pub(super) fn reach(&mut self, at: u64) -> &mut [u64; SERIES] {
        let begun = *self.begun.get_or_insert(at);
        let after = at.saturating_sub(begun);
        while after / self.width >= FINE as u64 {
            self.buckets = self.buckets.chunks(2).map(sum).collect();
            self.width *= 2;
        }
        // It is less than FINE.
        let n = (after / self.width) as usize;
        if self.buckets.len() <= n {
            self.buckets.resize(n + 1, [0; SERIES]);
        }
        &mut self.buckets[n]
    }

    /// Returns the width of a bucket in milliseconds, and at most `n` of them from the beginning to the end.
    pub(super) fn buckets(&self, n: usize) -> (u64, Vec<[u64; SERIES]>) {
        let together = self.buckets.len().div_ceil(n.max(1)).max(1);
        (self.width * together as u64, self.buckets.chunks(together).map(sum).collect())
    }
}

fn sum(buckets: &[[u64; SERIES]]) -> [u64; SERIES] {
    let mut sum = [0; SERIES];
    for bucket in buckets {
        sum.iter_mut().zip(bucket).for_each(|(sum, n)| *sum += n);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_takes_no_more_memory_than_a_second_and_nothing_is_lost() {
        let mut timeline = Timeline::default();
        let week = 7 * 24 * 3600 * 1000;
        for n in 0..10_000 {
            timeline.reach(5_000 + n * (week / 10_000))[n as usize % SERIES] += 1;
        }
        // The clock was set back.
        timeline.reach(0)[0] += 1;
        assert!(timeline.buckets.len() <= FINE);
        let (width, buckets) = timeline.buckets(60);
        assert!(buckets.len() <= 60 && buckets.len() > 50, "{}", buckets.len());
        assert!(width * buckets.len() as u64 >= week * 9_999 / 10_000);
        let total: u64 = buckets.iter().flatten().sum();
        assert_eq!(total, 10_001);
        // Equal times have equal counts, but for the last bucket, which may not be full.
        let most = buckets.iter().map(|bucket| bucket.iter().sum::<u64>()).max();
        assert!(buckets[..buckets.len() - 1].iter().all(|b| most.is_some_and(|m| b.iter().sum::<u64>() + 3 >= m)));
    }

    #[test]
    fn a_moment_is_one_bucket() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.buckets(60), (1, Vec::new()));
        timeline.reach(77)[1] += 1;
        assert_eq!(timeline.buckets(60), (1, vec![[0, 1, 0]]));
    }
}
