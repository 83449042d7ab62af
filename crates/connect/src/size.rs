//! Sizes as people write them.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// A size in bytes, written as a number of bytes or with a unit: `64MiB`, `1.5 GB`, `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const KIB: u64 = 1 << 10;
const UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KIB", KIB),
    ("MIB", KIB * KIB),
    ("GIB", KIB * KIB * KIB),
    ("TIB", KIB * KIB * KIB * KIB),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size; write a number with a unit, such as `64MiB` or `1GB`");
        let text_end = text.trim().find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.trim().len());
        let (number, unit) = text.trim().split_at(text_end);
        let unit = unit.to_ascii_uppercase();
        let factor = match unit.as_str() {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(wrong)?,
        };
        let (whole, part) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
        if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let thousandths: u64 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
        let bytes = u128::from(factor) * (u128::from(whole) * 1000 + u128::from(thousandths)) / 1000;
        u64::try_from(bytes).ok().filter(|bytes| *bytes > 0).map(Self).ok_or_else(wrong)
    }
}

/// The greatest unit that loses nothing: what an error quotes is what the user wrote.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = [("GiB", KIB * KIB * KIB), ("MiB", KIB * KIB), ("KiB", KIB)];
        match shown.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;
        impl Visitor<'_> for Size {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `64MiB`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                bytes.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Size)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A size in bytes: a number, or a number with a unit such as `64MiB` or `1GB`.",
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "string", "pattern": "^ *[0-9]+([.][0-9]{1,3})? *([kKmMgG][iI]?[bB]|[tT][iI][bB]|[bB])? *$" }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("64MiB", Some(64 << 20)),
            ("1 GB", Some(1_000_000_000)),
            ("1.5kb", Some(1500)),
            (" 4096 ", Some(4096)),
            ("0.25 KiB", Some(256)),
            ("0", None),
            ("-1", None),
            ("64 miles", None),
            ("MiB", None),
            ("1.0005 MB", None),
            ("99999999999999 GiB", None),
        ] {
            assert_eq!(text.parse::<ByteSize>().ok().map(|s| s.0), expected, "{text}");
        }
        assert_eq!(ByteSize(64 << 20).to_string(), "64 MiB");
        assert_eq!(ByteSize(1500).to_string(), "1500 bytes");
        assert_eq!(serde_json::from_str::<ByteSize>("7").unwrap(), ByteSize(7));
        let error = serde_json::from_str::<ByteSize>("\"7 apples\"").unwrap_err().to_string();
        assert!(error.contains("`7 apples` is not a size"), "{error}");
    }
}
