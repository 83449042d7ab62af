//! A clock that tests own.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::{Clock, Timestamp};

/// A clock that goes on by a fixed step whenever somebody looks: whatever waits for a time of day comes due.
#[derive(Debug)]
pub struct SteppingClock {
    now: AtomicU64,
    step_ms: u64,
}

impl SteppingClock {
    /// Begins at one second after the epoch.
    #[must_use]
    pub fn new(step_ms: u64) -> Self {
        Self { now: AtomicU64::new(1000), step_ms }
    }
}

impl Clock for SteppingClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.fetch_add(self.step_ms, Ordering::Relaxed))
    }
}
