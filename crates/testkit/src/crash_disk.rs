//! The disk that crashes.
//!
//! It keeps what was synced apart from what was only written. A crash loses a random part of the latter: whole writes,
//! or single sectors of them, in any order; names that were created or changed since the folder's last sync may be
//! lost too, from the end. It can be told to fail after a number of operations, which is where the crash happens.

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use domain::ports::{Disk, DiskFile};

use crate::Draw;

const SECTOR: usize = 512;

/// A disk in memory whose power can fail. Clones are the same disk.
#[derive(Clone)]
pub struct CrashDisk {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for CrashDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CrashDisk")
    }
}

#[derive(Default)]
struct State {
    /// Names as a process sees them, and as they survive.
    names: HashMap<PathBuf, usize>,
    durable_names: HashMap<PathBuf, usize>,
    /// Changes of names since the last sync of their folder, oldest first.
    renaming: Vec<Naming>,
    files: Vec<Content>,
    /// Operations until the power fails; `None` while it is not going to.
    operations_left: Option<u64>,
    generation: u64,
}

#[derive(Clone)]
enum Naming {
    Created(PathBuf, usize),
    Renamed(PathBuf, PathBuf),
}

#[derive(Default)]
struct Content {
    synced: Vec<u8>,
    seen: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

impl Default for CrashDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl CrashDisk {
    /// Makes an empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::default() }
    }

    /// Lets the power fail at the operation after `n` more.
    pub fn fail_after(&self, n: u64) {
        self.state().operations_left = Some(n);
    }

    /// Returns whether the power has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state().operations_left == Some(0)
    }

    /// Turns the power off and on: what was not synced survives in part, as `seed` decides. Files that were open
    /// before answer with errors from now on.
    pub fn crash(&self, seed: u64) {
        let mut draw = Draw::new(seed);
        let mut state = self.state();
        // Folders are journaled by real file systems: what survives of their changes is a prefix.
        let survive = draw.below(state.renaming.len() as u64 + 1) as usize;
        let renaming = std::mem::take(&mut state.renaming);
        for naming in &renaming[..survive] {
            apply(&mut state.durable_names, naming);
        }
        for content in &mut state.files {
            let mut bytes = std::mem::take(&mut content.synced);
            for change in content.unsynced.drain(..) {
                match change {
                    Change::Cut(length) if draw.one_in(2) => bytes.resize(length as usize, 0),
                    Change::Cut(_) => {}
                    Change::Write(offset, written) => tear(&mut bytes, offset as usize, &written, &mut draw),
                }
            }
            content.synced.clone_from(&bytes);
            content.seen = bytes;
        }
        state.names = state.durable_names.clone();
        state.operations_left = None;
        state.generation += 1;
    }

    /// Turns one bit over in the middle of a synced file, as a bad sector would.
    ///
    /// # Panics
    /// Where there is no such file or it is shorter.
    pub fn flip(&self, path: &Path, offset: usize) {
        let mut state = self.state();
        let id = state.names[path];
        state.files[id].synced[offset] ^= 0x10;
        state.files[id].seen[offset] ^= 0x10;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a test that panicked while it held the disk has failed already")
    }
}

fn apply(names: &mut HashMap<PathBuf, usize>, naming: &Naming) {
    match naming {
        Naming::Created(path, id) => {
            names.insert(path.clone(), *id);
        }
        Naming::Renamed(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
    }
}

/// Writes those sectors of a write that survive.
fn tear(bytes: &mut Vec<u8>, offset: usize, written: &[u8], draw: &mut Draw) {
    match draw.below(4) {
        0 => {}
        1 => put(bytes, offset, written),
        // A prefix, as a file that grows leaves it.
        2 => put(bytes, offset, &written[..draw.below(written.len() as u64 + 1) as usize]),
        // Any sectors, as a drive that reorders leaves them.
        _ => {
            for (n, sector) in written.chunks(SECTOR).enumerate() {
                if draw.one_in(2) {
                    put(bytes, offset + n * SECTOR, sector);
                }
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    if written.is_empty() {
        return;
    }
    if bytes.len() < offset + written.len() {
        bytes.resize(offset + written.len(), 0);
    }
    bytes[offset..offset + written.len()].copy_from_slice(written);
}

impl State {
    /// Counts one operation that changes something; the one that meets the end fails.
    fn operate(&mut self, generation: u64) -> io::Result<()> {
        if generation != self.generation {
            return Err(io::Error::other("this file was open when the power failed"));
        }
        match &mut self.operations_left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the power has failed")),
            Some(n) => {
                *n -= 1;
                if *n == 0 { Err(io::Error::other("the power fails")) } else { Ok(()) }
            }
        }
    }
}

impl Disk for CrashDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let generation = state.generation;
        let id = match state.names.get(path) {
            Some(id) => *id,
            None if create => {
                state.operate(generation)?;
                let id = state.files.len();
                state.files.push(Content::default());
                state.names.insert(path.to_owned(), id);
                state.renaming.push(Naming::Created(path.to_owned(), id));
                id
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Box::new(CrashFile { disk: self.clone(), id, generation }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> =
            self.state().names.keys().filter(|path| path.parent() == Some(folder)).cloned().collect();
        paths.sort();
        Ok(paths)
    }

    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let generation = state.generation;
        state.operate(generation)?;
        let naming = Naming::Renamed(from.to_owned(), to.to_owned());
        apply(&mut state.names, &naming);
        state.renaming.push(naming);
        Ok(())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        let generation = state.generation;
        state.operate(generation)?;
        for naming in std::mem::take(&mut state.renaming) {
            apply(&mut state.durable_names, &naming);
        }
        Ok(())
    }
}

struct CrashFile {
    disk: CrashDisk,
    id: usize,
    generation: u64,
}

impl fmt::Debug for CrashFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CrashFile({})", self.id)
    }
}

impl CrashFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.disk.state();
        let operated = state.operate(self.generation);
        if operated.is_err() && self.generation != state.generation {
            return operated;
        }
        // The write that meets the end may still have reached the disk in part.
        let content = &mut state.files[self.id];
        match &change {
            Change::Write(offset, bytes) => put(&mut content.seen, *offset as usize, bytes),
            Change::Cut(length) => content.seen.resize(*length as usize, 0),
        }
        content.unsynced.push(change);
        operated
    }
}

impl DiskFile for CrashFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(Change::Write(offset, bytes.to_vec()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        if self.generation != state.generation {
            return Err(io::Error::other("this file was open when the power failed"));
        }
        let seen = &state.files[self.id].seen;
        let from = (offset as usize).min(seen.len());
        let n = buffer.len().min(seen.len() - from);
        buffer[..n].copy_from_slice(&seen[from..from + n]);
        Ok(n)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.id].seen.len() as u64)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.change(Change::Cut(length))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate(self.generation)?;
        let content = &mut state.files[self.id];
        content.synced.clone_from(&content.seen);
        content.unsynced.clear();
        Ok(())
    }
}
