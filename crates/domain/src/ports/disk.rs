//! The disk under the journal, so that a test can be the disk that crashes.

use std::{fmt, io, path::Path, path::PathBuf};

/// A file system, as little of it as the journal needs. Nothing is durable before its sync.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file for reading and writing, creating it where `create` says so.
    ///
    /// # Errors
    /// As the file system says.
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>>;

    /// Lists the files of a folder, by name.
    ///
    /// # Errors
    /// As the file system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Creates a folder and its parents.
    ///
    /// # Errors
    /// As the file system says.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Renames a file over whatever is there. Durable after the folder is synced.
    ///
    /// # Errors
    /// As the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes names in a folder durable.
    ///
    /// # Errors
    /// As the file system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the file system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads into `buffer` from `offset`; returns how many bytes there were, less than asked only at the end.
    ///
    /// # Errors
    /// As the file system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Returns the length.
    ///
    /// # Errors
    /// As the file system says.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file.
    ///
    /// # Errors
    /// As the file system says.
    fn cut(&self, length: u64) -> io::Result<()>;

    /// Makes the content durable (fdatasync).
    ///
    /// # Errors
    /// As the file system says.
    fn sync(&self) -> io::Result<()>;
}
