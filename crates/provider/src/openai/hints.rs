//! What a vendor tells of its limits: how long to wait, and what is left.
//!
//! Every vendor has names of its own, and units of its own. The names are a table here; the units are told by how a value
//! looks, in `reading`. What was read in documents and not seen live is all of it but the scripted vendor's.
//!
//! - `names`: which header tells what
//! - `reading`: lengths of time, as headers write them
//! - `said`: the same in the words of a refusal

mod names;
mod reading;
mod said;

use std::time::{Duration, UNIX_EPOCH};

use domain::Timestamp;
use http::{HeaderMap, header};

use names::{Kept, Part, Tells};

/// Longer waits are mistakes of a clock or a unit.
const LONGEST: Duration = Duration::from_hours(24);

/// What a vendor tells of its limits with an answer or a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hints {
    /// How long to wait before the next request, at most a day. Counted from when the headers came.
    pub retry_after: Option<Duration>,
    /// What is left of the limit on requests. Where there are several (per minute, per day), the one with the fewest left.
    pub requests: Option<Left>,
    /// What is left of the limit on tokens. Where there are several (per minute, per day, input, output), the one with the
    /// fewest left.
    pub tokens: Option<Left>,
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    /// The limit itself, in requests or tokens of a period that is not told.
    pub limit: Option<f64>,
    /// What is left of it, never below 0.
    pub remaining: f64,
    /// How long until it is whole again, at most a day.
    pub reset: Option<Duration>,
}

impl Hints {
    /// Reads what the headers tell, and of a refusal the body as well. `now` is asked only where a moment of the calendar
    /// is told, and the vendor does not say what time it is there: two clocks seldom agree, and some jump.
    ///
    /// The clearest statement of a wait wins: milliseconds, `Retry-After`, the words of the refusal, and then the reset of a
    /// limit of which nothing is left. Headers of no such name cost a comparison of their first letter each.
    pub fn read(headers: &HeaderMap, refusal: Option<&[u8]>, now: impl Fn() -> Timestamp) -> Self {
        let theirs = || {
            let date = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
            let since = date.duration_since(UNIX_EPOCH).ok()?;
            Some(Timestamp(u64::try_from(since.as_millis()).ok()?))
        };
        let now = || theirs().unwrap_or_else(&now);
        let mut seen = Seen::default();
        for (name, value) in headers {
            let name = name.as_str();
            if !names::may_be_one(name) {
                continue;
            }
            let Some(tells) = names::find(name) else { continue };
            if let Ok(text) = value.to_str() {
                seen.take(tells, text.trim(), refusal.is_some(), &now);
            }
        }
        let [requests, tokens] = [Kept::REQUESTS, Kept::TOKENS].map(|kept| seen.scarcest(kept));
        let retry_after =
            seen.exact.or(seen.wait).or_else(|| refusal.and_then(said::wait)).or(seen.unless_said).or_else(|| {
                let spent = [requests, tokens].into_iter().flatten().filter(|left| left.remaining <= 0.0);
                spent.filter_map(|left| left.reset).max()
            });
        Self { retry_after: retry_after.map(|wait| wait.min(LONGEST)), requests, tokens }
    }

    /// Whether nothing was told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the headers told, name by name.
#[derive(Default)]
struct Seen {
    exact: Option<Duration>,
    wait: Option<Duration>,
    /// A wait in a header that gateways send with every answer, so that it is one only where the request is refused.
    unless_said: Option<Duration>,
    limits: [Told; Kept::N],
}

#[derive(Clone, Copy, Default)]
struct Told {
    limit: Option<f64>,
    remaining: Option<f64>,
    reset: Option<Duration>,
}

impl Seen {
    fn take(&mut self, tells: Tells, text: &str, is_refusal: bool, now: &impl Fn() -> Timestamp) {
        match tells {
            Tells::WaitMillis => self.exact = self.exact.or_else(|| reading::number(text).map(reading::millis)),
            Tells::Wait => self.wait = self.wait.or_else(|| reading::wait(text, now)),
            Tells::WaitIfRefused if is_refusal => self.unless_said = reading::wait(text, now),
            Tells::WaitIfRefused => {}
            Tells::Of(kept, part) => {
                let told = &mut self.limits[kept as usize];
                match part {
                    Part::Limit => told.limit = reading::number(text),
                    Part::Remaining => told.remaining = reading::number(text),
                    Part::Reset => told.reset = reading::reset(text, now).map(|wait| wait.min(LONGEST)),
                }
            }
            Tells::Members(kept) => {
                let told = &mut self.limits[kept as usize];
                for (part, text) in names::members(text) {
                    match part {
                        Part::Limit => told.limit = reading::number(text),
                        Part::Remaining => told.remaining = reading::number(text),
                        Part::Reset => told.reset = reading::reset(text, now).map(|wait| wait.min(LONGEST)),
                    }
                }
            }
        }
    }

    /// Returns the one of these limits of which the least is left; among equals the one that takes longer to be whole.
    fn scarcest(&self, kept: &[Kept]) -> Option<Left> {
        let lefts = kept.iter().filter_map(|kept| {
            let Told { limit, remaining, reset } = self.limits[*kept as usize];
            remaining.map(|remaining| Left { limit, remaining, reset })
        });
        lefts.reduce(|one, other| {
            let is_scarcer =
                other.remaining < one.remaining || (other.remaining == one.remaining && other.reset > one.reset);
            if is_scarcer { other } else { one }
        })
    }
}

#[cfg(test)]
mod tests;
