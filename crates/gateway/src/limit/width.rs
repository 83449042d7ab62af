//! How many requests may be in flight at an upstream: a fixed number, or what it is found to take.
//!
//! An adaptive width climbs from where it starts, at most doubling in a second, and only while it is used up. It stops
//! climbing at one of two signs. Where the upstream refuses for being asked too much, what was in flight then is its
//! ceiling: the width falls to 0.7 of it, once for all that were sent before, and comes back to just below. Where answers
//! take longer without more of them coming (at least half of what was added must come out again), that is the knee: the
//! width goes back to it. Then it holds, and tries a little more, or a little less, every few seconds.
//!
//! Latencies are averages over rounds: as many answers as are in flight, all of them sent within the round, each measured
//! by what is usual for its length.

use std::time::Duration;

use tokio::time::Instant;

use super::{How, Seen, yardstick::Yardstick};
use crate::config::MaxInFlight;

/// What is left of the width after a refusal, and after a fault.
const AFTER_REFUSAL: f64 = 0.7;
const AFTER_ANOTHER: f64 = 0.6;
const AFTER_FAULT: f64 = 0.9;
/// More refusals than that, each so soon after the one before, are more than a width can answer to.
const MANY: u32 = 4;
const SOON: Duration = Duration::from_secs(1);
/// How long a width is held before more, or less, is tried.
const HOLD: Duration = Duration::from_secs(6);
/// What is tried.
const MORE: f64 = 1.15;
const LESS: f64 = 0.8;
/// Less is tried after more was tried so many times.
const LESS_AFTER: u32 = 2;
/// A knee is held from just above it: from below, nothing shows that it is one.
const BESIDE: f64 = 1.03;
/// A width that is used to that part is used up.
const USED_UP: f64 = 0.9;
/// How much longer answers may take by chance: while climbing, at the end of a climb, and while holding.
const CHANCE_TRYING: f64 = 1.02;
const CHANCE_CLIMBING: f64 = 1.04;
const CHANCE_SETTLED: f64 = 1.12;
const CHANCE_HOLDING: f64 = 1.2;

/// The width of one upstream.
#[derive(Debug)]
pub(crate) struct Width {
    places: usize,
    adaptive: Option<Box<Adaptive>>,
}

impl Width {
    pub(crate) fn new(width: MaxInFlight, now: Instant) -> Self {
        match width {
            MaxInFlight::Fixed(places) => Self { places, adaptive: None },
            MaxInFlight::Adaptive { start, most } => {
                Self { places: start, adaptive: Some(Box::new(Adaptive::new(start, most, now))) }
            }
        }
    }

    /// Goes on as the file says now. A width that was found out stays where it may.
    pub(crate) fn change(&mut self, width: MaxInFlight, now: Instant) {
        match (&mut self.adaptive, width) {
            (Some(adaptive), MaxInFlight::Adaptive { most, .. }) if adaptive.width <= most as f64 => {
                adaptive.most = most as f64;
            }
            _ => *self = Self::new(width, now),
        }
    }

    pub(crate) fn places(&self) -> usize {
        self.places
    }

    pub(crate) fn is_adaptive(&self) -> bool {
        self.adaptive.is_some()
    }

    /// Learns of the end of a request that was sent at `sent` as the last of `load` in flight; `in_flight` are there now,
    /// it included. Returns whether the width answers to it, where it is a refusal.
    pub(crate) fn ended(
        &mut self,
        sent: Instant,
        load: usize,
        in_flight: usize,
        seen: &Seen,
        latency: Duration,
        now: Instant,
    ) -> bool {
        let Some(adaptive) = &mut self.adaptive else { return false };
        let is_answered_to = match seen.how {
            How::Answered => {
                if let Some(time) = adaptive.yardstick.measure(seen, latency) {
                    adaptive.answered(sent, Level { load: load as f64, time }, in_flight as f64, now);
                }
                false
            }
            How::Throttled => adaptive.refused(sent, load as f64, now),
            How::Fault => {
                adaptive.failed(sent, now);
                false
            }
            How::TurnedAway | How::Cancelled => false,
        };
        self.places = adaptive.places() as usize;
        is_answered_to
    }
}

