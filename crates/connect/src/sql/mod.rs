//! What all databases share: statements over a table by its key, cells as JSON, rows that a run took, guarded writes.
//!
//! A database itself is a [`Database`]: a blocking connection that runs statements and knows a table's columns. The folders
//! `sqlite`, `mysql` and `postgres` are one each.
//!
//! **In.** A run *takes* rows page by page, in the order of the key, each page behind the last key of the one before, with
//! the conditions applied by the database. Each page is appended to the *spool* in the run's folder, one JSON object a line,
//! synced, and only then yielded. So a run has a fixed set of records however the table changes, reads it as often as it
//! likes, and goes on behind the last key after a kill.
//!
//! **Out, in place.** Answers are written into the row that was read, in batches, each one transaction. A row is locked,
//! compared with what was read, and written only if it is still that; else its record ends as `conflict`. What is written
//! is noted behind the commit. A row that was committed and not noted, because the process was killed, is recognised: writing
//! the same values again changes nothing.
//!
//! **Out, into another table.** Rows are added, each with a row of `tidemill_written` in the same transaction, so that
//! none is added twice; when the step is finished, the notes do that alone. That it is another table is asked of the server.

mod access;
mod batch;
mod cells;
mod config;
mod copied;
mod database;
mod identity;
mod insert;
mod lease;
mod merge;
mod sink;
mod source;
mod spool;
mod table;
#[cfg(test)]
mod tests;
mod together;
mod writer;
mod written;

pub use access::{Access, Password, Tls};
pub(crate) use access::{Server, Where};
pub(crate) use cells::hex;
pub use config::Resolver;
pub use copied::Copied;
pub(crate) use database::{Cell, Column, Database, DatabaseError, Flavor, Kind, TableName, Trouble, Value};
pub use sink::{SqlSink, SqlSinkSettings};
pub use source::{SqlSource, SqlSourceSettings, Unreached};
pub use table::Wanted;
