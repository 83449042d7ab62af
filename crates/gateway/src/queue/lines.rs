//! All lines, and whose turn it is among them.
//!
//! Between classes it is strict, but for every twentieth place, which goes to a lower one, so that nobody starves. Within
//! a class the routes take turns, then the keys, and within a key it is who came first. A line is those who wait for the
//! same upstreams of a route, and each is blocked by itself: who waits for what is rare keeps nobody waiting who does not.
//! The turns are those of all lines together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::ports::Class;
use tokio::time::Instant;

use super::{
    Asking,
    line::{Blocked, CLASSES, KeyTurns, Line},
    waiter::Waiter,
};
use crate::lanes::Sought;

/// After so many places that went to higher classes, the next one goes to a lower one.
const FLOOR: u32 = 19;
/// So many lines may there be of those whom upstreams have failed. What they wait for differs by whom they asked before,
/// of which there may be as many ways as there are requests, and each line is looked at when a place is free.
const MOST_AGAIN: usize = 64;

/// All lines.
#[derive(Debug)]
pub(super) struct Lines {
    lines: BTreeMap<u64, Line>,
    numbers: HashMap<Sought, u64>,
    /// Those that are to be looked at.
    open: Vec<u64>,
    routes: Vec<RouteTurns>,
    /// How many wait of each class.
    n: [usize; CLASSES],
    n_lines_again: usize,
    /// What is given to lines, waiters and turns, each once.
    next: u64,
    /// How many places went to higher classes since each class had one, while it waited.
    passed_over: [u32; CLASSES],
    /// How many places were given since one went to a class for being passed over.
    since_floor: u32,
}

/// Whose turn it is within a route, and when it is that of the route.
#[derive(Debug, Default)]
struct RouteTurns {
    turn: u64,
    keys: [KeyTurns; CLASSES],
    n: [usize; CLASSES],
    /// The numbers of its lines.
    lines: Vec<u64>,
}

