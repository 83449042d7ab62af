//! The waiting line of the HTTP face, before a place at an upstream.
//!
//! It is bounded in length and in time: who would wait longer than he may is refused at once, and told when to come back.
//! Whoever frees a place hands it to the one whose turn it is; where it is the time that frees one, a single waiter
//! keeps the time for all. Nobody polls, and nobody is woken who cannot go.
//!
//! Whom an upstream failed gets into line again for the others. He goes before those of his class who came later, for his
//! key had its turn; he may wait for what is left of the time that one may wait, in which what he stood in line before
//! counts, and what the upstream took does not.

mod line;
mod lines;
mod waiter;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{
    Failure, Waiting,
    ports::{Class, NotBefore},
};
use tokio::time::{Instant, sleep_until};

use crate::{
    lanes::{Lanes, Outlook, Picked, Place, Sought},
    need::Need,
};
use line::Blocked;
use lines::Lines;
use waiter::Waiter;

/// Told where nothing is known that would tell more.
const A_MOMENT: Duration = Duration::from_secs(1);
/// Nobody is told to come back later than that.
const LONGEST: Duration = Duration::from_hours(24);

/// Who asks for a place, and for which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    /// The name that was asked for.
    pub(crate) route: &'a str,
    pub(crate) class: Class,
    /// Those of a class take turns by it.
    pub(crate) key: u64,
    pub(crate) need: Need,
    /// When there must be an answer.
    pub(crate) deadline: Instant,
    /// The upstreams that failed him.
    pub(crate) tried: &'a [usize],
    /// When he asked for a place the first time.
    pub(crate) since: Instant,
    /// How long he has stood in line.
    pub(crate) waited: Duration,
}

impl<'a> Asking<'a> {
    /// Somebody who asks for the first time.
    pub(crate) fn first(route: &'a str, class: Class, key: u64, need: Need, deadline: Instant) -> Self {
        Self { route, class, key, need, deadline, tried: &[], since: Instant::now(), waited: Duration::ZERO }
    }
}

/// Why there is no place.
#[derive(Clone, Debug)]
pub(crate) enum Why {
    /// The line is as long as it may be.
    TooLong,
    /// It would take, or has taken, longer than the request may wait.
    TooSlow,
    /// No upstream can be asked for longer than that: they asked for a rest, or cannot be reached.
    Away(Waiting),
    /// Not by waiting: the name leads nowhere, the keys are dead, the outage is beyond its limit, or all were tried.
    Closed(Failure),
}

/// No place, and when one is likely.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) why: Why,
    /// After how long a place is likely; more than nothing. Without meaning where it is closed.
    pub(crate) retry_after: Duration,
}

/// The waiting line before the lanes of a gateway.
#[derive(Debug)]
pub(crate) struct Queue {
    lanes: Arc<Lanes>,
    length: usize,
    wait: Duration,
    /// How many wait, or are about to.
    n_waiting: AtomicUsize,
    state: Mutex<State>,
    /// How often a place was looked for on behalf of somebody in line.
    #[cfg(test)]
    n_looks: AtomicUsize,
}

#[derive(Debug)]
struct State {
    lines: Lines,
    /// Who keeps the time, and until when he sleeps.
    keeper: Option<(Arc<Waiter>, Instant)>,
}

