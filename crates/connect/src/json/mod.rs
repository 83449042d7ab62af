//! JSON arrays: one file with one array of objects.
//!
//! **In.** The array is read as a stream: an element is found by its brackets, outside of strings, and no more than one is
//! held. It is taken as it stands, over as many lines as it has. An element that is no object is a bad record; where
//! the array itself cannot be followed (a bracket that closes what it did not open, no comma between elements, no end),
//! the run stops and says where. A comma before the closing bracket is passed over.
//!
//! **Out.** An array with one record a line.

mod config;
mod items;
mod sink;
mod source;
#[cfg(test)]
mod tests;

pub use config::{SinkConfig, SourceConfig};
pub(crate) use sink::ItemsLayout;
pub(crate) use source::ItemsFormat;
