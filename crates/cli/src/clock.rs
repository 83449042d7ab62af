//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::{Clock, Timestamp};

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock port's one real implementation")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Writes a time for people and for files, in UTC: `2026-11-21T09:15:00Z`.
pub(crate) fn utc(at: Timestamp) -> String {
    let stamp = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    stamp.map_or_else(|| at.0.to_string(), |stamp| stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Writes a time as a part of a name: `20261121-091500`.
pub(crate) fn compact(at: Timestamp) -> String {
    utc(at).replace(['-', ':', 'Z'], "").replace('T', "-")
}