impl Queue {
    /// Makes the line before `lanes`, in which `length` may wait, each for `wait`.
    pub(crate) fn new(lanes: Arc<Lanes>, length: usize, wait: Duration) -> Arc<Self> {
        let state = Mutex::new(State { lines: Lines::new(lanes.n_routes()), keeper: None });
        let queue = Arc::new(Self {
            lanes,
            length,
            wait,
            n_waiting: AtomicUsize::new(0),
            state,
            #[cfg(test)]
            n_looks: AtomicUsize::new(0),
        });
        queue.lanes.hand_places_to(Arc::downgrade(&queue));
        queue
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many wait.
    pub(crate) fn n_waiting(&self) -> usize {
        self.n_waiting.load(Ordering::Relaxed)
    }

    /// Ends with a place, or with the reason why there is none, no later than the deadline. Dropping the future leaves the
    /// line.
    ///
    /// # Errors
    /// The reason, and when a place is likely.
    pub(crate) async fn enter(&self, asking: &Asking<'_>) -> Result<Place, Refused> {
        let Some(route) = self.lanes.route(asking.route) else {
            return Err(closed(self.lanes.unknown(asking.route)));
        };
        if self.n_waiting.load(Ordering::Acquire) == 0 {
            match self.lanes.pick_in(route, asking.tried, asking.need) {
                Picked::Place(place) => return Ok(place),
                Picked::Closed(failure) => return Err(closed(failure)),
                Picked::NotBefore(_) => {}
            }
        }
        match self.join(route, asking) {
            Joined::Ended(end) => end,
            Joined::Waits(waiter) => self.wait_for(waiter).await,
        }
    }

    /// Returns after how long a request that came now for the first time is likely to get a place; nothing where that is at
    /// once, or nobody knows.
    pub(crate) fn likely(&self, asking: &Asking<'_>) -> Option<Duration> {
        let route = self.lanes.route(asking.route)?;
        let Outlook::NotBefore(NotBefore { at, reason }) = self.lanes.outlook(route, &[], asking.need) else {
            return None;
        };
        let number = self.state().lines.n_before(route, asking.class) + 1;
        Some(self.after(at.map(Instant::from_std), &reason, route, number))
    }

    /// A request ended: hands on what it left, in this slot or perhaps in any.
    pub(crate) fn freed(&self, slot: Option<usize>) {
        // Whoever joins is counted before he looks for a place, so that one of us two sees the other.
        if self.n_waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let upstreams = slot.map(|slot| self.lanes.in_slot(slot));
        let mut state = self.state();
        match upstreams {
            Some(upstreams) => state.lines.open_those(|line| line.sought.is_of(&upstreams)),
            None => state.lines.open_those(|_| true),
        }
        self.serve(&mut state);
    }

    /// Gets into line, unless there is a place, or no hope of one.
    fn join(&self, route: usize, asking: &Asking<'_>) -> Joined {
        let sought = self.lanes.sought(route, asking.tried, asking.need.abilities);
        let deadline = asking.deadline.min(Instant::now() + self.wait.saturating_sub(asking.waited));
        let mut state = self.state();
        let is_full = state.lines.n() >= self.length || !state.lines.may_begin(&sought);
        if is_full && state.lines.has_line(&sought) {
            let n = state.lines.n_before(route, asking.class) + 1;
            return Joined::Ended(Err(self.refused(Why::TooLong, &state.lines, &sought, n)));
        }
        let waiter = state.lines.push(asking, sought.clone(), deadline);
        // Before a place is looked for: see `freed`.
        self.count(&state);
        // A line is blocked by its first, and those behind him wait with him.
        if state.lines.is_first(&waiter) {
            state.lines.open(waiter.line);
            self.serve(&mut state);
        }
        if let Some(end) = waiter.take_end() {
            return Joined::Ended(end);
        }
        let is_beyond = match state.lines.blocked(&sought) {
            Some(Blocked { at: Some(at), reason, .. }) => *reason != Waiting::Width && *at > deadline,
            Some(_) | None => false,
        };
        let why = match is_full {
            true => Why::TooLong,
            false if is_beyond || self.is_too_slow(&state.lines, &sought, &waiter) => Why::TooSlow,
            false => return Joined::Waits(waiter),
        };
        let n = state.lines.n_before(route, asking.class);
        let refused = self.refused(why, &state.lines, &sought, n);
        self.leave(&mut state, &waiter);
        Joined::Ended(Err(refused))
    }

    /// Returns whether the rates alone put off somebody who has just joined beyond his deadline.
    fn is_too_slow(&self, lines: &Lines, sought: &Sought, waiter: &Waiter) -> bool {
        let allowed = self.lanes.pace_of(sought).allowed;
        let first = match lines.blocked(sought) {
            Some(Blocked { at: Some(at), reason: Waiting::Rate, .. }) => *at,
            _ => Instant::now(),
        };
        // Without a limit that is no time at all.
        let after = Duration::try_from_secs_f64(lines.n_sooner(waiter) as f64 / allowed).unwrap_or(LONGEST);
        first + after > waiter.deadline
    }

    async fn wait_for(&self, waiter: Arc<Waiter>) -> Result<Place, Refused> {
        // Whatever ends this future, an end or a client who hangs up: he leaves the line, and a place that he was given
        // meanwhile goes to the next.
        let standing = Standing { queue: self, waiter };
        let waiter = &standing.waiter;
        loop {
            let until = match &self.state().keeper {
                Some((keeper, until)) if Arc::ptr_eq(keeper, waiter) => waiter.deadline.min(*until),
                _ => waiter.deadline,
            };
            tokio::select! {
                () = waiter.told.notified() => {}
                () = sleep_until(until) => {}
            }
            if let Some(end) = waiter.take_end() {
                return end;
            }
            let mut state = self.state();
            let now = Instant::now();
            let keeps = matches!(&state.keeper, Some((keeper, until)) if Arc::ptr_eq(keeper, waiter) && *until <= now);
            if keeps {
                state.lines.open_those(|line| line.is_due(now));
                self.serve(&mut state);
            }
            if let Some(end) = waiter.take_end() {
                return end;
            }
            if now >= waiter.deadline {
                let n = state.lines.n_before(waiter.route, waiter.class);
                let sought = self.lanes.sought(waiter.route, &waiter.tried, waiter.need.abilities);
                return Err(self.refused(Why::TooSlow, &state.lines, &sought, n));
            }
        }
    }

    /// Gives out the places that there are for the lines that are open, in their order.
    fn serve(&self, state: &mut State) {
        let State { lines, .. } = state;
        while let Some(waiter) = lines.next() {
            #[cfg(test)]
            self.n_looks.fetch_add(1, Ordering::Relaxed);
            match self.lanes.pick_in(waiter.route, &waiter.tried, waiter.need) {
                Picked::Place(place) => {
                    lines.served(&waiter);
                    waiter.end_with(Ok(place));
                }
                Picked::NotBefore(NotBefore { at, reason }) => {
                    let at = at.map(Instant::from_std);
                    let is_away = matches!(reason, Waiting::Throttled | Waiting::Outage(_));
                    lines.block(&waiter, Blocked { at, reason: reason.clone(), by: waiter.number() });
                    if let Some(at) = at.filter(|_| is_away) {
                        let retry_after = at.saturating_duration_since(Instant::now()).min(LONGEST);
                        for waiter in lines.take_hopeless(waiter.line, at) {
                            waiter.end_with(Err(Refused { why: Why::Away(reason.clone()), retry_after }));
                        }
                    }
                }
                Picked::Closed(failure) => {
                    lines.remove(&waiter);
                    waiter.end_with(Err(closed(failure)));
                }
            }
        }
        self.count(state);
        self.keep_time(state);
    }

    fn count(&self, state: &State) {
        self.n_waiting.store(state.lines.n(), Ordering::Release);
    }

    /// Sees to it that somebody sleeps until the next time that a line waits for.
    fn keep_time(&self, state: &mut State) {
        let State { lines, keeper } = state;
        let Some(at) = lines.next_at() else {
            // Who kept the time sleeps on until his own end.
            *keeper = None;
            return;
        };
        match keeper {
            Some((waiter, until)) if waiter.is_standing() => {
                // He is woken to go to sleep again only where it is earlier; where it is later he sees when he wakes.
                if at < *until {
                    waiter.told.notify_one();
                }
                *until = at;
            }
            _ => {
                *keeper = lines.anybody().map(|waiter| {
                    waiter.told.notify_one();
                    (Arc::clone(waiter), at)
                });
            }
        }
    }

    /// Takes somebody out of the line who goes away.
    fn leave(&self, state: &mut State, waiter: &Arc<Waiter>) {
        if state.lines.remove(waiter) {
            // Those behind him may need less than he did, and somebody else has to keep the time if it was he.
            self.serve(state);
        }
    }

    /// Says when a place is likely for the one of that number in a route's line.
    fn refused(&self, why: Why, lines: &Lines, sought: &Sought, number: usize) -> Refused {
        let Some(Blocked { at, reason, .. }) = lines.blocked(sought) else {
            return Refused { why, retry_after: self.after(None, &Waiting::Width, sought.route, number) };
        };
        let why = match reason {
            Waiting::Throttled | Waiting::Outage(_) => Why::Away(reason.clone()),
            _ => why,
        };
        Refused { why, retry_after: self.after(*at, reason, sought.route, number) }
    }

    /// Returns after how long the one of that number in a route's line is likely to get a place.
    fn after(&self, at: Option<Instant>, reason: &Waiting, route: usize, number: usize) -> Duration {
        let at = at.filter(|_| *reason != Waiting::Width);
        let at = at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        let expected = self.lanes.pace(route).expected;
        let drained = Duration::try_from_secs_f64(number as f64 / expected).unwrap_or(A_MOMENT);
        at.max(drained).clamp(Duration::from_millis(1), LONGEST)
    }
}

enum Joined {
    Ended(Result<Place, Refused>),
    Waits(Arc<Waiter>),
}

/// Somebody's place in the line, for as long as the future lives.
struct Standing<'a> {
    queue: &'a Queue,
    waiter: Arc<Waiter>,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.queue.leave(&mut self.queue.state(), &self.waiter);
        // A place is dropped after the lock, since it is handed on then.
        drop(self.waiter.take_end());
    }
}

fn closed(failure: Failure) -> Refused {
    Refused { why: Why::Closed(failure), retry_after: LONGEST }
}

#[cfg(test)]
mod tests;
