//! A record, or a chunk of them, and what to do with it.

use bytes::Bytes;

use crate::{Failure, Record, RecordKey, SkipReason};

/// What the handler made of a record before any effect: a pure function of the record and the pipeline.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// The request as it will be sent (OpenAI-shaped for prompts; whatever the handler likes for others).
    pub body: Bytes,
    /// The hash of `body`, journaled as evidence.
    pub request: Option<u128>,
    /// An estimate of the tokens that the request will take, for limits.
    pub tokens: u32,
}

/// Why a record will not be worked on.
#[derive(Clone, Debug)]
pub enum Unplanned {
    /// The record lacks what the work needs, or a filter left it out.
    Skip(SkipReason, String),
    /// The record ends as failed without an attempt (the template raised an error, say).
    Fail(Failure),
}

/// A record, or a chunk of records that is handled as one remote object, and what to do with it.
#[derive(Clone, Debug)]
pub struct WorkItem {
    /// The identity of the item: the key of its first record. Notes and receipts are journaled under it.
    pub id: RecordKey,
    /// The records, in source order; one unless the handler groups.
    pub members: Vec<(Record, Planned)>,
}
