//! Sources and sinks as a pipeline file names them: exactly one format or database each.

use std::path::Path;

use domain::{
    StepNumber,
    ports::{SinkError, SourceError},
};
use encoding_rs::{Encoding, UTF_8};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    AnswerColumns, ByteSize, Compression, FileSink, FileSource, Label, Place, SinkPlaces,
    csv::{self, Declared, RowsFormat, RowsLayout},
    excel::{self, Chosen, SheetFormat, SheetLayout},
    file::Stored,
    json::{self as array, ItemsFormat, ItemsLayout},
    jsonl::{self, LinesFormat, LinesLayout},
    mysql, postgres, sqlite,
    table::{Naming, Settings, Storing},
};

/// The path that stands for standard input and standard output.
const STANDARD: &str = "-";

/// The longest record that is read where the pipeline file says nothing: far beyond any record, and short enough that a
/// file without line ends (an archive, a disk image) is not read into memory.
pub(crate) const LONGEST: ByteSize = ByteSize(1 << 30);

/// Where records are read: files of one format, or a table of a database.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SourceTable")]
pub enum SourceConfig {
    /// A JSON Lines file: one JSON object a line.
    Jsonl(jsonl::SourceConfig),
    /// A CSV file: one row a record.
    Csv(csv::SourceConfig),
    /// A TSV file: one row a record, cells between tabs.
    Tsv(csv::TsvSourceConfig),
    /// A JSON file: one array of objects.
    Json(array::SourceConfig),
    /// An Excel workbook: one row of a sheet a record.
    Excel(excel::SourceConfig),
    /// A table of a SQLite file: one row a record.
    Sqlite(sqlite::SourceConfig),
    /// A table of a MySQL or `MariaDB` database: one row a record.
    Mysql(mysql::SourceConfig),
    /// A table of a PostgreSQL database: one row a record.
    Postgres(postgres::SourceConfig),
}

/// Where outcomes are written: a file of one format, or a table of a database.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SinkTable")]
pub enum SinkConfig {
    /// A JSON Lines file: each record of the source with the new fields behind its own, in source order.
    Jsonl(jsonl::SinkConfig),
    /// A CSV file: the columns of the source with the new ones behind them.
    Csv(csv::SinkConfig),
    /// A TSV file: the columns of the source with the new ones behind them, cells between tabs.
    Tsv(csv::TsvSinkConfig),
    /// A JSON file: an array of the source's records with the new fields behind their own.
    Json(array::SinkConfig),
    /// An Excel workbook: the one that was read, with the new fields in columns of its sheet; or a new one.
    Excel(excel::SinkConfig),
    /// A table of a SQLite file: the one that was read, row by row, or another one.
    Sqlite(sqlite::SinkConfig),
    /// A table of a MySQL or `MariaDB` database: the one that was read, row by row, or another one.
    Mysql(mysql::SinkConfig),
    /// A table of a PostgreSQL database: the one that was read, row by row, or another one.
    Postgres(postgres::SinkConfig),
}

/// Something that only the values of several options tell to be wrong: the option, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The option below the format's word.
    pub option: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// Evaluates an expression with the options of whatever format it is; they are called the same in all of them. What formats
/// of text have, workbooks do not: for them the value behind `else`.
macro_rules! each {
    ($config:expr, $options:ident => $value:expr) => {
        match $config {
            Self::Jsonl($options) => $value,
            Self::Csv($options) => $value,
            Self::Tsv($options) => $value,
            Self::Json($options) => $value,
            Self::Excel($options) => $value,
            Self::Sqlite($options) => $value,
            Self::Mysql($options) => $value,
            Self::Postgres($options) => $value,
        }
    };
    ($config:expr, $options:ident => $value:expr, else $other:expr) => {
        match $config {
            Self::Jsonl($options) => $value,
            Self::Csv($options) => $value,
            Self::Tsv($options) => $value,
            Self::Json($options) => $value,
            Self::Excel(_) | Self::Sqlite(_) | Self::Mysql(_) | Self::Postgres(_) => $other,
        }
    };
}

