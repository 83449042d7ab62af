//! What a pipeline file says about MySQL or `MariaDB`.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::sql::{Password, Tls};

/// A table of a MySQL or `MariaDB` database to read: one row a record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MysqlSource")]
pub struct SourceConfig {
    /// Where the database is: `mysql://user@host:3306/database`.
    pub url: String,
    /// Where the password is found: `{ env: NAME }` or `{ file: PATH }`.
    pub password: Option<Password>,
    /// The table.
    pub table: String,
    /// The columns that name a row, unique and never NULL. The primary key unless set.
    #[schemars(length(min = 1))]
    pub key: Option<Vec<String>>,
    /// How the connection is kept secret: `off`, `verified`, or `unverified`. `off` unless set.
    #[serde(default)]
    pub tls: Tls,
    /// A file of certificates (PEM) that are trusted, in place of the usual ones.
    pub ca: Option<PathBuf>,
    /// Whether several runs may work on the table at once. Each row is then claimed before it is asked about.
    #[serde(default)]
    pub share: bool,
}

/// A table of a MySQL or `MariaDB` database to write: the one that was read, row by row, or another one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MysqlSink")]
pub struct SinkConfig {
    /// Where the database is: `mysql://user@host:3306/database`. The source's unless set.
    pub url: Option<String>,
    /// Where the password is found: `{ env: NAME }` or `{ file: PATH }`.
    pub password: Option<Password>,
    /// The table. The source's unless set.
    pub table: Option<String>,
    /// The columns that name a row of another table: a row that is there is written over. Rows are added unless set.
    #[schemars(length(min = 1))]
    pub key: Option<Vec<String>>,
    /// How the connection is kept secret: `off`, `verified`, or `unverified`. `off` unless set.
    #[serde(default)]
    pub tls: Tls,
    /// A file of certificates (PEM) that are trusted, in place of the usual ones.
    pub ca: Option<PathBuf>,
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
