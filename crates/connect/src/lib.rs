//! Where data enters and leaves: sources that yield records, sinks that show outcomes.
//!
//! Each kind of table is a folder with the same rooms: `config` (what a pipeline file may say), `source`, `sink` and
//! `tests`. What all of them share stands beside the folders. Nothing here retries, and nothing here knows a model:
//! the engine reads through [`domain::ports::Source`] and shows through [`domain::ports::Sink`].
//!
//! ```
//! use connect::{Place, jsonl::{JsonlSource, SourceConfig}};
//! use domain::ports::Source;
//!
//! let config: SourceConfig = serde_json::from_str(r#"{"path": "data/tickets.jsonl", "max_line": "64MiB"}"#)?;
//! let place = Place { path: "/nowhere/data/tickets.jsonl".into(), name: "data/tickets.jsonl".into() };
//! let source = JsonlSource::new(&config, place, 0, vec![]);
//! let error = source.fingerprint().unwrap_err().to_string();
//! assert!(error.starts_with("cannot read `data/tickets.jsonl`: there is no such file"));
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod jsonl;
mod place;
mod size;

pub use place::Place;
pub use size::ByteSize;
