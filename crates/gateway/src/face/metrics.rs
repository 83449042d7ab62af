//! What is counted, for Prometheus and for the admin endpoints.
//!
//! The counts of an upstream or of a client's key are found by name when a configuration is made, so they outlive its
//! change; a request finds them by number and adds to a few atomics, without a lock. Labels are names of the
//! configuration and words of ours: what clients write is none, or they could fill the memory with series.

mod histogram;
mod text;
mod write;

pub(super) use write::Now;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{FailureKind, Usage};

use super::{
    account::{Audience, Ended, Outcome},
    log::AccessLog,
};
use crate::failover::is_upstreams_own;
use histogram::{Histogram, SHORT_TIMES, TIMES};

/// What can be called, in the words of [`super::endpoint::Call::name`], and what cannot.
const CALLS: [&str; 7] = ["chat", "completions", "embeddings", "responses", "passed", "models", "unknown"];
/// Classes of statuses. A client that hung up before the head has none.
const STATUSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// How attempts end. Behind these come the words for other failures.
const RESULTS: [&str; 10] = [
    "answered",
    "cut",
    "abandoned",
    "throttled",
    "unavailable",
    "timeout",
    "unauthorized",
    "exhausted_credit",
    "rejected",
    "invalid_output",
];
const ANSWERED: usize = 0;
const CUT: usize = 1;
const ABANDONED: usize = 2;
const TOKENS: [&str; 4] = ["prompt", "completion", "cached", "reasoning"];
/// How much the last answer counts in the average time, as AI-DataFlux has it.
const LAST_COUNTS: f64 = 0.1;

type Counts<const N: usize> = [AtomicU64; N];

fn zeros<const N: usize>() -> Counts<N> {
    [const { AtomicU64::new(0) }; N]
}

fn add(count: &AtomicU64, n: u64) {
    count.fetch_add(n, Ordering::Relaxed);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// All counts of a process. They only grow, whatever becomes of the configuration.
#[derive(Debug)]
pub struct Metrics {
    upstreams: Mutex<BTreeMap<Arc<str>, Arc<UpstreamCounts>>>,
    clients: Mutex<BTreeMap<Arc<str>, Arc<ClientCounts>>>,
    /// Requests that never came to an upstream.
    nowhere: Arc<UpstreamCounts>,
    in_flight: AtomicU64,
    n_refused_in_line: AtomicU64,
    queued: Histogram,
    overhead: Histogram,
    lost: Mutex<Lost>,
}

/// The lines that logs have lost. Nothing where there never was a log.
#[derive(Debug, Default)]
struct Lost {
    had_log: bool,
    /// By logs that are no more.
    n_before: u64,
    /// What is counted by those that are written, or have been until a moment ago.
    counts: Vec<Arc<AtomicU64>>,
}

/// The counts of an upstream.
#[derive(Debug)]
struct UpstreamCounts {
    requests: [Counts<{ STATUSES.len() }>; CALLS.len()],
    attempts: Counts<{ RESULTS.len() }>,
    n_failed_over: AtomicU64,
    n_hedged: AtomicU64,
    n_cut: AtomicU64,
    n_hung_up: AtomicU64,
    /// Attempts of which the upstream answered, or did not.
    n_well: AtomicU64,
    n_ill: AtomicU64,
    tokens: Counts<{ TOKENS.len() }>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    took: Histogram,
    first_byte: Histogram,
    /// The bits of the average time of an answer, in seconds.
    answer_time: AtomicU64,
}

/// The counts of a client's key.
#[derive(Debug)]
struct ClientCounts {
    requests: Counts<{ STATUSES.len() }>,
    tokens: Counts<{ TOKENS.len() }>,
}

/// How an upstream did so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Record {
    /// Which part of the attempts it answered, from 0 to 1; 1 where there were none.
    pub(super) success_rate: f64,
    /// How long an answer takes, in seconds; the last ones count most.
    pub(super) answer_seconds: f64,
    /// Attempts that are counted in the rate.
    pub(super) n_attempts: u64,
}

