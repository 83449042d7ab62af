//! One at a time: who looks for a run, or begins one, does so alone.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::FlockOperation;

/// The right to choose a run below a state folder; given up when this is dropped, or the process dies.
#[derive(Debug)]
pub struct Turn {
    _file: File,
}

impl Turn {
    /// Waits for the turn. Those before hold it for moments only.
    ///
    /// # Errors
    /// As the file system says.
    pub fn take(state: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(state)?;
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(state.join("choosing"))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        Ok(Self { _file: file })
    }
}
