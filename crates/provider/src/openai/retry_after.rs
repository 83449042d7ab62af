//! How long the vendor asks us to wait.

use std::time::{Duration, UNIX_EPOCH};

use domain::Timestamp;
use http::HeaderMap;

/// Longer waits are mistakes of a clock or a unit.
const LONGEST: Duration = Duration::from_hours(24);

/// Pairs of headers that tell what is left of a limit, and when it is whole again.
/// <https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers>
const LIMITS: [(&str, &str); 2] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
];

/// Returns the wait that the headers ask for, the most exact statement first.
pub(super) fn read(headers: &HeaderMap, now: impl FnOnce() -> Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let wait = text("retry-after-ms")
        .and_then(|ms| seconds(ms, 1e-3))
        .or_else(|| text("retry-after").and_then(|value| seconds(value, 1.0).or_else(|| until(value, now()))))
        .or_else(|| {
            let exhausted = LIMITS.iter().filter(|(remaining, _)| text(remaining) == Some("0"));
            exhausted.filter_map(|(_, reset)| text(reset).and_then(span)).max()
        });
    wait.map(|wait| wait.min(LONGEST))
}

/// Reads a number of units of so many seconds.
fn seconds(text: &str, unit: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    if number.is_nan() || number.is_sign_negative() {
        return None;
    }
    Some(Duration::try_from_secs_f64(number * unit).unwrap_or(LONGEST))
}

/// Reads an HTTP date; one that is past asks for no wait.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let date = httpdate::parse_http_date(text).ok()?;
    let date = date.duration_since(UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(Duration::from_millis(now.0)))
}

/// Reads a length of time as limit headers write it: `1s`, `6m0s`, `20ms`, `1h2m3.5s`.
fn span(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(unit_at);
        let unit_end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let unit = match &behind[..unit_end] {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.saturating_add(seconds(number, unit)?);
        rest = &behind[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Timestamp = Timestamp(784_111_777_000);

    fn check(headers: &[(&'static str, &'static str)], expected_ms: Option<u64>) {
        let map = headers.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect();
        assert_eq!(read(&map, || NOW), expected_ms.map(Duration::from_millis), "{headers:?}");
    }

    #[test]
    fn every_form_of_a_wait_is_understood() {
        check(&[], None);
        check(&[("retry-after", "2")], Some(2_000));
        check(&[("retry-after", " 0.25 ")], Some(250));
        check(&[("retry-after", "0")], Some(0));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")], Some(3_000));
        check(&[("retry-after", "Sunday, 06-Nov-94 08:49:40 GMT")], Some(3_000));
        check(&[("retry-after", "Sun Nov  6 08:49:40 1994")], Some(3_000));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], Some(0));
        check(&[("retry-after-ms", "1500"), ("retry-after", "2")], Some(1_500));
        check(&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")], Some(360_000));
        check(
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "20ms"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "1h0m3.5s"),
            ],
            Some(3_603_500),
        );
        check(&[("x-ratelimit-remaining-requests", "3"), ("x-ratelimit-reset-requests", "1s")], None);
    }

    #[test]
    fn nonsense_is_no_wait_and_no_wait_is_longer_than_a_day() {
        for text in ["", "-1", "soon", "NaN", "1s", "Sun, 99 Nov 1994 08:49:40 GMT"] {
            check(&[("retry-after", text)], None);
        }
        for text in ["", "1", "s", "1y", "1s2"] {
            check(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", text)], None);
        }
        check(&[("retry-after", "1e300")], Some(86_400_000));
        check(&[("retry-after", "inf")], Some(86_400_000));
        check(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")], Some(86_400_000));
        check(&[("retry-after-ms", "x"), ("retry-after", "1")], Some(1_000));
    }
}
