//! The limits on requests and tokens, kept to the letter, and told in a vendor's spelling.

pub(crate) mod told;

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use tokio::time::Instant;

use crate::script::{Limits, Spelling};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Everything that admits by time.
pub(crate) struct Gates {
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    windows: Vec<Window>,
    tokens: Option<Bucket>,
}

/// The times of the last admissions, no more of them than one span may hold.
///
/// A token bucket would admit nearly twice the rate in an unlucky second; this admits the rate in any second.
struct Window {
    most: usize,
    span: Duration,
    admitted: VecDeque<Instant>,
}

/// Tokens that come back steadily. An answer that was longer than what was left leaves a debt.
struct Bucket {
    per_minute: f64,
    left: f64,
    at: Instant,
}

impl Gates {
    pub(crate) fn new(limits: Limits) -> Gates {
        let window = |limit: Option<u32>, span| {
            limit.map(|most| Window { most: most as usize, span, admitted: VecDeque::new() })
        };
        let windows = [window(limits.requests_per_second, SECOND), window(limits.requests_per_minute, MINUTE)];
        let tokens = limits.tokens_per_minute.map(|per_minute| {
            let per_minute = f64::from(per_minute);
            Bucket { per_minute, left: per_minute, at: Instant::now() }
        });
        Gates { limits, state: Mutex::new(State { windows: windows.into_iter().flatten().collect(), tokens }) }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether nothing is limited by time.
    pub(crate) fn are_open(&self) -> bool {
        let Limits { requests_per_second, requests_per_minute, tokens_per_minute, .. } = self.limits;
        requests_per_second.or(requests_per_minute).or(tokens_per_minute).is_none()
    }

    /// Admits a request with so many tokens now, or says how long to wait until one would be.
    pub(crate) fn admit(&self, tokens: usize) -> Result<(), Duration> {
        if self.are_open() {
            return Ok(());
        }
        let now = Instant::now();
        let mut state = self.state();
        let tokens = tokens as f64;
        let of_windows = state.windows.iter_mut().filter_map(|window| window.wait(now)).max();
        let of_tokens = state.tokens.as_mut().and_then(|bucket| bucket.wait(tokens, now));
        if let Some(wait) = of_windows.max(of_tokens) {
            return Err(wait);
        }
        for window in &mut state.windows {
            window.admitted.push_back(now);
        }
        if let Some(bucket) = &mut state.tokens {
            bucket.left -= tokens;
        }
        Ok(())
    }

    /// Takes the tokens of an answer.
    pub(crate) fn settle(&self, tokens: usize) {
        if let Some(bucket) = &mut self.state().tokens {
            bucket.left -= tokens as f64;
        }
    }

    /// Puts headers on an answer that tell what is left, in this spelling.
    pub(crate) fn tell(&self, spelling: Spelling, headers: &mut HeaderMap) {
        if self.are_open() {
            return;
        }
        let now = Instant::now();
        let mut state = self.state();
        let requests = state.windows.iter_mut().map(|window| window.left(now)).min_by_key(|left| left.remaining);
        let tokens = state.tokens.as_mut().map(|bucket| bucket.left(now));
        drop(state);
        told::put(spelling, requests, tokens, headers);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves it whole: each change is a number or one time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of a limit.
#[derive(Clone, Copy)]
struct Left {
    limit: u64,
    remaining: u64,
    /// How long until all of it is there again.
    reset: Duration,
}

impl Window {
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.forget(now);
        let oldest = self.admitted.front().filter(|_| self.admitted.len() >= self.most)?;
        Some(self.span - (now - *oldest))
    }

    fn left(&mut self, now: Instant) -> Left {
        self.forget(now);
        let reset = self.admitted.back().map_or(Duration::ZERO, |newest| self.span - (now - *newest));
        let remaining = self.most.saturating_sub(self.admitted.len()) as u64;
        Left { limit: self.most as u64, remaining, reset }
    }

    fn forget(&mut self, now: Instant) {
        while self.admitted.front().is_some_and(|oldest| now - *oldest >= self.span) {
            self.admitted.pop_front();
        }
    }
}

impl Bucket {
    fn wait(&mut self, tokens: f64, now: Instant) -> Option<Duration> {
        self.refill(now);
        // What is more than the bucket holds is admitted by a full one; it would wait for ever.
        let missing = tokens.min(self.per_minute) - self.left;
        (missing > 0.0).then(|| MINUTE.mul_f64(missing / self.per_minute))
    }

    fn left(&mut self, now: Instant) -> Left {
        self.refill(now);
        let reset = MINUTE.mul_f64(((self.per_minute - self.left) / self.per_minute).max(0.0));
        Left { limit: self.per_minute as u64, remaining: self.left.max(0.0) as u64, reset }
    }

    fn refill(&mut self, now: Instant) {
        let passed = (now - self.at).as_secs_f64() / MINUTE.as_secs_f64();
        self.left = (self.left + passed * self.per_minute).min(self.per_minute);
        self.at = now;
    }
}