/// How crowded the upstream was with us, and how long answers took then.
#[derive(Clone, Copy, Debug)]
struct Level {
    load: f64,
    time: f64,
}

impl Level {
    /// Returns whether answers take so much longer than at `earlier`, beyond chance, that less than half of what was
    /// added came out.
    fn is_beyond(self, earlier: Self, chance: f64) -> bool {
        self.time > earlier.time * (self.load / earlier.load).max(1.0).sqrt() * chance
    }

    /// Returns at which load answers would take as long as they did earlier, were this one beyond what the upstream takes.
    fn knee(self, earlier: Self) -> f64 {
        self.load * (earlier.time / self.time).clamp(0.5, 1.0)
    }

    /// Returns how many answers came in a time.
    fn yield_of(self) -> f64 {
        self.load / self.time
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Finds out how far it goes. By how much the width grows with each answer; where and when this began, for the slope.
    Climb { pace: f64, from: f64, since: Instant },
    /// Stays. `held` is what was seen there, once something was.
    Hold { since: Instant, held: Option<Level>, n_slow: u32 },
    /// Tries whether more comes out.
    More { held: Level },
    /// Tries whether as much comes out of less.
    Less { held: Level },
    /// Answers took longer, so it became narrower: was that the reason?
    Shrunk { held: Level, before: Level },
}

#[derive(Debug)]
struct Adaptive {
    width: f64,
    most: f64,
    /// The width that is held, or comes back.
    base: f64,
    phase: Phase,
    /// What was seen where all was well, before the climb went on.
    earlier: Option<Level>,
    /// Whether `base` was told by a refusal: then latency says nothing about it.
    is_ceiling: bool,
    /// How many times more, or less, was tried since less was.
    n_tries: u32,
    /// The knee is not known yet, but by this level.
    settling: Option<Level>,
    /// Refusals and faults of what was sent before were answered to.
    refused_at: Option<Instant>,
    n_soon: u32,
    failed_at: Option<Instant>,
    round: Round,
    yardstick: Yardstick,
}

/// The answers of a while, of what was sent in it.
#[derive(Clone, Copy, Debug)]
struct Round {
    since: Instant,
    /// The width at its beginning: a climb goes no further than twice that before the round is judged.
    from: f64,
    n: f64,
    n_used_up: f64,
    load: f64,
    time: f64,
}

impl Round {
    fn new(since: Instant, from: f64) -> Self {
        Self { since, from, n: 0.0, n_used_up: 0.0, load: 0.0, time: 0.0 }
    }
}

impl Adaptive {
    fn new(start: usize, most: usize, now: Instant) -> Self {
        let width = start as f64;
        Self {
            width,
            most: most as f64,
            base: width,
            phase: Phase::Climb { pace: 1.0, from: width, since: now },
            earlier: None,
            is_ceiling: false,
            n_tries: 0,
            settling: None,
            refused_at: None,
            n_soon: 0,
            failed_at: None,
            round: Round::new(now, width),
            yardstick: Yardstick::new(),
        }
    }

    /// How many may be in flight: a part of a place is none.
    fn places(&self) -> f64 {
        self.width.floor().max(1.0)
    }

    /// What is tried when more is: at least one place, or a small width would never try anything.
    fn more(&self) -> f64 {
        (self.base * MORE).max(self.base + 1.0).min(self.most)
    }

    fn hold(&mut self, width: f64, held: Option<Level>, now: Instant) {
        self.base = width.clamp(1.0, self.most);
        self.width = self.width.min(self.base);
        self.phase = Phase::Hold { since: now, held, n_slow: 0 };
        self.round = Round::new(now, self.width);
    }

