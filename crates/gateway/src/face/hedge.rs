//! Asking a second upstream while the first is slow.
//!
//! Who begins to answer first wins, and the other one is called off. Only what is asked once and changes nothing is asked
//! twice (one choice, no tools), and of all requests of a route only as many as its user allows: a vendor that is slow
//! because it is overloaded must not get twice the load.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{ask::Ask, endpoint::Call};
use crate::Hedge;

/// What a route allows, and what was used of it.
#[derive(Debug, Default)]
pub(super) struct Budget {
    hedge: Option<Hedge>,
    n_asked: AtomicU64,
    n_twice: AtomicU64,
}

impl Budget {
    pub(super) fn new(hedge: Option<Hedge>) -> Self {
        Self { hedge, ..Self::default() }
    }

    /// Returns how long the first upstream is waited for, where a request may be asked twice at all.
    pub(super) fn of(&self, ask: &Ask) -> Option<Hedge> {
        let hedge = self.hedge?;
        self.n_asked.fetch_add(1, Ordering::Relaxed);
        let is_plain = ask.scan.as_ref().is_some_and(|scan| scan.n_choices == 1 && !scan.has_tools);
        let may_be = is_plain && !matches!(ask.call, Call::Passed(_) | Call::Responses);
        may_be.then_some(hedge)
    }

    /// Returns whether one more request may be asked twice, and counts it.
    pub(super) fn take(&self, hedge: Hedge) -> bool {
        let allowed = self.n_asked.load(Ordering::Relaxed) as f64 * hedge.at_most;
        let twice = |n: u64| ((n + 1) as f64 <= allowed.max(1.0)).then_some(n + 1);
        self.n_twice.fetch_update(Ordering::Relaxed, Ordering::Relaxed, twice).is_ok()
    }

    /// Gives back what [`Budget::take`] counted.
    pub(super) fn give_back(&self) {
        self.n_twice.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_are_asked_twice_than_is_allowed() {
        let hedge = Hedge { after: Duration::from_secs(1), at_most: 0.05 };
        let budget = Budget::new(Some(hedge));
        budget.n_asked.store(1_000, Ordering::Relaxed);
        assert_eq!((0..100).filter(|_| budget.take(hedge)).count(), 50);
        budget.n_asked.store(1_020, Ordering::Relaxed);
        assert_eq!((0..100).filter(|_| budget.take(hedge)).count(), 1);
    }
}
