//! The one stream out of the engine.

use crate::{EndClass, FailureKind, Reason, RecordKey, StepNumber, Timestamp, Usage};

/// Why a run waits. A wait always has a visible reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Every place of the width is taken: the usual state of a busy run.
    Width,
    /// The limits of the models allow no more requests, or tokens, at this time.
    Rate,
    /// The upstream asked for a pause.
    Throttled,
    /// The pipeline's own pause after a failure.
    Pause,
    /// No upstream of the route is healthy; since when, and the last failure.
    Outage(String),
    /// A table cannot be reached, to read from it or to write to it; what it said.
    Table(String),
    /// Failed attempts wait for their next one.
    Backoff,
    /// Remote objects are looked at again later.
    Parked,
    /// The user paused the run.
    Paused,
}

/// Why a run stopped before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The user asked for it.
    Interrupted,
    /// The lane is closed for good: a dead key, no credit, an outage beyond the limit.
    Closed(String),
    /// The budget is spent: what of it, in words.
    Budget(String),
}

/// Something happened that a reader may care about.
#[derive(Clone, Debug)]
pub enum Event {
    /// A step begins or goes on.
    StepStarted {
        /// The step.
        step: StepNumber,
        /// Its name.
        name: String,
        /// Records that were settled by earlier processes.
        n_settled: u64,
        /// Requests of an earlier process whose answers were lost with it.
        n_asked_again: u64,
    },
    /// The source's records were counted, before they are all read.
    Counted {
        /// The step.
        step: StepNumber,
        /// Records in the source, times the samples of each.
        n_records: u64,
    },
    /// The source was read to its end, so the total is known.
    SourceRead {
        /// The step.
        step: StepNumber,
        /// Records in the source.
        n_records: u64,
    },
    /// An attempt was started.
    Asked {
        /// Whose.
        key: RecordKey,
    },
    /// An attempt came back, in whatever way.
    Answered {
        /// Whose.
        key: RecordKey,
    },
    /// An attempt failed and will be followed by another one.
    AttemptFailed {
        /// Whose.
        key: RecordKey,
        /// How.
        kind: FailureKind,
        /// Why, where it is an answer that failed.
        reason: Option<Reason>,
        /// What it said.
        message: String,
        /// When the next one is due, in milliseconds from now.
        next_in_ms: u64,
    },
    /// A lane paid for a failed attempt.
    LanePaused {
        /// How the attempt failed.
        kind: FailureKind,
        /// What it said.
        message: String,
    },
    /// An answer was billed, whatever it was worth.
    Billed {
        /// The upstream, by its name in the models file; empty where it is not known.
        upstream: String,
        /// The tokens.
        usage: Usage,
        /// From send to the whole answer, in milliseconds.
        latency_ms: Option<u64>,
    },
    /// A record is settled: its outcome is durable.
    Settled {
        /// Whose.
        key: RecordKey,
        /// How.
        class: EndClass,
    },
    /// Nothing can be started now, and why; `None` when work goes on.
    Waits {
        /// The step.
        step: StepNumber,
        /// The reason.
        reason: Option<Waiting>,
        /// Until when, where that is known.
        until: Option<Timestamp>,
    },
    /// The sink does not show settled records at the moment, and why; `None` when it does again. The final output has them all.
    HeldBack {
        /// The step.
        step: StepNumber,
        /// What stands in the way.
        reason: Option<String>,
    },
    /// What is settled so far could not be put in place while the run goes on, and why; the final output has all of it.
    NotSaved {
        /// The step.
        step: StepNumber,
        /// What stands in the way.
        reason: String,
    },
    /// The run drains: nothing new is started.
    Draining {
        /// Attempts in flight.
        in_flight: u64,
    },
    /// The journal is complete and the outputs are being written.
    Finishing {
        /// The step.
        step: StepNumber,
    },
}

/// A reader of the stream. It must not block, and it cannot fail a run.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn on(&self, event: &Event);
}

/// A reader that ignores everything.
impl Reporter for () {
    fn on(&self, _event: &Event) {}
}