    /// A refusal; returns whether it is answered to by this, or was before.
    fn refused(&mut self, sent: Instant, load: f64, now: Instant) -> bool {
        if self.refused_at.is_some_and(|at| sent < at) {
            return true;
        }
        let is_soon = self.refused_at.is_some_and(|at| now - at < SOON);
        self.n_soon = if is_soon { self.n_soon + 1 } else { 1 };
        self.refused_at = Some(now);
        let ceiling = (load - 1.0).clamp(1.0, self.width);
        let was_one = self.width < 2.0;
        self.hold((ceiling - ceiling / 32.0).ceil(), None, now);
        self.is_ceiling = true;
        self.settling = None;
        let left = if is_soon { AFTER_ANOTHER } else { AFTER_REFUSAL };
        self.width = (ceiling * left).max(1.0);
        self.n_soon <= MANY && !was_one
    }

    fn failed(&mut self, sent: Instant, now: Instant) {
        let latest = self.failed_at.max(self.refused_at);
        if latest.is_some_and(|at| sent < at) {
            return;
        }
        self.failed_at = Some(now);
        self.width = (self.width * AFTER_FAULT).max(1.0);
        match self.phase {
            Phase::Climb { .. } | Phase::Hold { .. } => self.round = Round::new(now, self.width),
            // What was tried proves nothing now.
            Phase::More { held } | Phase::Less { held } | Phase::Shrunk { held, .. } => {
                let width = self.width;
                self.hold(self.base, Some(held), now);
                self.width = width.min(self.base);
            }
        }
    }

    fn answered(&mut self, sent: Instant, level: Level, in_flight: f64, now: Instant) {
        let is_used_up = in_flight >= self.places() * USED_UP;
        // Where more are in flight than it is wide, it has just become narrower.
        if is_used_up && in_flight <= self.width + 1.0 {
            self.grow(now);
        }
        let round = &mut self.round;
        if sent < round.since {
            return;
        }
        round.n += 1.0;
        round.n_used_up += f64::from(u8::from(is_used_up));
        round.load += level.load;
        round.time += level.time;
        let enough = match self.phase {
            Phase::Climb { .. } => (round.from * 0.75).max(8.0),
            Phase::Hold { .. } | Phase::Shrunk { .. } => self.width.max(24.0),
            Phase::Less { .. } => self.width.max(32.0),
            Phase::More { .. } => (2.0 * self.width).max(32.0),
        };
        if round.n >= enough {
            let seen = Level { load: round.load / round.n, time: round.time / round.n };
            let is_used_up = round.n_used_up >= round.n / 2.0;
            self.round = Round::new(now, self.width);
            if is_used_up {
                self.judge(seen, now);
            } else if let Phase::Hold { since, .. } = &mut self.phase {
                // Nobody needs more, and nothing shows what would be.
                *since = now;
            }
        }
    }

    fn grow(&mut self, now: Instant) {
        let (by, to) = match self.phase {
            Phase::Climb { pace, from, since } => {
                let slope = from * 2.0_f64.powf(1.0 + (now - since).as_secs_f64());
                (pace, slope.min(self.round.from * 2.0))
            }
            Phase::Hold { .. } => (1.0, self.base),
            Phase::More { .. } => (MORE - 1.0, self.more()),
            Phase::Less { .. } | Phase::Shrunk { .. } => return,
        };
        let to = to.min(self.most);
        if self.width < to {
            self.width = (self.width + by).min(to);
            if self.width >= to && !matches!(self.phase, Phase::Climb { .. }) {
                // What is seen from now on is seen at that width.
                self.round = Round::new(now, self.width);
            }
        }
    }

