//! What the user wishes of a run that is under way: pause, go on, stop, call off.

use domain::{AnswerMeta, End, Event, StopReason};
use tokio::time::Instant;

use super::{Flowing, MAX_UNCOMMITTED};
use crate::{execute, run::Control};

impl Flowing<'_> {
    pub(super) fn obey(&mut self, wish: Control) {
        self.is_paused = wish == Control::Pause;
        match wish {
            Control::Run | Control::Pause => {}
            Control::Cancel => self.is_called_off = true,
            Control::Drain => {
                self.stop(StopReason::Interrupted);
                // A stop that had time has a grace period from now on.
                self.stop_at.get_or_insert_with(|| Instant::now() + self.flow.grace);
            }
            Control::Stop => {
                self.stop(StopReason::Interrupted);
                self.stop_at = Some(Instant::now());
            }
        }
    }

    /// Starts nothing new; what is in flight has the grace period.
    pub(super) fn stop(&mut self, reason: StopReason) {
        if self.stopping.is_none() {
            self.stopping = Some(reason);
            self.stop_at = Some(Instant::now() + self.flow.grace);
            self.fed = None;
            self.context.reporter.on(&Event::Draining { in_flight: self.n_in_flight as u64 });
        }
    }

    /// Starts nothing new; what is in flight will be billed, so it is waited for as long as it may take.
    pub(super) fn stop_for_budget(&mut self, told: String) {
        self.stop(StopReason::Budget(told));
        self.stop_at = None;
    }

    /// Ends records that the user called off, a commit's worth at a time. What is in flight ends as it ends.
    pub(super) fn call_off(&mut self) {
        if self.is_called_off {
            self.held = 0;
            self.called_off.extend(self.ready.drain(..).map(|item| *item));
            self.called_off.extend(self.backoff.drain().map(|queued| *queued.item));
            self.called_off.extend(self.parked.drain().map(|queued| *queued.item));
            if let Some(duplicates) = &mut self.duplicates {
                self.called_off.extend(duplicates.take_all());
            }
        }
        if self.called_off.is_empty() || self.is_behind() {
            return;
        }
        let now = self.context.clock.now();
        let (mut entries, mut settled) = (Vec::new(), Vec::new());
        while entries.len() < MAX_UNCOMMITTED / 2
            && let Some(item) = self.called_off.pop()
        {
            let attempts = item.spent().total();
            for (record, planned) in item.work.members {
                let none = (bytes::Bytes::new(), AnswerMeta::default());
                let entry = execute::outcome(&record, &planned, End::Cancelled, none.0, none.1, attempts, now);
                settled.push(execute::projection(&record, &entry));
                entries.push(entry);
            }
        }
        self.settle_without_work(entries, settled);
    }
}
