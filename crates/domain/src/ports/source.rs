//! Where records come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BoxFuture, PartNumber, Read, Record, SkipReason};

/// What identifies the content of a source, cheaply: enough to notice a change before work starts. Each record's own
/// hash, kept with its outcome, notices the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The parts in order: file names, or the name of a table.
    pub parts: Vec<String>,
    /// The length in bytes of each part.
    pub lengths: Vec<u64>,
    /// A hash of samples of each part (XXH3, 64 bits, 16 hexadecimal digits).
    pub samples: Vec<String>,
}

/// How a source differs from the fingerprint in the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It does not.
    Unchanged,
    /// It has grown at its end; what was there is as it was.
    Appended {
        /// The new fingerprint.
        now: Fingerprint,
    },
    /// It is another one; what changed, for people.
    Changed(String),
}

/// Where to start in each part of a source: a position, and the offset in bytes at which it lies. A part that is not
/// named is read from its beginning.
pub type Starts = BTreeMap<PartNumber, (u64, u64)>;

/// What looking into a record shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The value of the user's key field as text, where one is configured.
    pub user_key: Option<String>,
}

/// Why a source cannot be read: for people, with the file and the line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// Records in, in order, each with the place where the next read would start.
pub trait Source: Send + Sync {
    /// Returns the name for people: a path or a table.
    fn name(&self) -> String;

    /// Returns the name of one of its parts, for people.
    fn part(&self, _number: PartNumber) -> String {
        self.name()
    }

    /// Returns where a record stands, in the words of a person who opens the source: `data/b.csv row 17`.
    fn place_of(&self, record: &Record) -> String {
        format!("{} line {}", self.part(record.key.part), record.origin.line)
    }

    /// Takes the fingerprint of the content as it is now.
    ///
    /// # Errors
    /// Where the source is missing, not readable, or not a source (a folder).
    fn fingerprint(&self) -> Result<Fingerprint, SourceError>;

    /// Compares the content with an earlier fingerprint.
    ///
    /// # Errors
    /// As [`Source::fingerprint`].
    fn compare(&self, before: &Fingerprint) -> Result<Change, SourceError>;

    /// Starts reading, part by part in order, each where `starts` says.
    ///
    /// # Errors
    /// As [`Source::fingerprint`].
    fn open(&self, starts: &Starts) -> Result<Box<dyn Records>, SourceError>;

    /// Counts the records, where that is cheaper than reading them. It may block, and it is called off the engine's thread.
    ///
    /// # Errors
    /// As [`Source::fingerprint`].
    fn count(&self) -> Result<Option<u64>, SourceError> {
        Ok(None)
    }

    /// Returns a record with all its fields: of one that is answered already, only the row may have been read.
    ///
    /// # Errors
    /// Where its part cannot be read.
    fn whole(&self, record: &Record) -> Result<Record, SourceError> {
        Ok(record.clone())
    }

    /// Looks into a record: is it one at all, and what is its user key? Called only for records that are not settled,
    /// which is what makes passing over settled ones cheap.
    ///
    /// # Errors
    /// The reason for which the record must be skipped, with a sentence that names file, line and field.
    fn inspect(&self, record: &Record) -> Result<Inspected, (SkipReason, String)>;
}

/// A reading in progress.
pub trait Records: Send {
    /// Reads on: at most `max` records; an empty list is the end. After an error that may pass ([`Records::may_pass`]) it
    /// may be called again, and goes on behind the last record that it returned.
    fn next(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<Read>, SourceError>>;

    /// Returns whether what stood in the way of the last read may pass by itself: a database that restarts.
    fn may_pass(&self) -> bool {
        false
    }
}
