//! The end of a request, told once, however it ends.

use std::{sync::Arc, time::Duration};

use domain::Usage;
use tokio::time::Instant;

use super::{ask::Ask, live::Serving};

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
    /// The name that was asked for, as the client wrote it.
    pub asked: &'a str,
    /// The upstream that answered, or was the last to be asked.
    pub upstream: Option<&'a str>,
    /// How it ended.
    pub outcome: Outcome,
    /// The status that the client got.
    pub status: u16,
    /// How many upstreams were asked.
    pub n_attempts: u32,
    /// From the first byte of the request to the end.
    pub took: Duration,
    /// What of it was not waiting for upstreams or in line.
    pub overhead: Duration,
    /// From the first byte of the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// How long it waited in line.
    pub queued: Duration,
    /// What the answer cost, where that was said.
    pub usage: Option<Usage>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// Whether the answer came in pieces.
    pub is_stream: bool,
    /// Why there is no answer, for the log.
    pub trouble: Option<&'a str>,
}

/// Who is told how requests end. It must not wait.
pub trait Audience: Send + Sync {
    /// A request has begun.
    fn began(&self) {}

    /// A request has ended.
    fn ended(&self, ended: &Ended<'_>);
}

/// Nobody.
#[derive(Clone, Copy, Debug)]
pub struct NoAudience;

impl Audience for NoAudience {
    fn ended(&self, _: &Ended<'_>) {}
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
    pub(super) queued: Duration,
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
            queued: Duration::ZERO,
            first_byte: None,
            usage: None,
            bytes_out: 0,
            is_stream: false,
            trouble: None,
        }
    }

    /// Returns what of the time so far was ours.
    pub(super) fn overhead(&self) -> Duration {
        self.ask.began.elapsed().saturating_sub(self.waited)
    }

    pub(super) fn answering(&mut self) {
        self.first_byte.get_or_insert_with(|| Instant::now() - self.ask.began);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let took = self.ask.began.elapsed();
        self.serving.audience.ended(&Ended {
            id: self.ask.id.to_str().unwrap_or_default(),
            call: self.ask.call.name(),
            client: self.ask.client.client_key(&self.serving).map(|key| &*key.name),
            asked: &self.ask.model,
            upstream: self.upstream.map(|upstream| &*self.serving.ways[upstream].name),
            outcome: self.outcome,
            status: self.status,
            n_attempts: self.n_attempts,
            took,
            overhead: took.saturating_sub(self.waited),
            first_byte: self.first_byte,
            queued: self.queued,
            usage: self.usage,
            bytes_in: self.ask.body.len() as u64,
            bytes_out: self.bytes_out,
            is_stream: self.is_stream,
            trouble: self.trouble.as_deref(),
        });
    }
}