    fn judge(&mut self, seen: Level, now: Instant) {
        match self.phase {
            Phase::Climb { pace, .. } => self.judge_climb(pace, seen, now),
            Phase::Hold { since, held, n_slow } if self.width >= self.base => {
                self.judge_hold(since, held, n_slow, seen, now);
            }
            Phase::Hold { .. } => {}
            Phase::More { held } if self.width >= self.more() => {
                if seen.is_beyond(held, CHANCE_TRYING) {
                    self.hold(self.base, Some(held), now);
                } else {
                    self.is_ceiling = false;
                    self.earlier = Some(held);
                    self.phase = Phase::Climb { pace: 0.25, from: self.width, since: now };
                }
            }
            Phase::More { .. } => {}
            Phase::Less { held } => {
                if seen.yield_of() >= held.yield_of() * (seen.load / held.load).sqrt() {
                    // As good as before: it was beyond the knee, and perhaps still is.
                    self.hold(self.width, Some(seen), now);
                    self.earlier = Some(seen);
                    self.n_tries = LESS_AFTER;
                } else {
                    let base = self.base;
                    self.width = base;
                    self.hold(base, Some(held), now);
                }
            }
            Phase::Shrunk { held, before } => {
                let was_it_us = seen.yield_of() >= before.yield_of() * (seen.load / before.load).sqrt();
                if !was_it_us {
                    // Less came out, and not sooner: the upstream has become slower by itself.
                    self.width = before.load;
                    self.earlier = Some(before);
                    self.hold(before.load, Some(before), now);
                } else if seen.time > held.time * CHANCE_SETTLED {
                    self.shrink(held, seen, now);
                } else {
                    self.earlier = Some(seen);
                    self.hold(self.width, Some(seen), now);
                }
            }
        }
    }

    fn judge_climb(&mut self, pace: f64, seen: Level, now: Instant) {
        match self.earlier {
            Some(earlier) if seen.is_beyond(earlier, CHANCE_CLIMBING) => {
                self.is_ceiling = false;
                // While it grew, answers were held up by what was sent after them: the knee is somewhat further up.
                self.hold((seen.knee(earlier) * 1.15).max(earlier.load), None, now);
                self.settling = Some(earlier);
            }
            earlier => {
                // A little more of both, again and again, would be much more of both.
                if earlier.is_none_or(|earlier| seen.load >= earlier.load * 1.5) {
                    self.earlier = Some(seen);
                }
                if let Phase::Climb { pace: now_pace, .. } = &mut self.phase {
                    *now_pace = (pace * 2.0).min(1.0);
                }
                if self.width >= self.most {
                    self.hold(self.most, Some(seen), now);
                }
            }
        }
    }

    fn judge_hold(&mut self, since: Instant, held: Option<Level>, n_slow: u32, seen: Level, now: Instant) {
        let Some(held) = held else {
            match self.settling.take() {
                Some(earlier) if seen.time > earlier.time * CHANCE_CLIMBING => {
                    self.hold(seen.knee(earlier) * BESIDE, None, now);
                }
                _ => self.phase = Phase::Hold { since, held: Some(seen), n_slow: 0 },
            }
            return;
        };
        if seen.time > held.time * CHANCE_HOLDING {
            // What made them slow may have begun within the round: the next one shows all of it.
            if n_slow > 0 {
                self.shrink(held, seen, now);
            } else {
                self.phase = Phase::Hold { since, held: Some(held), n_slow: n_slow + 1 };
            }
            return;
        }
        let held =
            Level { load: held.load + (seen.load - held.load) * 0.2, time: held.time + (seen.time - held.time) * 0.2 };
        self.phase = Phase::Hold { since, held: Some(held), n_slow: 0 };
        if now - since < HOLD {
            return;
        }
        let tries_less = self.n_tries >= LESS_AFTER && !self.is_ceiling && self.base >= 4.0;
        self.n_tries = if tries_less { 0 } else { self.n_tries + 1 };
        if tries_less {
            self.width = self.base * LESS;
            self.phase = Phase::Less { held };
        } else if self.base < self.most {
            self.phase = Phase::More { held };
        }
        self.round = Round::new(now, self.width);
    }

    fn shrink(&mut self, held: Level, before: Level, now: Instant) {
        self.width = before.knee(held).max(1.0);
        self.base = self.width;
        self.phase = Phase::Shrunk { held, before };
        self.round = Round::new(now, self.width);
    }
}

#[cfg(test)]
mod tests;
