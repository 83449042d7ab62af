//! A table on disk from 128-bit hashes to numbers: request hash → leader, user key → position.
//!
//! Open addressing with linear probing over 24-byte slots, read and written with pread and pwrite, so that ten million
//! keys cost no memory of ours. It is a projection: it can be built again from the journal or the source, so it is not
//! synced. The header bears the mark of the machine's boot while the file is in use: after a kill the page cache is
//! whole and the file is used as it is; after a crash of the machine it is not trusted.
//!
//! ```text
//! "TIDEMILL-HASHES\0"  16 bytes
//! version              u32
//! log2 of slots        u32
//! mark                 u64, 0 when it was closed in good order
//! number of keys       u64, valid when closed
//! slots                24 bytes each: hash (16), number + 1 (8; 0 is an empty slot)
//! ```

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::ports::{Disk, DiskFile, KeyTable, KeyTableError};

const MAGIC: &[u8; 16] = b"TIDEMILL-HASHES\0";
const VERSION: u32 = 1;
const HEAD: u64 = 64;
const SLOT: usize = 24;
const FIRST_LOG2: u32 = 12;
/// How many slots are read at once: a probe that is longer is rare at the load that growth keeps.
const PROBE: u64 = 32;

/// Why the table cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the table `{path}`: {source}{}", crate::run_folder::advice(source))]
pub struct HashFileError {
    path: PathBuf,
    source: io::Error,
}

/// An open table.
#[derive(Debug)]
pub struct HashFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    log2: u32,
    n_keys: u64,
    mark: u64,
}

