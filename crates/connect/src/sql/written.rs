//! Which answers are written already: a slot of 16 bytes for each position, and the values behind one another.
//!
//! It is written behind the commit of what it tells, so that it never tells too much. What it lacks after a kill is written
//! again, which changes nothing. A crash of the machine may lose some, until they are made durable.

use std::{
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
}

const SLOT: u64 = 16;

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
        Ok(Self { slots, values, end })
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

    fn slot(&mut self, position: u64) -> io::Result<Option<(u64, u64)>> {
        let mut slot = [0; SLOT as usize];
        self.slots.seek(SeekFrom::Start(position * SLOT))?;
        if let Err(error) = self.slots.read_exact(&mut slot) {
            return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
        }
        let part = |from: usize| slot[from..from + 8].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let (hash, offset) = (part(0), part(8));
        Ok((hash != 0).then_some((hash, offset)))
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
        for (position, hash, offset) in slots {
            self.slots.seek(SeekFrom::Start(position * SLOT))?;
            self.slots.write_all(&[hash.to_le_bytes(), offset.to_le_bytes()].concat())?;
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

fn hash_of(values: &[u8]) -> u64 {
    // 0 is a slot that nobody wrote.
    xxh3_64(values).max(1)
}
