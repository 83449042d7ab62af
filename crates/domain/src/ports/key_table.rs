//! Which user keys have been seen, and which requests have been answered.

use crate::{Located, PartNumber};

/// Why the table cannot be used: for people, with the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyTableError(pub String);

/// User key → part and position, on disk, so that a key that stands in the source twice is noticed at any size.
pub trait KeyTable: Send {
    /// Returns whether everything that was put in by earlier processes is there; where not, it must be put in again.
    fn is_whole(&self) -> bool;

    /// Says that the keys of all records that were settled before are in. Until then a process that finds the table puts
    /// them in again.
    ///
    /// # Errors
    /// Where the table cannot be written.
    fn filled(&mut self) -> Result<(), KeyTableError>;

    /// Puts a key in, unless it is there; returns the part and position that were there.
    ///
    /// # Errors
    /// Where the table cannot be read or written.
    fn insert(&mut self, key: &str, at: (PartNumber, u64)) -> Result<Option<(PartNumber, u64)>, KeyTableError>;
}

/// Request hash → the outcome of the record that was asked first, on disk (`dedupe`).
pub trait RequestTable: Send {
    /// Puts the outcome of a request in, in place of an earlier one.
    ///
    /// # Errors
    /// Where the table cannot be read or written.
    fn put(&mut self, request: u128, at: Located) -> Result<(), KeyTableError>;

    /// Returns the outcome of a request.
    ///
    /// # Errors
    /// Where the table cannot be read.
    fn get(&self, request: u128) -> Result<Option<Located>, KeyTableError>;

    /// Tells that the journal has come to `segment`, so that what was put in before is written where it outlives the
    /// process, and earlier segments need not be read again. To be told of outcomes that are not put in, too.
    ///
    /// # Errors
    /// Where the table cannot be written.
    fn reached(&mut self, segment: u32) -> Result<(), KeyTableError>;
}
