//! Items that wait for a time.

use std::cmp::Reverse;

use crate::feed::Item;

/// An item that waits for a time; the earliest first, and of one time the one that came first.
pub(super) struct Queued<T> {
    pub(super) due: Reverse<T>,
    pub(super) number: Reverse<u64>,
    pub(super) item: Box<Item>,
}

impl<T: Ord> PartialEq for Queued<T> {
    fn eq(&self, other: &Self) -> bool {
        (&self.due, &self.number) == (&other.due, &other.number)
    }
}

impl<T: Ord> Eq for Queued<T> {}

impl<T: Ord> PartialOrd for Queued<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for Queued<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.due, &self.number).cmp(&(&other.due, &other.number))
    }
}
