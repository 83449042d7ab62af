//! Adding up the events: what progress lines, dashboards and reports show.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use domain::{Billed, Event, FailureKind, Reason, Reporter, StepNumber, Tally, Timestamp, Waiting};
use tokio::time::Instant;

/// Where a step stands.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The step's number in the pipeline.
    pub number: StepNumber,
    /// The step's name; empty before the first step begins.
    pub step: String,
    /// When the step began in this process.
    pub began: Option<Instant>,
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
    /// The same by kind, and by the reason within it where there is one.
    pub retried: BTreeMap<(FailureKind, Option<Reason>), u64>,
    /// Requests whose answers were lost with an earlier process.
    pub n_asked_again: u64,
    /// Records in the source, as it was counted before they were all read.
    pub n_counted: Option<u64>,
    /// Tokens billed to this process, by upstream, in this step and in those before it.
    pub billed: Billed,
    /// How long the last answers took; `None` before the first one.
    pub latency: Option<Latency>,
    /// Why nothing can start.
    pub waiting: Option<Waiting>,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// The last failed attempt: its kind, and what it said.
    pub last_failure: Option<(FailureKind, String)>,
    /// Why the sink shows nothing at the moment.
    pub held_back: Option<String>,
    /// Whether the run drains.
    pub is_draining: bool,
    /// Whether the outputs are being written.
    pub is_finishing: bool,
}

/// How long the last answers took, from send to the whole answer, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50: u64,
    /// Nine in ten took no longer.
    pub p90: u64,
    /// Ninety-nine in a hundred took no longer.
    pub p99: u64,
    /// How many answers these are, at most 1,024.
    pub n: usize,
}

/// The one reducer of events.
#[derive(Debug, Default)]
pub struct Status {
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    shown: Snapshot,
    latencies: Latencies,
}

impl Status {
    /// Returns where things stand.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (mut shown, latencies) = {
            let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            (now.shown.clone(), now.latencies.last.clone())
        };
        // Sorting is the reader's work: whoever settles records does not wait for it.
        shown.latency = percentiles(latencies);
        shown
    }
}

impl Reporter for Status {
    fn on(&self, event: &Event) {
        let mut guard = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let Now { shown: now, latencies } = &mut *guard;
        match event {
            Event::StepStarted { step, name, n_settled, n_asked_again } => {
                // Money is the run's and not the step's; everything else starts over.
                let billed = std::mem::take(&mut now.billed);
                *now = Snapshot {
                    number: *step,
                    step: name.clone(),
                    began: Some(Instant::now()),
                    n_settled: *n_settled,
                    n_asked_again: *n_asked_again,
                    billed,
                    ..Snapshot::default()
                };
                *latencies = Latencies::default();
            }
            Event::SourceRead { n_records, .. } => now.n_records = Some(*n_records),
            Event::Asked { .. } => now.n_in_flight += 1,
            Event::Answered { .. } => now.n_in_flight = now.n_in_flight.saturating_sub(1),
            Event::AttemptFailed { kind, reason, message, .. } => {
                now.n_retried += 1;
                *now.retried.entry((*kind, *reason)).or_default() += 1;
                now.last_failure = Some((*kind, message.clone()));
            }
            Event::LanePaused { kind, message } => now.last_failure = Some((*kind, message.clone())),
            Event::Billed { upstream, usage, latency_ms } => {
                now.billed.add(upstream, *usage);
                if let Some(ms) = latency_ms {
                    latencies.add(*ms);
                }
            }
            Event::Counted { n_records, .. } => now.n_counted = Some(*n_records),
            Event::Settled { class, .. } => {
                now.n_settled += 1;
                now.n_settled_now += 1;
                now.tally.add(*class);
            }
            Event::Waits { reason, until, .. } => {
                now.waiting.clone_from(reason);
                now.until = *until;
            }
            Event::HeldBack { reason, .. } => now.held_back.clone_from(reason),
            Event::NotSaved { .. } => {}
            Event::Draining { .. } => now.is_draining = true,
            Event::Finishing { .. } => now.is_finishing = true,
        }
    }
}

