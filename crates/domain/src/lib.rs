//! The nouns of Tidemill and the ports between its rooms.
//!
//! Everybody's vocabulary: a [`Record`] is read, becomes a [`WorkItem`], is tried in attempts and ends in an
//! [`Outcome`]; the [`ports`] are the seams through which the engine sees sources, sinks, work, the journal and the
//! disk. This crate does no I/O and knows no runtime, which is what lets every other room compile and be tested
//! without its neighbours.
//!
//! ```
//! use domain::{RecordKey, FailureKind, FailureGroup};
//!
//! let key = RecordKey { step: 0, part: 0, position: 41, sample: 0 };
//! assert_eq!(key.to_string(), "0/0:41#0");
//! assert_eq!(FailureKind::Timeout.group(), Some(FailureGroup::Api));
//! ```

mod entry;
mod event;
mod failure;
mod item;
pub mod json;
mod key;
mod outcome;
pub mod ports;
pub mod price;
mod record;
mod secret;
mod settled;
mod tally;
mod time;
mod usage;

pub use entry::{
    Attempted, Derived, Entry, Header, Located, Member, NoteKind, Noted, Parked, Receipt, Reopened, Started, Stopped,
};
pub use event::{Event, Reporter, StopReason, Waiting};
pub use failure::{Cost, Failure, FailureGroup, FailureKind, Reason, Spent};
pub use item::{Planned, Unplanned, WorkItem};
pub use key::{PartNumber, RecordKey, SampleNumber, StepNumber};
pub use outcome::{Answer, AnswerMeta, End, EndClass, Outcome, SkipReason};
pub use record::{Origin, Read, Record, record_hash, request_hash};
pub use secret::Secret;
pub use settled::SettledSet;
pub use tally::Tally;
pub use time::{Clock, Timestamp};
pub use usage::{Billed, Usage};

/// A boxed future, the return type of the asynchronous ports: a seam is crossed once per attempt, so the box is cheap.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
