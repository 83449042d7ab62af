//! Whether an upstream is well: what its answers and failures come to.
//!
//! Three things keep requests away from an upstream, and they end in three ways:
//!
//! - It **cools down** after it throttled us: until the time it named, or for 2 s, 4 s, 6 s, 8 s, 10 s, 14 s, 22 s, 38 s, 60 s. An answer
//!   begins the count anew.
//! - Its **breaker is open** after it could not be reached, or failed ten times in a row: then a single request, the
//!   probe, is let through after waits of the same series, and anything it answers closes the breaker.
//! - It is **dead** when it refuses the key or the account has no credit. That needs a person, and then a configuration that
//!   is read again: from there on a single request finds out, as after an outage.

use std::time::Duration;

use domain::{Cost, Failure, FailureKind};
use provider::Failed;
use tokio::time::Instant;

use crate::jitter::Jitter;

/// Failures in a row, each with an answer or a connection, after which an upstream counts as broken.
const FAULTS: u32 = 10;
/// How long an upstream is left alone that does not say itself for how long, in seconds, and the longer the more often it
/// was to no avail. The series is AI-DataFlux's, whose users know it.
const WAITS: [u64; 9] = [2, 4, 6, 8, 10, 14, 22, 38, 60];
/// Under a stated wait, so that a vendor who always says "after 0 seconds" is not asked in a hot loop.
const SHORTEST_COOL_DOWN: Duration = Duration::from_millis(20);

/// How an upstream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may be asked.
    Well,
    /// It may be asked once, to see.
    ProbeDue,
    /// Not before then: it throttled us.
    CoolsUntil(Instant),
    /// Not before then; `None` while the probe is out.
    OpenUntil(Option<Instant>),
    /// Not until its configuration is read again.
    Dead,
}

#[derive(Clone, Copy, Debug)]
enum Breaker {
    Closed,
    Open { probe_at: Instant, n_failed_probes: u32, is_probing: bool },
}

#[derive(Clone, Copy, Debug)]
struct Cooling {
    since: Instant,
    until: Instant,
}

