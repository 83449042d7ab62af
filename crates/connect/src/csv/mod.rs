//! CSV and TSV: one row a record, cells between delimiters.
//!
//! **In.** A cell that begins with the quote ends at the next one that is not doubled, and may hold delimiters and line
//! ends; anywhere else a quote is a character like others. That is how Python's `csv` and Excel read. Rows end in `\n`,
//! `\r\n` or `\r`. What is not declared of the dialect is found out from the first rows. The first row names the
//! columns, unless `header: false`: then they are `c1`, `c2` and so on, as many as most of the first rows have cells. Every
//! cell is text. A row with fewer cells than there are columns lacks the last fields; one with more is a bad record. Empty
//! lines are blank records.
//!
//! A record's `bytes` is a JSON object of strings made of header and cells; its `row` is what stood in the file.
//!
//! **Out.** Rows that were read as rows are written as they stood, byte for byte, with new cells behind them; with
//! `overwrite` just the one cell is another. Header and line ends are those of the source. Where every row of the source is to
//! stand in the output, no new column may come to stand over what a row holds behind the header's last column: such a table
//! is refused before anything is asked. Records of other formats get
//! the columns that any of them has, in the order in which they first appear, and the new ones behind them: they are
//! kept aside until all names are known. `null` is an empty cell, text stands as it is, and whatever else is JSON text.

mod answered;
mod cells;
mod config;
mod dialect;
mod head;
mod rows;
mod sample;
mod sink;
mod source;
mod surplus;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use cells::cells_of;
pub(crate) use cells::{push_json, push_json_inside};
pub use config::{Delimiter, Quote, SinkConfig, SourceConfig, TsvSinkConfig, TsvSourceConfig, WhichRows};
pub(crate) use dialect::{Declared, Dialect};
pub(crate) use head::Heading;
pub(crate) use sink::RowsLayout;
pub(crate) use source::RowsFormat;
