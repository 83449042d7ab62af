//! The end of a request, told once, however it ends.

use std::{sync::Arc, time::Duration};

use domain::{FailureKind, Usage};
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use super::{ask::Ask, live::Serving, problem::Problem};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client has the whole answer of a model.
    Answered,
    /// The client was told why there is none.
    Refused,
    /// An answer began and broke off, and the client was told.
    Cut,
    /// The client hung up before the end.
    HungUp,
}

/// What is known of a request at its end. It holds nothing of what was asked or answered.
#[derive(Clone, Debug)]
pub struct Ended<'a> {
    /// The id that client, log and upstream share.
    pub id: &'a str,
    /// What was called: a word of few.
    pub call: &'static str,
    /// The name of the client's key.
    pub client: Option<&'a str>,
    /// The number of the client's key in the configuration.
    pub client_number: Option<usize>,
    /// The name that was asked for, as the client wrote it.
    pub asked: &'a str,
    /// The upstream that answered, or was the last to be asked.
    pub upstream: Option<&'a str>,
    /// Its number in the configuration.
    pub upstream_number: Option<usize>,
    /// How it ended.
    pub outcome: Outcome,
    /// The status that the client got.
    pub status: u16,
    /// How many upstreams were asked.
    pub n_attempts: u32,
    /// From the first byte of the request to the end.
    pub took: Duration,
    /// What of the time to the first byte was not waiting for upstreams or in line; nothing where a client hung up before.
    pub overhead: Option<Duration>,
    /// From the first byte of the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// How long the last attempt took.
    pub attempt_took: Option<Duration>,
    /// How long it waited in line.
    pub queued: Duration,
    /// Whether it came as far as the line.
    pub was_in_line: bool,
    /// What the answer cost, where that was said.
    pub usage: Option<Usage>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// Whether the answer came in pieces.
    pub is_stream: bool,
    /// Why there is no answer, or not all of it. What an upstream said is not repeated: it may quote the request.
    pub trouble: Option<&'a str>,
}

/// Who is told how requests end. It must not wait.
pub trait Audience: Send + Sync {
    /// A request has begun.
    fn began(&self) {}

    /// An attempt at the upstream of that number failed.
    fn failed(&self, _upstream: usize, _kind: FailureKind) {}

    /// Another upstream is asked in the place of the one of that number.
    fn failed_over(&self, _upstream: usize) {}

    /// A second upstream is asked beside the one of that number, which is slow.
    fn hedged(&self, _upstream: usize) {}

    /// A request has ended.
    fn ended(&self, ended: &Ended<'_>);
}

/// What is collected about a request until its end. It is told when this is dropped: a client that hangs up drops it.
pub(super) struct Account {
    ask: Arc<Ask>,
    serving: Arc<Serving>,
    pub(super) outcome: Outcome,
    pub(super) status: u16,
    pub(super) upstream: Option<usize>,
    pub(super) n_attempts: u32,
    /// How long upstreams and the line were waited for.
    pub(super) waited: Duration,
    /// How much of that in line, once it came there.
    pub(super) queued: Option<Duration>,
    /// When it came there first.
    pub(super) in_line_since: Option<Instant>,
    /// When the last attempt began.
    pub(super) sent: Option<Instant>,
    /// When it failed, if it did.
    pub(super) failed_at: Option<Instant>,
    pub(super) first_byte: Option<Duration>,
    pub(super) usage: Option<Usage>,
    pub(super) bytes_out: u64,
    pub(super) is_stream: bool,
    pub(super) trouble: Option<String>,
}

impl Account {
    pub(super) fn new(ask: &Arc<Ask>, serving: &Arc<Serving>) -> Self {
        serving.audience.began();
        Self {
            ask: Arc::clone(ask),
            serving: Arc::clone(serving),
            outcome: Outcome::HungUp,
            status: 0,
            upstream: None,
            n_attempts: 0,
            waited: Duration::ZERO,
            queued: None,
            in_line_since: None,
            sent: None,
            failed_at: None,
            first_byte: None,
            usage: None,
            bytes_out: 0,
            is_stream: false,
            trouble: None,
        }
    }

