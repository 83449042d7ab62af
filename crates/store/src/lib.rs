//! What survives a crash.
//!
//! The [`Journal`] is the append-only truth of one run: segments of framed, checksummed entries, written by one thread
//! that commits in groups and acknowledges after the sync. Beside it lie structures that can be built again from it:
//! an index per sealed segment, positions for reading in source order, and [`HashFile`], the table on disk for
//! request hashes and user keys. A [`RunFolder`] holds them with the manifest and the lock.
//!
//! This crate knows no source, no model and no engine; it writes through the `Disk` port, so that a test can be the
//! disk that crashes.

mod disk;
mod filter;
mod hash_file;
mod journal;
mod manifest;
mod requests;
mod run_folder;
mod turn;
mod user_keys;

pub use disk::LocalDisk;
pub use hash_file::{HashFile, HashFileError};
pub use journal::{Journal, Options, Settled, Walk};
pub use manifest::{FORMAT_VERSION, Manifest, ManifestError, RunState};
pub use requests::Requests;
pub use run_folder::{Locked, RunFolder, RunFolderError, RunLock};
pub use turn::Turn;
pub use user_keys::UserKeys;
