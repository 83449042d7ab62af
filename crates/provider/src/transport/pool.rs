//! Connections that wait for their next request.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::http1::Connection;

/// How long a connection may wait. Common servers and load balancers let go after 60 seconds or more, some of them
/// without a word, and a request into such a connection hangs.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(50);

/// The idle connections to one origin: last in, first out, so that those which are not needed age and go.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<VecDeque<Idle>>);

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// Returns a connection on which nothing has been noticed so far.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.idle();
        let now = Instant::now();
        while let Some(Idle { mut connection, since }) = idle.pop_back() {
            if now - since > IDLE_LIMIT {
                // All below it have waited longer.
                idle.clear();
                return None;
            }
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(super) fn put(&self, connection: Connection) {
        let now = Instant::now();
        let mut idle = self.idle();
        while idle.front().is_some_and(|oldest| now - oldest.since > IDLE_LIMIT) {
            idle.pop_front();
        }
        idle.push_back(Idle { connection, since: now });
    }

    /// Lets go of connections that have waited too long or were closed meanwhile; returns whether none is left.
    pub(super) fn tidy(&self) -> bool {
        let now = Instant::now();
        let mut idle = self.idle();
        idle.retain_mut(|idle| now - idle.since <= IDLE_LIMIT && idle.connection.is_quiet());
        idle.is_empty()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<Idle>> {
        // A stack of connections is whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
