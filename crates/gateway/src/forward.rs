//! Sending a request to one upstream.

use std::sync::Arc;

use domain::{BoxFuture, Clock};
use provider::{Failed, OpenAi, Question, Replied, transport::Transport};

/// What carries a request to an upstream: the wire, or a fake in tests.
pub trait Forward: Send + Sync {
    /// Asks the upstream of that number, as [`crate::Resolved::upstreams`] counts them, and ends with the whole answer, or
    /// with a failure no later than the deadline.
    fn forward<'a>(&'a self, upstream: usize, question: Question<'a>) -> BoxFuture<'a, Result<Replied, Failed>>;
}

/// The wire.
pub(crate) struct Wire {
    pub(crate) models: Vec<OpenAi>,
    pub(crate) transport: Arc<Transport>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Forward for Wire {
    fn forward<'a>(&'a self, upstream: usize, question: Question<'a>) -> BoxFuture<'a, Result<Replied, Failed>> {
        Box::pin(self.models[upstream].ask(&self.transport, question, &*self.clock))
    }
}
