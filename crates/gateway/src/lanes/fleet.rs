//! What outlives a configuration.
//!
//! The state of an upstream belongs to the upstream and not to the file that named it. So it lies in a slot, and each
//! configuration knows the slots of its upstreams. Another configuration that names the same upstream takes the same slot:
//! requests of both are counted together, and what was found out stays found out. A slot is free when no configuration
//! needs it any more, which is when the last request that began with it has ended.

use std::{
    ops::{Index, IndexMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak},
};

use provider::OpenAi;
use tokio::{sync::Notify, time::Instant};

use super::Lane;
use crate::{jitter::Jitter, queue::Queue, resolve::Upstream};

/// What the configurations of one gateway share.
#[derive(Debug)]
pub(super) struct Shared {
    fleet: Mutex<Fleet>,
    pub(super) freed: Notify,
    /// The waiting lines, the oldest first: one for each configuration that is not over.
    queues: RwLock<Vec<Weak<Queue>>>,
}

/// The state of all upstreams.
#[derive(Debug)]
pub(super) struct Fleet {
    slots: Vec<Slot>,
    jitter: Jitter,
}

#[derive(Debug)]
struct Slot {
    lane: Lane,
    /// Whose state it is, besides the name.
    account: OpenAi,
    /// How many configurations know it.
    n_users: usize,
}

/// The state of the upstreams of one configuration, by its own numbers.
pub(super) struct View<'a> {
    slots: &'a mut [Slot],
    places: &'a [usize],
}

impl Shared {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let fleet = Fleet { slots: Vec::new(), jitter: Jitter::new(seed) };
        Arc::new(Self { fleet: Mutex::new(fleet), freed: Notify::new(), queues: RwLock::default() })
    }

    pub(super) fn fleet(&self) -> MutexGuard<'_, Fleet> {
        // Every change leaves the state whole before anything can panic.
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on whoever frees a place tells `queue` as well.
    pub(super) fn hand_places_to(&self, queue: Weak<Queue>) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(queue);
    }

    /// Tells all who wait that a place was freed: in this slot, or perhaps anywhere.
    pub(super) fn hand_on(&self, slot: Option<usize>) {
        for queue in &*self.queues.read().unwrap_or_else(PoisonError::into_inner) {
            if let Some(queue) = queue.upgrade() {
                queue.freed(slot);
            }
        }
        // All who wait look again, since what they wait for may differ; and one that was refused but does not wait yet
        // finds the word when it begins to.
        self.freed.notify_waiters();
        self.freed.notify_one();
    }
}

impl Fleet {
    /// Returns the slot of an upstream: the one that it has, under the limits that it has from now on, or a new one.
    pub(super) fn enter(&mut self, upstream: &Upstream, now: Instant) -> usize {
        let is_same = |slot: &Slot| {
            slot.n_users > 0 && slot.lane.name == upstream.name && slot.account.is_same_as(&upstream.model)
        };
        if let Some(place) = self.slots.iter().position(is_same) {
            let slot = &mut self.slots[place];
            slot.lane.change(upstream, now);
            slot.n_users += 1;
            return place;
        }
        let slot = Slot { lane: Lane::new(upstream, now), account: upstream.model.clone(), n_users: 1 };
        if let Some(place) = self.slots.iter().position(|slot| slot.n_users == 0) {
            self.slots[place] = slot;
            return place;
        }
        self.slots.push(slot);
        self.slots.len() - 1
    }

    /// One configuration less knows these slots.
    pub(super) fn leave(&mut self, places: &[usize]) {
        for place in places {
            self.slots[*place].n_users -= 1;
        }
    }

    /// Returns the upstreams in these slots, by their place in the list, and what spreads waits.
    pub(super) fn seen_by<'a>(&'a mut self, places: &'a [usize]) -> (View<'a>, &'a mut Jitter) {
        (View { slots: &mut self.slots, places }, &mut self.jitter)
    }
}

impl Index<usize> for View<'_> {
    type Output = Lane;

    fn index(&self, upstream: usize) -> &Lane {
        &self.slots[self.places[upstream]].lane
    }
}

impl IndexMut<usize> for View<'_> {
    fn index_mut(&mut self, upstream: usize) -> &mut Lane {
        &mut self.slots[self.places[upstream]].lane
    }
}

#[cfg(test)]
mod tests;
