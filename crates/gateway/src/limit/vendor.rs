//! What a vendor says is left of its limits, where it says so with its answers.

use std::time::Duration;

use provider::{Hints, Left};
use tokio::time::Instant;

use super::Bucket;

/// How long a word without a time counts.
const MINUTE: Duration = Duration::from_mins(1);
/// The part of what is left that may go out at once.
const AT_ONCE: f64 = 0.25;
/// Beyond it a limit is one of hours or days, which nobody wants to see spread out: it is used until it is used up.
const SPREAD: Duration = Duration::from_mins(5);

/// The vendor's own counts. They only ever make us slower.
#[derive(Debug, Default)]
pub(crate) struct Vendor {
    requests: Option<Pace>,
    tokens: Option<Pace>,
}

/// What is left, spread over the time for which it has to do.
///
/// Some vendors begin a new minute, others let it run in evenly and mean the time until all of it is there again. The
/// same pace suits both: the first kind is used up just at the end, and with the second every answer tells of more, until
/// half of the limit stands unused and we send as fast as it runs in.
#[derive(Clone, Copy, Debug)]
struct Pace {
    bucket: Bucket,
    until: Instant,
}

impl Pace {
    fn of(earlier: Option<Self>, left: Left, now: Instant) -> Self {
        let reset = left.reset.unwrap_or(MINUTE);
        let remaining = left.remaining.max(0.0);
        let until = now + reset;
        let seconds = reset.as_secs_f64().max(1e-3);
        // Where nothing is left, one is there at the end; where that is a limit that runs in evenly, sooner.
        let rate = match left.limit {
            Some(limit) if remaining < 1.0 && runs_in_evenly(limit, remaining, reset) => limit / 60.0 / 2.0,
            _ if remaining < 1.0 => 1.0 / seconds,
            _ => remaining / seconds,
        };
        let capacity = if reset > SPREAD { remaining } else { remaining * AT_ONCE };
        let mut bucket = match earlier {
            Some(Self { mut bucket, until }) if now < until => {
                bucket.change(rate, capacity, now);
                bucket
            }
            _ => Bucket::new(rate, capacity, now),
        };
        if remaining < 1.0 {
            bucket.empty(now);
        }
        Self { bucket, until }
    }
}

/// Returns whether a limit of a minute, of which `remaining` are left, would be whole after `reset` if it ran in evenly.
fn runs_in_evenly(limit: f64, remaining: f64, reset: Duration) -> bool {
    let seconds = (limit - remaining) / limit.max(1.0) * 60.0;
    (reset.as_secs_f64() - seconds).abs() <= 0.02 * seconds
}

impl Vendor {
    /// Returns whether nothing is known that holds now.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        [self.requests, self.tokens].into_iter().flatten().all(|pace| now >= pace.until)
    }

    /// Returns when a request of so many tokens may be sent.
    pub(crate) fn next(&self, tokens: f64, now: Instant) -> Instant {
        let at = |pace: Option<Pace>, n: f64| match pace {
            Some(Pace { bucket, until }) if now < until => bucket.next(n, now).min(until),
            _ => now,
        };
        at(self.requests, 1.0).max(at(self.tokens, tokens))
    }

    pub(crate) fn take(&mut self, tokens: f64, now: Instant) {
        for (pace, n) in [(&mut self.requests, 1.0), (&mut self.tokens, tokens)] {
            if let Some(pace) = pace {
                pace.bucket.take(n, now);
            }
        }
    }

    pub(crate) fn hint(&mut self, hints: &Hints, now: Instant) {
        for (pace, left) in [(&mut self.requests, hints.requests), (&mut self.tokens, hints.tokens)] {
            if let Some(left) = left {
                *pace = Some(Pace::of(*pace, left, now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vendor that counts a limit of a minute, and tells what is left with every answer.
    struct Counting {
        limit: f64,
        /// Whether it begins a new minute, or lets it run in evenly.
        begins_anew: bool,
        left: f64,
        at: Instant,
    }

    impl Counting {
        fn ask(&mut self, now: Instant) -> (bool, Left) {
            if self.begins_anew {
                if now - self.at >= MINUTE {
                    (self.left, self.at) = (self.limit, now);
                }
            } else {
                self.left = (self.left + (now - self.at).as_secs_f64() * self.limit / 60.0).min(self.limit);
                self.at = now;
            }
            let is_taken = self.left >= 1.0;
            self.left -= f64::from(u8::from(is_taken));
            let reset = match self.begins_anew {
                true => MINUTE.saturating_sub(now - self.at),
                false => Duration::from_secs_f64((self.limit - self.left) / self.limit * 60.0),
            };
            let remaining = self.left.floor();
            (is_taken, Left { limit: Some(self.limit), remaining, reset: Some(reset) })
        }
    }

    /// Asks as fast as it may for ten minutes; returns how many were answered, and how many were turned away.
    fn ten_minutes(mut vendor: Counting) -> (u32, u32) {
        let begin = vendor.at;
        let (mut heard, mut now) = (Vendor::default(), begin);
        let (mut n_answered, mut n_refused) = (0, 0);
        while now - begin < 10 * MINUTE {
            let at = heard.next(1.0, now);
            if at > now {
                now = at;
                continue;
            }
            heard.take(1.0, now);
            let (is_taken, left) = vendor.ask(now);
            *if is_taken { &mut n_answered } else { &mut n_refused } += 1;
            heard.hint(&Hints { requests: Some(left), ..Hints::default() }, now);
            now += Duration::from_millis(1);
        }
        (n_answered, n_refused)
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_vendor_says_is_left_is_spread_over_the_time_for_which_it_has_to_do() {
        for limit in [10.0, 60.0, 500.0, 6_000.0] {
            for begins_anew in [true, false] {
                let at = Instant::now();
                let (n_answered, n_refused) = ten_minutes(Counting { limit, begins_anew, left: limit / 3.0, at });
                let (n_answered, allowed) = (f64::from(n_answered), 10.0 * limit);
                assert!(n_answered >= 0.8 * allowed, "{limit} {begins_anew}: {n_answered} of {allowed}");
                assert!(f64::from(n_refused) <= 0.02 * allowed + 1.0, "{limit} {begins_anew}: {n_refused} refused");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_left_means_nothing_is_sent_before_the_time_it_says_and_then_it_is_forgotten() {
        let now = Instant::now();
        let mut heard = Vendor::default();
        assert!(heard.is_silent(now));
        let left = Left { limit: None, remaining: 0.0, reset: Some(Duration::from_secs(7)) };
        heard.hint(&Hints { tokens: Some(left), ..Hints::default() }, now);
        assert_eq!(heard.next(100.0, now), now + Duration::from_secs(7));
        assert!(!heard.is_silent(now) && heard.is_silent(now + Duration::from_secs(7)));
        assert_eq!(heard.next(100.0, now + Duration::from_secs(7)), now + Duration::from_secs(7));
    }
}
