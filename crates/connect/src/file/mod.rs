//! What all tables in files share below the table: which files there are, how their bytes are stored, how a file is
//! written so that nothing half-made is ever seen.
//!
//! **Parts.** A source is one file, or the files that a pattern (`data/*.csv`) matches, sorted by their paths. Each is a
//! part, and [`domain::RecordKey::part`] is its place in that order. A file that is there under the very name of the
//! pattern is that file. Names that begin with a dot are not matched by `*`.
//!
//! **Bytes.** What a part holds is decompressed, and turned into UTF-8 where it is in another encoding. A byte order mark
//! says what follows, whatever was declared. Offsets count *decoded* bytes: to go on in a part that is stored as plain
//! UTF-8 is a seek, in any other one it is decoding from the start and passing over, which is right and slower.
//!
//! **Text that is none.** What is not valid in a declared encoding becomes the byte `0xFF`, which no UTF-8 text holds. So
//! the record that it stands in is no text, and no other one is touched.

mod aside;
mod compression;
mod encoding;
mod fingerprint;
mod open;
mod parts;
mod place;
mod spool;
mod target;
#[cfg(test)]
mod tests;

pub use aside::Stream;
pub(crate) use aside::{Aside, AsideError};
pub use compression::Compression;
pub use encoding::Label;
pub(crate) use fingerprint::{compare, of};
pub(crate) use open::{BOM, Opened, Reader};
pub(crate) use parts::{Files, Part, Stored};
pub use place::Place;
pub use place::is_same_path;
pub(crate) use place::{cannot, cannot_sink, did_you_mean, is_same_file, sync_folder};
pub use spool::spool;
pub(crate) use target::{check_target, create_folder, probe, try_out};
#[cfg(test)]
pub(crate) use tests::{gzip, zstd};
