//! How often, and when.

use std::time::Duration;

use domain::{Failure, FailureGroup};

/// Failed attempts that are followed by another one, by group: 3 means four attempts at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// On the way to the model.
    pub api: u32,
    /// What the model said.
    pub content: u32,
    /// Ourselves.
    pub system: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { api: 3, content: 1, system: 2 }
    }
}

impl Budgets {
    pub(crate) fn of(&self, group: FailureGroup) -> u32 {
        match group {
            FailureGroup::Api => self.api,
            FailureGroup::Content => self.content,
            FailureGroup::System => self.system,
        }
    }
}

/// Exponential backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failed attempt; it doubles with each one.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), max: Duration::from_secs(60) }
    }
}

/// A pause of the whole step after a failure of the group `api`, at most once in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How long.
    pub lasts: Duration,
    /// For how long after its beginning no other failure begins one.
    pub window: Duration,
}

impl Backoff {
    /// Returns the wait after the `n_failed`th failed attempt. Half of it is fixed and half is drawn, so that records
    /// that failed together do not come back together; a wait that the upstream asked for is never undercut.
    pub(crate) fn wait(&self, n_failed: u32, failure: &Failure, jitter: &mut Jitter) -> Duration {
        let doublings = n_failed.saturating_sub(1).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.max);
        let wait = full / 2 + full.mul_f64(jitter.unit() / 2.0);
        failure.retry_after_ms.map_or(wait, |asked| wait.max(Duration::from_millis(asked)))
    }
}

/// Numbers between 0 and 1 that repeat for a seed (`SplitMix64`, by Steele, Lea and Flood, 2014).
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use domain::FailureKind;

    use super::*;

    #[test]
    fn waits_double_with_jitter_up_to_the_longest_and_honour_what_was_asked() {
        let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(10) };
        let mut jitter = Jitter::new(7);
        let failure = Failure::new(FailureKind::Unavailable, "");
        for (n, longest) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (60, 10)] {
            let mut seen = Vec::new();
            for _ in 0..50 {
                let wait = backoff.wait(n, &failure, &mut jitter);
                assert!(
                    wait <= Duration::from_secs(longest) && wait >= Duration::from_secs(longest) / 2,
                    "{n}: {wait:?}"
                );
                seen.push(wait);
            }
            seen.dedup();
            assert!(seen.len() > 40, "the waits are jittered");
        }
        let asked = failure.after_ms(Some(30_000));
        assert_eq!(backoff.wait(1, &asked, &mut jitter), Duration::from_secs(30));
    }
}
