//! One line: those who wait for the same upstreams, by class, by the turns of their keys, and by who came first.
//!
//! Everything is found by its order, so that nothing takes longer the more there are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::{Waiting, ports::Class};
use tokio::time::Instant;

use super::waiter::{Seniority, Waiter};
use crate::lanes::Sought;

/// How many classes there are.
pub(super) const CLASSES: usize = 3;

/// Why a line cannot go on, and when it perhaps can.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    pub(super) at: Option<Instant>,
    pub(super) reason: Waiting,
    /// The number of the one for whom there was no place.
    pub(super) by: u64,
}

/// Those who wait for the same.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) sought: Sought,
    /// Whether it is to be looked at.
    pub(super) is_open: bool,
    /// As it was when it was looked at last.
    pub(super) blocked: Option<Blocked>,
    classes: [Turns; CLASSES],
    by_deadline: BTreeMap<(Instant, u64), Arc<Waiter>>,
}

/// Those of one class, by the turns of their keys. Who was failed by an upstream has one of his own.
#[derive(Debug, Default)]
struct Turns {
    keys: BTreeMap<Seniority, BTreeMap<Seniority, Arc<Waiter>>>,
    n: usize,
}

/// Whose turn it is among the keys of one route and class, in whatever line they stand.
#[derive(Debug, Default)]
pub(super) struct KeyTurns {
    /// The turn of each key, which is when it came or had its last one, and how many wait for it.
    keys: HashMap<u64, (Seniority, usize)>,
}

impl KeyTurns {
    /// Somebody gets into line; `next` is the turn of a key that comes now.
    pub(super) fn join(&mut self, waiter: &Waiter, next: Seniority) {
        if !waiter.is_again() {
            self.keys.entry(waiter.key).or_insert((next, 0)).1 += 1;
        }
    }

    /// Somebody is no longer in line.
    pub(super) fn leave(&mut self, waiter: &Waiter) {
        if let Some((_, n)) = self.keys.get_mut(&waiter.key).filter(|_| !waiter.is_again()) {
            *n -= 1;
            if *n == 0 {
                self.keys.remove(&waiter.key);
            }
        }
    }

    /// Puts a key that got a place behind the others; returns its turn before and from now on.
    pub(super) fn passed(&mut self, waiter: &Waiter, next: Seniority) -> Option<(Seniority, Seniority)> {
        let (turn, _) = self.keys.get_mut(&waiter.key).filter(|_| !waiter.is_again())?;
        Some((std::mem::replace(turn, next), next))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn of(&self, waiter: &Waiter) -> Seniority {
        // The keys of those who come again had their turn for them: they go before the keys that came since they did, or have
        // had another turn since, and behind those that waited then already.
        let turn = self.keys.get(&waiter.key).filter(|_| !waiter.is_again());
        turn.map_or(waiter.seniority, |(turn, _)| *turn)
    }
}

impl Line {
    pub(super) fn new(sought: Sought) -> Self {
        Self { sought, is_open: false, blocked: None, classes: Default::default(), by_deadline: BTreeMap::new() }
    }

    pub(super) fn n(&self) -> usize {
        self.by_deadline.len()
    }

    /// Returns whether it was blocked until now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.blocked.as_ref().is_some_and(|blocked| blocked.at.is_some_and(|at| at <= now))
    }

    pub(super) fn push(&mut self, waiter: &Arc<Waiter>, turns: &KeyTurns) {
        let Turns { keys, n } = &mut self.classes[waiter.class as usize];
        keys.entry(turns.of(waiter)).or_default().insert(waiter.seniority, Arc::clone(waiter));
        *n += 1;
        self.by_deadline.insert((waiter.deadline, waiter.number()), Arc::clone(waiter));
    }

    /// Takes somebody out, before his key is told that he is.
    pub(super) fn remove(&mut self, waiter: &Waiter, turns: &KeyTurns) {
        let Turns { keys, n } = &mut self.classes[waiter.class as usize];
        let turn = turns.of(waiter);
        if let Some(waiters) = keys.get_mut(&turn) {
            *n -= usize::from(waiters.remove(&waiter.seniority).is_some());
            if waiters.is_empty() {
                keys.remove(&turn);
            }
        }
        self.by_deadline.remove(&(waiter.deadline, waiter.number()));
    }

    /// A key has another turn.
    pub(super) fn turn(&mut self, class: Class, (before, now): (Seniority, Seniority)) {
        let keys = &mut self.classes[class as usize].keys;
        if let Some(waiters) = keys.remove(&before) {
            keys.insert(now, waiters);
        }
    }

    /// Returns who is the first of a class, with the turn of his key.
    pub(super) fn first(&self, class: usize) -> Option<(Seniority, &Arc<Waiter>)> {
        let (turn, waiters) = self.classes[class].keys.first_key_value()?;
        Some((*turn, waiters.first_key_value()?.1))
    }

    /// Returns those whose time is over before then.
    pub(super) fn hopeless(&self, before: Instant) -> Vec<Arc<Waiter>> {
        self.by_deadline.range(..(before, 0)).map(|(_, waiter)| Arc::clone(waiter)).collect()
    }

    /// Returns the one who can wait longest.
    pub(super) fn last(&self) -> Option<&Arc<Waiter>> {
        self.by_deadline.last_key_value().map(|(_, waiter)| waiter)
    }

    /// Returns how many of this line get a place before somebody in it who came last of his key, at least.
    pub(super) fn n_before(&self, waiter: &Waiter, turns: &KeyTurns) -> usize {
        let class = waiter.class as usize;
        let higher: usize = self.classes[..class].iter().map(|turns| turns.n).sum();
        if waiter.is_again() {
            return higher;
        }
        let Turns { keys, n } = &self.classes[class];
        let own = keys.get(&turns.of(waiter)).map_or(1, BTreeMap::len);
        // The others have as many turns before his as there are of his key, where that many wait.
        let others = (n - own).min(own * (keys.len() - 1));
        higher + own - 1 + others
    }
}
