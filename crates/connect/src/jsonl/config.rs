//! What a pipeline file says about JSON Lines.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::ByteSize;

/// Output fields by name, with the names that they get in the file.
pub type Columns = BTreeMap<String, String>;

/// A JSON Lines file to read: one JSON object a line.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JsonlSource")]
pub struct SourceConfig {
    /// The file, relative to the folder of the pipeline file.
    pub path: PathBuf,
    /// A field that names each record (an id). Its value must be there, be text, a number or a boolean, and be unique;
    /// it is printed beside the line number.
    pub key: Option<String>,
    /// The longest line that is read, such as `64MiB`. A longer one is skipped and reported. 1 GiB unless set.
    pub max_line: Option<ByteSize>,
}

/// A JSON Lines file to write: each record of the source with the new fields behind its own, in source order.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JsonlSink")]
pub struct SinkConfig {
    /// The file, relative to the folder of the pipeline file. Its folder is created where it is missing.
    pub path: PathBuf,
    /// The file for records that did not succeed, with the reason. `NAME.failures.jsonl` beside the output unless set.
    pub failures: Option<PathBuf>,
    /// Whether a new field may replace a field of the same name in the record. It keeps that field's place.
    #[serde(default)]
    pub overwrite: bool,
    /// Other names for new fields in the file: output field → name in the file.
    pub columns: Option<Columns>,
}

impl SourceConfig {
    /// The longest line that is read where the pipeline file says nothing: far beyond any record, and short enough
    /// that a file without line ends (an archive, a disk image) is not read into memory.
    pub const MAX_LINE: ByteSize = ByteSize(1 << 30);
}

impl SinkConfig {
    /// Returns the names that the new `fields` get in the file, in order.
    #[must_use]
    pub fn names(&self, fields: &[String]) -> Vec<String> {
        let renamed = |field: &String| self.columns.as_ref()?.get(field).cloned();
        fields.iter().map(|field| renamed(field).unwrap_or_else(|| field.clone())).collect()
    }

    /// Returns the names that a record must not have yet: what [`super::JsonlSource::new`] takes as `forbidden`, so
    /// that a taken name is found before anything is asked.
    #[must_use]
    pub fn forbidden(&self, fields: &[String]) -> Vec<String> {
        if self.overwrite { Vec::new() } else { self.names(fields) }
    }
}
