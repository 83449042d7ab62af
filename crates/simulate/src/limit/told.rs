//! What is left of the limits, in headers.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Left;
use crate::script::Spelling;

/// How a vendor names its headers: that of a limit on `what`, and the three parts of it.
struct Names {
    name: fn(part: &str, what: &str) -> String,
    requests: &'static str,
    tokens: Option<&'static str>,
    reset: fn(Duration) -> String,
}

/// Puts the headers of this spelling.
pub(super) fn put(spelling: Spelling, requests: Option<Left>, tokens: Option<Left>, headers: &mut HeaderMap) {
    let openai = |part: &str, what: &str| format!("x-ratelimit-{part}-{what}");
    let names = match spelling {
        Spelling::OpenAi => Names { name: openai, requests: "requests", tokens: Some("tokens"), reset: units },
        Spelling::Azure => Names { name: openai, requests: "requests", tokens: Some("tokens"), reset: seconds },
        Spelling::Anthropic => Names {
            name: |part, what| format!("anthropic-ratelimit-{what}-{part}"),
            requests: "requests",
            tokens: Some("tokens"),
            reset: moment,
        },
        Spelling::Ietf => {
            Names { name: |part, _| format!("ratelimit-{part}"), requests: "", tokens: None, reset: seconds }
        }
        Spelling::Gemini | Spelling::Words | Spelling::Dates => return,
    };
    let told = [(Some(names.requests), requests), (names.tokens, tokens)];
    for (what, left) in told {
        let (Some(what), Some(left)) = (what, left) else { continue };
        let parts = [
            ("limit", left.limit.to_string()),
            ("remaining", left.remaining.to_string()),
            ("reset", (names.reset)(left.reset)),
        ];
        for (part, value) in parts {
            let name = HeaderName::try_from((names.name)(part, what));
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
    }
}

/// `20ms`, `1.5s`, `6m0s`.
fn units(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{}s", millis as f64 / 1e3),
        _ => format!("{}m{}s", millis / 60_000, (millis % 60_000) as f64 / 1e3),
    }
}

/// Whole seconds.
fn seconds(time: Duration) -> String {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).to_string()
}

/// The date that it is, and that it will be behind `wait`, as HTTP has dates.
#[expect(clippy::disallowed_methods, reason = "a vendor tells the time of day, and is no part of what a Clock is for")]
pub(crate) fn dates(wait: Duration) -> Option<[HeaderValue; 2]> {
    let now = SystemTime::now();
    let date = |at: SystemTime| {
        let date = jiff::Timestamp::try_from(at).ok()?.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        HeaderValue::try_from(date).ok()
    };
    // Whole seconds are all that there is, and nobody shall come too early.
    let whole = wait + Duration::from_millis(999);
    Some([date(now)?, date(now + whole)?])
}

/// A moment of RFC 3339, in whole seconds.
#[expect(clippy::disallowed_methods, reason = "a vendor tells the time of day, and is no part of what a Clock is for")]
fn moment(time: Duration) -> String {
    let moment = jiff::Timestamp::try_from(SystemTime::now() + time + Duration::from_secs(1));
    moment.map_or(String::new(), |moment| moment.round(jiff::Unit::Second).unwrap_or(moment).to_string())
}
