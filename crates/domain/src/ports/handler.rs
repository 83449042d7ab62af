//! What can be done with a record.

use std::time::Instant;

use bytes::Bytes;

use super::{JournalError, Permit, Reserve};
use crate::{
    Answer, AnswerMeta, BoxFuture, Failure, NoteKind, Noted, Outcome, Planned, Receipt, Record, RecordKey,
    SampleNumber, Timestamp, Unplanned, WorkItem,
};

/// How many records make one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Each record is an item.
    Single,
    /// Records that follow each other form a chunk.
    Chunk {
        /// At most so many records.
        records: usize,
        /// At most so many bytes of planned bodies.
        bytes: usize,
    },
}

/// What earlier attempts of an item left behind, in this process or in one that was killed.
#[derive(Clone, Debug, Default)]
pub struct Prior {
    /// Notes in order, with their raw bytes.
    pub notes: Vec<(Noted, Bytes)>,
    /// The receipt, where the item was parked.
    pub receipt: Option<Receipt>,
    /// The last failed attempt that counted as what the model said, with what it said: the next one may complain of it.
    pub refuted: Option<(Failure, Bytes)>,
}

/// The handler's way into the journal while it works: what it writes here is durable when the future ends.
pub trait Notes: Send + Sync {
    /// Journals a note under the item.
    fn note<'a>(&'a self, kind: NoteKind, tag: &'a str, raw: Bytes) -> BoxFuture<'a, Result<(), JournalError>>;
}

/// What an attempt is given.
pub struct AttemptContext<'a> {
    /// The number of this attempt from 1.
    pub number: u32,
    /// When it must be over. Set once, passed inward, never cut short.
    pub deadline: Instant,
    /// The right to start; dropped when the answer has arrived.
    pub permit: Permit,
    /// What earlier attempts left.
    pub prior: &'a Prior,
    /// The way into the journal.
    pub notes: &'a dyn Notes,
}

/// How one member of a chunk came back.
#[derive(Clone, Debug)]
pub enum MemberEnd {
    /// With an answer.
    Done(Answer),
    /// With a failure.
    Failed(Failure, Bytes, AnswerMeta),
}

/// What becomes of the members that a harvest did not bring.
#[derive(Clone, Debug)]
pub enum Rest {
    /// There are none, or the remote object is over and came back without them.
    Over,
    /// They are still out.
    Parked(Receipt, Timestamp),
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// The one record of the item has its answer.
    Done(Answer),
    /// The item failed as a whole; the raw bytes are what came back, if anything.
    Failed(Failure, Bytes, AnswerMeta),
    /// A chunk was turned down as a whole, perhaps for one of its members: its halves are tried by themselves, at nobody's
    /// expense. A single record fails with this.
    Divided(Failure),
    /// The item waits outside and is looked at again, by its receipt, at that time.
    Parked(Receipt, Timestamp),
    /// Members of a chunk came back, all or some.
    Harvested(Vec<(RecordKey, MemberEnd)>, Rest),
}

/// A kind of work.
pub trait Handler: Send + Sync {
    /// Returns how records form items.
    fn grouping(&self) -> Grouping {
        Grouping::Single
    }

    /// Returns how often each record is worked on: the sample in a record's key goes from 0 to one below. What a sample
    /// stands for (another draw, another model) is the handler's business.
    fn samples(&self) -> SampleNumber {
        1
    }

    /// Judges an answer again that was paid for before: by the rules of now, from what the journal has of it. `None`
    /// where the work has no answers to judge.
    fn judge_again(&self, _record: &Record, _outcome: &Outcome, _raw: &Bytes) -> Option<Ended> {
        None
    }

    /// Makes the request from the record. Pure: the same record gives the same plan in every process.
    ///
    /// # Errors
    /// Why the record will not be worked on.
    fn plan(&self, record: &Record) -> Result<Planned, Unplanned>;

    /// Asks for the right to start an attempt now. Waiting is not an attempt and spends no budget.
    fn reserve(&self, item: &WorkItem, deadline: Instant) -> Reserve;

    /// Ends when a reservation that was refused for width may succeed.
    fn width_freed(&self) -> BoxFuture<'_, ()>;

    /// Makes one attempt.
    fn perform<'a>(&'a self, item: &'a WorkItem, attempt: AttemptContext<'a>) -> BoxFuture<'a, Ended>;
}