impl Metrics {
    /// Begins at nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            upstreams: Mutex::default(),
            clients: Mutex::default(),
            nowhere: Arc::new(UpstreamCounts::new()),
            in_flight: AtomicU64::new(0),
            n_refused_in_line: AtomicU64::new(0),
            queued: Histogram::new(&TIMES),
            overhead: Histogram::new(&SHORT_TIMES),
            lost: Mutex::default(),
        }
    }

    /// Returns how many lines of the log were lost, whichever log it was; nothing where there never was one.
    fn n_lines_dropped(&self) -> Option<u64> {
        let lost = locked(&self.lost);
        let counts = lost.counts.iter().map(|count| read(count)).sum::<u64>();
        lost.had_log.then_some(lost.n_before + counts)
    }

    /// Returns who counts the requests of a configuration with these upstreams and clients, and writes them to a log.
    pub(super) fn counting<'a>(
        self: &Arc<Self>,
        upstreams: impl Iterator<Item = &'a Arc<str>>,
        clients: impl Iterator<Item = &'a Arc<str>>,
        log: Option<Arc<AccessLog>>,
    ) -> Counting {
        let mut known = locked(&self.upstreams);
        let upstreams = upstreams
            .map(|name| Arc::clone(known.entry(Arc::clone(name)).or_insert_with(|| Arc::new(UpstreamCounts::new()))))
            .collect();
        drop(known);
        let mut known = locked(&self.clients);
        let clients = clients
            .map(|name| Arc::clone(known.entry(Arc::clone(name)).or_insert_with(|| Arc::new(ClientCounts::new()))))
            .collect();
        drop(known);
        if let Some(log) = &log {
            locked(&self.lost).add(log.lost());
        }
        Counting { metrics: Arc::clone(self), upstreams, clients, log }
    }

    /// Returns how an upstream did.
    pub(super) fn record(&self, upstream: &str) -> Record {
        let counts = locked(&self.upstreams).get(upstream).map(Arc::clone);
        let Some(counts) = counts else { return Record { success_rate: 1.0, answer_seconds: 0.0, n_attempts: 0 } };
        let (well, ill) = (read(&counts.n_well), read(&counts.n_ill));
        let n_attempts = well + ill;
        let success_rate = if n_attempts == 0 { 1.0 } else { well as f64 / n_attempts as f64 };
        Record { success_rate, answer_seconds: f64::from_bits(read(&counts.answer_time)), n_attempts }
    }
}

