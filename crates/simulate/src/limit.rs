//! The limit on requests per second, kept to the letter.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// The times of the last admissions, no more of them than one second may hold.
pub(crate) struct Window {
    per_second: usize,
    admitted: Mutex<VecDeque<Instant>>,
}

impl Window {
    pub(crate) fn new(per_second: u32) -> Window {
        Window { per_second: per_second as usize, admitted: Mutex::default() }
    }

    /// Admits a request now, or says how long to wait until one would be.
    ///
    /// A token bucket would admit nearly twice the rate in an unlucky second; this admits the rate in any second.
    pub(crate) fn admit(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        if admitted.len() == self.per_second
            && let Some(&oldest) = admitted.front()
        {
            let age = now - oldest;
            if age < SECOND {
                return Err(SECOND - age);
            }
            admitted.pop_front();
        }
        admitted.push_back(now);
        Ok(())
    }
}
