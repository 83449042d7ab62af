//! What one upstream can take: how many requests at once, and how many requests and tokens in a time.
//!
//! A request takes its place and its share of every bucket when it is sent, and settles when it ends: the place is
//! freed, and the tokens that it was expected to use are replaced by those that it used. What the vendor says about its
//! own limits makes us slower where it knows better, and never faster than the models file allows.

mod bucket;
mod vendor;
mod width;
mod yardstick;

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    config::{MaxInFlight, Rate, RateLimits},
    need::Need,
};
use bucket::Bucket;
use provider::Hints;
use vendor::Vendor;
use width::Width;

/// More tokens than any request is believed to use.
const TOKENS_MOST: f64 = 1e7;

/// Whether there is room for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It may be sent now.
    Free,
    /// The rates allow it from then on, and perhaps earlier, where others use fewer tokens than was thought.
    At(Instant),
    /// All places are taken. When one is free, nobody can say.
    Full,
}

/// What a request holds of an upstream's limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// When it took them.
    pub(crate) at: Instant,
    /// How many were in flight then, it included.
    load: usize,
    /// The tokens that were taken for it.
    tokens: f64,
}

/// How a request ended, as far as limits care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The upstream answered, if only to say that the request is wrong.
    Answered,
    /// It said that we ask too much.
    Throttled,
    /// It failed, or was silent for too long.
    Fault,
    /// It was turned away for what it is.
    TurnedAway,
    /// Nobody waited for the end, or it was never sent.
    Cancelled,
}

/// What was seen of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// How it ended.
    pub(crate) how: How,
    /// From the place that was taken to the first byte of content, where it came in pieces.
    pub(crate) first_byte: Option<Duration>,
    /// Tokens of the answer.
    pub(crate) output_tokens: Option<u64>,
    /// Tokens of request and answer.
    pub(crate) tokens: Option<u64>,
}

/// The limits of one upstream, and what is taken of them.
#[derive(Debug)]
pub(crate) struct Limit {
    /// What the file says.
    configured: (MaxInFlight, RateLimits),
    width: Width,
    in_flight: usize,
    per_second: Option<Bucket>,
    per_minute: Option<Bucket>,
    tokens: Option<Bucket>,
    vendor: Vendor,
    /// By how much requests use more tokens than they need by themselves: their answers, as a rule.
    surplus: Average,
    /// How long a request takes, in seconds.
    service: Average,
    /// What is configured, in requests per second.
    allowed: f64,
}

impl Limit {
    pub(crate) fn new(width: MaxInFlight, limits: &RateLimits, now: Instant) -> Self {
        let minute = |rate: Option<Rate>| rate.map(|Rate(n)| Bucket::new(n / 60.0, n, now));
        let second = limits.requests_per_second.map(|Rate(n)| n);
        let a_minute = limits.requests_per_minute.map(|Rate(n)| n / 60.0);
        Self {
            configured: (width, *limits),
            width: Width::new(width, now),
            in_flight: 0,
            per_second: second.map(|n| Bucket::new(n, 2.0 * n, now)),
            // Vendors count a minute by filling it up evenly, or by beginning anew: both allow all of it at once.
            per_minute: minute(limits.requests_per_minute),
            tokens: minute(limits.tokens_per_minute),
            vendor: Vendor::default(),
            surplus: Average::default(),
            service: Average::default(),
            allowed: second.unwrap_or(f64::INFINITY).min(a_minute.unwrap_or(f64::INFINITY)),
        }
    }

    /// Goes on under other limits: what is in flight and what is left in the buckets stays, as far as there is room.
    pub(crate) fn change(&mut self, width: MaxInFlight, limits: &RateLimits, now: Instant) {
        if (width, *limits) == self.configured {
            return;
        }
        let mut new = Self::new(width, limits, now);
        for (new, old) in [
            (&mut new.per_second, self.per_second),
            (&mut new.per_minute, self.per_minute),
            (&mut new.tokens, self.tokens),
        ] {
            if let (Some(new), Some(old)) = (new, old) {
                new.go_on_with(old, now);
            }
        }
        (self.per_second, self.per_minute, self.tokens) = (new.per_second, new.per_minute, new.tokens);
        (self.allowed, self.configured) = (new.allowed, (width, *limits));
        self.width.change(width, now);
    }

