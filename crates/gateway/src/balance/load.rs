//! How much an upstream has to do, as far as it shows.

use std::time::Duration;

use tokio::time::Instant;

/// After this time a third is left of what was seen.
const MEMORY: Duration = Duration::from_secs(10);
/// The least that a failure counts, and what is expected of one that never answered.
const SLOW: f64 = 1.0;
/// A failure counts as so many times the usual latency, so that whoever fails fast does not look best.
const FAILURE: f64 = 4.0;

/// The latency of an upstream: a moving average that jumps up at once and comes down slowly (Finagle's peak EWMA).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// In seconds, and when it was seen.
    latest: Option<(f64, Instant)>,
}

impl Load {
    /// It answered after `latency`.
    pub(crate) fn answered(&mut self, latency: Duration, now: Instant) {
        self.add(latency.as_secs_f64(), now);
    }

    /// It failed after `latency`, through a fault of its own.
    pub(crate) fn failed(&mut self, latency: Duration, now: Instant) {
        let usual = self.latest.map_or(0.0, |(mean, _)| mean);
        self.add(latency.as_secs_f64().max(usual * FAILURE).max(SLOW), now);
    }

    fn add(&mut self, latency: f64, now: Instant) {
        let mean = match self.latest {
            Some((mean, seen)) if latency < mean => {
                let kept = kept(seen, now);
                mean * kept + latency * (1.0 - kept)
            }
            _ => latency,
        };
        self.latest = Some((mean, now));
    }

    /// Returns how long one more request would take here, in seconds for each unit of weight. It is for comparing.
    pub(crate) fn score(&self, n_in_flight: usize, weight: u32, now: Instant) -> f64 {
        let latency = match self.latest {
            // Nothing is known, and nobody is finding out.
            None if n_in_flight == 0 => return 0.0,
            None => SLOW,
            // What nobody asks any more is forgotten, so that it gets a chance again. While somebody is waiting, silence
            // is no good sign.
            Some((mean, seen)) if n_in_flight == 0 => mean * kept(seen, now),
            Some((mean, _)) => mean,
        };
        latency * (n_in_flight + 1) as f64 / f64::from(weight.max(1))
    }
}

/// Returns which part is left of what was seen at `seen`.
fn kept(seen: Instant, now: Instant) -> f64 {
    (-now.saturating_duration_since(seen).as_secs_f64() / MEMORY.as_secs_f64()).exp()
}
