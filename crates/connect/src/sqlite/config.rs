//! What a pipeline file says about SQLite.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// A table of a SQLite file to read: one row a record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SqliteSource")]
pub struct SourceConfig {
    /// The file of the database, relative to the folder of the pipeline file.
    pub path: PathBuf,
    /// The table.
    pub table: String,
    /// The columns that name a row, unique and never NULL. The primary key unless set.
    #[schemars(length(min = 1))]
    pub key: Option<Vec<String>>,
    /// Whether several runs may work on the table at once. Each row is then claimed before it is asked about.
    #[serde(default)]
    pub share: bool,
}

/// A table of a SQLite file to write: the one that was read, row by row, or another one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SqliteSink")]
pub struct SinkConfig {
    /// The file of the database, relative to the folder of the pipeline file. The source's unless set.
    pub path: Option<PathBuf>,
    /// The table. The source's unless set.
    pub table: Option<String>,
    /// The columns that name a row of another table: a row that is there is written over. Rows are added unless set.
    #[schemars(length(min = 1))]
    pub key: Option<Vec<String>>,
    /// The file for records that did not succeed, with the reason. `NAME.failures.jsonl` beside the pipeline file, by the
    /// pipeline's name, unless set.
    pub failures: Option<PathBuf>,
    /// Whether a new field may replace a field of the same name in the record, in another table.
    #[serde(default)]
    pub overwrite: bool,
    /// The columns of new fields: output field → column.
    pub columns: Option<BTreeMap<String, String>>,
    /// A column that tells how each row ended: `succeeded`, or `failed: ` with the reason.
    pub status: Option<String>,
}
