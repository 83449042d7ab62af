//! Numbers that people write with a unit: tokens, bytes, shares.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

/// A number of tokens: `128000`, `128k` or `2M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

/// A number of bytes: `1048576`, `100MB` or `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A share of all: `5%`. It is kept as a fraction, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

const COUNTS: [(&str, f64); 5] = [("", 1.0), ("k", 1e3), ("K", 1e3), ("m", 1e6), ("M", 1e6)];
const SIZES: [(&str, f64); 8] = [
    ("", 1.0),
    ("B", 1.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];

/// Reads a number with one of `units`.
fn read(text: &str, units: &[(&str, f64)]) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    let number = number.parse::<f64>().ok()? * factor;
    // What a double holds exactly; nobody has more.
    (number.fract() == 0.0 && number <= 9e15).then_some(number as u64)
}

/// Takes a whole number as it is, and a text by its unit.
struct Units {
    units: &'static [(&'static str, f64)],
    wanted: &'static str,
}

impl Visitor<'_> for Units {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let wanted = self.wanted;
        read(text, self.units).ok_or_else(|| E::custom(format!("`{text}` is not {wanted}")))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Units { units: &COUNTS, wanted: "a number such as `128000`, `128k` or `2M`" })
            .map(Self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Units { units: &SIZES, wanted: "a size such as `100MB` or `64KiB`" }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match percent.filter(|percent| (0.0..=100.0).contains(percent)) {
            Some(percent) => Ok(Self(percent / 100.0)),
            None => Err(D::Error::custom(format!("`{text}` is not a share; write it like `5%`"))),
        }
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "description": "A number of tokens, such as 128000, `128k` or `2M`.",
            "minimum": 0,
            "pattern": r"^[0-9]+(\.[0-9]+)?[kKmM]?$",
            "examples": ["128k"],
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "description": "A number of bytes, such as `100MB` or `64KiB`.",
            "minimum": 0,
            "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|KB|MB|GB|KiB|MiB|GiB)?$",
            "examples": ["100MB"],
        })
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A share of all, such as `5%`.",
            "pattern": r"^[0-9]+(\.[0-9]+)?%$",
            "examples": ["5%"],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn count(value: Value) -> Option<u64> {
        serde_json::from_value::<Count>(value).ok().map(|Count(number)| number)
    }

    fn size(value: Value) -> Option<u64> {
        serde_json::from_value::<Size>(value).ok().map(|Size(number)| number)
    }

    #[test]
    fn numbers_are_read_with_their_units() {
        for (value, number) in [
            (json!(128_000), Some(128_000)),
            (json!("128k"), Some(128_000)),
            (json!("1.5M"), Some(1_500_000)),
            (json!("7"), Some(7)),
            (json!("1.5"), None),
            (json!("128 Ki"), None),
            (json!(""), None),
            (json!(-1), None),
            (json!("9".repeat(30)), None),
        ] {
            assert_eq!(count(value.clone()), number, "{value}");
        }
        for (value, number) in [
            (json!("100MB"), Some(100_000_000)),
            (json!("64 KiB"), Some(65_536)),
            (json!(10), Some(10)),
            (json!("10mb"), None),
        ] {
            assert_eq!(size(value.clone()), number, "{value}");
        }
        for (text, share) in [("5%", Some(0.05)), ("100%", Some(1.0)), ("5", None), ("101%", None), ("-1%", None)] {
            assert_eq!(serde_json::from_value::<Share>(json!(text)).ok().map(|Share(share)| share), share, "{text}");
        }
    }
}
