//! A table on disk from 128-bit hashes to numbers: request hash → leader, user key → position.
//!
//! Open addressing with linear probing over 24-byte slots, read and written with pread and pwrite, so that ten million
//! keys cost no memory of ours. It is a projection: it can be built again from the journal or the source, so it is not
//! synced. The header bears the mark of the machine's boot while the file is in use: after a kill the page cache is
//! whole and the file is used as it is; after a crash of the machine it is not trusted.
//!
//! A kill may cut a write short, at a border of pages. That leaves no slot half taken: a number lies within one page, and
//! a slot without a number is empty, whatever stands before it. And it leaves no key behind an empty slot that its probe
//! would end at: bytes are written in the order of the slots, a key never before those that it was probed past.
//!
//! ```text
//! "TIDEMILL-HASHES\0"  16 bytes
//! version              u32
//! log2 of slots        u32
//! mark                 u64, 0 when it was closed in good order
//! number of keys       u64, valid when closed
//! note                 u64, the owner's (not in version 1: there it is 0)
//! slots                24 bytes each: hash (16), number + 1 (8; 0 is an empty slot)
//! ```

mod many;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::ports::{Disk, DiskFile};

const MAGIC: &[u8; 16] = b"TIDEMILL-HASHES\0";
const VERSION: u32 = 2;
/// The version without a note is read as one whose note is 0.
const OLDEST: u32 = 1;
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
    note: u64,
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
        let is_ours =
            read == head.len() && head[..16] == *MAGIC && (OLDEST..=VERSION).contains(&four(16)) && four(20) < 48;
        let is_whole = is_ours && (mark == 0 || (boot != 0 && mark == boot));
        let mut table =
            Self { disk, path: path.to_owned(), file, log2: FIRST_LOG2, n_keys: 0, mark: boot.max(1), note: 0 };
        if is_whole {
            table.log2 = four(20);
            table.note = if four(16) == OLDEST { 0 } else { eight(40) };
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

    /// Calls `take` with every key, in no order.
    ///
    /// # Errors
    /// As the file system says.
    pub fn each_key(&self, mut take: impl FnMut(u128)) -> Result<(), HashFileError> {
        let each = self.each_block(|keys| {
            keys.iter().for_each(|(key, _)| take(*key));
            Ok(())
        });
        each.map_err(|source| HashFileError { path: self.path.clone(), source })
    }

    /// Returns the number that the owner wrote beside the keys; 0 in a new table.
    #[must_use]
    pub fn note(&self) -> u64 {
        self.note
    }

    /// Writes a number of the owner's beside the keys. Whoever finds it finds all keys that were put in before.
    ///
    /// # Errors
    /// As the file system says.
    pub fn set_note(&mut self, note: u64) -> Result<(), HashFileError> {
        self.note = note;
        self.write_head(self.mark).map_err(|source| HashFileError { path: self.path.clone(), source })
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
        self.make_room(1)?;
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

    /// Returns the slot that the probe for a key begins at. The high half tells it; the keys are hashes already.
    fn slot_of(&self, key: u128) -> u64 {
        ((key >> 64) as u64) & ((1 << self.log2) - 1)
    }

    fn find(&self, key: u128) -> io::Result<Place> {
        let n_slots = 1_u64 << self.log2;
        let first = self.slot_of(key);
        let mut block = [0; SLOT * PROBE as usize];
        let mut slot = first;
        loop {
            let n = PROBE.min(n_slots - slot);
            let wanted = &mut block[..usize::try_from(n).map_err(io::Error::other)? * SLOT];
            self.file.read_at(wanted, HEAD + slot * SLOT as u64)?;
            for (i, found) in wanted.chunks_exact(SLOT).enumerate() {
                match decode(found) {
                    None => return Ok(Place::Free(slot + i as u64)),
                    Some((taken, number)) if taken == key => {
                        return Ok(Place::Taken { slot: slot + i as u64, number });
                    }
                    Some(_) => {}
                }
            }
            slot = (slot + n) & (n_slots - 1);
            if slot == first {
                return Err(io::Error::other("the table is full"));
            }
        }
    }

    fn count(&self) -> io::Result<u64> {
        let mut n = 0;
        self.each_block(|keys| {
            n += keys.len() as u64;
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
        head[40..48].copy_from_slice(&self.note.to_le_bytes());
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

/// Reads a slot; `None` where it is empty.
fn decode(slot: &[u8]) -> Option<(u128, u64)> {
    let (key, number) = (slot.first_chunk()?, slot.last_chunk()?);
    let number = u64::from_le_bytes(*number).checked_sub(1)?;
    Some((u128::from_le_bytes(*key), number))
}

#[cfg(test)]
mod tests;