impl Lost {
    fn add(&mut self, count: Arc<AtomicU64>) {
        self.had_log = true;
        // Whoever has the last hand on a count adds nothing to it any more.
        let (gone, counts) =
            std::mem::take(&mut self.counts).into_iter().partition(|count| Arc::strong_count(count) == 1);
        let gone: Vec<Arc<AtomicU64>> = gone;
        self.n_before += gone.iter().map(|count| read(count)).sum::<u64>();
        self.counts = counts;
        if !self.counts.iter().any(|known| Arc::ptr_eq(known, &count)) {
            self.counts.push(count);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in it is only added to, in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UpstreamCounts {
    fn new() -> Self {
        Self {
            requests: [const { [const { AtomicU64::new(0) }; STATUSES.len()] }; CALLS.len()],
            attempts: zeros(),
            n_failed_over: AtomicU64::new(0),
            n_hedged: AtomicU64::new(0),
            n_cut: AtomicU64::new(0),
            n_hung_up: AtomicU64::new(0),
            n_well: AtomicU64::new(0),
            n_ill: AtomicU64::new(0),
            tokens: zeros(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            took: Histogram::new(&TIMES),
            first_byte: Histogram::new(&TIMES),
            answer_time: AtomicU64::new(0),
        }
    }

    fn answered(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        // Two that end at once may count as one: that is no matter for an average of many.
        let before = f64::from_bits(read(&self.answer_time));
        let after = if read(&self.n_well) == 0 { seconds } else { before + LAST_COUNTS * (seconds - before) };
        self.answer_time.store(after.to_bits(), Ordering::Relaxed);
        add(&self.n_well, 1);
        add(&self.attempts[ANSWERED], 1);
    }
}

impl ClientCounts {
    fn new() -> Self {
        Self { requests: zeros(), tokens: zeros() }
    }
}

/// Who counts the requests of one configuration.
#[derive(Debug)]
pub(super) struct Counting {
    metrics: Arc<Metrics>,
    /// By their numbers in the configuration.
    upstreams: Vec<Arc<UpstreamCounts>>,
    clients: Vec<Arc<ClientCounts>>,
    log: Option<Arc<AccessLog>>,
}

impl Audience for Counting {
    fn began(&self) {
        add(&self.metrics.in_flight, 1);
    }

    fn failed(&self, upstream: usize, kind: FailureKind) {
        let counts = &self.upstreams[upstream];
        let result = match kind {
            FailureKind::Throttled => 3,
            FailureKind::Unavailable => 4,
            FailureKind::Timeout => 5,
            FailureKind::Unauthorized => 6,
            FailureKind::ExhaustedCredit => 7,
            FailureKind::InvalidOutput | FailureKind::Internal => 9,
            // The others are what an upstream says about the request.
            _ => 8,
        };
        add(&counts.attempts[result], 1);
        // A request that is wrong says nothing about who was asked.
        if is_upstreams_own(kind) || result == 9 {
            add(&counts.n_ill, 1);
        }
    }

    fn failed_over(&self, upstream: usize) {
        add(&self.upstreams[upstream].n_failed_over, 1);
    }

    fn hedged(&self, upstream: usize) {
        add(&self.upstreams[upstream].n_hedged, 1);
    }

    fn ended(&self, ended: &Ended<'_>) {
        let metrics = &*self.metrics;
        metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        let asked = ended.upstream_number.and_then(|number| self.upstreams.get(number));
        let counts = asked.unwrap_or(&metrics.nowhere);
        match (ended.outcome, asked) {
            (Outcome::Answered, _) => counts.answered(ended.attempt_took.unwrap_or(ended.took)),
            (Outcome::Cut, _) => {
                add(&counts.attempts[CUT], 1);
                add(&counts.n_cut, 1);
                add(&counts.n_ill, 1);
            }
            (Outcome::HungUp, asked) => {
                add(&counts.n_hung_up, 1);
                // It may have hung up while it stood in line.
                add(&counts.attempts[ABANDONED], u64::from(asked.is_some()));
            }
            (Outcome::Refused, None) if ended.was_in_line && ended.status != 404 => add(&metrics.n_refused_in_line, 1),
            (Outcome::Refused, _) => {}
        }
        let status = status_class(ended.status);
        let call = CALLS.iter().position(|call| *call == ended.call).unwrap_or(CALLS.len() - 1);
        add(&counts.requests[call][status], 1);
        add(&counts.bytes_in, ended.bytes_in);
        add(&counts.bytes_out, ended.bytes_out);
        counts.took.add(ended.took);
        if let Some(first_byte) = ended.first_byte {
            counts.first_byte.add(first_byte);
        }
        if ended.was_in_line {
            metrics.queued.add(ended.queued);
        }
        if let Some(overhead) = ended.overhead {
            metrics.overhead.add(overhead);
        }
        let client = ended.client_number.and_then(|number| self.clients.get(number));
        if let Some(client) = client {
            add(&client.requests[status], 1);
        }
        if let Some(usage) = ended.usage {
            add_tokens(&counts.tokens, usage);
            client.into_iter().for_each(|client| add_tokens(&client.tokens, usage));
        }
        if let Some(log) = &self.log {
            log.write(ended);
        }
    }
}

fn status_class(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => usize::from(class),
        _ => 0,
    }
}

fn add_tokens(counts: &Counts<{ TOKENS.len() }>, usage: Usage) {
    let all = [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens];
    for (count, n) in counts.iter().zip(all) {
        add(count, n);
    }
}

#[cfg(test)]
mod tests;
