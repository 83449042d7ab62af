//! What a file format says about itself, for reading.

use std::sync::Arc;

use domain::{Record, SkipReason, ports::SourceError};

use super::{Shape, Words, cut::About};
use crate::{
    csv::Heading,
    excel::Sheet,
    file::{Opened, Part, Reader},
};

/// How a format's records stand in files.
pub(crate) trait Format: Send + Sync + 'static {
    /// What cuts the records of one part out of its bytes.
    type Shape: Shape;

    /// Returns its words.
    fn words(&self) -> Words;

    /// Begins with a part at an offset: where a record begins, where one ends, or 0 for the part's beginning.
    ///
    /// # Errors
    /// Where the part is none of this format, or no record begins or ends there.
    fn start(&self, part: &Part, offset: u64, about: &mut About) -> Result<Started<Self::Shape>, SourceError>;

    /// Makes sure that the part is one of this format, as far as its beginning tells.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, _part: &Part) -> Result<(), SourceError> {
        Ok(())
    }

    /// Says why a part that has grown from `old_length` bytes on disk is not what it was with more records behind it, if
    /// so. Up to there its bytes are those that it had.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn continued(&self, part: &Part, old_length: u64) -> Result<Option<String>, SourceError>;

    /// Returns what heads the tables that the parts are, where this is a format of rows.
    ///
    /// # Errors
    /// Where they cannot be read, or differ so that their rows cannot stand in one table.
    fn heading(&self, _parts: &[Part]) -> Result<Option<Heading>, SourceError> {
        Ok(None)
    }

    /// Returns the number of the first row of a part that holds anything behind the last column, where this is a format of rows
    /// of text. The part is read to its end for that, or to that row.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn first_surplus(&self, _part: &Part) -> Result<Option<u64>, SourceError> {
        Ok(None)
    }

    /// Returns a record of which only the row was read, since it is answered, with all its fields.
    ///
    /// # Errors
    /// Where the part cannot be read.
    fn whole(&self, _part: &Part, record: &Record) -> Result<Record, SourceError> {
        Ok(record.clone())
    }

    /// Returns the sheet that a part is, where this is the format of workbooks.
    fn sheet(&self, _part: &Part) -> Option<Result<Arc<Sheet>, SourceError>> {
        None
    }

    /// Returns a record as JSON text, to be looked into.
    ///
    /// # Errors
    /// Why it is no text, or there is none.
    fn inspect<'r>(&self, record: &'r Record) -> Result<&'r str, (SkipReason, String)>;

    /// Returns whether a key that is an empty text is as good as none.
    fn is_empty_missing(&self) -> bool {
        false
    }
}

/// A part that is being read.
pub(crate) struct Started<S> {
    pub(crate) reader: Reader,
    /// Where the reader stands.
    pub(crate) offset: u64,
    pub(crate) shape: S,
}

impl<S> Started<S> {
    /// Begins where `opened` stands.
    pub(crate) fn at(opened: Opened, shape: S) -> Self {
        Self { reader: opened.reader, offset: opened.offset, shape }
    }
}
