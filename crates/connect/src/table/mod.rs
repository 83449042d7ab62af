//! What all tables in files share: reading on a thread of its own, cutting bytes into records, looking into records, new
//! fields and their names, the live output, the failures, the merge.
//!
//! A format says the rest in two traits: [`Format`] (how records stand in a part) and [`Layout`] (how they are written).

mod compose;
mod cut;
mod failures;
mod format;
mod in_place;
mod inspect;
mod live;
mod merge;
mod original;
mod pen;
mod read;
mod sink;
mod source;
mod spool;
#[cfg(test)]
mod tests;

pub(crate) use compose::{Composer, Naming};
pub(crate) use cut::{AT_ONCE, About, EXCERPT, Found, Last, Shape, Splitter, Words};
pub(crate) use failures::{Told, cut, push_failure, status_of};
pub(crate) use format::{Format, Started};
pub use in_place::{InPlace, is_as_left};
pub(crate) use inspect::{ANSWERED, as_text, is_filled};
pub use inspect::{AnswerColumns, Taken};
pub(crate) use live::last_line_end;
pub(crate) use pen::{Layout, New, Pen, PenError};
pub(crate) use sink::Storing;
pub use sink::{FileSink, SinkPlaces};
pub use source::FileSource;
pub(crate) use source::{PlacedSheet, Settings};
pub(crate) use spool::{RowsPen, SpoolPen};
