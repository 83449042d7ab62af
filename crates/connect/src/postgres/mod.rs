//! PostgreSQL.
//!
//! All values travel as text, which PostgreSQL casts in both directions by rules of its own: what is read can be written
//! again, whatever its type.

mod config;
mod database;

pub use config::{SinkConfig, SourceConfig};
pub(crate) use database::connect;
