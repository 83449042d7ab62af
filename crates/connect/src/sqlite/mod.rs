//! SQLite: a file with tables.
//!
//! Its columns take values of any type, so that a cell is read as what is stored: an integer, a real number, text, or
//! bytes. A column that is declared as `JSON` is JSON.

mod config;
mod database;

pub use config::{SinkConfig, SourceConfig};
pub(crate) use database::open;
