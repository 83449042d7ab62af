//! User keys that have been seen: what tells that one stands in the source twice.

use std::{path::Path, sync::Arc};

use domain::{
    PartNumber,
    ports::{Disk, KeyTable, KeyTableError},
};

use crate::{HashFile, HashFileError};

/// Noted beside the keys while they are put in again; a process that dies meanwhile leaves half of them.
const FILLING: u64 = 1;
const FILLED: u64 = 0;

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
        let (mut table, is_kept) = HashFile::open(disk, path, boot)?;
        if !is_kept {
            table.set_note(FILLING)?;
        }
        let is_whole = is_kept && table.note() != FILLING;
        Ok(Self { table, is_whole })
    }
}

impl KeyTable for UserKeys {
    fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn filled(&mut self) -> Result<(), KeyTableError> {
        self.is_whole = true;
        self.table.set_note(FILLED).map_err(|e| KeyTableError(e.to_string()))
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

#[cfg(test)]
mod tests {
    use crate::LocalDisk;

    use super::*;

    #[test]
    fn keys_that_were_being_put_in_again_when_the_process_died_are_put_in_again() {
        let folder = tempfile::tempdir().unwrap();
        let open = |boot| UserKeys::open(Arc::new(LocalDisk), &folder.path().join("keys"), boot).unwrap();
        let mut keys = open(8);
        assert!(!keys.is_whole(), "a new one");
        keys.filled().unwrap();
        assert_eq!(keys.insert("a", (0, 0)).unwrap(), None);
        assert_eq!(keys.insert("b", (1, 0)).unwrap(), None);
        drop(keys);
        assert!(open(8).is_whole(), "after a kill");

        let mut keys = open(9);
        assert!(!keys.is_whole(), "after a crash of the machine");
        assert_eq!(keys.insert("a", (0, 0)).unwrap(), None);
        drop(keys);
        let mut keys = open(9);
        assert!(!keys.is_whole(), "after a kill while they were put in");
        assert_eq!(keys.insert("a", (0, 0)).unwrap(), Some((0, 0)));
        assert_eq!(keys.insert("b", (1, 0)).unwrap(), None);
        keys.filled().unwrap();
        drop(keys);
        let mut keys = open(9);
        assert!(keys.is_whole());
        assert_eq!(keys.insert("b", (0, 0)).unwrap(), Some((1, 0)), "the file is told as well as the line");
    }
}
