//! The final output and the failures, written aside in source order.

use std::{fs, io, path::PathBuf};

use domain::{
    End, Outcome, Record,
    ports::{Artefact, Merge, SinkError},
};
use serde_json::value::RawValue;

use super::{
    Composer, FileSource,
    compose::ComposeError,
    failures::{Told, push_failure},
};
use crate::{
    Place,
    file::{Aside, AsideError, cannot_sink},
};

/// How a format is written.
pub(crate) trait Layout: Send + Sync {
    /// Returns what its files are called: `a JSONL file`.
    fn file(&self) -> &'static str;

    /// Makes sure, as far as it can be told before any record is read, that the source can be written with new fields.
    ///
    /// # Errors
    /// What stands in the way.
    fn check(&self, _composer: &Composer, _source: &FileSource) -> Result<(), SinkError> {
        Ok(())
    }

    /// Makes what writes one file of the format, begun aside as `out`.
    ///
    /// # Errors
    /// Where the source cannot be read, or something else cannot be written.
    fn pen(&self, composer: &Composer, source: &FileSource, out: &mut Aside) -> Result<Box<dyn Pen>, PenError>;
}

/// Writes records to one file.
pub(crate) trait Pen: Send {
    /// Adds a record with its new fields.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn write(&mut self, record: &Record, output: &RawValue, out: &mut Aside) -> Result<(), PenError>;

    /// Adds what stands behind the last record.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn end(&mut self, _out: &mut Aside) -> Result<(), PenError> {
        Ok(())
    }
}

/// Why a pen does not write.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PenError {
    /// The file cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The record cannot be.
    #[error("{0}")]
    Record(String),
}

impl From<AsideError> for PenError {
    fn from(error: AsideError) -> Self {
        match error {
            AsideError::Sink(error) => Self::Sink(error),
            AsideError::Unmappable { .. } => Self::Record(error.to_string()),
        }
    }
}

impl From<ComposeError> for PenError {
    fn from(error: ComposeError) -> Self {
        Self::Record(error.to_string())
    }
}

impl PenError {
    /// Returns the error of a sink, with the `place` of the record that it is about.
    pub(super) fn at(self, place: &str) -> SinkError {
        match self {
            Self::Sink(error) => error,
            Self::Record(what) => SinkError::new(format!("{place}: {what}")),
        }
    }
}

/// A merge in progress. Dropped before its end, it leaves nothing behind.
pub(super) struct FileMerge {
    pub(super) source: FileSource,
    /// The names of the source's parts, where there are several.
    pub(super) parts: Vec<String>,
    pub(super) pen: Box<dyn Pen>,
    pub(super) output: Aside,
    pub(super) failures: Aside,
    /// The live output, which goes when the final one is in place.
    pub(super) live: PathBuf,
    pub(super) scratch: Vec<u8>,
}

impl Merge for FileMerge {
    fn write(&mut self, record: &Record, outcome: &Outcome) -> Result<(), SinkError> {
        match &outcome.end {
            End::Succeeded => {
                let Some(output) = outcome.output.as_deref() else {
                    let place = self.source.place_of(record);
                    return Err(SinkError::new(format!("{place}: the answer is not in the journal")));
                };
                let written = self.pen.write(record, output, &mut self.output);
                written.map_err(|error| error.at(&self.source.place_of(record)))?;
                self.output.count_record();
                Ok(())
            }
            End::Skipped { reason, .. } if reason.is_expected() => Ok(()),
            end => {
                self.scratch.clear();
                let file = self.parts.get(record.key.part as usize).map(String::as_str);
                push_failure(&Told { record, outcome, end, file, noun: self.source.noun() }, &mut self.scratch);
                self.failures.add(&self.scratch).map_err(|error| PenError::from(error).at("the failures"))?;
                self.failures.count_record();
                Ok(())
            }
        }
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Artefact>, SinkError> {
        let name = self.output.name().to_owned();
        self.pen.end(&mut self.output).map_err(|error| error.at(&name))?;
        // Both are durable before either is visible, and the live output goes last: killed in between, the next
        // process finds all it needs to do this again.
        let artefacts = vec![self.output.close()?, self.failures.close()?];
        self.failures.publish()?;
        self.output.publish()?;
        match fs::remove_file(&self.live) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let place = Place { name: self.live.display().to_string(), path: self.live.clone() };
                Err(cannot_sink("remove", &place, &error))
            }
            _ => Ok(artefacts),
        }
    }
}
