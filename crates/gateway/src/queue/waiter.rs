//! Somebody who waits.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use domain::ports::Class;
use tokio::{sync::Notify, time::Instant};

use super::{Asking, Refused};
use crate::{lanes::Place, need::Need};

/// Who came first: when, and for those who came together a number that no two have.
pub(super) type Seniority = (Instant, u64);

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) route: usize,
    pub(super) class: Class,
    pub(super) key: u64,
    pub(super) need: Need,
    /// The upstreams that failed him.
    pub(super) tried: Box<[usize]>,
    pub(super) deadline: Instant,
    /// The number of the line in which he stands.
    pub(super) line: u64,
    pub(super) seniority: Seniority,
    /// Told when there is an end, or a time to keep.
    pub(super) told: Notify,
    is_standing: AtomicBool,
    end: Mutex<Option<Result<Place, Refused>>>,
}

impl Waiter {
    pub(super) fn new(asking: &Asking<'_>, route: usize, deadline: Instant, (line, number): (u64, u64)) -> Self {
        let Asking { class, key, need, tried, since, .. } = *asking;
        Self {
            route,
            class,
            key,
            need,
            tried: tried.into(),
            deadline,
            line,
            seniority: (since, number),
            told: Notify::new(),
            is_standing: AtomicBool::new(true),
            end: Mutex::new(None),
        }
    }

    /// Returns his number, which no other has.
    pub(super) fn number(&self) -> u64 {
        self.seniority.1
    }

    /// Returns whether he had his turn already, and an upstream failed him.
    pub(super) fn is_again(&self) -> bool {
        !self.tried.is_empty()
    }

    /// Returns whether he stands in line; it changes under the lock of the lines alone.
    pub(super) fn is_standing(&self) -> bool {
        self.is_standing.load(Ordering::Relaxed)
    }

    pub(super) fn stands_no_more(&self) {
        self.is_standing.store(false, Ordering::Relaxed);
    }

    fn end(&self) -> MutexGuard<'_, Option<Result<Place, Refused>>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end_with(&self, end: Result<Place, Refused>) {
        *self.end() = Some(end);
        self.told.notify_one();
    }

    pub(super) fn take_end(&self) -> Option<Result<Place, Refused>> {
        self.end().take()
    }
}
