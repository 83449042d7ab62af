//! What a pipeline file says about JSON Lines.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{ByteSize, Compression, Label};

/// A JSON Lines file to read: one JSON object a line.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JsonlSource")]
pub struct SourceConfig {
    /// The file, relative to the folder of the pipeline file; or several, as in `data/*.jsonl`, sorted by their paths;
    /// or `-` for standard input.
    pub path: PathBuf,
    /// A field that names each record (an id). Its value must be there, be text, a number or a boolean, and be unique;
    /// it is printed beside the line number.
    pub key: Option<String>,
    /// The longest line that is read, such as `64MiB`. A longer one is skipped and reported. 1 GiB unless set.
    pub max_line: Option<ByteSize>,
    /// The encoding of the text, such as `gb18030`. UTF-8 unless set; a byte order mark says what it is in any case.
    pub encoding: Option<Label>,
    /// How the file is packed. As its ending says (`.gz`, `.zst`) unless set.
    pub compression: Option<Compression>,
}

/// A JSON Lines file to write: each record of the source with the new fields behind its own, in source order.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JsonlSink")]
pub struct SinkConfig {
    /// The file, relative to the folder of the pipeline file; `-` for standard output. Its folder is created where it is
    /// missing.
    pub path: PathBuf,
    /// The file for records that did not succeed, with the reason. `NAME.failures.jsonl` beside the output unless set.
    pub failures: Option<PathBuf>,
    /// Whether a new field may replace a field of the same name in the record. It keeps that field's place.
    #[serde(default)]
    pub overwrite: bool,
    /// Other names for new fields in the file: output field → name in the file.
    pub columns: Option<BTreeMap<String, String>>,
    /// The encoding to write, such as `gb18030`. UTF-8 unless set. Characters that it does not have are written with
    /// their numbers (`\ud83d\ude00`).
    pub encoding: Option<Label>,
    /// How to pack the file. As its ending says (`.gz`, `.zst`) unless set.
    pub compression: Option<Compression>,
}
