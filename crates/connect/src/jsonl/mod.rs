//! JSON Lines: one JSON object a line, in UTF-8.
//!
//! **In.** Every line is a record, blank and bad ones included, so that positions are line numbers less one. Lines end in
//! `\n` or `\r\n`; a byte order mark at the start is passed over; the last line needs no end. A line is taken as it
//! stands: what is untouched comes out again byte for byte. No line is too long but one over `max_line` (1 GiB unless
//! set), which is skipped and reported without being held in memory.
//!
//! **Out.** Three files. `NAME.partial.jsonl` grows in the order in which records settle: the record, the new fields
//! behind its own, and behind them `"_position"`, the record's position in the source. It is a view, not the truth: a
//! resumed run goes on behind its last whole line, and it is removed when the final output is in place. The output
//! itself and `NAME.failures.jsonl` are written aside in source order, synced and renamed. The failures file has one
//! line for each record that did not succeed, blank and filtered ones excepted, and is written even when there are
//! none, so that an old one is not mistaken for this run's:
//!
//! ```text
//! {"line":17,"status":"failed","kind":"timeout","message":"…","attempts":3,"record":{…as it stood…}}
//! {"line":18,"status":"skipped","kind":"bad_text","message":"…","attempts":0,"text":"…what could be read of it…"}
//! ```

mod compose;
mod config;
mod fingerprint;
mod lines;
mod live;
mod merge;
mod sink;
mod source;
#[cfg(test)]
mod tests;

pub use config::{Columns, SinkConfig, SourceConfig};
pub use sink::{JsonlSink, SinkPlaces};
pub use source::JsonlSource;
