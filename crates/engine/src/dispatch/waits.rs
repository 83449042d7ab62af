//! What a run waits for: until when, and in words for those who look.

use std::time::Duration;

use domain::{Event, Timestamp, Waiting};
use tokio::time::Instant;

use super::{Flowing, millis};

/// A time that a run waits for is told again when it has moved by so much.
const MOVED: Duration = Duration::from_secs(1);

impl Flowing<'_> {
    /// Returns when there is something to do again by the clock alone.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let now = Instant::now();
        let lane = self.waiting.as_ref().and_then(|wait| wait.at).map(Instant::from_std);
        let backoff = self.backoff.peek().map(|queued| queued.due.0);
        let parked = self.parked.peek().map(|queued| {
            let ms = queued.due.0.0.saturating_sub(self.context.clock.now().0);
            // At least a moment, so that a clock that was set back does not make this loop spin.
            now + Duration::from_millis(ms.max(1))
        });
        match self.stopping {
            Some(_) => self.stop_at,
            None => [lane, backoff, parked].into_iter().flatten().min(),
        }
    }

    /// Tells the reader why the sink shows nothing, when that changes.
    pub(super) fn tell_held_back(&mut self) {
        let reason = self.projector.held_back();
        if reason != self.told_held_back.as_ref() {
            self.told_held_back = reason.cloned();
            let reason = self.told_held_back.clone();
            self.context.reporter.on(&Event::HeldBack { step: self.step, reason });
        }
    }

    /// Tells the reader why nothing can start, when that changes.
    pub(super) fn tell_waiting(&mut self) {
        let reason = match &self.waiting {
            _ if self.is_paused && self.stopping.is_none() => Some(Waiting::Paused),
            Some(wait) => Some(wait.reason.clone()),
            None if self.is_full => Some(Waiting::Width),
            None if self.n_in_flight > 0 || !self.ready.is_empty() => None,
            None if !self.backoff.is_empty() => Some(Waiting::Backoff),
            None if !self.parked.is_empty() => Some(Waiting::Parked),
            None => None,
        };
        // A run that is merely busy comes by here many times a second, and waits for no time that anybody would look at.
        let at = match &reason {
            None | Some(Waiting::Width) => None,
            Some(_) => self.next_timer(),
        };
        let has_moved = match (at, self.told_until) {
            (Some(at), Some(told)) => {
                at.saturating_duration_since(told) >= MOVED || told.saturating_duration_since(at) >= MOVED
            }
            (at, told) => at.is_some() != told.is_some(),
        };
        if reason != self.told || has_moved {
            let until = at.map(|at| {
                let wait = millis(at.saturating_duration_since(Instant::now()));
                Timestamp(self.context.clock.now().0 + wait)
            });
            self.context.reporter.on(&Event::Waits { step: self.step, reason: reason.clone(), until });
            (self.told, self.told_until) = (reason, at);
        }
    }
}
