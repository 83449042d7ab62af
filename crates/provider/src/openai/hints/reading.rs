//! Numbers and lengths of time, as headers write them.

use std::time::{Duration, UNIX_EPOCH};

use domain::Timestamp;

use super::LONGEST;

/// A number of seconds from here up is a moment since 1970 (that of 2001) and no length of time.
const EPOCH_SECONDS: f64 = 1e9;

/// And from here up it counts milliseconds (those of 2001).
const EPOCH_MILLIS: f64 = 1e12;

/// Reads a number from 0 up.
pub(super) fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (!number.is_nan() && !number.is_sign_negative()).then_some(number)
}

/// Makes milliseconds a length of time.
pub(super) fn millis(millis: f64) -> Duration {
    seconds(millis * 1e-3)
}

/// Reads a wait: a number of seconds, or a date as HTTP has it. A date that is past asks for no wait.
pub(super) fn wait(text: &str, now: impl Fn() -> Timestamp) -> Option<Duration> {
    number(text).map(seconds).or_else(|| {
        let date = httpdate::parse_http_date(text).ok()?;
        let date = date.duration_since(UNIX_EPOCH).ok()?;
        Some(date.saturating_sub(Duration::from_millis(now().0)))
    })
}

/// Reads when a limit is whole again: a length of time with units (`6m0s`), seconds, seconds or milliseconds since 1970, or
/// a moment as RFC 3339 has it.
pub(super) fn reset(text: &str, now: impl Fn() -> Timestamp) -> Option<Duration> {
    let since = |moment: Duration| moment.saturating_sub(Duration::from_millis(now().0));
    match number(text) {
        Some(number) if number >= EPOCH_MILLIS && number.is_finite() => Some(since(millis(number))),
        Some(number) if number >= EPOCH_SECONDS && number.is_finite() => Some(since(seconds(number))),
        Some(number) => Some(seconds(number)),
        None if text.contains('T') => {
            let moment: jiff::Timestamp = text.parse().ok()?;
            let moment = u64::try_from(moment.as_millisecond()).unwrap_or(0);
            Some(since(Duration::from_millis(moment)))
        }
        None => span(text),
    }
}

/// Reads a length of time with units and nothing behind it: `1s`, `6m0s`, `20ms`, `1h2m3.5s`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let (wait, rest) = span_before(text)?;
    rest.is_empty().then_some(wait)
}

/// Reads a length of time with units at the beginning of a text, in small letters, and returns what is behind it.
pub(super) fn span_before(text: &str) -> Option<(Duration, &str)> {
    let mut total = None;
    let mut rest = text;
    while let Some((wait, behind)) = one_unit(rest.trim_start_matches(' ')) {
        total = Some(total.unwrap_or(Duration::ZERO).saturating_add(wait));
        rest = behind;
    }
    total.map(|total| (total, rest))
}

fn one_unit(text: &str) -> Option<(Duration, &str)> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (digits, behind) = text.split_at(unit_at);
    let amount = number(digits)?;
    let behind = behind.trim_start_matches(' ');
    let unit_end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
    let (unit, rest) = behind.split_at(unit_end);
    let unit = match unit {
        "ms" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    Some((seconds(amount * unit), rest))
}

/// A number that no duration can hold is longer than any wait.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST)
}