    /// Returns how many tokens are taken for a request: no more than a minute has. An estimate may be far beyond what will be
    /// used, where images or an answer without end are asked for, and what is owed for it nobody else could use.
    fn tokens_of(&self, need: Need) -> f64 {
        let most = self.tokens.map_or(TOKENS_MOST, |bucket| bucket.capacity());
        (need.tokens as f64 + self.surplus.mean().unwrap_or(0.0)).clamp(1.0, most)
    }

    /// Returns whether a request may be sent now, and if not, when.
    pub(crate) fn room(&self, need: Need, now: Instant) -> Room {
        if self.in_flight >= self.width.places() {
            return Room::Full;
        }
        if self.allowed == f64::INFINITY && self.tokens.is_none() && self.vendor.is_silent(now) {
            return Room::Free;
        }
        let tokens = self.tokens_of(need);
        let requests = [self.per_second, self.per_minute].into_iter().flatten().map(|bucket| bucket.next(1.0, now));
        let tokens_at = self.tokens.map(|bucket| bucket.next(tokens, now));
        let at = requests.chain(tokens_at).fold(self.vendor.next(tokens, now), Instant::max);
        if at <= now { Room::Free } else { Room::At(at) }
    }

    /// Takes a place and a share of the rates, whether they are there or not.
    pub(crate) fn take(&mut self, need: Need, now: Instant) -> Taken {
        self.in_flight += 1;
        let tokens = self.tokens_of(need);
        self.spend(tokens, now);
        Taken { at: now, load: self.in_flight, tokens }
    }

    /// Another request is sent in a place that was taken before.
    pub(crate) fn again(&mut self, now: Instant) {
        self.spend(0.0, now);
    }

    fn spend(&mut self, tokens: f64, now: Instant) {
        for bucket in [&mut self.per_second, &mut self.per_minute].into_iter().flatten() {
            bucket.take(1.0, now);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(tokens, now);
        }
        self.vendor.take(tokens, now);
    }

    /// Frees the place and settles the tokens. Returns whether the width answered to what was seen, so that a rest of
    /// the whole upstream is not needed for it.
    pub(crate) fn ended(&mut self, taken: &Taken, seen: &Seen, now: Instant) -> bool {
        let latency = now.saturating_duration_since(taken.at);
        if seen.how == How::Answered {
            self.service.add(latency.as_secs_f64());
        }
        let is_absorbed = self.width.ended(taken.at, taken.load, self.in_flight, seen, latency, now);
        self.in_flight = self.in_flight.saturating_sub(1);
        let used = match (seen.how, seen.tokens) {
            (_, Some(tokens)) => {
                // What it was thought to need by itself is the estimate without the surplus of that time.
                let surplus = self.surplus.mean().unwrap_or(0.0);
                self.surplus.add(tokens as f64 - (taken.tokens - surplus));
                tokens as f64
            }
            // It was turned away at the door.
            (How::Throttled | How::TurnedAway, None) => 0.0,
            (How::Answered | How::Fault | How::Cancelled, None) => taken.tokens,
        };
        if let Some(bucket) = &mut self.tokens {
            if used > taken.tokens {
                bucket.take(used - taken.tokens, now);
            } else {
                bucket.give_back(taken.tokens - used, now);
            }
        }
        is_absorbed
    }

    /// Takes over what the vendor says about its own limits.
    pub(crate) fn hint(&mut self, hints: &Hints, now: Instant) {
        self.vendor.hint(hints, now);
    }

    /// Returns whether somebody looks at the tokens of answers here.
    pub(crate) fn wants_tokens(&self) -> bool {
        self.tokens.is_some() || self.width.is_adaptive()
    }

    /// Returns how many may be in flight now, and how many are.
    pub(crate) fn width(&self) -> (usize, usize) {
        (self.width.places(), self.in_flight)
    }

    /// Returns the requests per second that the rates allow in the long run.
    pub(crate) fn allowed(&self) -> f64 {
        self.allowed
    }

    /// Returns the requests per second that can be expected of it: what its places turn over, where the rates allow it.
    pub(crate) fn pace(&self) -> f64 {
        // Before the first answer a second is as good a guess as any.
        let service = self.service.mean().unwrap_or(1.0).max(1e-3);
        self.allowed.min(self.width.places() as f64 / service)
    }
}

/// The mean of what was seen lately.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    mean: f64,
    n: u32,
}

impl Average {
    /// How many of the last ones count.
    const LAST: u32 = 32;

    fn add(&mut self, value: f64) {
        self.n = (self.n + 1).min(Self::LAST);
        self.mean += (value - self.mean) / f64::from(self.n);
    }

    fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }
}

#[cfg(test)]
mod tests;
