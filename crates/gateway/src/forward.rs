//! Sending a request to one upstream.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use domain::{BoxFuture, Clock};
use provider::{Chat, Failed, Replied, transport::Transport};

/// What carries a request to an upstream: the wire, or a fake in tests.
pub trait Forward: Send + Sync {
    /// Sends `body` to the upstream of that number, as [`crate::Resolved::upstreams`] counts them, and ends with the
    /// whole answer, or with a failure no later than the deadline.
    fn forward<'a>(
        &'a self,
        upstream: usize,
        body: &'a Bytes,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Replied, Failed>>;
}

/// The wire.
pub(crate) struct Wire {
    pub(crate) chats: Vec<Chat>,
    pub(crate) transport: Arc<Transport>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Forward for Wire {
    fn forward<'a>(
        &'a self,
        upstream: usize,
        body: &'a Bytes,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Replied, Failed>> {
        Box::pin(self.chats[upstream].ask(&self.transport, body, deadline, &*self.clock))
    }
}
