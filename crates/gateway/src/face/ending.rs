//! The end of a face: who is still answered, and what those are told whose answers do not end in time.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use http::StatusCode;
use tokio::sync::watch;

use super::problem::Problem;

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// No new requests; those that are open end in peace.
    Drain,
    /// Now.
    Now,
}

/// How far the end is, for whoever answers: it is looked at for each piece, so it is no lock.
#[derive(Debug, Default)]
pub(super) struct Ending {
    is_near: AtomicBool,
    is_here: AtomicBool,
}

impl Ending {
    /// Returns whether no further request is wanted.
    pub(super) fn is_near(&self) -> bool {
        self.is_near.load(Ordering::Relaxed)
    }

    /// Returns whether whoever is still answered shall be told that this is all.
    pub(super) fn is_here(&self) -> bool {
        self.is_here.load(Ordering::Relaxed)
    }

    /// Does `work`, unless the end is here first. Who has it must see to it that it is polled then. (It is pinned where
    /// it is made: moved here it would stand in memory twice.)
    pub(super) async fn outlasts<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.is_here() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// Tells everybody how far the end is.
#[derive(Clone, Debug)]
pub(super) struct Stopping {
    pub(super) ending: Arc<Ending>,
    stop: watch::Sender<Stop>,
}

impl Stopping {
    pub(super) fn new() -> (Self, watch::Receiver<Stop>) {
        let (stop, stopped) = watch::channel(Stop::No);
        (Self { ending: Arc::default(), stop }, stopped)
    }

    pub(super) fn drain(&self) {
        self.ending.is_near.store(true, Ordering::Relaxed);
        self.stop.send_if_modified(|stop| {
            let is_first = *stop == Stop::No;
            if is_first {
                *stop = Stop::Drain;
            }
            is_first
        });
    }

    pub(super) fn now(&self) {
        self.ending.is_near.store(true, Ordering::Relaxed);
        self.ending.is_here.store(true, Ordering::Relaxed);
        self.stop.send_replace(Stop::Now);
    }
}

/// What is spawned for an HTTP/2 connection is polled once more at the end, so that it can say its last word.
#[derive(Clone)]
pub(super) struct Tasks(pub(super) watch::Receiver<Stop>);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut stopped = self.0.clone();
        tokio::spawn(async move {
            let mut task = pin!(task);
            tokio::select! {
                biased;
                _ = &mut task => return,
                _ = stopped.wait_for(|stop| *stop == Stop::Now) => {}
            }
            task.await;
        });
    }
}

/// What a client is told whose answer did not end in time.
pub(super) fn problem() -> Problem {
    let message = "the gateway was stopped before the answer was complete; ask again when it is back";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "gateway_stopping", message).after(Some(Duration::from_secs(1)))
}