    /// An upstream is asked now.
    pub(super) fn asks(&mut self, upstream: usize, now: Instant) {
        (self.sent, self.failed_at, self.upstream) = (Some(now), None, Some(upstream));
        self.n_attempts += 1;
    }

    /// It stood in line, or found a place at once.
    pub(super) fn stood_in_line(&mut self, since: Instant) {
        let stood = since.elapsed();
        self.in_line_since.get_or_insert(since);
        self.queued = Some(self.queued.unwrap_or_default() + stood);
        self.waited += stood;
    }

    /// Returns what of the time so far was ours.
    pub(super) fn overhead(&self) -> Duration {
        self.ask.began.elapsed().saturating_sub(self.waited)
    }

    /// The upstream that was asked last failed.
    pub(super) fn failed(&mut self, kind: FailureKind, status: Option<StatusCode>) {
        self.failed_at = Some(Instant::now());
        if let Some(upstream) = self.upstream {
            self.serving.audience.failed(upstream, kind);
        }
        let kind = word(kind);
        self.trouble = Some(status.map_or_else(|| kind.to_owned(), |status| format!("{kind} ({})", status.as_u16())));
    }

    /// Another upstream is asked in the place of the one that was asked last.
    pub(super) fn failed_over(&self) {
        if let Some(upstream) = self.upstream {
            self.serving.audience.failed_over(upstream);
        }
    }

    /// Keeps of the request what is left of it.
    pub(super) fn keep(&mut self, ask: &Arc<Ask>) {
        self.ask = Arc::clone(ask);
    }

    pub(super) fn answering(&mut self) {
        self.first_byte.get_or_insert_with(|| Instant::now() - self.ask.began);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let took = self.ask.began.elapsed();
        let is_known = self.first_byte.is_some() || self.outcome != Outcome::HungUp;
        let overhead = is_known.then(|| self.first_byte.unwrap_or(took).saturating_sub(self.waited));
        self.serving.audience.ended(&Ended {
            id: self.ask.id.to_str().unwrap_or_default(),
            call: self.ask.call.name(),
            client: self.ask.client.client_key(&self.serving).map(|key| &*key.name),
            client_number: self.ask.client.key,
            asked: &self.ask.model,
            upstream: self.upstream.map(|upstream| &*self.serving.ways[upstream].name),
            upstream_number: self.upstream,
            outcome: self.outcome,
            status: self.status,
            n_attempts: self.n_attempts,
            took,
            overhead,
            first_byte: self.first_byte,
            attempt_took: self.sent.map(|sent| self.failed_at.unwrap_or_else(Instant::now) - sent),
            queued: self.queued.unwrap_or_default(),
            was_in_line: self.queued.is_some(),
            usage: self.usage,
            bytes_in: self.ask.n_bytes,
            bytes_out: self.bytes_out,
            is_stream: self.is_stream,
            trouble: self.trouble.as_deref(),
        });
    }
}

/// Tells of a request that was turned away before it was read.
pub(super) fn turned_away(
    problem: &Problem,
    call: &'static str,
    (id, began): (&HeaderValue, Instant),
    serving: &Serving,
) {
    let took = began.elapsed();
    serving.audience.began();
    serving.audience.ended(&Ended {
        id: id.to_str().unwrap_or_default(),
        call,
        client: None,
        client_number: None,
        asked: "",
        upstream: None,
        upstream_number: None,
        outcome: Outcome::Refused,
        status: problem.status.as_u16(),
        n_attempts: 0,
        took,
        // Most of it was waiting for the client.
        overhead: None,
        first_byte: None,
        attempt_took: None,
        queued: Duration::ZERO,
        was_in_line: false,
        usage: None,
        bytes_in: 0,
        bytes_out: 0,
        is_stream: false,
        trouble: Some(problem.code),
    });
}

/// Returns the word for a kind of failure in logs.
pub(super) fn word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Throttled => "throttled",
        FailureKind::Unavailable => "unavailable",
        FailureKind::Timeout => "timeout",
        FailureKind::Unauthorized => "unauthorized",
        FailureKind::ExhaustedCredit => "exhausted_credit",
        FailureKind::Rejected => "rejected",
        FailureKind::InvalidOutput => "invalid_output",
        FailureKind::Refused => "refused",
        _ => "internal",
    }
}
