//! The truth.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{
    Billed, BoxFuture, Entry, Failure, Located, Member, Noted, Parked, RecordKey, SettledSet, Spent, StepNumber, Tally,
};

/// Why the journal cannot be written or read: for people, with the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JournalError(pub String);

/// Bytes of the journal that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes cannot be read.
    pub bytes: u64,
    /// The record whose outcome it was, where the segment's index still tells.
    pub key: Option<RecordKey>,
}

/// An item that was begun and is not settled: it goes on where it was.
#[derive(Clone, Debug, Default)]
pub struct OpenItem {
    /// The records that form it.
    pub members: Vec<Member>,
    /// Its notes in order.
    pub notes: Vec<(Noted, Bytes)>,
    /// The last parking, if any.
    pub parked: Option<Parked>,
}

/// What the journal knows when it is opened.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The settled records.
    pub settled: SettledSet,
    /// How they ended, by step.
    pub tally: HashMap<StepNumber, Tally>,
    /// Tokens billed for all answers that came, by step.
    pub billed: HashMap<StepNumber, Billed>,
    /// Attempts that counted, of every record, by step.
    pub attempts: HashMap<StepNumber, u64>,
    /// Records that succeeded, where somebody needs to know them one by one (`until_accepted`): as [`Recovered::settled`].
    pub succeeded: SettledSet,
    /// Of unsettled records, the last answer that was not what was asked for.
    pub refuted: HashMap<RecordKey, (Failure, Bytes)>,
    /// Failed attempts of records that are not settled.
    pub spent: HashMap<RecordKey, Spent>,
    /// Items that were begun, by identity.
    pub open: HashMap<RecordKey, OpenItem>,
    /// For each step and part the byte offset of a position at or before the lowest unsettled one.
    pub resume_at: HashMap<(StepNumber, u32), (u64, u64)>,
    /// The position for the next derived record, by the step that makes it.
    pub next_derived: HashMap<StepNumber, u64>,
    /// Processes that have worked on the run.
    pub n_processes: u64,
    /// Requests that were in flight when the last process died: they are asked again.
    pub n_lost_in_flight: u64,
    /// Requests asked again after all earlier crashes.
    pub n_asked_again_before: u64,
    /// Damage found; nothing of it is dropped silently.
    pub damage: Vec<Damage>,
    /// A torn tail that was cut (bytes), as a crash leaves it.
    pub torn_bytes: u64,
}

/// What lies in the journal for a record.
#[derive(Debug)]
pub enum Found {
    /// Its outcome.
    Outcome(Box<Entry>),
    /// Nothing: it is not settled.
    Nothing,
    /// It was settled, and the bytes are damaged.
    Damaged(Damage),
}

/// Outcomes in the order in which they are asked for: cheap when that is the order of positions.
pub trait Outcomes: Send {
    /// Returns the outcome of `key`.
    ///
    /// # Errors
    /// Where the journal cannot be read at all.
    fn of(&mut self, key: &RecordKey) -> Result<Found, JournalError>;
}

/// The append-only truth of one run.
pub trait Journal: Send + Sync {
    /// Appends entries, all in one commit, and ends when they are durable. Entries of one call keep their order. Returns
    /// where the first of them lies.
    fn append(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<Located, JournalError>>;

    /// Marks that an attempt is about to be sent, cheaply and without a sync: after a crash of the process the marks
    /// tell how many answers were lost. `slot` is any number below the greatest number of attempts in flight.
    ///
    /// # Errors
    /// Where the mark cannot be written.
    fn asking(&self, slot: u32, key: &RecordKey, attempt: u32) -> Result<(), JournalError>;

    /// Reads one entry that was appended before; `None` where its bytes are damaged.
    ///
    /// # Errors
    /// Where the journal cannot be read at all.
    fn read(&self, at: Located) -> Result<Option<Entry>, JournalError>;

    /// Opens the outcomes of a step for reading in order. All that was appended before is seen.
    ///
    /// # Errors
    /// Where an index cannot be read or built.
    fn outcomes(&self, step: StepNumber) -> Result<Box<dyn Outcomes>, JournalError>;
}
