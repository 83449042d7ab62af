//! Who stands where: the lines of all routes, and whose turn it is.
//!
//! Between classes it is strict, but for every twentieth place, which goes to a lower one, so that nobody starves. Within
//! a class the keys take turns, and within a key it is who came first.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use domain::{Waiting, ports::Class};
use tokio::{sync::Notify, time::Instant};

use super::Refused;
use crate::{lanes::Place, need::Need};

/// From so many places on that went to the highest class that waits, the next one goes to a lower one.
const FLOOR: u32 = 19;
/// How many classes there are.
const CLASSES: usize = 3;

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) route: usize,
    pub(super) class: Class,
    pub(super) key: u64,
    pub(super) need: Need,
    pub(super) deadline: Instant,
    /// Told when there is an end, or a time to keep.
    pub(super) told: Notify,
    is_standing: AtomicBool,
    end: Mutex<Option<Result<Place, Refused>>>,
}

impl Waiter {
    pub(super) fn new(route: usize, class: Class, key: u64, need: Need, deadline: Instant) -> Arc<Self> {
        let (told, is_standing, end) = (Notify::new(), AtomicBool::new(false), Mutex::new(None));
        Arc::new(Self { route, class, key, need, deadline, told, is_standing, end })
    }

    /// Returns whether he stands in line; it changes under the lock of the lines alone.
    pub(super) fn is_standing(&self) -> bool {
        self.is_standing.load(Ordering::Relaxed)
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

/// Why the first of a route's line cannot go, and when it perhaps can.
pub(super) type Blocked = (Option<Instant>, Waiting);

/// The line of one route.
#[derive(Debug, Default)]
struct RouteLine {
    classes: [Keys; CLASSES],
    n: usize,
    blocked: Option<Blocked>,
}

/// The line of one class: the keys in the order of their turns, each with those that wait for it.
#[derive(Debug, Default)]
struct Keys {
    turns: VecDeque<(u64, VecDeque<Arc<Waiter>>)>,
    n: usize,
}

/// All lines.
#[derive(Debug)]
pub(super) struct Lines {
    routes: Vec<RouteLine>,
    /// Routes with somebody in line, in the order of their turns.
    active: VecDeque<usize>,
    n: usize,
    /// Places in a row that went to the highest class that waited while a lower one did.
    n_high: u32,
    /// Whether it is the lowest class that goes first among the lower ones.
    lowest_first: bool,
}

impl Lines {
    pub(super) fn new(n_routes: usize) -> Self {
        let routes = (0..n_routes).map(|_| RouteLine::default()).collect();
        Self { routes, active: VecDeque::new(), n: 0, n_high: 0, lowest_first: false }
    }

    pub(super) fn n(&self) -> usize {
        self.n
    }

    /// Returns how many stand in line for a route before somebody of this class who comes now.
    pub(super) fn n_before(&self, route: usize, class: Class) -> usize {
        self.routes[route].classes[..=class as usize].iter().map(|keys| keys.n).sum()
    }

    pub(super) fn has_line(&self, route: usize) -> bool {
        self.routes[route].n > 0
    }

    pub(super) fn blocked(&self, route: usize) -> Option<&Blocked> {
        self.routes[route].blocked.as_ref()
    }

    pub(super) fn block(&mut self, route: usize, blocked: Option<Blocked>) {
        self.routes[route].blocked = blocked;
    }

    pub(super) fn push(&mut self, waiter: &Arc<Waiter>) {
        let line = &mut self.routes[waiter.route];
        if line.n == 0 {
            self.active.push_back(waiter.route);
        }
        let keys = &mut line.classes[waiter.class as usize];
        match keys.turns.iter_mut().find(|(key, _)| *key == waiter.key) {
            Some((_, waiters)) => waiters.push_back(Arc::clone(waiter)),
            None => keys.turns.push_back((waiter.key, VecDeque::from([Arc::clone(waiter)]))),
        }
        waiter.is_standing.store(true, Ordering::Relaxed);
        (keys.n, line.n, self.n) = (keys.n + 1, line.n + 1, self.n + 1);
    }

    /// Takes somebody out of the line; returns whether he stood there.
    pub(super) fn remove(&mut self, waiter: &Arc<Waiter>) -> bool {
        if !waiter.is_standing() {
            return false;
        }
        let keys = &mut self.routes[waiter.route].classes[waiter.class as usize];
        let Some(turn) = keys.turns.iter().position(|(key, _)| *key == waiter.key) else { return false };
        let waiters = &mut keys.turns[turn].1;
        let Some(at) = waiters.iter().position(|other| Arc::ptr_eq(other, waiter)) else { return false };
        waiters.remove(at);
        if waiters.is_empty() {
            keys.turns.remove(turn);
        }
        self.one_less(waiter);
        true
    }

    fn one_less(&mut self, waiter: &Waiter) {
        waiter.is_standing.store(false, Ordering::Relaxed);
        let line = &mut self.routes[waiter.route];
        line.classes[waiter.class as usize].n -= 1;
        line.n -= 1;
        self.n -= 1;
        if line.n == 0 {
            line.blocked = None;
            self.active.retain(|route| *route != waiter.route);
        }
    }

    /// Returns who would get the next place among the routes that are not blocked.
    pub(super) fn next(&self) -> Option<Arc<Waiter>> {
        let open = || self.active.iter().map(|route| &self.routes[*route]).filter(|line| line.blocked.is_none());
        let class_order = match (self.highest(), self.n_high >= FLOOR, self.lowest_first) {
            // Lower than the highest of all that wait, even of those that are blocked: those are no reason to starve.
            (0, true, false) => [1, 2, 0],
            (0, true, true) => [2, 1, 0],
            (1, true, _) => [2, 1, 0],
            _ => [0, 1, 2],
        };
        class_order.into_iter().find_map(|class| {
            open().find_map(|line| line.classes[class].turns.front().and_then(|(_, waiters)| waiters.front()).cloned())
        })
    }

    /// The highest class that waits anywhere.
    fn highest(&self) -> usize {
        let waits = |class: &usize| self.active.iter().any(|route| self.routes[*route].classes[*class].n > 0);
        (0..CLASSES).find(waits).unwrap_or(0)
    }

    /// Takes the one that [`Lines::next`] returned out of the line: he has a place.
    pub(super) fn served(&mut self, waiter: &Arc<Waiter>) {
        let highest = self.highest();
        let is_lower = waiter.class as usize > highest;
        let lower_waits = self.active.iter().any(|route| {
            let classes = &self.routes[*route].classes;
            classes[highest + 1..].iter().any(|keys| keys.n > 0)
        });
        match (is_lower, lower_waits) {
            (true, _) => (self.n_high, self.lowest_first) = (0, waiter.class != Class::Batch),
            (false, true) => self.n_high = self.n_high.saturating_add(1),
            (false, false) => self.n_high = 0,
        }
        let keys = &mut self.routes[waiter.route].classes[waiter.class as usize];
        if let Some((key, mut waiters)) = keys.turns.pop_front() {
            waiters.pop_front();
            if !waiters.is_empty() {
                keys.turns.push_back((key, waiters));
            }
        }
        self.one_less(waiter);
        // The other routes' turn.
        if let Some(at) = self.active.iter().position(|route| *route == waiter.route) {
            self.active.remove(at);
            self.active.push_back(waiter.route);
        }
    }

    /// Forgets what was blocked, before all are looked at again.
    pub(super) fn open_all(&mut self) {
        for route in &self.active {
            self.routes[*route].blocked = None;
        }
    }

    /// Takes those of a route out of the line who wait for no longer than that.
    pub(super) fn take_hopeless(&mut self, route: usize, before: Option<Instant>) -> Vec<Arc<Waiter>> {
        let is_hopeless = |waiter: &&Arc<Waiter>| before.is_none_or(|at| waiter.deadline < at);
        let classes = self.routes[route].classes.iter();
        let all = classes.flat_map(|keys| &keys.turns).flat_map(|(_, waiters)| waiters);
        let hopeless: Vec<Arc<Waiter>> = all.filter(is_hopeless).cloned().collect();
        for waiter in &hopeless {
            self.remove(waiter);
        }
        hopeless
    }

    /// Returns the earliest time that a line waits for.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.active.iter().filter_map(|route| self.routes[*route].blocked.as_ref()?.0).min()
    }

    /// Returns somebody who waits.
    pub(super) fn anybody(&self) -> Option<&Arc<Waiter>> {
        let line = &self.routes[*self.active.front()?];
        line.classes.iter().find_map(|keys| keys.turns.front()?.1.front())
    }
}
