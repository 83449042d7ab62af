//! Many keys at a time: neighbours are read, placed and written in one go. And growing, which is that for every key.

use std::{io, sync::Arc};

use super::{HEAD, HashFile, HashFileError, PROBE, SLOT, decode, encode};

/// So many slots are read and written at once, at most (96 KiB).
const WINDOW: u64 = 4096;
/// Neighbours are those with fewer slots than this between them: to copy the slots between two keys there and back costs
/// less than the two system calls that each key needs by itself.
const NEAR: u64 = 128;

impl HashFile {
    /// Puts keys in with their numbers, in place of earlier ones. No key may be there twice; the order of `keys` is not
    /// kept. The more there are, the less each costs: where they lie dense, as little as a tenth of [`HashFile::set`].
    ///
    /// # Errors
    /// As the file system says. Then some of the keys may be in.
    pub fn set_all(&mut self, keys: &mut [(u128, u64)]) -> Result<(), HashFileError> {
        self.try_set_all(keys).map_err(|source| HashFileError { path: self.path.clone(), source })
    }

    fn try_set_all(&mut self, keys: &mut [(u128, u64)]) -> io::Result<()> {
        self.make_room(keys.len() as u64)?;
        keys.sort_unstable_by_key(|(key, _)| self.slot_of(*key));
        let mut block = Vec::new();
        let mut rest = &*keys;
        while let Some((first, _)) = rest.first() {
            let first = self.slot_of(*first);
            let mut last = first;
            let n = rest.iter().take_while(|(key, _)| {
                let slot = self.slot_of(*key);
                let is_near = slot - last < NEAR && slot - first < WINDOW - PROBE;
                last = if is_near { slot } else { last };
                is_near
            });
            let (near, others) = rest.split_at(n.count());
            match near {
                [(key, number)] => self.try_set(*key, *number)?,
                _ => self.set_near(first, last, near, &mut block)?,
            }
            rest = others;
        }
        Ok(())
    }

    /// Puts keys in whose probes begin between the slots `first` and `last`.
    fn set_near(&mut self, first: u64, last: u64, keys: &[(u128, u64)], block: &mut Vec<u8>) -> io::Result<()> {
        let end = (last + PROBE).min(1 << self.log2);
        block.resize(usize::try_from(end - first).map_err(io::Error::other)? * SLOT, 0);
        let read = self.file.read_at(block, HEAD + first * SLOT as u64)?;
        block[read..].fill(0);
        let mut beyond = Vec::new();
        let mut n_new = 0;
        for (key, number) in keys {
            let at = usize::try_from(self.slot_of(*key) - first).map_err(io::Error::other)?;
            let place = block[at * SLOT..].chunks_exact_mut(SLOT).find_map(|slot| match decode(slot) {
                None => Some((slot, true)),
                Some((taken, _)) => (taken == *key).then_some((slot, false)),
            });
            match place {
                Some((slot, is_new)) => {
                    slot.copy_from_slice(&encode(*key, *number));
                    n_new += u64::from(is_new);
                }
                None => beyond.push((*key, *number)),
            }
        }
        self.file.write_at(block, HEAD + first * SLOT as u64)?;
        self.n_keys += n_new;
        // These were probed past the end of what was read, perhaps over the end of the table: one by one, and after the
        // slots that they were probed past.
        beyond.into_iter().try_for_each(|(key, number)| self.try_set(key, number))
    }

    /// Grows until `n` more keys fit with half of the slots free, which keeps probes short.
    pub(super) fn make_room(&mut self, n: u64) -> io::Result<()> {
        let mut log2 = self.log2;
        while (self.n_keys + n) * 2 > 1 << log2 {
            log2 += 1;
        }
        if log2 > self.log2 { self.grow(log2) } else { Ok(()) }
    }

    /// Moves everything into a larger table, written aside.
    fn grow(&mut self, log2: u32) -> io::Result<()> {
        let aside = self.path.with_extension("growing");
        let file = self.disk.open(&aside, true)?;
        file.cut(0)?;
        file.cut(HEAD + (SLOT as u64) * (1 << log2))?;
        let (disk, mark, note) = (Arc::clone(&self.disk), self.mark, self.note);
        let mut bigger = Self { disk, path: aside.clone(), file, log2, n_keys: 0, mark, note };
        // The keys of a block lie dense again: half of them at the same slots, half as far behind as the table was long.
        self.each_block(|keys| bigger.try_set_all(keys))?;
        bigger.write_head(mark)?;
        self.disk.rename(&aside, &self.path)?;
        bigger.path.clone_from(&self.path);
        *self = bigger;
        Ok(())
    }

    /// Reads the table block by block.
    pub(super) fn each_block(&self, mut take: impl FnMut(&mut [(u128, u64)]) -> io::Result<()>) -> io::Result<()> {
        let mut block = vec![0; SLOT * usize::try_from(WINDOW).map_err(io::Error::other)?];
        let mut keys = Vec::new();
        let end = HEAD + (SLOT as u64) * (1 << self.log2);
        let mut at = HEAD;
        while at < end {
            let read = self.file.read_at(&mut block, at)?;
            if read < SLOT {
                break;
            }
            keys.clear();
            keys.extend(block[..read].chunks_exact(SLOT).filter_map(decode));
            take(&mut keys)?;
            at += (read - read % SLOT) as u64;
        }
        Ok(())
    }
}
