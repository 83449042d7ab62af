//! User keys that have been seen: what tells that one stands in the source twice.

use std::{path::Path, sync::Arc};

use domain::{
    PartNumber,
    ports::{Disk, KeyTable, KeyTableError},
};

use crate::{HashFile, HashFileError};

/// A value holds the part above the position: sixteen million files, of a million million records each.
const POSITION_BITS: u32 = 40;
const POSITION: u64 = (1 << POSITION_BITS) - 1;

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

    fn insert(
        &mut self,
        key: &str,
        (part, position): (PartNumber, u64),
    ) -> Result<Option<(PartNumber, u64)>, KeyTableError> {
        let hash = xxhash_rust::xxh3::xxh3_128(key.as_bytes());
        if position > POSITION || u64::from(part) > u64::MAX >> POSITION_BITS {
            let most = (1_u64 << (64 - POSITION_BITS), 1_u64 << POSITION_BITS);
            let what = format!("`key:` is for sources of at most {} files with {} records each", most.0, most.1);
            return Err(KeyTableError(what));
        }
        let former = self.table.insert(hash, u64::from(part) << POSITION_BITS | position);
        let former = former.map_err(|e| KeyTableError(e.to_string()))?;
        Ok(former.map(|at| ((at >> POSITION_BITS) as PartNumber, at & POSITION)))
    }
}