impl SourceConfig {
    /// Returns the word of the format: `csv`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Jsonl(_) => "jsonl",
            Self::Csv(_) => "csv",
            Self::Tsv(_) => "tsv",
            Self::Json(_) => "json",
            Self::Excel(_) => "excel",
            Self::Sqlite(_) => "sqlite",
            Self::Mysql(_) => "mysql",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Returns the path as written, which may be a pattern or `-`. A server's table has none.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Excel(options) => &options.path,
            Self::Sqlite(options) => &options.path,
            files => each!(files, options => &options.path, else Path::new("")),
        }
    }

    /// Returns whether it is a table of a database.
    #[must_use]
    pub fn is_database(&self) -> bool {
        matches!(self, Self::Sqlite(_) | Self::Mysql(_) | Self::Postgres(_))
    }

    /// Returns whether records are read from standard input.
    #[must_use]
    pub fn is_standard_input(&self) -> bool {
        self.path() == Path::new(STANDARD)
    }

    /// Returns the field that names each record.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Excel(options) => options.key.as_deref(),
            files => each!(files, options => options.key.as_deref(), else None),
        }
    }

    /// Returns the options that decide which records there are and what they hold, by name; `null` where unset.
    #[must_use]
    pub fn identity(&self) -> Vec<(&'static str, Value)> {
        let path = self.path().display().to_string();
        let encoding = each!(self, options => options.encoding.as_ref(), else None);
        let mut identity = vec![("path", json!(path)), ("key", json!(self.key())), ("encoding", json!(encoding))];
        match self {
            Self::Excel(excel::SourceConfig { sheet, header_row, text, .. }) => {
                let text = text.then_some(true);
                identity.extend([("sheet", json!(sheet)), ("header_row", json!(header_row)), ("text", json!(text))]);
            }
            Self::Jsonl(_) | Self::Json(_) => {}
            Self::Sqlite(sqlite::SourceConfig { table, key, .. }) => {
                identity.extend([("table", json!(table)), ("key", json!(key))]);
            }
            Self::Mysql(mysql::SourceConfig { url, table, key, .. }) => {
                identity.extend([("url", json!(url)), ("table", json!(table)), ("key", json!(key))]);
            }
            Self::Postgres(postgres::SourceConfig { url, table, schema, key, .. }) => {
                identity.extend([("url", json!(url)), ("table", json!(table)), ("key", json!(key))]);
                identity.push(("schema", json!(schema)));
            }
            Self::Csv(csv::SourceConfig { delimiter, quote, header, .. }) => {
                identity.extend([("delimiter", json!(delimiter)), ("quote", json!(quote)), ("header", json!(header))]);
            }
            Self::Tsv(csv::TsvSourceConfig { quote, header, .. }) => {
                identity.extend([("quote", json!(quote)), ("header", json!(header))]);
            }
        }
        identity
    }

    /// Returns what is wrong with the options.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let encoding = each!(self, options => options.encoding.as_ref(), else None);
        let mut mistakes: Vec<Mistake> = wrong_label(encoding).into_iter().collect();
        match self {
            Self::Jsonl(_) | Self::Json(_) => {}
            Self::Sqlite(_) | Self::Mysql(_) | Self::Postgres(_) => mistakes.extend(self.wrong_address()),
            Self::Excel(excel::SourceConfig { sheet, header_row, .. }) => {
                let of_nothing = |option| Mistake { option, message: "it counts from 1".to_owned() };
                mistakes.extend((*header_row == Some(0)).then(|| of_nothing("header_row")));
                mistakes.extend((*sheet == Some(excel::SheetName::Number(0))).then(|| of_nothing("sheet")));
            }
            Self::Csv(csv::SourceConfig { delimiter, quote, .. }) => {
                mistakes.extend(same(delimiter.map(|one| one.0), *quote));
            }
            Self::Tsv(csv::TsvSourceConfig { quote, .. }) => mistakes.extend(same(Some(b'\t'), *quote)),
        }
        mistakes
    }

    /// Makes a source of the files at `place`, which is the path resolved. What is done with a record that has one of the
    /// `answers` already is found out before anything is asked.
    ///
    /// # Errors
    /// Where there is a mistake among the options.
    pub fn source(&self, place: Place, step: StepNumber, answers: AnswerColumns) -> Result<FileSource, SourceError> {
        let (label, compression) = each!(self, options => (options.encoding.as_ref(), options.compression), else (None, Some(Compression::None)));
        let encoding = label.map(Label::encoding).transpose().map_err(SourceError)?;
        let max = match self {
            Self::Jsonl(options) => options.max_line,
            Self::Csv(options) => options.max_record,
            Self::Tsv(options) => options.max_record,
            Self::Json(options) => options.max_record,
            Self::Excel(options) => options.max_record,
            Self::Sqlite(_) | Self::Mysql(_) | Self::Postgres(_) => return Err(no_file()),
        };
        let settings = Settings {
            key: self.key().map(str::to_owned),
            max: max.unwrap_or(LONGEST),
            stored: Stored { compression, encoding },
        };
        let rows = |delimiter, quote: Option<csv::Quote>, header: Option<bool>| {
            let declared = Declared { delimiter, quote: quote.map(|quote| quote.0) };
            RowsFormat::new(declared, header.unwrap_or(true), encoding)
        };
        Ok(match self {
            Self::Jsonl(_) => FileSource::new(LinesFormat { encoding }, settings, place, step, answers),
            Self::Json(_) => FileSource::new(ItemsFormat { encoding }, settings, place, step, answers),
            Self::Excel(excel::SourceConfig { sheet, header_row, text, .. }) => {
                let chosen = Chosen { sheet: sheet.clone(), header_row: *header_row, text: *text };
                FileSource::new(SheetFormat::new(chosen), settings, place, step, answers)
            }
            Self::Csv(csv::SourceConfig { delimiter, quote, header, .. }) => {
                let format = rows(delimiter.map(|one| one.0), *quote, *header);
                FileSource::new(format, settings, place, step, answers)
            }
            Self::Sqlite(_) | Self::Mysql(_) | Self::Postgres(_) => return Err(no_file()),
            Self::Tsv(csv::TsvSourceConfig { quote, header, .. }) => {
                FileSource::new(rows(Some(b'\t'), *quote, *header), settings, place, step, answers)
            }
        })
    }
}

