//! Adding up the events: what progress lines, dashboards and reports show.

use std::sync::{Mutex, PoisonError};

use domain::{Billed, Event, Reporter, Tally, Waiting};

/// Where a step stands.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The step's name.
    pub step: String,
    /// Records settled, by this process and by earlier ones.
    pub n_settled: u64,
    /// Records settled by this process.
    pub n_settled_now: u64,
    /// How the records that this process settled have ended.
    pub tally: Tally,
    /// Records in the source, once it has been read to the end.
    pub n_records: Option<u64>,
    /// Attempts in flight.
    pub n_in_flight: u64,
    /// Failed attempts that are followed by another one.
    pub n_retried: u64,
    /// Requests whose answers were lost with an earlier process.
    pub n_asked_again: u64,
    /// Records in the source, as it was counted before they were all read.
    pub n_counted: Option<u64>,
    /// Tokens billed to this process, by upstream.
    pub billed: Billed,
    /// Why nothing can start.
    pub waiting: Option<Waiting>,
    /// The last failed attempt, in words.
    pub last_failure: Option<String>,
    /// Whether the run drains.
    pub is_draining: bool,
    /// Whether the outputs are being written.
    pub is_finishing: bool,
}

/// The one reducer of events.
#[derive(Debug, Default)]
pub struct Status {
    now: Mutex<Snapshot>,
}

impl Status {
    /// Returns where things stand.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Reporter for Status {
    fn on(&self, event: &Event) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::StepStarted { name, n_settled, n_asked_again, .. } => {
                *now = Snapshot {
                    step: name.clone(),
                    n_settled: *n_settled,
                    n_asked_again: *n_asked_again,
                    ..Snapshot::default()
                };
            }
            Event::SourceRead { n_records, .. } => now.n_records = Some(*n_records),
            Event::Asked { .. } => now.n_in_flight += 1,
            Event::Answered { .. } => now.n_in_flight = now.n_in_flight.saturating_sub(1),
            Event::AttemptFailed { kind, message, .. } => {
                now.n_retried += 1;
                now.last_failure = Some(format!("{kind}: {message}"));
            }
            Event::LanePaused { kind, message } => now.last_failure = Some(format!("{kind}: {message}")),
            Event::Billed { upstream, usage, .. } => now.billed.add(upstream, *usage),
            Event::Counted { n_records, .. } => now.n_counted = Some(*n_records),
            Event::Settled { class, .. } => {
                now.n_settled += 1;
                now.n_settled_now += 1;
                now.tally.add(*class);
            }
            Event::Waits { reason, .. } => now.waiting.clone_from(reason),
            Event::Draining { .. } => now.is_draining = true,
            Event::Finishing { .. } => now.is_finishing = true,
        }
    }
}
