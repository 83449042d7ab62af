//! How many requests may be in flight at an upstream.

use std::time::Duration;

use tokio::time::Instant;

use super::Seen;
use crate::config::MaxInFlight;

/// The width of one upstream.
#[derive(Debug)]
pub(crate) struct Width {
    places: usize,
}

impl Width {
    pub(crate) fn new(width: MaxInFlight, _now: Instant) -> Self {
        let places = match width {
            MaxInFlight::Fixed(places) => places,
            MaxInFlight::Adaptive { start, .. } => start,
        };
        Self { places }
    }

    pub(crate) fn places(&self) -> usize {
        self.places
    }

    pub(crate) fn is_adaptive(&self) -> bool {
        false
    }

    /// Learns of the end of a request that was sent at `sent` as one of `load` in flight.
    pub(crate) fn ended(
        &mut self,
        _sent: Instant,
        _load: usize,
        _in_flight: usize,
        _seen: &Seen,
        _latency: Duration,
        _now: Instant,
    ) -> bool {
        false
    }
}
