//! The waiting line of the HTTP face, before a place at an upstream.
//!
//! It is bounded in length and in time: who would wait longer than he may is refused at once, and told when to come back.
//! Whoever frees a place hands it to the one whose turn it is; where it is the time that frees one, a single waiter
//! keeps the time for all. Nobody polls, and nobody is woken who cannot go.

mod line;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{Failure, Waiting, ports::Class};
use tokio::time::{Instant, sleep_until};

use crate::{
    lanes::{Lanes, Picked, Place},
    need::Need,
};
use line::{Lines, Waiter};

/// Told where nothing is known that would tell more.
const A_MOMENT: Duration = Duration::from_secs(1);
/// Nobody is told to come back later than that.
const LONGEST: Duration = Duration::from_hours(24);

/// Why there is no place.
#[derive(Clone, Debug)]
pub(crate) enum Why {
    /// The line is as long as it may be.
    TooLong,
    /// It would take, or has taken, longer than the request may wait.
    TooSlow,
    /// No upstream can be asked for longer than that: they asked for a rest, or cannot be reached.
    Away(Waiting),
    /// Never: the name leads nowhere, the keys are dead, the outage is beyond its limit.
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
        let queue = Arc::new(Self { lanes, length, wait, n_waiting: AtomicUsize::new(0), state });
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

    /// Ends with a place at an upstream of `route`, or with the reason why there is none, no later than `deadline`. `key`
    /// is whoever asks: those of a class take turns by it. Dropping the future leaves the line.
    ///
    /// # Errors
    /// The reason, and when a place is likely.
    pub(crate) async fn enter(
        &self,
        route: &str,
        class: Class,
        key: u64,
        need: Need,
        deadline: Instant,
    ) -> Result<Place, Refused> {
        let Some(number) = self.lanes.route(route) else {
            return Err(Refused { why: Why::Closed(self.lanes.unknown(route)), retry_after: LONGEST });
        };
        if self.n_waiting.load(Ordering::Acquire) == 0 {
            match self.lanes.pick_in(number, &[], need) {
                Picked::Place(place) => return Ok(place),
                Picked::Closed(failure) => return Err(closed(failure)),
                Picked::NotBefore(_) => {}
            }
        }
        let deadline = deadline.min(Instant::now() + self.wait);
        let waiter = match self.join(number, class, key, need, deadline) {
            Joined::Ended(end) => return end,
            Joined::Waits(waiter) => waiter,
        };
        self.wait_for(waiter).await
    }

    /// A request ended: hands on what it left.
    pub(crate) fn freed(&self) {
        // Whoever joins is counted before he looks for a place, so that one of us two sees the other.
        if self.n_waiting.load(Ordering::Acquire) > 0 {
            self.serve(&mut self.state());
        }
    }

    /// Gets into line, unless there is a place, or no hope of one.
    fn join(&self, route: usize, class: Class, key: u64, need: Need, deadline: Instant) -> Joined {
        let mut state = self.state();
        let is_full = state.lines.n() >= self.length;
        if is_full && state.lines.has_line(route) {
            let n = state.lines.n_before(route, class) + 1;
            return Joined::Ended(Err(self.refused(Why::TooLong, &state.lines, route, n)));
        }
        let waiter = Waiter::new(route, class, key, need, deadline);
        // One line is blocked, and those behind its first wait with it; before an empty one, all are looked at in order.
        let is_first = !state.lines.has_line(route);
        state.lines.push(&waiter);
        // Before a place is looked for: see `freed`.
        self.count(&state);
        if is_first {
            self.serve(&mut state);
        }
        if let Some(end) = waiter.take_end() {
            return Joined::Ended(end);
        }
        let is_beyond = match state.lines.blocked(route) {
            Some((Some(at), reason)) => *reason != Waiting::Width && *at > deadline,
            Some((None, _)) | None => false,
        };
        let why = match is_full {
            true => Why::TooLong,
            false if is_beyond || self.is_too_slow(&state.lines, &waiter) => Why::TooSlow,
            false => return Joined::Waits(waiter),
        };
        let refused = self.refused(why, &state.lines, route, state.lines.n_before(route, class));
        self.leave(&mut state, &waiter);
        Joined::Ended(Err(refused))
    }

    /// Returns whether the rates alone put off the last one in a line beyond his deadline.
    fn is_too_slow(&self, lines: &Lines, waiter: &Waiter) -> bool {
        let n_before = lines.n_before(waiter.route, waiter.class).saturating_sub(1);
        let allowed = self.lanes.pace(waiter.route).allowed;
        let first = match lines.blocked(waiter.route) {
            Some((Some(at), Waiting::Rate)) => *at,
            _ => Instant::now(),
        };
        // Without a limit that is no time at all.
        let after = Duration::try_from_secs_f64(n_before as f64 / allowed).unwrap_or(LONGEST);
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
                self.serve(&mut state);
            }
            if let Some(end) = waiter.take_end() {
                return end;
            }
            if now >= waiter.deadline {
                let n = state.lines.n_before(waiter.route, waiter.class);
                return Err(self.refused(Why::TooSlow, &state.lines, waiter.route, n));
            }
        }
    }

    /// Gives out all places that there are, in the order of the lines.
    fn serve(&self, state: &mut State) {
        let State { lines, .. } = state;
        lines.open_all();
        while let Some(waiter) = lines.next() {
            let route = waiter.route;
            match self.lanes.pick_in(route, &[], waiter.need) {
                Picked::Place(place) => {
                    lines.served(&waiter);
                    waiter.end_with(Ok(place));
                }
                Picked::NotBefore(wait) => {
                    let at = wait.at.map(Instant::from_std);
                    let is_away = matches!(wait.reason, Waiting::Throttled | Waiting::Outage(_));
                    lines.block(route, Some((at, wait.reason.clone())));
                    if let Some(at) = at.filter(|_| is_away) {
                        let retry_after = at.saturating_duration_since(Instant::now()).min(LONGEST);
                        for waiter in lines.take_hopeless(route, Some(at)) {
                            waiter.end_with(Err(Refused { why: Why::Away(wait.reason.clone()), retry_after }));
                        }
                    }
                }
                Picked::Closed(failure) => {
                    for waiter in lines.take_hopeless(route, None) {
                        waiter.end_with(Err(closed(failure.clone())));
                    }
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
        if !state.lines.remove(waiter) {
            return;
        }
        let was_keeper = matches!(&state.keeper, Some((keeper, _)) if Arc::ptr_eq(keeper, waiter));
        // Those behind him may need less than he did.
        if was_keeper || state.lines.has_line(waiter.route) {
            self.serve(state);
        }
        self.count(state);
    }

    /// Says when a place is likely for the one of that number in a route's line.
    fn refused(&self, why: Why, lines: &Lines, route: usize, number: usize) -> Refused {
        let now = Instant::now();
        let blocked = lines.blocked(route);
        let why = match blocked {
            Some((_, reason @ (Waiting::Throttled | Waiting::Outage(_)))) => Why::Away(reason.clone()),
            _ => why,
        };
        let at = match blocked {
            Some((Some(at), reason)) if *reason != Waiting::Width => at.saturating_duration_since(now),
            _ => Duration::ZERO,
        };
        let expected = self.lanes.pace(route).expected;
        let drained = Duration::try_from_secs_f64(number as f64 / expected).unwrap_or(A_MOMENT);
        Refused { why, retry_after: at.max(drained).clamp(Duration::from_millis(1), LONGEST) }
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
