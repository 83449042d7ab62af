//! The model side, as work and engine see it.

use std::{any::Any, fmt, sync::Arc, time::Duration, time::Instant};

use bytes::Bytes;

use crate::{BoxFuture, Failure, Usage, Waiting};

/// Who goes first when places are short: strict between classes, fair within one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A person waits for the answer.
    Interactive,
    /// The usual.
    #[default]
    Normal,
    /// Whenever there is room.
    Batch,
}

/// The right to start one attempt. Dropping it frees the place.
pub struct Permit(Box<dyn Any + Send + Sync>);

impl Permit {
    /// Wraps whatever the issuer needs to find its place again.
    pub fn new(place: impl Any + Send + Sync) -> Self {
        Self(Box::new(place))
    }

    /// Returns what the issuer put in.
    #[must_use]
    pub fn place<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// Why an attempt cannot start now.
#[derive(Clone, Debug)]
pub struct NotBefore {
    /// When to ask again at the latest; `None` when that is told by an event (a freed place) alone, which may also come
    /// before that time.
    pub at: Option<Instant>,
    /// The reason, for people.
    pub reason: Waiting,
}

/// The answer to a reservation.
#[derive(Debug)]
pub enum Reserve {
    /// Start.
    Permit(Permit),
    /// Wait.
    NotBefore(NotBefore),
    /// Never: the key is dead, the credit is gone, the outage is beyond its limit. The run stops, resumable.
    Closed(Failure),
}

/// What a reservation asks for.
#[derive(Clone, Debug)]
pub struct Reservation<'a> {
    /// The requested name.
    pub route: &'a str,
    /// An estimate of the request's tokens. What answers use besides is learned where it matters.
    pub tokens: u32,
    /// Who asks.
    pub class: Class,
    /// When the attempt must be over.
    pub deadline: Instant,
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ask {
    /// A chat completion.
    #[default]
    Chat,
    /// A chat completion that comes in pieces, so that a long answer is not cut by a proxy that hears nothing. The pieces
    /// are put together: the answer's body is that of a completion that came whole.
    ChatStream,
    /// Embeddings.
    Embeddings,
}

/// A request on its way to a model.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// What is asked.
    pub ask: Ask,
    /// The requested name.
    pub route: Arc<str>,
    /// The OpenAI-shaped body. Its `model` is the route; the upstream's own name is put in on the way out.
    pub body: Bytes,
    /// When the answer must be here.
    pub deadline: Instant,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct ModelAnswer {
    /// The OpenAI-shaped body.
    pub body: Bytes,
    /// The name of the upstream that answered.
    pub upstream: Arc<str>,
    /// From send to the whole answer.
    pub latency: Duration,
    /// The upstream's id of the request, from its headers.
    pub request_id: Option<String>,
    /// Tokens, where the transport learned them from headers or a stream; else they stand in the body.
    pub usage: Option<Usage>,
}

/// A gateway in process, a remote one, or a fake.
pub trait ModelClient: Send + Sync {
    /// Asks for the right to send a request now.
    fn reserve(&self, ask: &Reservation<'_>) -> Reserve;

    /// Ends when a reservation that was refused may succeed, because a request ended.
    fn width_freed(&self) -> BoxFuture<'_, ()>;

    /// Sends the request with the permit that was reserved for it, and frees the place when the answer has arrived.
    /// It fails over between upstreams within the attempt, and never retries over time.
    fn complete(&self, request: ModelRequest, permit: Permit) -> BoxFuture<'_, Result<ModelAnswer, (Failure, Bytes)>>;
}