/// The latencies of the last answers, in no order.
#[derive(Clone, Debug, Default)]
struct Latencies {
    last: Vec<u32>,
    /// Where the next one goes once the list is full.
    next: usize,
}

impl Latencies {
    /// So many answers tell a percentile in a hundred well enough, and are sorted in microseconds.
    const KEPT: usize = 1024;

    fn add(&mut self, ms: u64) {
        // Fifty days are long enough.
        let ms = u32::try_from(ms).unwrap_or(u32::MAX);
        if self.last.len() < Self::KEPT {
            self.last.push(ms);
        } else {
            self.last[self.next] = ms;
            self.next = (self.next + 1) % Self::KEPT;
        }
    }
}

fn percentiles(mut last: Vec<u32>) -> Option<Latency> {
    last.sort_unstable();
    let n = last.len();
    // The nearest rank: the smallest value that so many in a hundred do not exceed.
    let of = |percent: usize| last.get((n * percent).div_ceil(100).saturating_sub(1)).map(|ms| u64::from(*ms));
    Some(Latency { p50: of(50)?, p90: of(90)?, p99: of(99)?, n })
}

#[cfg(test)]
mod tests {
    use domain::{EndClass, RecordKey, Usage};

    use super::*;

    fn key(position: u64) -> RecordKey {
        RecordKey { step: 0, part: 0, position, sample: 0 }
    }

    fn billed(upstream: &str, ms: u64) -> Event {
        let usage = Usage { prompt_tokens: 10, completion_tokens: 2, ..Usage::default() };
        Event::Billed { upstream: upstream.to_owned(), usage, latency_ms: Some(ms) }
    }

    fn started(step: StepNumber, name: &str) -> Event {
        Event::StepStarted { step, name: name.to_owned(), n_settled: 5, n_asked_again: 1 }
    }

    #[test]
    fn percentiles_are_those_of_the_last_answers() {
        let status = Status::default();
        assert_eq!(status.snapshot().latency, None);
        (1..=100).for_each(|ms| status.on(&billed("a", ms)));
        assert_eq!(status.snapshot().latency, Some(Latency { p50: 50, p90: 90, p99: 99, n: 100 }));
        (0..1024).for_each(|_| status.on(&billed("a", 7)));
        assert_eq!(status.snapshot().latency, Some(Latency { p50: 7, p90: 7, p99: 7, n: 1024 }));
        status.on(&billed("a", u64::MAX));
        assert_eq!(status.snapshot().latency.unwrap().n, 1024);
    }

    #[test]
    fn a_step_starts_over_and_the_bill_goes_on() {
        let status = Status::default();
        status.on(&started(0, "first"));
        status.on(&billed("a", 3));
        let (reason, message) = (Some(Reason::NoJson), "no JSON".to_owned());
        let failed = |reason| Event::AttemptFailed {
            key: key(0),
            kind: FailureKind::InvalidOutput,
            reason,
            message: message.clone(),
            next_in_ms: 0,
        };
        [reason, reason, None].into_iter().for_each(|reason| status.on(&failed(reason)));
        status.on(&Event::Settled { key: key(0), class: EndClass::Succeeded });
        status.on(&Event::Waits { step: 0, reason: Some(Waiting::Throttled), until: Some(Timestamp(9)) });
        let now = status.snapshot();
        assert_eq!((now.n_settled, now.n_settled_now, now.n_retried, now.n_asked_again), (6, 1, 3, 1));
        let by = [((FailureKind::InvalidOutput, None), 1), ((FailureKind::InvalidOutput, reason), 2)];
        assert_eq!(now.retried, BTreeMap::from(by));
        assert_eq!(now.last_failure, Some((FailureKind::InvalidOutput, message.clone())));
        assert_eq!((now.waiting, now.until), (Some(Waiting::Throttled), Some(Timestamp(9))));

        status.on(&started(1, "second"));
        status.on(&billed("b", 3));
        let now = status.snapshot();
        assert_eq!((now.number, now.step.as_str(), now.n_settled, now.n_retried), (1, "second", 5, 0));
        assert_eq!((now.waiting, now.until, now.last_failure), (None, None, None));
        assert_eq!(now.billed.0.keys().collect::<Vec<_>>(), ["a", "b"]);
    }
}