impl HashFile {
    /// Opens the table at `path`. The flag tells whether what was put in earlier is all there; where it is not (there
    /// is no file, or the machine crashed since), the table is empty and must be filled again. `boot` identifies this
    /// boot of the machine (0 where the system does not tell: then only a table closed in good order is trusted).
    ///
    /// # Errors
    /// As the file system says.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, boot: u64) -> Result<(Self, bool), HashFileError> {
        let wrap = |source| HashFileError { path: path.to_owned(), source };
        let file = disk.open(path, true).map_err(wrap)?;
        let mut head = [0; HEAD as usize];
        let read = file.read_at(&mut head, 0).map_err(wrap)?;
        let four = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let eight = |at: usize| u64::from(four(at)) | u64::from(four(at + 4)) << 32;
        let mark = eight(24);
        let is_ours = read == head.len() && head[..16] == *MAGIC && four(16) == VERSION && four(20) < 48;
        let is_whole = is_ours && (mark == 0 || (boot != 0 && mark == boot));
        let mut table = Self { disk, path: path.to_owned(), file, log2: FIRST_LOG2, n_keys: 0, mark: boot.max(1) };
        if is_whole {
            table.log2 = four(20);
            table.n_keys = if mark == 0 { eight(32) } else { table.count().map_err(wrap)? };
        } else {
            table.file.cut(0).map_err(wrap)?;
        }
        table.write_head(table.mark).map_err(wrap)?;
        table.file.cut(HEAD + (SLOT as u64) * (1 << table.log2)).map_err(wrap)?;
        // From here on slots change: a crash of the machine must not find the word of a good closing.
        table.file.sync().map_err(wrap)?;
        Ok((table, is_whole))
    }

    /// Puts `key` in with `number`, unless it is there; returns the number that was there.
    ///
    /// # Errors
    /// As the file system says.
    pub fn insert(&mut self, key: u128, number: u64) -> Result<Option<u64>, HashFileError> {
        self.try_insert(key, number).map_err(|source| HashFileError { path: self.path.clone(), source })
    }

    /// Puts `key` in with `number`, in place of an earlier number.
    ///
    /// # Errors
    /// As the file system says.
    pub fn set(&mut self, key: u128, number: u64) -> Result<(), HashFileError> {
        self.try_set(key, number).map_err(|source| HashFileError { path: self.path.clone(), source })
    }

    /// Returns the number of `key`.
    ///
    /// # Errors
    /// As the file system says.
    pub fn get(&self, key: u128) -> Result<Option<u64>, HashFileError> {
        match self.find(key) {
            Ok(Place::Taken { number, .. }) => Ok(Some(number)),
            Ok(Place::Free(_)) => Ok(None),
            Err(source) => Err(HashFileError { path: self.path.clone(), source }),
        }
    }

    /// Returns how many keys are in.
    #[must_use]
    pub fn n_keys(&self) -> u64 {
        self.n_keys
    }

    /// Closes the table in good order: it will be trusted after any crash.
    ///
    /// # Errors
    /// As the file system says.
    pub fn close(self) -> Result<(), HashFileError> {
        let closed = self.file.sync().and_then(|()| self.write_head(0)).and_then(|()| self.file.sync());
        closed.map_err(|source| HashFileError { path: self.path.clone(), source })
    }

    fn try_set(&mut self, key: u128, number: u64) -> io::Result<()> {
        match self.find_with_room(key)? {
            Place::Taken { slot, .. } => self.write(slot, key, number),
            Place::Free(slot) => self.fill(slot, key, number),
        }
    }

    fn try_insert(&mut self, key: u128, number: u64) -> io::Result<Option<u64>> {
        match self.find_with_room(key)? {
            Place::Taken { number, .. } => Ok(Some(number)),
            Place::Free(slot) => self.fill(slot, key, number).map(|()| None),
        }
    }

    /// Finds a key or the slot for it, in a table that has room for one more.
    fn find_with_room(&mut self, key: u128) -> io::Result<Place> {
        if self.n_keys * 2 >= 1 << self.log2 {
            self.grow()?;
        }
        self.find(key)
    }

    fn fill(&mut self, slot: u64, key: u128, number: u64) -> io::Result<()> {
        self.write(slot, key, number)?;
        self.n_keys += 1;
        Ok(())
    }

    fn write(&self, slot: u64, key: u128, number: u64) -> io::Result<()> {
        self.file.write_at(&encode(key, number), HEAD + slot * SLOT as u64)
    }

    fn find(&self, key: u128) -> io::Result<Place> {
        let n_slots = 1_u64 << self.log2;
        // The high half picks the slot; the keys are hashes already.
        let first = ((key >> 64) as u64) & (n_slots - 1);
        let mut block = [0; SLOT * PROBE as usize];
        let mut slot = first;
        loop {
            let n = PROBE.min(n_slots - slot);
            let wanted = &mut block[..usize::try_from(n).map_err(io::Error::other)? * SLOT];
            self.file.read_at(wanted, HEAD + slot * SLOT as u64)?;
            for (i, found) in wanted.chunks_exact(SLOT).enumerate() {
                let number = u64::from_le_bytes([
                    found[16], found[17], found[18], found[19], found[20], found[21], found[22], found[23],
                ]);
                if number == 0 {
                    return Ok(Place::Free(slot + i as u64));
                }
                if found[..16] == key.to_le_bytes() {
                    return Ok(Place::Taken { slot: slot + i as u64, number: number - 1 });
                }
            }
            slot = (slot + n) & (n_slots - 1);
            if slot == first {
                return Err(io::Error::other("the table is full"));
            }
        }
    }

    /// Moves everything into a table of twice the size, written aside.
    fn grow(&mut self) -> io::Result<()> {
        let aside = self.path.with_extension("growing");
        let file = self.disk.open(&aside, true)?;
        file.cut(0)?;
        file.cut(HEAD + (SLOT as u64) * (2 << self.log2))?;
        let mut bigger = Self {
            disk: Arc::clone(&self.disk),
            path: aside.clone(),
            file,
            log2: self.log2 + 1,
            n_keys: 0,
            mark: self.mark,
        };
        self.each(|key, number| bigger.try_insert(key, number).map(|_| ()))?;
        bigger.write_head(self.mark)?;
        self.disk.rename(&aside, &self.path)?;
        bigger.path.clone_from(&self.path);
        *self = bigger;
        Ok(())
    }

    fn each(&self, mut take: impl FnMut(u128, u64) -> io::Result<()>) -> io::Result<()> {
        let mut block = vec![0; SLOT * 4096];
        let end = HEAD + (SLOT as u64) * (1 << self.log2);
        let mut at = HEAD;
        while at < end {
            let read = self.file.read_at(&mut block, at)?;
            if read < SLOT {
                break;
            }
            for slot in block[..read].chunks_exact(SLOT) {
                let (hash, number) = slot.split_at(16);
                let number = u64::from_le_bytes(number.try_into().map_err(io::Error::other)?);
                if number > 0 {
                    take(u128::from_le_bytes(hash.try_into().map_err(io::Error::other)?), number - 1)?;
                }
            }
            at += (read - read % SLOT) as u64;
        }
        Ok(())
    }

    fn count(&self) -> io::Result<u64> {
        let mut n = 0;
        self.each(|_, _| {
            n += 1;
            Ok(())
        })?;
        Ok(n)
    }

    fn write_head(&self, mark: u64) -> io::Result<()> {
        let mut head = [0; HEAD as usize];
        head[..16].copy_from_slice(MAGIC);
        head[16..20].copy_from_slice(&VERSION.to_le_bytes());
        head[20..24].copy_from_slice(&self.log2.to_le_bytes());
        head[24..32].copy_from_slice(&mark.to_le_bytes());
        head[32..40].copy_from_slice(&self.n_keys.to_le_bytes());
        self.file.write_at(&head, 0)
    }
}

enum Place {
    Taken { slot: u64, number: u64 },
    Free(u64),
}

fn encode(key: u128, number: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..16].copy_from_slice(&key.to_le_bytes());
    slot[16..].copy_from_slice(&(number + 1).to_le_bytes());
    slot
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalDisk;

    fn hash(n: u64) -> u128 {
        xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes())
    }

    #[test]
    fn keys_survive_growth_and_both_ways_of_closing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let open = |boot| HashFile::open(Arc::new(LocalDisk), &path, boot).unwrap();
        let (mut table, is_whole) = open(7);
        assert!(!is_whole);
        for n in 0..20_000 {
            assert_eq!(table.insert(hash(n), n).unwrap(), None);
        }
        assert_eq!(table.insert(hash(17), 99).unwrap(), Some(17));
        drop(table); // as a kill leaves it

        let (table, is_whole) = open(7);
        assert!(is_whole && table.n_keys() == 20_000);
        assert!((0..20_000).all(|n| table.get(hash(n)).unwrap() == Some(n)));
        assert_eq!(table.get(hash(20_000)).unwrap(), None);
        table.close().unwrap();

        let (table, is_whole) = open(8); // another boot, after closing in good order
        assert!(is_whole && table.n_keys() == 20_000);
        drop(table);
        let (table, is_whole) = open(9); // another boot, after a crash of the machine
        assert!(!is_whole && table.get(hash(3)).unwrap().is_none());
    }
}
