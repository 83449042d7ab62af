//! How many requests may be in flight at an upstream: a fixed width for now.

/// The places of one upstream.
#[derive(Debug)]
pub(crate) struct Limit {
    width: usize,
    in_flight: usize,
}

impl Limit {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, in_flight: 0 }
    }

    pub(crate) fn has_place(&self) -> bool {
        self.in_flight < self.width
    }

    pub(crate) fn take(&mut self) {
        self.in_flight += 1;
    }

    pub(crate) fn free(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}
