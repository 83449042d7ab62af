//! What a source yields.

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::RecordKey;

/// Where a record was read, in the words of a person who opens the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The line (or row) number from 1.
    pub line: u64,
    /// The offset in bytes of the record's first byte in its part.
    pub offset: u64,
}

/// One row, line, page or request as read.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its identity.
    pub key: RecordKey,
    /// Where it was read.
    pub origin: Origin,
    /// The record as JSON object text, exactly as it stood in the source where the source is JSON.
    pub bytes: Bytes,
    /// The record as it stood in a source that is not JSON (a row of a CSV file, without its line end), so that what is
    /// untouched can be written again as it was.
    pub row: Option<Bytes>,
}

impl Record {
    /// Returns the hash that guards the record's identity: a source that changed under a run is noticed by it.
    #[must_use]
    pub fn hash(&self) -> u64 {
        record_hash(&self.bytes)
    }
}

/// Returns the guard hash of a record's bytes (XXH3, 64 bits).
#[must_use]
pub fn record_hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Returns the hash of a rendered request body (XXH3, 128 bits): evidence in the journal, and the key for dedupe.
#[must_use]
pub fn request_hash(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}

/// What a source read at one position.
#[derive(Clone, Debug)]
pub struct Read {
    /// The record; where `flaw` is set its bytes are an excerpt for people.
    pub record: Record,
    /// The offset in bytes at which the next record begins: with `position + 1` it is where a resumed read starts.
    pub next_offset: u64,
    /// Why the record cannot be used, where reading alone shows it (a line over the configured length).
    pub flaw: Option<(crate::SkipReason, String)>,
}
