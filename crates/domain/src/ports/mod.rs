//! The seams. Each port is an object-safe trait; what all its implementations must pass stands in `testkit`, so far for
//! `Handler` alone.

mod disk;
mod handler;
mod journal;
mod key_table;
mod model;
mod sink;
mod source;

pub use disk::{Disk, DiskFile};
pub use handler::{AttemptContext, Ended, Grouping, Handler, MemberEnd, Notes, Prior, Rest};
pub use journal::{Damage, Found, Journal, JournalError, OpenItem, Outcomes, Recovered};
pub use key_table::{KeyTable, KeyTableError, RequestTable};
pub use model::{Ask, Class, ModelAnswer, ModelClient, ModelRequest, NotBefore, Permit, Reservation, Reserve};
pub use sink::{Artefact, Merge, Projection, Rejected, Sink, SinkError};
pub use source::{Change, Fingerprint, Inspected, Records, Source, SourceError, Starts};
