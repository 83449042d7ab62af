//! Sending a request to one upstream.

use std::{sync::Arc, time::Duration};

use domain::{BoxFuture, Clock, ports::Ask};
use provider::{Failed, OpenAi, Question, Replied, transport::Transport};
use tokio::time::Instant;

use crate::Upstream;

/// What carries a request to an upstream: the wire, or a fake in tests.
pub trait Forward: Send + Sync {
    /// Asks the upstream of that number, as [`crate::Resolved::upstreams`] counts them, and ends with the whole answer, or
    /// with a failure no later than the deadline.
    fn forward<'a>(&'a self, upstream: usize, question: Question<'a>) -> BoxFuture<'a, Result<Replied, Failed>>;
}

/// The wire.
pub(crate) struct Wire {
    ways: Vec<Way>,
    transport: Arc<Transport>,
    clock: Arc<dyn Clock>,
}

struct Way {
    model: OpenAi,
    /// How long a whole answer may take.
    timeout: Option<Duration>,
    /// How long the first byte of an answer may take.
    first_byte_timeout: Option<Duration>,
}

impl Wire {
    pub(crate) fn new(upstreams: &[Upstream], transport: Arc<Transport>, clock: Arc<dyn Clock>) -> Self {
        let way = |upstream: &Upstream| Way {
            model: upstream.model.clone(),
            timeout: upstream.timeout,
            first_byte_timeout: upstream.first_byte_timeout,
        };
        Self { ways: upstreams.iter().map(way).collect(), transport, clock }
    }
}

impl Forward for Wire {
    fn forward<'a>(&'a self, upstream: usize, mut question: Question<'a>) -> BoxFuture<'a, Result<Replied, Failed>> {
        let Way { model, timeout, first_byte_timeout } = &self.ways[upstream];
        // An answer that comes whole has its first byte when all of it is there.
        let first_byte = first_byte_timeout.filter(|_| question.ask != Ask::ChatStream);
        if let Some(limit) = timeout.iter().copied().chain(first_byte).min() {
            // Another upstream may have what is left until the deadline.
            question.deadline = question.deadline.min((Instant::now() + limit).into_std());
        }
        Box::pin(model.ask(&self.transport, question, &*self.clock))
    }
}
