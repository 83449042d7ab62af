//! What is looked at: a file, a table of a SQLite file, or what a pipeline reads.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use connect::{Access, AnswerColumns, Copied, FileSource, Place, Resolver, SourceConfig, Unreached};
use domain::ports::Source as _;
use serde_json::Value;

use crate::{
    args::TableFile,
    exit::ConfigurationError,
    pipeline::{self, Named},
};

/// What a SQLite file begins with (its file format, section 1.2).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Records that can be looked at.
pub(super) enum Opened {
    Files(FileSource),
    /// Rows of a database, copied.
    Rows(Copied),
}

impl Opened {
    pub(super) fn source(&self) -> &FileSource {
        match self {
            Self::Files(files) => files,
            Self::Rows(copied) => copied.rows(),
        }
    }
}

/// Opens what is named; of a database the first `most` rows, or all.
pub(super) fn open(args: &TableFile, most: Option<u64>) -> anyhow::Result<Opened> {
    let TableFile { file, sheet, header_row, encoding, table } = args;
    let is_pipeline = matches!(ending(file).as_deref(), Some("yaml" | "yml"));
    let is_sqlite = !is_pipeline && is_sqlite(file);
    let word = if is_pipeline || is_sqlite { "" } else { word_of(file)? };
    let is_text = !matches!(word, "" | "excel");
    match (sheet, encoding, table) {
        (_, Some(_), _) if !is_text => refused("`--encoding` is for files of text")?,
        (Some(_), ..) if word != "excel" => refused("`--sheet` is for workbooks")?,
        _ if header_row.is_some() && word != "excel" => refused("`--header-row` is for workbooks")?,
        (.., Some(_)) if !word.is_empty() => refused("`--table` is for databases")?,
        _ => {}
    }
    if is_pipeline {
        return of_pipeline(file, table.as_deref(), most);
    }
    if is_sqlite {
        let config = serde_json::from_value(serde_json::json!({ "sqlite": { "path": file, "table": "" } }))?;
        let access = of_sqlite(&config, file)?;
        let table = table.clone().map_or_else(|| only_table(&access), Ok)?;
        return copied(&access.beside(&table), most);
    }
    let mut options = serde_json::json!({ "path": file });
    if let Some(sheet) = sheet {
        options["sheet"] = sheet.parse::<u32>().map_or_else(|_| Value::from(sheet.as_str()), Value::from);
    }
    if let Some(row) = header_row {
        options["header_row"] = (*row).into();
    }
    if let Some(encoding) = encoding {
        options["encoding"] = encoding.as_str().into();
    }
    let config = serde_json::from_value(serde_json::json!({ word: options }));
    let config: SourceConfig = config.map_err(|error| wrong(file, &error.to_string()))?;
    files(file, &config, place(file))
}

/// Opens what the first step of a pipeline reads.
fn of_pipeline(file: &Path, table: Option<&str>, most: Option<u64>) -> anyhow::Result<Opened> {
    let looked = match pipeline::look(file)? {
        Ok(looked) => looked,
        Err(mistakes) => {
            crate::commands::check::tell(&mistakes);
            return Err(wrong(file, "it is no pipeline, as told above"));
        }
    };
    let named = Named { file: &looked.file, name: &looked.pipeline.name };
    let Some((_, step)) = looked.pipeline.steps.0.first() else { return Err(wrong(file, "it has no step")) };
    let access = named.access(step).map_err(|mistake| wrong(file, &mistake.message))?;
    let source = &step.source.table;
    match (access, table) {
        (Some(access), Some(table)) => copied(&access.beside(table), most),
        (Some(access), None) => copied(&access, most),
        (None, Some(_)) => Err(wrong(file, "it reads no database, which `--table` is for")),
        (None, None) if source.is_standard_input() => Err(wrong(file, "it reads standard input")),
        (None, None) => files(file, source, named.place(source.path())),
    }
}

fn files(file: &Path, config: &SourceConfig, place: Place) -> anyhow::Result<Opened> {
    if let Some(mistake) = config.mistakes().into_iter().next() {
        return Err(wrong(file, &mistake.message));
    }
    let source = config.source(place, 0, AnswerColumns::default()).map_err(|error| wrong(file, &error.0))?;
    source.fingerprint().map_err(|error| ConfigurationError(error.0))?;
    Ok(Opened::Files(source))
}

/// Returns the way to a SQLite file.
fn of_sqlite(config: &SourceConfig, file: &Path) -> anyhow::Result<Access> {
    let resolver = Resolver { place: &place, password: &|_| Err("a file has no password".to_owned()) };
    let access = config.access(&resolver).map_err(|mistake| wrong(file, &mistake.message))?;
    access.ok_or_else(|| wrong(file, "it is no database"))
}

fn copied(access: &Access, most: Option<u64>) -> anyhow::Result<Opened> {
    Ok(Opened::Rows(access.copied(most).map_err(unreached)?))
}

/// Returns the name of the one table that there is.
fn only_table(access: &Access) -> anyhow::Result<String> {
    match access.tables().map_err(unreached)?.as_slice() {
        [] => Err(ConfigurationError("the database has no table".to_owned()).into()),
        [only] => Ok(only.clone()),
        several => {
            let message = format!("name a table with `--table`; there are `{}`", several.join("`, `"));
            Err(ConfigurationError(message).into())
        }
    }
}

fn unreached(Unreached { message, is_away }: Unreached) -> anyhow::Error {
    if is_away { anyhow::anyhow!(message) } else { ConfigurationError(message).into() }
}

/// Returns the format that the ending of a file tells.
pub(super) fn word_of(path: &Path) -> anyhow::Result<&'static str> {
    let plain = match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz" | "gzip" | "zst" | "zstd") => path.with_extension(""),
        _ => path.to_owned(),
    };
    match ending(&plain).as_deref() {
        Some("jsonl" | "ndjson") => Ok("jsonl"),
        Some("json") => Ok("json"),
        Some("csv" | "txt") => Ok("csv"),
        Some("tsv" | "tab") => Ok("tsv"),
        Some("xlsx" | "xlsm") => Ok("excel"),
        _ => {
            let name = path.display();
            let message = format!(
                "what `{name}` is cannot be told from its ending; there are .jsonl, .json, .csv, .tsv and .xlsx"
            );
            Err(ConfigurationError(message).into())
        }
    }
}

/// Returns whether a file is a SQLite database, or is to become one.
pub(super) fn is_sqlite(path: &Path) -> bool {
    let mut head = [0; MAGIC.len()];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    match read {
        Ok(()) => head == *MAGIC,
        // There is none yet, or it is empty.
        Err(_) => matches!(ending(path).as_deref(), Some("db" | "sqlite" | "sqlite3")),
    }
}

fn ending(path: &Path) -> Option<String> {
    path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase)
}

pub(super) fn place(path: &Path) -> Place {
    Place { path: PathBuf::from(path), name: path.display().to_string() }
}

fn wrong(file: &Path, what: &str) -> anyhow::Error {
    ConfigurationError(format!("`{}`: {what}", file.display())).into()
}

fn refused(what: &str) -> anyhow::Result<()> {
    Err(ConfigurationError(what.to_owned()).into())
}
