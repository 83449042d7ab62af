//! How a format is written.

use domain::{Record, ports::SinkError};
use serde_json::value::RawValue;

use super::{Composer, FileSource, compose::ComposeError};
use crate::file::{Aside, AsideError};

/// How a format is written.
pub(crate) trait Layout: Send + Sync {
    /// Makes sure, as far as it can be told before anything is asked, that the source can be written with new fields. `keeps_all`
    /// says whether every record of the source will stand in the output.
    ///
    /// # Errors
    /// What stands in the way.
    fn check(&self, _composer: &Composer, _source: &FileSource, _keeps_all: bool) -> Result<(), SinkError> {
        Ok(())
    }

    /// Returns whether whatever of the source the pen is not given stands in the output in any case, as it was.
    fn copies_the_rest(&self) -> bool {
        false
    }

    /// Makes what writes one file of the format, begun aside as `out`.
    ///
    /// # Errors
    /// Where the source cannot be read, or something else cannot be written.
    fn pen(&self, composer: &Composer, source: &FileSource, out: &mut Aside) -> Result<Box<dyn Pen>, PenError>;
}

/// What a record gets in an output.
#[derive(Clone, Copy)]
pub(crate) enum New<'a> {
    /// Every new column: those that the output lacks are empty.
    Answer(&'a RawValue),
    /// These new columns alone: whatever stands in the others stays, and a record that is no record stays as it is.
    Only(&'a RawValue),
}

impl<'a> New<'a> {
    /// Returns the new fields.
    pub(crate) fn output(self) -> &'a RawValue {
        match self {
            Self::Answer(output) | Self::Only(output) => output,
        }
    }

    /// Returns whether the record is to stay as it is.
    pub(crate) fn is_nothing(self) -> bool {
        matches!(self, Self::Only(output) if output.get() == "{}")
    }
}

/// Writes records to one file.
pub(crate) trait Pen: Send {
    /// Adds a record with its new fields. Where they are turned down ([`PenError::Rejected`]) nothing was written, and the
    /// same record may be added with others.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn write(&mut self, record: &Record, new: New<'_>, out: &mut Aside) -> Result<(), PenError>;

    /// Returns whether a record that was read as a row is written from that row, and its fields are not looked at.
    fn takes_rows(&self) -> bool {
        false
    }

    /// Looks at a record that stays as it is, in an output that has whatever it is not given.
    ///
    /// # Errors
    /// Where the record cannot stand in the output as it is.
    fn pass_by(&mut self, _record: &Record) -> Result<(), PenError> {
        Ok(())
    }

    /// Adds what stands behind the last record.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn end(&mut self, _out: &mut Aside) -> Result<(), PenError> {
        Ok(())
    }

    /// Returns the files that the output goes on in, once it is at its end.
    fn further(&mut self) -> Vec<Aside> {
        Vec::new()
    }
}

/// Why a pen does not write.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PenError {
    /// The file cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The file cannot be written because of a record.
    #[error("{0}")]
    Record(String),
    /// The file cannot hold the new fields of this record; all others can be written.
    #[error("{0}")]
    Rejected(String),
}

impl From<AsideError> for PenError {
    fn from(error: AsideError) -> Self {
        match error {
            AsideError::Sink(error) => Self::Sink(error),
            AsideError::Unmappable { .. } => Self::Rejected(error.to_string()),
        }
    }
}

impl From<ComposeError> for PenError {
    fn from(error: ComposeError) -> Self {
        Self::Rejected(error.to_string())
    }
}

impl PenError {
    /// Returns the error of a sink, with the `place` of the record that it is about.
    pub(crate) fn at(self, place: &str) -> SinkError {
        match self {
            Self::Sink(error) => error,
            Self::Record(what) | Self::Rejected(what) => SinkError::new(format!("{place}: {what}")),
        }
    }
}
