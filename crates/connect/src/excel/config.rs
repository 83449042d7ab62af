//! What a pipeline file says about Excel.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ByteSize;

/// A workbook to read: one row of one sheet a record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExcelSource")]
pub struct SourceConfig {
    /// The workbook (`.xlsx`, `.xlsm`), relative to the folder of the pipeline file; or several, as in `data/*.xlsx`, sorted
    /// by their paths.
    pub path: PathBuf,
    /// The sheet, by its name or its number from 1. The first one unless set.
    pub sheet: Option<SheetName>,
    /// The row that names the columns, from 1. The first row that holds anything unless set.
    pub header_row: Option<u32>,
    /// A column that names each record (an id). Its cells must not be empty, and be unique; it is printed beside the row
    /// number.
    pub key: Option<String>,
    /// The longest row that is read, such as `64MiB`, as it stands in the workbook. A longer one is skipped and reported. 1
    /// GiB unless set.
    pub max_record: Option<ByteSize>,
    /// Whether every cell is read as text, as cells of a CSV file are: numbers as they read, truth values as `TRUE` and
    /// `FALSE`.
    #[serde(default)]
    pub text: bool,
}

/// A sheet, by its name or its number from 1.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SheetName {
    /// Its number, from 1.
    Number(u32),
    /// Its name.
    Name(String),
}

/// A workbook to write: the workbook that was read, with the answers in new columns of its sheet; or a new one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExcelSink")]
pub struct SinkConfig {
    /// The file, relative to the folder of the pipeline file. Its folder is created where it is missing.
    pub path: PathBuf,
    /// The file for records that did not succeed, with the reason. `NAME.failures.jsonl` beside the output unless set.
    pub failures: Option<PathBuf>,
    /// Whether a new field may go into a column of the same name that is there already. Its cells keep their look.
    #[serde(default)]
    pub overwrite: bool,
    /// Other names for new fields in the file: output field → column.
    pub columns: Option<BTreeMap<String, String>>,
    /// A column that says how each record ended: `succeeded`, or `failed` with the reason. None unless set.
    pub status: Option<String>,
    /// How many rows a new workbook has at most; the next ones stand in further files, `NAME-2.xlsx` and so on. All are in
    /// one file unless set, which a sheet has room for 1,048,575 of.
    #[schemars(range(min = 1, max = 1_048_575))]
    pub rows_per_file: Option<u64>,
}
