//! What a pipeline file says about CSV and TSV.

use std::{borrow::Cow, collections::BTreeMap, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{ByteSize, Compression, Label};

/// A CSV file to read: one row a record, every cell as text.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CsvSource")]
pub struct SourceConfig {
    /// The file, relative to the folder of the pipeline file; or several, as in `data/*.csv`, sorted by their paths; or
    /// `-` for standard input.
    pub path: PathBuf,
    /// A column that names each record (an id). Its cells must not be empty, and be unique; it is printed beside the row
    /// number.
    pub key: Option<String>,
    /// What stands between cells: one character, or `tab`. Found out (from `,`, `;`, tab and `|`) unless set.
    pub delimiter: Option<Delimiter>,
    /// What stands around cells that hold delimiters or line ends: one character, or `none`. Found out unless set.
    pub quote: Option<Quote>,
    /// Whether the first row names the columns. Else they are `c1`, `c2` and so on. True unless set.
    pub header: Option<bool>,
    /// The longest row that is read, such as `64MiB`. A longer one is skipped and reported. 1 GiB unless set.
    pub max_record: Option<ByteSize>,
    /// The encoding of the text, such as `gb18030`. UTF-8 unless set; a byte order mark says what it is in any case.
    pub encoding: Option<Label>,
    /// How the file is packed. As its ending says (`.gz`, `.zst`) unless set.
    pub compression: Option<Compression>,
}

/// A TSV file to read: one row a record, cells between tabs, every cell as text.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TsvSource")]
pub struct TsvSourceConfig {
    /// The file, relative to the folder of the pipeline file; or several, as in `data/*.tsv`, sorted by their paths; or
    /// `-` for standard input.
    pub path: PathBuf,
    /// A column that names each record (an id). Its cells must not be empty, and be unique; it is printed beside the row
    /// number.
    pub key: Option<String>,
    /// What stands around cells that hold tabs or line ends: one character, or `none`. Found out unless set.
    pub quote: Option<Quote>,
    /// Whether the first row names the columns. Else they are `c1`, `c2` and so on. True unless set.
    pub header: Option<bool>,
    /// The longest row that is read, such as `64MiB`. A longer one is skipped and reported. 1 GiB unless set.
    pub max_record: Option<ByteSize>,
    /// The encoding of the text, such as `gb18030`. UTF-8 unless set; a byte order mark says what it is in any case.
    pub encoding: Option<Label>,
    /// How the file is packed. As its ending says (`.gz`, `.zst`) unless set.
    pub compression: Option<Compression>,
}

/// A CSV file to write: the columns of the source with the new ones behind them, in source order.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CsvSink")]
pub struct SinkConfig {
    /// The file, relative to the folder of the pipeline file; `-` for standard output. Its folder is created where it is
    /// missing.
    pub path: PathBuf,
    /// The file for records that did not succeed, with the reason. `NAME.failures.jsonl` beside the output unless set.
    pub failures: Option<PathBuf>,
    /// Whether a new field may replace a column of the same name. It keeps that column's place.
    #[serde(default)]
    pub overwrite: bool,
    /// Other names for new fields in the file: output field → column.
    pub columns: Option<BTreeMap<String, String>>,
    /// Which records of the source stand in the file: `succeeded`, or `all` of them, whatever became of each. `all` where the
    /// file is the one that is read, or where there is a `status`.
    #[serde(default)]
    pub rows: WhichRows,
    /// A column that says how each record ended: `succeeded`, or `failed` with the reason. None unless set.
    pub status: Option<String>,
    /// What stands between cells: one character, or `tab`. As in the source if that has rows, else `,`, unless set.
    pub delimiter: Option<Delimiter>,
    /// What stands around cells that hold delimiters or line ends: one character, or `none`. As in the source if that
    /// has rows, else `"`, unless set.
    pub quote: Option<Quote>,
    /// Whether the file begins with a byte order mark, which Excel needs for UTF-8. As in the source unless set.
    pub bom: Option<bool>,
    /// The encoding to write, such as `gb18030`. UTF-8 unless set.
    pub encoding: Option<Label>,
    /// How to pack the file. As its ending says (`.gz`, `.zst`) unless set.
    pub compression: Option<Compression>,
}

/// A TSV file to write: the columns of the source with the new ones behind them, in source order.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TsvSink")]
pub struct TsvSinkConfig {
    /// The file, relative to the folder of the pipeline file; `-` for standard output. Its folder is created where it is
    /// missing.
    pub path: PathBuf,
    /// The file for records that did not succeed, with the reason. `NAME.failures.jsonl` beside the output unless set.
    pub failures: Option<PathBuf>,
    /// Whether a new field may replace a column of the same name. It keeps that column's place.
    #[serde(default)]
    pub overwrite: bool,
    /// Other names for new fields in the file: output field → column.
    pub columns: Option<BTreeMap<String, String>>,
    /// Which records of the source stand in the file: `succeeded`, or `all` of them, whatever became of each. `all` where the
    /// file is the one that is read, or where there is a `status`.
    #[serde(default)]
    pub rows: WhichRows,
    /// A column that says how each record ended: `succeeded`, or `failed` with the reason. None unless set.
    pub status: Option<String>,
    /// What stands around cells that hold tabs or line ends: one character, or `none`. As in the source if that has
    /// rows, else `"`, unless set.
    pub quote: Option<Quote>,
    /// Whether the file begins with a byte order mark, which Excel needs for UTF-8. As in the source unless set.
    pub bom: Option<bool>,
    /// The encoding to write, such as `gb18030`. UTF-8 unless set.
    pub encoding: Option<Label>,
    /// How to pack the file. As its ending says (`.gz`, `.zst`) unless set.
    pub compression: Option<Compression>,
}

/// Which records of the source stand in an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhichRows {
    /// Those with an answer.
    #[default]
    Succeeded,
    /// All of them.
    All,
}

/// What stands between cells: one ASCII character, or `tab`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiter(pub u8);

/// What stands around cells: one ASCII character, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote(pub Option<u8>);

/// Returns the one character that a text is, if it may part or quote cells.
fn one_character(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !matches!(byte, b'\n' | b'\r' | 0) => Some(*byte),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Delimiter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = if text == "tab" { Some(b'\t') } else { one_character(&text) };
        found.map(Self).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no delimiter; it is one character such as `;`, or `tab`"))
        })
    }
}

impl<'de> Deserialize<'de> for Quote {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "none" {
            return Ok(Self(None));
        }
        let found = one_character(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no quote; it is one character such as `'`, or `none`"))
        });
        found.map(|byte| Self(Some(byte)))
    }
}

impl Serialize for Delimiter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_char(char::from(self.0))
    }
}

impl Serialize for Quote {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(byte) => serializer.serialize_char(char::from(byte)),
            None => serializer.serialize_str("none"),
        }
    }
}

/// One character that is neither letter nor digit nor line end.
const ONE: &str = r"[\t !-/:-@\[-`{-~]";

impl JsonSchema for Delimiter {
    fn schema_name() -> Cow<'static, str> {
        "Delimiter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What stands between cells: one character, or `tab`.",
            "type": "string",
            "pattern": format!("^(tab|{ONE})$"),
            "examples": [";", ",", "tab", "|"],
        })
    }
}

impl JsonSchema for Quote {
    fn schema_name() -> Cow<'static, str> {
        "Quote".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What stands around cells: one character, or `none`.",
            "type": "string",
            "pattern": format!("^(none|{ONE})$"),
            "examples": ["none", "\"", "'"],
        })
    }
}