impl Lines {
    pub(super) fn new(n_routes: usize) -> Self {
        Self {
            lines: BTreeMap::new(),
            numbers: HashMap::new(),
            open: Vec::new(),
            routes: (0..n_routes).map(|_| RouteTurns::default()).collect(),
            n: [0; CLASSES],
            n_lines_again: 0,
            next: 0,
            passed_over: [0; CLASSES],
            since_floor: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn n(&self) -> usize {
        self.n.iter().sum()
    }

    /// Returns whether nothing of anybody is left.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let is_quiet = |route: &RouteTurns| route.lines.is_empty() && route.keys.iter().all(KeyTurns::is_empty);
        self.lines.is_empty() && self.numbers.is_empty() && self.open.is_empty() && self.routes.iter().all(is_quiet)
    }

    /// Returns how many stand in line for a route before somebody of this class who comes now.
    pub(super) fn n_before(&self, route: usize, class: Class) -> usize {
        self.routes[route].n[..=class as usize].iter().sum()
    }

    /// Returns how many get a place before somebody does who has just joined, at least.
    pub(super) fn n_sooner(&self, waiter: &Waiter) -> usize {
        let turns = &self.routes[waiter.route].keys[waiter.class as usize];
        self.lines.get(&waiter.line).map_or(0, |line| line.n_before(waiter, turns))
    }

    pub(super) fn has_line(&self, sought: &Sought) -> bool {
        self.numbers.contains_key(sought)
    }

    /// Returns whether there may be a line for this.
    pub(super) fn may_begin(&self, sought: &Sought) -> bool {
        !sought.is_again || self.n_lines_again < MOST_AGAIN || self.has_line(sought)
    }

    pub(super) fn blocked(&self, sought: &Sought) -> Option<&Blocked> {
        self.lines.get(self.numbers.get(sought)?)?.blocked.as_ref()
    }

    /// There was no place for that one: his line is not looked at until it is opened.
    pub(super) fn block(&mut self, waiter: &Waiter, blocked: Blocked) {
        if let Some(line) = self.lines.get_mut(&waiter.line) {
            (line.blocked, line.is_open) = (Some(blocked), false);
            self.open.retain(|open| *open != waiter.line);
        }
    }

    /// Gets somebody into line.
    pub(super) fn push(&mut self, asking: &Asking<'_>, sought: Sought, deadline: Instant) -> Arc<Waiter> {
        let (number, turn) = (self.number(), self.number());
        let now = Instant::now();
        let line = match self.numbers.get(&sought) {
            Some(line) => *line,
            None => {
                let line = self.number();
                self.n_lines_again += usize::from(sought.is_again);
                self.routes[sought.route].lines.push(line);
                self.numbers.insert(sought.clone(), line);
                self.lines.insert(line, Line::new(sought.clone()));
                line
            }
        };
        let (route, class) = (&mut self.routes[sought.route], asking.class as usize);
        if route.n == [0; CLASSES] {
            route.turn = turn;
        }
        let waiter = Arc::new(Waiter::new(asking, sought.route, deadline, (line, number)));
        route.keys[class].join(&waiter, (now, turn));
        if let Some(line) = self.lines.get_mut(&line) {
            line.push(&waiter, &route.keys[class]);
        }
        route.n[class] += 1;
        self.n[class] += 1;
        waiter
    }

    /// Takes somebody out of the line; returns whether he stood there. Where it was he for whom there was no place, there
    /// may be one for those behind him, and his line is open.
    pub(super) fn remove(&mut self, waiter: &Waiter) -> bool {
        if !waiter.is_standing() {
            return false;
        }
        waiter.stands_no_more();
        let (route, class) = (&mut self.routes[waiter.route], waiter.class as usize);
        route.n[class] -= 1;
        self.n[class] -= 1;
        let Some(line) = self.lines.get_mut(&waiter.line) else { return true };
        line.remove(waiter, &route.keys[class]);
        route.keys[class].leave(waiter);
        if line.n() > 0 {
            if line.blocked.as_ref().is_some_and(|blocked| blocked.by == waiter.number()) {
                self.open(waiter.line);
            }
            return true;
        }
        route.lines.retain(|line| *line != waiter.line);
        self.open.retain(|open| *open != waiter.line);
        if let Some(line) = self.lines.remove(&waiter.line) {
            self.n_lines_again -= usize::from(line.sought.is_again);
            self.numbers.remove(&line.sought);
        }
        true
    }

    /// Returns who would get the next place among the lines that are open.
    pub(super) fn next(&self) -> Option<Arc<Waiter>> {
        let first_of = |class: usize| {
            let firsts = self.open.iter().filter_map(|line| {
                let (turn, waiter) = self.lines.get(line)?.first(class)?;
                Some(((self.routes[waiter.route].turn, turn, waiter.seniority), waiter))
            });
            firsts.min_by_key(|(order, _)| *order).map(|(_, waiter)| Arc::clone(waiter))
        };
        self.class_order().into_iter().find_map(first_of)
    }

    /// Strict, but that a class goes first which was passed over for long: the one that was for longest.
    fn class_order(&self) -> [usize; CLASSES] {
        let mut order = [0, 1, 2];
        order.sort_by_key(|class| if self.is_due(*class) { (0, u32::MAX - self.passed_over[*class]) } else { (1, 0) });
        order
    }

    fn is_due(&self, class: usize) -> bool {
        self.passed_over[class].min(self.since_floor) >= FLOOR
    }

    /// Takes the one that [`Lines::next`] returned out of the line: he has a place.
    pub(super) fn served(&mut self, waiter: &Waiter) {
        let class = waiter.class as usize;
        let is_floor = self.is_due(class) && self.n[..class].iter().any(|n| *n > 0);
        self.since_floor = if is_floor { 0 } else { self.since_floor.saturating_add(1) };
        self.passed_over[class] = 0;
        for lower in class + 1..CLASSES {
            let passed_over = self.passed_over[lower].saturating_add(1);
            self.passed_over[lower] = if self.n[lower] > 0 { passed_over } else { 0 };
        }
        self.remove(waiter);
        // The other keys' and routes' turn.
        let (turn, now) = (self.number(), Instant::now());
        let route = &mut self.routes[waiter.route];
        route.turn = turn;
        if let Some(turns) = route.keys[waiter.class as usize].passed(waiter, (now, turn)) {
            for line in &route.lines {
                if let Some(line) = self.lines.get_mut(line) {
                    line.turn(waiter.class, turns);
                }
            }
        }
    }

    /// Has a line looked at.
    pub(super) fn open(&mut self, line: u64) {
        if let Some(found) = self.lines.get_mut(&line).filter(|line| !line.is_open) {
            found.is_open = true;
            self.open.push(line);
        }
    }

    /// Has those lines looked at.
    pub(super) fn open_those(&mut self, mut which: impl FnMut(&Line) -> bool) {
        for (number, line) in &mut self.lines {
            if !line.is_open && which(line) {
                line.is_open = true;
                self.open.push(*number);
            }
        }
    }

    /// Returns whether it is that one's turn in his line.
    pub(super) fn is_first(&self, waiter: &Waiter) -> bool {
        let Some(line) = self.lines.get(&waiter.line) else { return false };
        let first = self.class_order().into_iter().find_map(|class| line.first(class));
        first.is_some_and(|(_, first)| first.number() == waiter.number())
    }

    /// Takes those out of somebody's line who cannot wait until then.
    pub(super) fn take_hopeless(&mut self, line: u64, before: Instant) -> Vec<Arc<Waiter>> {
        let hopeless = self.lines.get(&line).map(|line| line.hopeless(before)).unwrap_or_default();
        for waiter in &hopeless {
            self.remove(waiter);
        }
        hopeless
    }

    /// Returns the earliest time that a line waits for.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.lines.values().filter_map(|line| line.blocked.as_ref()?.at).min()
    }

    /// Returns somebody who waits, and can do so for long.
    pub(super) fn anybody(&self) -> Option<&Arc<Waiter>> {
        self.lines.values().next()?.last()
    }
}
