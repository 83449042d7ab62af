//! JSON Lines: one JSON object a line.
//!
//! **In.** Every line is a record, blank and bad ones included, so that positions are line numbers less one. Lines end in
//! `\n` or `\r\n`; a byte order mark at the start is passed over; the last line needs no end. A line is taken as it
//! stands: what is untouched comes out again byte for byte. No line is too long but one over `max_line` (1 GiB unless
//! set), which is skipped and reported without being held in memory.
//!
//! **Out.** The record as it stood, with the new fields behind its own. A record that stood over several lines of a JSON
//! array loses the white space between its tokens.

mod config;
mod sink;
mod source;
#[cfg(test)]
mod tests;

pub use config::{SinkConfig, SourceConfig};
pub(crate) use sink::LinesLayout;
pub(crate) use source::LinesFormat;
