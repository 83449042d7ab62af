//! What the journal holds.
//!
//! An entry is a header, which is JSON, and raw bytes, which are whatever a model or a remote object answered. The
//! shapes here are a disk format: a field may be added with a default, none may change its meaning.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{AnswerMeta, Cost, Failure, Outcome, RecordKey, Timestamp};

/// One entry of the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What happened.
    pub header: Header,
    /// The bytes that came back, as they came.
    pub raw: Bytes,
}

/// What an entry tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// A record is settled.
    Outcome(Box<Outcome>),
    /// A failed attempt that will be followed by another one. It counts against a budget, and so must survive.
    Attempted(Attempted),
    /// Intent before an effect, or progress within an item.
    Noted(Noted),
    /// An item waits outside of this process.
    Parked(Parked),
    /// A settled record is open again: to be retried, or because a new rule turned its answer down.
    Reopened(Reopened),
    /// A process began to work on the run.
    Started(Started),
    /// A process stopped in good order.
    Stopped(Stopped),
}

/// A failed attempt that counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempted {
    /// Whose attempt; for an item of several members, its identity.
    pub key: RecordKey,
    /// The members that are charged, where the item failed as a whole; otherwise the record alone is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// Whether the record came back from an item of several members, and is not one of them any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// How it failed.
    pub failure: Failure,
    /// What is known of the answer: it was billed, whatever it was worth.
    #[serde(default)]
    pub meta: AnswerMeta,
    /// When.
    pub at: Timestamp,
}

impl Attempted {
    /// Returns how many records were charged with it.
    #[must_use]
    pub fn n_charged(&self) -> u64 {
        let charged = self.failure.group().filter(|_| self.failure.cost != Cost::Lane);
        match (charged, self.members.as_slice()) {
            (None, _) => 0,
            (Some(_), []) => 1,
            (Some(_), members) => members.iter().map(|member| member.n).sum(),
        }
    }
}

/// A settled record is open again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reopened {
    /// Which.
    pub key: RecordKey,
    /// When.
    pub at: Timestamp,
}

/// A span of members: records of one item that stand side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The first.
    pub first: RecordKey,
    /// How many, all with keys that follow on the first one's position.
    pub n: u64,
}

/// What a note is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Something will be created outside; after a crash it is looked for by its tag.
    Intent,
    /// A part of the work is done (a step of an agent); after a crash the work goes on behind it.
    Progress,
}

/// Something a handler wanted to survive, under the identity of its item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Noted {
    /// The item.
    pub id: RecordKey,
    /// Its members: after a crash the same records form the same item.
    pub members: Vec<Member>,
    /// What for.
    pub kind: NoteKind,
    /// The handler's own word: the tag of a remote object, the number of a step.
    pub tag: String,
    /// When.
    pub at: Timestamp,
}

/// What finds a remote object again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt(pub String);

/// An item that waits outside: it holds no width and survives restarts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parked {
    /// The item.
    pub id: RecordKey,
    /// Its members that are still out.
    pub members: Vec<Member>,
    /// What finds it.
    pub receipt: Receipt,
    /// When to look again.
    pub look_again_at: Timestamp,
    /// When it was parked.
    pub at: Timestamp,
}

/// Records made from a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Derived {
    /// The position of the first one in the step that reads them. No two records share one; a crash may leave gaps.
    pub base: u64,
    /// The records, each a JSON object.
    pub records: Vec<Box<RawValue>>,
}

/// A process began.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Started {
    /// When.
    pub at: Timestamp,
    /// The version of Tidemill.
    pub version: String,
    /// Requests of an earlier process whose answers were lost with it and which are asked again.
    #[serde(default)]
    pub asked_again: u64,
}

/// A process stopped in good order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stopped {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// Where an entry lies: segment number and offset of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Located {
    /// The segment, from 1.
    pub segment: u32,
    /// The offset of the frame's first byte.
    pub offset: u32,
}
