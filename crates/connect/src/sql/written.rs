//! Which answers are written already: a slot of 16 bytes for each position, and the values behind one another.
//!
//! It is written behind the commit of what it tells, so that it never tells too much. What it lacks after a kill is written
//! again, which changes nothing. A crash of the machine may lose some, until they are made durable.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    hash::{BuildHasher as _, RandomState},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use domain::StepNumber;
use xxhash_rust::xxh3::xxh3_64;

use crate::file::sync_folder;

/// The notes of one step.
pub(crate) struct Written {
    slots: File,
    values: File,
    end: u64,
    /// The slots of the positions that are being written, as they are on disk: a hash, which is 0 where nothing is noted, and
    /// an offset.
    looked: HashMap<u64, (u64, u64)>,
}

const SLOT: u64 = 16;

/// Slots that are no further apart are read at once.
const NEAR: u64 = 256;

/// Returns what the run in `folder` is called in databases, where two runs of two state folders may have one id.
pub(crate) fn name_of(folder: &Path, run: &str) -> io::Result<String> {
    let path = folder.join("name");
    match fs::read_to_string(&path) {
        Ok(name) if !name.is_empty() => return Ok(name),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The keys of a hash are drawn at random.
    let name = format!("{run}-{:08x}", RandomState::new().hash_one(run) >> 32);
    let aside = folder.join("name.tmp");
    let mut file = File::create(&aside)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    fs::rename(aside, path)?;
    Ok(name)
}

impl Written {
    /// Opens the notes beside `path`.
    pub(crate) fn open(path: &Path, is_new: bool) -> io::Result<Self> {
        let open = |extension: &str| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(is_new);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path.with_extension(extension))
        };
        let (slots, mut values) = (open("written")?, open("values")?);
        let end = values.seek(SeekFrom::End(0))?;
        Ok(Self { slots, values, end, looked: HashMap::new() })
    }

    /// Returns the values that were last written for a position, as JSON.
    pub(crate) fn last(&mut self, position: u64) -> io::Result<Option<String>> {
        let Some((hash, offset)) = self.slot(position)? else { return Ok(None) };
        let mut length = [0; 4];
        self.values.seek(SeekFrom::Start(offset))?;
        if offset + 4 > self.end {
            return Ok(None);
        }
        self.values.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if offset + 4 + u64::from(length) > self.end {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        self.values.read_exact(&mut bytes)?;
        // After a crash of the machine a slot may be there without its values.
        Ok((hash_of(&bytes) == hash).then(|| String::from_utf8(bytes).ok()).flatten())
    }

    /// Returns whether these values were the last that were written for a position.
    pub(crate) fn is(&mut self, position: u64, values: &str) -> io::Result<bool> {
        Ok(self.slot(position)?.is_some_and(|(hash, _)| hash == hash_of(values.as_bytes())))
    }

    /// Reads the slots of these positions together; those of others are read one by one.
    pub(crate) fn look(&mut self, positions: impl Iterator<Item = u64>) -> io::Result<()> {
        self.looked.clear();
        let mut positions: Vec<u64> = positions.collect();
        positions.sort_unstable();
        let mut bytes = Vec::new();
        for near in positions.chunk_by(|one, next| next - one <= NEAR) {
            let (first, last) = (near[0], near[near.len() - 1]);
            bytes.clear();
            self.slots.seek(SeekFrom::Start(first * SLOT))?;
            (&self.slots).take((last - first + 1) * SLOT).read_to_end(&mut bytes)?;
            for position in near {
                let slot = bytes.chunks_exact(SLOT as usize).nth((position - first) as usize);
                self.looked.insert(*position, slot.map_or((0, 0), parts));
            }
        }
        Ok(())
    }

    fn slot(&mut self, position: u64) -> io::Result<Option<(u64, u64)>> {
        if !self.looked.contains_key(&position) {
            self.look(std::iter::once(position))?;
        }
        Ok(self.looked.get(&position).copied().filter(|(hash, _)| *hash != 0))
    }

    /// Notes values that are committed, by position.
    pub(crate) fn note<'a>(&mut self, written: impl Iterator<Item = (u64, &'a str)>) -> io::Result<()> {
        let (mut block, mut slots) = (Vec::new(), Vec::new());
        for (position, values) in written {
            slots.push((position, hash_of(values.as_bytes()), self.end + block.len() as u64));
            let length = u32::try_from(values.len()).unwrap_or(u32::MAX);
            block.extend_from_slice(&length.to_le_bytes());
            block.extend_from_slice(values.as_bytes());
        }
        self.values.seek(SeekFrom::Start(self.end))?;
        self.values.write_all(&block)?;
        self.end += block.len() as u64;
        // What settled together mostly stands together. The last of several for one position is the one that counts.
        slots.sort_by_key(|(position, ..)| *position);
        for row in slots.chunk_by(|(one, ..), (next, ..)| *next == one + 1) {
            let bytes: Vec<u8> =
                row.iter().flat_map(|(_, hash, offset)| [hash.to_le_bytes(), offset.to_le_bytes()].concat()).collect();
            self.slots.seek(SeekFrom::Start(row[0].0 * SLOT))?;
            self.slots.write_all(&bytes)?;
            self.looked.extend(row.iter().map(|(position, hash, offset)| (*position, (*hash, *offset))));
        }
        Ok(())
    }
}

/// Makes the notes of a step durable, of whatever process they are.
pub(crate) fn sync(folder: &Path, step: StepNumber) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&format!("sink-{step}-")) {
            OpenOptions::new().write(true).open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}

/// Returns where the notes of a step lie in the run's folder, but for their endings.
pub(crate) fn path_of(folder: &Path, step: StepNumber, part: u32, sample: u32) -> PathBuf {
    folder.join(format!("sink-{step}-{part}-{sample}"))
}

/// Returns the hash and the offset in a slot.
fn parts(slot: &[u8]) -> (u64, u64) {
    let part = |from: usize| slot[from..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    (part(0), part(8))
}

fn hash_of(values: &[u8]) -> u64 {
    // 0 is a slot that nobody wrote.
    xxh3_64(values).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_found_whether_it_was_looked_at_together_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        let mut notes = Written::open(&path, true).unwrap();
        // Far apart, in no order, one of them twice; what is looked at before is not what is there behind.
        let positions = [7, 3, 4, 9_000, 5, 4];
        notes.look(positions.into_iter().chain([2, 10_000])).unwrap();
        let texts: Vec<String> = (0..positions.len()).map(|n| format!("{{\"n\":{n}}}")).collect();
        notes.note(positions.iter().copied().zip(texts.iter().map(String::as_str))).unwrap();
        let wanted =
            [(3, Some(1)), (4, Some(5)), (5, Some(4)), (6, None), (7, Some(0)), (9_000, Some(3)), (9_001, None)];
        for is_together in [false, true] {
            let mut notes = Written::open(&path, false).unwrap();
            if is_together {
                notes.look(wanted.iter().map(|(position, _)| *position).rev()).unwrap();
            }
            for (position, n) in wanted {
                let text = n.map(|n: usize| texts[n].clone());
                assert_eq!(notes.last(position).unwrap(), text, "{position}");
                assert_eq!(notes.is(position, &texts[1]).unwrap(), n == Some(1));
            }
        }
        // The one who wrote it knows it too.
        assert!(
            notes.is(4, &texts[5]).unwrap() && !notes.is(2, &texts[5]).unwrap() && notes.last(6).unwrap().is_none()
        );
    }
}
