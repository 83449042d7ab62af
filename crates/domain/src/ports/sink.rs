//! Where outcomes go.

use serde::{Deserialize, Serialize};

use crate::{Failure, Outcome, Record, RecordKey};

/// A settled record, ready to be shown.
#[derive(Clone, Debug)]
pub struct Projection {
    /// The record as read.
    pub record: Record,
    /// Its end.
    pub outcome: Outcome,
}

/// A record whose outcome a sink does not take: the answer is kept, and the record ends as failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which.
    pub key: RecordKey,
    /// Why: of kind `write_rejected` or `conflict`.
    pub failure: Failure,
}

/// A file that a run produced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artefact {
    /// Its path as the pipeline names it.
    pub path: String,
    /// Records in it.
    pub records: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// The SHA-256 of its content (64 hexadecimal digits).
    pub sha256: String,
}

/// Why a sink cannot write: for people, with the path and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// What stands in the way.
    pub message: String,
    /// Whether the environment does (a disk, a permission), and not what the sink was told to do.
    pub is_environment: bool,
}

impl SinkError {
    /// An error in what the sink was told to do.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_environment: false }
    }

    /// A fault of the environment: the same command may work later, or as someone else.
    #[must_use]
    pub fn environment(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_environment: true }
    }
}

/// A projection of the journal. It writes by key, never retries, and may block: the engine calls it off its own thread.
pub trait Sink: Send {
    /// Makes sure, before any money is spent, that the output can be written, and that it is not the input.
    ///
    /// # Errors
    /// What stands in the way.
    fn prepare(&mut self) -> Result<(), SinkError>;

    /// Opens the live output: a new run starts it over, a resumed one goes on behind its last whole record.
    ///
    /// # Errors
    /// Where it cannot be opened or cut.
    fn open(&mut self, is_new: bool) -> Result<(), SinkError>;

    /// Shows settled records, in the order in which they settled. What cannot be shown now ([`Sink::held_back`]), or is not
    /// taken, is no error: the final output gets every record, and tells.
    ///
    /// # Errors
    /// Where the live output cannot be written.
    fn project(&mut self, settled: &[Projection]) -> Result<(), SinkError>;

    /// Returns why settled records are not shown at the moment, where something stands in the way that may pass: a
    /// database that cannot be reached.
    fn held_back(&self) -> Option<String> {
        None
    }

    /// Returns the output of an earlier projection of this record, if the live output has it: it saves an answer whose
    /// journal frame is damaged.
    ///
    /// # Errors
    /// Where the live output cannot be read.
    fn restore(&mut self, record: &Record) -> Result<Option<Box<serde_json::value::RawValue>>, SinkError>;

    /// Starts the final output, which takes every record in source order.
    ///
    /// # Errors
    /// Where it cannot be created.
    fn merge(&mut self) -> Result<Box<dyn Merge>, SinkError>;
}

/// A final output being written.
pub trait Merge: Send {
    /// Adds the next record of the source with its end.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn write(&mut self, record: &Record, outcome: &Outcome) -> Result<(), SinkError>;

    /// Writes what was added and is still held, and returns the records among all added so far whose outcome was not
    /// taken: each once. What they end as is journaled before [`Merge::finish`].
    ///
    /// # Errors
    /// Where it cannot be written. Where [`Merge::may_pass`] says so, this may be called again: nothing is lost.
    fn settle(&mut self) -> Result<Vec<Rejected>, SinkError> {
        Ok(Vec::new())
    }

    /// Returns whether what stood in the way of the last [`Merge::settle`] may pass by itself: a database that restarts.
    fn may_pass(&self) -> bool {
        false
    }

    /// Puts in place what there is so far, where the output is one of which that is of use: the run goes on, and what it
    /// settles later is in the next one.
    ///
    /// # Errors
    /// Where it cannot be made durable or renamed.
    fn save(self: Box<Self>) -> Result<(), SinkError> {
        Ok(())
    }

    /// Syncs, renames into place, removes the live output, and tells what was written. Nothing is visible before.
    ///
    /// # Errors
    /// Where it cannot be made durable or renamed.
    fn finish(self: Box<Self>) -> Result<Vec<Artefact>, SinkError>;
}