/// The health of one upstream.
#[derive(Debug)]
pub(crate) struct Health {
    is_dead: bool,
    /// When somebody last said that it is worth another try.
    revived_at: Option<Instant>,
    breaker: Breaker,
    n_faults: u32,
    cooling: Option<Cooling>,
    n_throttles: u32,
    /// Since when it has given no answer, for the limit on outages.
    troubled_since: Option<Instant>,
    last: Option<Failure>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            is_dead: false,
            revived_at: None,
            breaker: Breaker::Closed,
            n_faults: 0,
            cooling: None,
            n_throttles: 0,
            troubled_since: None,
            last: None,
        }
    }

    pub(crate) fn standing(&self, now: Instant) -> Standing {
        if self.is_dead {
            return Standing::Dead;
        }
        match (self.breaker, self.cooling) {
            (Breaker::Open { is_probing: true, .. }, _) => Standing::OpenUntil(None),
            (Breaker::Open { probe_at, .. }, _) if now < probe_at => Standing::OpenUntil(Some(probe_at)),
            (Breaker::Open { .. }, _) => Standing::ProbeDue,
            (Breaker::Closed, Some(cooling)) if now < cooling.until => Standing::CoolsUntil(cooling.until),
            (Breaker::Closed, _) => Standing::Well,
        }
    }

    /// Its configuration was read again: the bill may have been paid, or the key mended at the vendor. One request finds out.
    pub(crate) fn revive(&mut self, now: Instant) {
        if self.is_dead {
            let breaker = Breaker::Open { probe_at: now, n_failed_probes: 0, is_probing: false };
            let (revived_at, last) = (Some(now), self.last.take());
            *self = Self { revived_at, breaker, last, ..Self::new() };
        }
    }

    /// Returns the last failure, for people.
    pub(crate) fn last(&self) -> Option<&Failure> {
        self.last.as_ref()
    }

    /// Returns since when there has been no answer.
    pub(crate) fn troubled_since(&self) -> Option<Instant> {
        self.troubled_since
    }

    pub(crate) fn begin_probe(&mut self) {
        self.set_probing(true);
    }

    /// The probe ended without a word about the upstream: it was never sent, or called off.
    pub(crate) fn abandon_probe(&mut self) {
        self.set_probing(false);
    }

    fn set_probing(&mut self, is_out: bool) {
        if let Breaker::Open { is_probing, .. } = &mut self.breaker {
            *is_probing = is_out;
        }
    }

    /// It answered.
    pub(crate) fn answered(&mut self) {
        if self.is_dead {
            // An answer to what was sent before; the reason must stay.
            return;
        }
        self.breaker = Breaker::Closed;
        self.n_faults = 0;
        self.n_throttles = 0;
        self.troubled_since = None;
        self.last = None;
    }

    /// It failed a request whose place was taken at `taken`; returns who pays.
    pub(crate) fn failed(
        &mut self,
        failed: &Failed,
        is_probe: bool,
        taken: Instant,
        now: Instant,
        jitter: &mut Jitter,
    ) -> Cost {
        let failure = &failed.failure;
        match failure.kind {
            FailureKind::Throttled => {
                self.cool_down(failure.retry_after_ms.map(Duration::from_millis), taken, now, jitter);
                // Somebody is there who says so.
                self.breaker = Breaker::Closed;
                self.n_faults = 0;
                self.trouble(failure, now);
                Cost::Lane
            }
            FailureKind::Unauthorized | FailureKind::ExhaustedCredit => {
                // What was sent before tells of the time before.
                self.is_dead |= self.revived_at.is_none_or(|revived| revived <= taken);
                self.trouble(failure, now);
                Cost::Lane
            }
            FailureKind::Unavailable | FailureKind::Timeout => {
                let was_open = is_probe || matches!(self.breaker, Breaker::Open { .. });
                self.n_faults += 1;
                if !failed.is_reached || self.n_faults >= FAULTS || was_open {
                    self.trouble(failure, now);
                    self.open(is_probe, now);
                }
                if was_open || !failed.is_reached { Cost::Lane } else { Cost::Record }
            }
            // What failed is the request. Where it came as far as the upstream, somebody answered.
            _ => {
                if failed.is_reached {
                    self.answered();
                } else if is_probe {
                    self.abandon_probe();
                }
                Cost::Record
            }
        }
    }

    fn trouble(&mut self, failure: &Failure, now: Instant) {
        self.troubled_since.get_or_insert(now);
        self.last = Some(failure.clone());
    }

    fn open(&mut self, is_probe: bool, now: Instant) {
        let n_failed_probes = match self.breaker {
            Breaker::Closed => 0,
            Breaker::Open { n_failed_probes, .. } if is_probe => n_failed_probes.saturating_add(1),
            // A request that was in flight when the breaker opened tells nothing new.
            Breaker::Open { .. } => return,
        };
        let wait = nth_wait(n_failed_probes);
        self.breaker = Breaker::Open { probe_at: now + wait, n_failed_probes, is_probing: false };
    }

    fn cool_down(&mut self, asked: Option<Duration>, taken: Instant, now: Instant, jitter: &mut Jitter) {
        let earlier = self.cooling;
        let (since, wait) = match earlier {
            // All that were in flight are throttled together: that is one reason to slow down, not sixty-four.
            Some(cooling) if taken < cooling.since => (cooling.since, asked.unwrap_or_default()),
            _ => {
                let own = match asked {
                    Some(_) => doubled(SHORTEST_COOL_DOWN, self.n_throttles, nth_wait(u32::MAX)),
                    None => nth_wait(self.n_throttles),
                };
                let own = jitter.stretch(own);
                self.n_throttles = self.n_throttles.saturating_add(1);
                (now, own.max(asked.unwrap_or_default()))
            }
        };
        let until = earlier.map_or(now + wait, |cooling| cooling.until.max(now + wait));
        self.cooling = Some(Cooling { since, until });
    }
}

fn nth_wait(n_before: u32) -> Duration {
    let last = WAITS.len() - 1;
    Duration::from_secs(WAITS[usize::try_from(n_before).unwrap_or(last).min(last)])
}

fn doubled(first: Duration, n_times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(n_times).unwrap_or(u32::MAX)).min(longest)
}

#[cfg(test)]
mod tests;