impl SinkConfig {
    /// Returns the word of the format: `csv`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Jsonl(_) => "jsonl",
            Self::Csv(_) => "csv",
            Self::Tsv(_) => "tsv",
            Self::Json(_) => "json",
            Self::Excel(_) => "excel",
            Self::Sqlite(_) => "sqlite",
            Self::Mysql(_) => "mysql",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Returns the path as written, which may be `-`. A table of a database has none.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Excel(options) => &options.path,
            files => each!(files, options => &options.path, else Path::new("")),
        }
    }

    /// Returns the path of the failures file as written.
    #[must_use]
    pub fn failures(&self) -> Option<&Path> {
        each!(self, options => options.failures.as_deref())
    }

    /// Returns whether the output goes to standard output.
    #[must_use]
    pub fn is_standard_output(&self) -> bool {
        self.path() == Path::new(STANDARD)
    }

    /// Returns the names that the new `fields` get in the file, in order.
    #[must_use]
    pub fn names(&self, fields: &[String]) -> Vec<String> {
        self.naming().names(fields)
    }

    /// Returns whether new fields may replace old ones of the same name.
    #[must_use]
    pub fn overwrites(&self) -> bool {
        each!(self, options => options.overwrite)
    }

    /// Lets new fields replace old ones of the same name.
    pub fn overwrite(&mut self) {
        each!(self, options => options.overwrite = true);
    }

    /// Returns the column that says how each record ended, where there is to be one.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        match self {
            Self::Csv(options) => options.status.as_deref(),
            Self::Tsv(options) => options.status.as_deref(),
            Self::Excel(options) => options.status.as_deref(),
            Self::Sqlite(options) => options.status.as_deref(),
            Self::Mysql(options) => options.status.as_deref(),
            Self::Postgres(options) => options.status.as_deref(),
            Self::Jsonl(_) | Self::Json(_) => None,
        }
    }

    /// Returns whether every record of the source is to stand in the output, whatever becomes of it.
    #[must_use]
    pub fn keeps_all(&self) -> bool {
        let rows = match self {
            Self::Csv(options) => options.rows,
            Self::Tsv(options) => options.rows,
            _ => csv::WhichRows::Succeeded,
        };
        rows == csv::WhichRows::All || self.status().is_some()
    }

    /// Returns what is wrong with the options.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let encoding = each!(self, options => options.encoding.as_ref(), else None);
        let mut mistakes: Vec<Mistake> = wrong_label(encoding).into_iter().collect();
        let bom = match self {
            Self::Jsonl(_) | Self::Json(_) | Self::Sqlite(_) | Self::Mysql(_) | Self::Postgres(_) => None,
            Self::Excel(excel::SinkConfig { rows_per_file, .. }) => {
                let message = || "a sheet has room for 1 to 1048575 rows behind the names of its columns".to_owned();
                let is_wrong = rows_per_file.is_some_and(|n| !(1..=1_048_575).contains(&n));
                mistakes.extend(is_wrong.then(|| Mistake { option: "rows_per_file", message: message() }));
                None
            }
            Self::Csv(csv::SinkConfig { delimiter, quote, bom, .. }) => {
                mistakes.extend(same(delimiter.map(|one| one.0), *quote));
                *bom
            }
            Self::Tsv(csv::TsvSinkConfig { quote, bom, .. }) => {
                mistakes.extend(same(Some(b'\t'), *quote));
                *bom
            }
        };
        let has_mark = |encoding: &&'static Encoding| {
            [UTF_8, encoding_rs::UTF_16LE, encoding_rs::UTF_16BE, encoding_rs::GB18030].contains(encoding)
        };
        if let (Some(true), Some(Ok(encoding))) = (bom, encoding.map(Label::encoding))
            && !has_mark(&encoding)
        {
            let message = format!("there is no byte order mark in {}; leave `bom` out", encoding.name());
            mistakes.push(Mistake { option: "bom", message });
        }
        mistakes
    }

    /// Makes a sink at `places` for the new `fields` of the run `run` over the records of `source`.
    ///
    /// # Errors
    /// Where `columns` names a field that is not there, or one name twice, or there is a mistake among the options.
    pub fn sink(
        &self,
        places: SinkPlaces,
        fields: &[String],
        run: &str,
        source: &FileSource,
    ) -> Result<FileSink, SinkError> {
        let (label, compression) = each!(self, options => (options.encoding.as_ref(), options.compression), else (None, Some(Compression::None)));
        let encoding = label.map(Label::encoding).transpose().map_err(SinkError::new)?;
        let is_in_place = places.in_place.is_some();
        // In its own place a file stays in the encoding that it is in.
        let encoding = encoding.or_else(|| source.encoding().filter(|_| is_in_place)).unwrap_or(UTF_8);
        let keeps_all = self.keeps_all() || is_in_place;
        let (storing, naming) = (Storing { compression, encoding, keeps_all }, self.naming());
        let rows = |delimiter, quote: Option<csv::Quote>, bom| RowsLayout {
            declared: Declared { delimiter, quote: quote.map(|quote| quote.0) },
            bom,
            encoding,
        };
        match self {
            Self::Jsonl(_) => FileSink::new(LinesLayout, storing, &naming, places, fields, run, source),
            Self::Json(_) => FileSink::new(ItemsLayout, storing, &naming, places, fields, run, source),
            Self::Excel(excel::SinkConfig { rows_per_file, .. }) => {
                let layout = SheetLayout { rows_per_file: *rows_per_file };
                FileSink::new(layout, storing, &naming, places, fields, run, source)
            }
            Self::Sqlite(_) | Self::Mysql(_) | Self::Postgres(_) => Err(SinkError::new(no_file().0)),
            Self::Csv(csv::SinkConfig { delimiter, quote, bom, .. }) => {
                let layout = rows(delimiter.map(|one| one.0), *quote, *bom);
                FileSink::new(layout, storing, &naming, places, fields, run, source)
            }
            Self::Tsv(csv::TsvSinkConfig { quote, bom, .. }) => {
                FileSink::new(rows(Some(b'\t'), *quote, *bom), storing, &naming, places, fields, run, source)
            }
        }
    }

    pub(crate) fn naming(&self) -> Naming {
        each!(self, options => Naming {
            overwrite: options.overwrite,
            columns: options.columns.clone(),
            status: self.status().map(str::to_owned),
        })
    }
}

/// Told to whoever takes a table of a database for files.
fn no_file() -> SourceError {
    SourceError("a table of a database is no file".to_owned())
}

fn wrong_label(label: Option<&Label>) -> Option<Mistake> {
    let message = label?.encoding().err()?;
    Some(Mistake { option: "encoding", message })
}

/// Says that one character is to part and to quote, if so.
fn same(delimiter: Option<u8>, quote: Option<csv::Quote>) -> Option<Mistake> {
    let quote = quote?.0?;
    (delimiter == Some(quote))
        .then(|| Mistake { option: "quote", message: "the same character cannot part cells and quote them".to_owned() })
}
