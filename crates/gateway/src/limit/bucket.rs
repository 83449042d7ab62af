//! A bucket that fills at a rate and is emptied by what is sent.
//!
//! In any stretch of time no more leaves it than it holds when it is full, plus what runs in meanwhile. What turns out
//! to have been more than was taken is owed: nothing leaves the bucket until the debt has run in again.

use std::time::Duration;

use tokio::time::Instant;

/// What counts as nothing: sums of fractions do not come out even.
const NOTHING: f64 = 1e-6;
/// Longer than anybody waits; so that a rate of almost nothing gives a time that exists.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// A token bucket. It is asked with the time, and counts nothing between two questions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// What runs in, per second; above 0.
    rate: f64,
    /// What it holds when it is full; at least 1.
    capacity: f64,
    /// What it held at `at`; below 0 where it owes.
    level: f64,
    at: Instant,
}

impl Bucket {
    /// Makes a full bucket. A capacity below 1 is raised to 1: otherwise no request could ever leave it.
    pub(crate) fn new(rate: f64, capacity: f64, now: Instant) -> Self {
        let capacity = capacity.max(1.0);
        Self { rate, capacity, level: capacity, at: now }
    }

    /// Returns what it holds when it is full; at least 1.
    pub(crate) fn capacity(&self) -> f64 {
        self.capacity
    }

    fn level(&self, now: Instant) -> f64 {
        let ran_in = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        (self.level + ran_in).min(self.capacity)
    }

    /// Returns when `n` can be taken: `now` or later. More than it holds is given when it is full, and owed from then on:
    /// one request that is larger than the limit of a minute is sent once a minute is saved up.
    pub(crate) fn next(&self, n: f64, now: Instant) -> Instant {
        let missing = n.min(self.capacity) - self.level(now);
        if missing <= NOTHING {
            return now;
        }
        let wait = Duration::try_from_secs_f64(missing / self.rate).map_or(LONGEST, |wait| wait.min(LONGEST));
        // The nanosecond that rounding may have cost.
        now + wait + Duration::from_nanos(1)
    }

    /// Takes `n`, whether it is there or not.
    pub(crate) fn take(&mut self, n: f64, now: Instant) {
        self.level = self.level(now) - n;
        self.at = now;
    }

    /// Puts `n` back, as far as there is room.
    pub(crate) fn give_back(&mut self, n: f64, now: Instant) {
        self.take(-n, now);
        self.level = self.level.min(self.capacity);
    }

    /// Takes what is there.
    pub(crate) fn empty(&mut self, now: Instant) {
        self.take(0.0, now);
        self.level = self.level.min(0.0);
    }

    /// Goes on with what `old` holds, or owes. What a larger bucket has room for runs in at its rate, so that no stretch of
    /// time around the change sees more than the larger of both allows.
    pub(crate) fn go_on_with(&mut self, mut old: Self, now: Instant) {
        old.change(self.rate, self.capacity, now);
        *self = old;
    }

    /// Goes on at another rate and capacity, with what it holds now and there is room for.
    pub(crate) fn change(&mut self, rate: f64, capacity: f64, now: Instant) {
        self.take(0.0, now);
        (self.rate, self.capacity) = (rate, capacity.max(1.0));
        self.level = self.level.min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers below 1, the same for the same seed.
    fn draws(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    fn after(begin: Instant, seconds: f64) -> Instant {
        begin + Duration::from_secs_f64(seconds)
    }

    /// Fails where some stretch of time saw more than the bucket allows.
    fn check_windows(sent: &[(Instant, f64)], rate: f64, capacity: f64, largest: f64) {
        for (n, (from, _)) in sent.iter().enumerate() {
            let mut sum = 0.0;
            for (to, amount) in &sent[n..] {
                sum += amount;
                let allowed = capacity + rate * (*to - *from).as_secs_f64() + (largest - capacity).max(0.0);
                assert!(sum <= allowed * (1.0 + 1e-6) + 1e-3, "{sum} in {:?}, allowed {allowed}", *to - *from);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn under_pressure_no_stretch_sees_more_than_the_burst_and_the_rate_and_almost_all_is_used() {
        for seed in 1..=60 {
            let mut draw = draws(seed);
            // From one in a hundred seconds to a hundred in one.
            let rate = 10_f64.powf(draw() * 4.0 - 2.0);
            let capacity = (2.0 * rate).max(1.0);
            let begin = Instant::now();
            let (mut bucket, mut now, mut sent) = (Bucket::new(rate, capacity, begin), begin, Vec::new());
            while sent.len() < 800 {
                let at = bucket.next(1.0, now);
                if at > now {
                    // Somebody who comes a moment late, as timers do.
                    now = at + Duration::from_secs_f64(draw() * 0.01 / rate);
                    continue;
                }
                bucket.take(1.0, now);
                sent.push((now, 1.0));
            }
            check_windows(&sent, rate, capacity, 1.0);
            let allowed = capacity + rate * (now - begin).as_secs_f64();
            assert!(sent.len() as f64 >= 0.95 * allowed, "seed {seed}: {} of {allowed}", sent.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn amounts_that_are_estimated_and_settled_keep_to_the_rate_in_the_long_run() {
        for seed in 1..=60 {
            let mut draw = draws(seed);
            let (rate, capacity) = (1_000.0, 60_000.0);
            let begin = Instant::now();
            let (mut bucket, mut now, mut used) = (Bucket::new(rate, capacity, begin), begin, 0.0);
            while now - begin < Duration::from_mins(10) {
                let estimate = 100.0 + draw() * 3_000.0;
                now = bucket.next(estimate, now);
                bucket.take(estimate, now);
                // Known at once, which is the hardest case: half of it, or twice as much.
                let real = estimate * (0.5 + 1.5 * draw());
                if real > estimate {
                    bucket.take(real - estimate, now);
                } else {
                    bucket.give_back(estimate - real, now);
                }
                used += real;
            }
            let allowed = capacity + rate * (now - begin).as_secs_f64();
            assert!(used <= allowed + 6_000.0 && used >= 0.95 * allowed, "seed {seed}: {used} of {allowed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_far_below_one_a_second_still_lets_requests_through() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(0.1, 0.2, begin);
        assert_eq!(bucket.next(1.0, begin), begin);
        bucket.take(1.0, begin);
        let next = bucket.next(1.0, begin);
        assert_eq!((next - begin).as_millis(), 10_000);
        assert_eq!(bucket.next(1.0, next), next);
        bucket.take(1.0, next);
        assert!(bucket.next(1.0, next) > next);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_the_bucket_is_sent_when_it_is_full_and_owed_then() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(10.0, 600.0, begin);
        bucket.take(600.0, begin);
        assert_eq!((bucket.next(1_800.0, begin) - begin).as_secs(), 60);
        let full = after(begin, 61.0);
        bucket.take(1_800.0, full);
        assert_eq!((bucket.next(10.0, full) - full).as_secs(), 121);
        bucket.give_back(1_200.0, full);
        assert_eq!((bucket.next(10.0, full) - full).as_secs(), 1);
        bucket.give_back(9_999.0, full);
        assert_eq!(bucket.next(600.0, full), full);
        assert!(bucket.next(600.0, full) == full && bucket.level(full) <= 600.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_of_almost_nothing_is_a_long_wait_and_no_panic() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(f64::MIN_POSITIVE, 1.0, begin);
        bucket.take(1.0, begin);
        assert_eq!((bucket.next(1.0, begin) - begin).as_secs(), LONGEST.as_secs());
    }
}
