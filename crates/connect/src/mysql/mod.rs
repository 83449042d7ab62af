//! MySQL and `MariaDB`.
//!
//! A connection is strict, so that what does not fit is an error and not cut; it speaks UTF-8, and times are UTC.

mod config;
mod database;

pub use config::{SinkConfig, SourceConfig};
pub(crate) use database::connect;
