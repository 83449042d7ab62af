//! The right to start: a permit, or when and why not.

use std::time::Duration;

use domain::{
    Failure, Waiting,
    ports::{Handler, NotBefore, Permit, Reserve},
};
use tokio::time::Instant;

use crate::{feed::Item, retry::Pause};

/// What admission says.
pub(crate) enum Admitted {
    /// Start.
    Now(Permit),
    /// Wait for a time, or for a place.
    Later(NotBefore),
    /// Never.
    Closed(Failure),
}

/// The step's own pause, before the lanes are asked.
pub(crate) struct Gate {
    pause: Option<Pause>,
    begun: Option<Instant>,
    until: Option<Instant>,
}

impl Gate {
    pub(crate) fn new(pause: Option<Pause>) -> Self {
        Self { pause, begun: None, until: None }
    }

    /// A failure on the way to the model: begins a pause, unless one began within the window.
    pub(crate) fn failed(&mut self) {
        let Some(pause) = self.pause else { return };
        let now = Instant::now();
        if self.begun.is_none_or(|begun| now.duration_since(begun) > pause.window) {
            self.begun = Some(now);
            self.until = Some(now + pause.lasts);
        }
    }

    /// Asks for the right to start an attempt at `item` that may take `deadline`.
    pub(crate) fn admit(&self, handler: &dyn Handler, item: &Item, deadline: Duration) -> Admitted {
        let now = Instant::now();
        if let Some(until) = self.until.filter(|until| *until > now) {
            return Admitted::Later(NotBefore { at: Some(until.into_std()), reason: Waiting::Pause });
        }
        match handler.reserve(&item.work, (now + deadline).into_std()) {
            Reserve::Permit(permit) => Admitted::Now(permit),
            Reserve::NotBefore(wait) => Admitted::Later(wait),
            Reserve::Closed(failure) => Admitted::Closed(failure),
        }
    }
}
