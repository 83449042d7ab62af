//! Connections that wait for their next request.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, timeout};

pub(super) type Sender = SendRequest<Full<Bytes>>;

/// How long a connection may wait. Common servers and load balancers let go after 60 seconds or more, some of them
/// without a word, and a request into such a connection hangs.
const IDLE_LIMIT: Duration = Duration::from_secs(50);

/// The idle connections to one origin: last in, first out, so that those which are not needed age and go.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<VecDeque<Idle>>);

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

impl Pool {
    /// Returns a connection on which nothing has been noticed so far.
    pub(super) fn take(&self) -> Option<Sender> {
        let mut idle = self.idle();
        let now = Instant::now();
        while let Some(Idle { sender, since }) = idle.pop_back() {
            if now - since > IDLE_LIMIT {
                // All below it have waited longer.
                idle.clear();
                return None;
            }
            // Only ready connections were put in: one that is not ready any more is closing.
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(super) fn put(self: Arc<Self>, mut sender: Sender) {
        if sender.is_ready() {
            self.keep(sender);
        } else if !sender.is_closed() {
            // Its task has not come round to the next message yet, or still writes to a vendor that answered early.
            tokio::spawn(async move {
                if let Ok(Ok(())) = timeout(IDLE_LIMIT, sender.ready()).await {
                    self.keep(sender);
                }
            });
        }
    }

    fn keep(&self, sender: Sender) {
        let now = Instant::now();
        let mut idle = self.idle();
        while idle.front().is_some_and(|oldest| now - oldest.since > IDLE_LIMIT || oldest.sender.is_closed()) {
            idle.pop_front();
        }
        idle.push_back(Idle { sender, since: now });
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<Idle>> {
        // A stack of connections is whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
