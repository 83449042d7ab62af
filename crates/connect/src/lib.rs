//! Where data enters and leaves: sources that yield records, sinks that show outcomes.
//!
//! Three layers. `file` is what lies below a table: which files there are, how their bytes are packed and encoded, how
//! one is written so that nothing half-made is seen. `table` is what all tables share: reading aside, cutting, new fields,
//! the live output, the merge. A folder for each format has the same rooms: `config` (what a pipeline file may say),
//! `source`, `sink` and `tests`. Nothing here retries, and nothing here knows a model: the engine reads through
//! [`domain::ports::Source`] and shows through [`domain::ports::Sink`].
//!
//! **Out** there are three files, whatever the format. `NAME.partial.jsonl` grows in the order in which records settle: the
//! record as JSON, the new fields behind its own, and behind them `"_position"`, the record's position in the source
//! (with `"_part"` and `"_sample"` where they are not 0). It is a view, not the truth: a resumed run goes on behind its
//! last whole line, and it is removed when the final output is in place. The output itself and `NAME.failures.jsonl` are
//! written aside in source order, synced and renamed. The failures file has one line for each record that did not
//! succeed, blank and filtered ones excepted, and is written even when there are none, so that an old one is not mistaken
//! for this run's. Its first key is `line`, `row` or `item`, behind the `file` where there are several:
//!
//! ```text
//! {"line":17,"status":"failed","kind":"timeout","message":"…","attempts":3,"record":{…as it stood…}}
//! {"file":"b.csv","row":18,"status":"skipped","kind":"bad_text","message":"…","attempts":0,"text":"…as far as it goes…"}
//! ```
//!
//! ```
//! use connect::{AnswerColumns, Place, SourceConfig};
//! use domain::ports::Source;
//!
//! let config: SourceConfig = serde_json::from_str(r#"{"jsonl": {"path": "data/tickets.jsonl", "max_line": "64MiB"}}"#)?;
//! let place = Place { path: "/nowhere/data/tickets.jsonl".into(), name: "data/tickets.jsonl".into() };
//! let source = config.source(place, 0, AnswerColumns::default())?;
//! let error = source.fingerprint().unwrap_err().to_string();
//! assert!(error.starts_with("cannot read `data/tickets.jsonl`: there is no such file"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
pub mod csv;
pub mod excel;
mod file;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod input;
pub mod json;
pub mod jsonl;
pub mod mysql;
pub mod postgres;
mod size;
mod sql;
pub mod sqlite;
mod table;
#[cfg(test)]
mod tests;

pub use config::{Mistake, SinkConfig, SourceConfig};
pub use file::{Compression, Label, Place, Stream, is_same_path, spool};
pub use input::Input;
pub use size::ByteSize;
pub use sql::{
    Access, Copied, Password, Resolver, SqlSink, SqlSinkSettings, SqlSource, SqlSourceSettings, Tls, Unreached, Wanted,
};
pub use table::{AnswerColumns, FileSink, FileSource, InPlace, SinkPlaces, Taken, is_as_left};
