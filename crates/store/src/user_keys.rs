//! User keys that have been seen: what tells that one stands in the source twice.

use std::{path::Path, sync::Arc};

use domain::ports::{Disk, KeyTable, KeyTableError};

use crate::{HashFile, HashFileError};

/// The user keys of one source: a table of their hashes. Two keys are taken for one only if 128 bits agree.
#[derive(Debug)]
pub struct UserKeys {
    table: HashFile,
    is_whole: bool,
}

impl UserKeys {
    /// Opens the table at `path`; see [`HashFile::open`].
    ///
    /// # Errors
    /// As the file system says.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, boot: u64) -> Result<Self, HashFileError> {
        let (table, is_whole) = HashFile::open(disk, path, boot)?;
        Ok(Self { table, is_whole })
    }
}

impl KeyTable for UserKeys {
    fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn insert(&mut self, key: &str, position: u64) -> Result<Option<u64>, KeyTableError> {
        let hash = xxhash_rust::xxh3::xxh3_128(key.as_bytes());
        self.table.insert(hash, position).map_err(|e| KeyTableError(e.to_string()))
    }
}
