//! A length of time as people write it in a script: `50ms`, `1.5s`, `2m`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The units that a span may be written in, with their length in seconds, the finest first.
const UNITS: [(&str, f64); 5] = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// A length of time, written as a number and a unit: `us`, `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// A string that is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time; write a number and a unit, such as `50ms`, `1.5s` or `2m`")]
pub struct SpanError(String);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(Duration::ZERO);
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Span {
        Span(duration)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        span.0
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Span, SpanError> {
        let refused = || SpanError(text.to_owned());
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let (number, unit) = text.split_at(unit_at);
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
        let number: f64 = number.parse().map_err(|_| refused())?;
        Duration::try_from_secs_f64(number * seconds).map(Span).map_err(|_| refused())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros.is_multiple_of(60_000_000) && micros > 0 {
            write!(f, "{}m", micros / 60_000_000)
        } else if micros.is_multiple_of(1_000_000) {
            write!(f, "{}s", micros / 1_000_000)
        } else if micros.is_multiple_of(1_000) {
            write!(f, "{}ms", micros / 1_000)
        } else {
            write!(f, "{micros}us")
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time: a number and a unit (us, ms, s, m or h).",
            "pattern": r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h)$",
            "examples": ["50ms", "1.5s", "2m"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_as_people_write_it() {
        let check = |text: &str, millis: u64| {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        };
        check("50ms", 50);
        check("1.5s", 1_500);
        check("2m", 120_000);
        check("0s", 0);
        check("1000us", 1);
        check("1h", 3_600_000);
        for text in ["", "5", "ms", "-1s", "1 s", "1d", "1.2.3s", "99999999999999999999h", "١s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_printed_span_reads_back() {
        for micros in [0, 1, 999, 1_000, 1_500_000, 2_000_000, 60_000_000, 90_000_000, 3_600_000_000] {
            let span = Span(Duration::from_micros(micros));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
