//! What a model's vendor allows, as the models file states it: how many at once, and how many in a time.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// The most requests that may be in flight at one model.
const MOST: usize = 100_000;
/// Where an adaptive width begins unless the file says so: few enough for a server at home.
const START: usize = 8;
/// How far an adaptive width may go unless the file says so.
const FAR: usize = 1_024;

/// How many requests may be in flight at a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxInFlight {
    /// So many, whatever happens.
    Fixed(usize),
    /// As many as the upstream answers well, found out while it is asked.
    Adaptive {
        /// Where it begins.
        start: usize,
        /// How far it may go.
        most: usize,
    },
}

impl Default for MaxInFlight {
    fn default() -> Self {
        Self::Fixed(64)
    }
}

impl MaxInFlight {
    /// Returns what is wrong with the numbers.
    pub(crate) fn mistake(self) -> Option<String> {
        match self {
            Self::Fixed(0) => Some("`max_in_flight` must be at least 1".to_owned()),
            Self::Fixed(n) if n > MOST => Some(format!("`max_in_flight` must be at most {MOST}")),
            Self::Adaptive { start: 0, .. } => Some("`start` must be at least 1".to_owned()),
            Self::Adaptive { start, most } if start > most => {
                Some("`start` must not be greater than `most`".to_owned())
            }
            Self::Adaptive { most, .. } if most > MOST => Some(format!("`most` must be at most {MOST}")),
            Self::Fixed(_) | Self::Adaptive { .. } => None,
        }
    }
}

impl<'de> Deserialize<'de> for MaxInFlight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Ends {
            start: Option<usize>,
            most: Option<usize>,
        }

        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = MaxInFlight;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, `auto`, or `{ start: 16, most: 256 }`")
            }

            fn visit_u64<E: Error>(self, n: u64) -> Result<MaxInFlight, E> {
                Ok(MaxInFlight::Fixed(usize::try_from(n).unwrap_or(usize::MAX)))
            }

            fn visit_i64<E: Error>(self, n: i64) -> Result<MaxInFlight, E> {
                u64::try_from(n).map_or_else(|_| Ok(MaxInFlight::Fixed(0)), |n| self.visit_u64(n))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<MaxInFlight, E> {
                match text {
                    "auto" => Ok(MaxInFlight::Adaptive { start: START, most: FAR }),
                    other => Err(E::custom(format!("`{other}` is neither a number nor `auto`"))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MaxInFlight, A::Error> {
                let Ends { start, most } = Ends::deserialize(MapAccessDeserializer::new(map))?;
                let start = start.unwrap_or_else(|| START.min(most.unwrap_or(START)));
                Ok(MaxInFlight::Adaptive { start, most: most.unwrap_or_else(|| FAR.max(start)) })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for MaxInFlight {
    fn schema_name() -> Cow<'static, str> {
        "MaxInFlight".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = |description: &str| json_schema!({ "type": "integer", "minimum": 1, "maximum": MOST, "description": description });
        json_schema!({
            "description": "How many requests may be in flight: a number, or `auto` for as many as the upstream answers \
                            well, which is found out while it is asked.",
            "anyOf": [
                number("So many, whatever happens."),
                { "const": "auto", "description": "As many as the upstream answers well." },
                {
                    "type": "object",
                    "properties": {
                        "start": number("Where it begins; 8 unless given."),
                        "most": number("How far it may go; 1024 unless given."),
                    },
                    "additionalProperties": false,
                },
            ],
            "default": 64,
        })
    }
}

/// What a vendor allows in a time. What is not stated is not limited by us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimits {
    /// Requests in a second, spread out: after a rest no more than those of two seconds go out at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<Rate>,
    /// Requests in a minute. Those of a whole minute may go out at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<Rate>,
    /// Tokens of requests and answers in a minute: an estimate when a request is sent, what was billed afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<Rate>,
}

impl RateLimits {
    /// Returns the keys whose numbers allow nothing, or are none.
    pub(crate) fn mistakes(&self) -> impl Iterator<Item = &'static str> + use<> {
        let rates = [
            ("requests_per_second", self.requests_per_second),
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
        ];
        let is_wrong = |rate: Option<Rate>| rate.is_some_and(|Rate(rate)| !rate.is_finite() || rate <= 0.0);
        rates.into_iter().filter(move |(_, rate)| is_wrong(*rate)).map(|(key, _)| key)
    }
}

/// A number above 0, with `k` or `M` behind it where it is long: `0.1`, `300`, `200k`, `1.5M`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

fn read(text: &str) -> Option<f64> {
    let (number, factor) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1.0), |number| (number, 1e6)),
    };
    let is_plain = number.starts_with(|c: char| c.is_ascii_digit());
    number.parse::<f64>().ok().filter(|_| is_plain).map(|number| number * factor)
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number such as `0.1`, `300` or `200k`")
            }

            fn visit_u64<E: Error>(self, n: u64) -> Result<Rate, E> {
                Ok(Rate(n as f64))
            }

            fn visit_i64<E: Error>(self, n: i64) -> Result<Rate, E> {
                Ok(Rate(n as f64))
            }

            fn visit_f64<E: Error>(self, n: f64) -> Result<Rate, E> {
                Ok(Rate(n))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Rate, E> {
                let message = || E::custom(format!("`{text}` is no number such as `0.1`, `300` or `200k`"));
                read(text).map(Rate).ok_or_else(message)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number above 0, with `k` or `M` behind it where it is long.",
            "anyOf": [
                { "type": "number", "exclusiveMinimum": 0 },
                { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?[kKmM]?$" },
            ],
            "examples": [0.5, 300, "200k"],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn width(value: Value) -> Result<MaxInFlight, String> {
        let width: MaxInFlight = from_value(value).map_err(|e| e.to_string())?;
        width.mistake().map_or(Ok(width), Err)
    }

    #[test]
    fn a_width_is_a_number_or_finds_itself() {
        assert_eq!(width(json!(32)), Ok(MaxInFlight::Fixed(32)));
        assert_eq!(width(json!("auto")), Ok(MaxInFlight::Adaptive { start: 8, most: 1_024 }));
        assert_eq!(width(json!({ "start": 16, "most": 256 })), Ok(MaxInFlight::Adaptive { start: 16, most: 256 }));
        assert_eq!(width(json!({ "most": 4 })), Ok(MaxInFlight::Adaptive { start: 4, most: 4 }));
        assert_eq!(width(json!({ "start": 2_000 })), Ok(MaxInFlight::Adaptive { start: 2_000, most: 2_000 }));
        let wrong = [json!(0), json!(-1), json!(1.5), json!("many"), json!({ "begin": 1 }), json!({ "start": 0 })];
        for wrong in wrong.into_iter().chain([json!({ "start": 9, "most": 8 }), json!(100_001)]) {
            assert!(width(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_any_number_above_zero_and_may_be_written_short() {
        for (value, rate) in [(json!(5), 5.0), (json!(0.1), 0.1), (json!("200k"), 200_000.0), (json!("1.5M"), 1.5e6)] {
            assert_eq!(from_value::<Rate>(value).unwrap(), Rate(rate));
        }
        for wrong in [json!("k"), json!("5 k"), json!("-5"), json!("inf"), json!("nan"), json!(null)] {
            assert!(from_value::<Rate>(wrong.clone()).is_err(), "{wrong}");
        }
        let limits: RateLimits = from_value(json!({ "requests_per_second": 0, "tokens_per_minute": -1 })).unwrap();
        assert_eq!(limits.mistakes().collect::<Vec<_>>(), ["requests_per_second", "tokens_per_minute"]);
    }
}
