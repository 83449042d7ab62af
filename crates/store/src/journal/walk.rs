//! Walking over the last outcomes in the order of their keys, without changing anything on disk.
//!
//! The index of a sealed segment is sorted by key already, so a walk is a merge of the indexes: each is read in small
//! pieces, and of one key the entry that was appended last decides. A segment without an index (the last one of a run
//! that is at work, or was killed) is scanned once. So it takes the memory of one such segment's index, however long
//! the journal is, and a run that another process works on can be walked over: what it appends meanwhile is not seen.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{
    EndClass, Entry, Header, Located, RecordKey,
    ports::{Disk, DiskFile, JournalError},
};

use super::{
    failed,
    frames::Frames,
    index::{self, IndexEntry, Kind},
    recover, segment,
};

/// How many entries of an index are read at once.
const PIECE: usize = 2048;

/// A settled record, and where its last outcome lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which record.
    pub key: RecordKey,
    /// How it ended.
    pub class: EndClass,
    /// Where the outcome lies.
    pub at: Located,
}

/// A walk over the last outcomes of a journal, in the order of their keys.
pub struct Walk {
    folder: PathBuf,
    /// The next entry of each segment. The segment's number is in the order so that the last entry of a key comes last.
    heads: BTreeMap<(RecordKey, u32, u32), IndexEntry>,
    segments: BTreeMap<u32, Entries>,
    frames: Frames,
}

/// The sorted entries of one segment's index.
enum Entries {
    /// They were made by a scan.
    InMemory(std::vec::IntoIter<IndexEntry>),
    /// They stand in the index file: from `at` on `n_left` are not read yet.
    InFile { file: Box<dyn DiskFile>, at: u64, n_left: u64, piece: std::vec::IntoIter<IndexEntry> },
}

impl Walk {
    /// Opens the journal in `folder` for a walk.
    pub(super) fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<Self, JournalError> {
        let mut segments = BTreeMap::new();
        let paths = recover::segments(&*disk, folder)?;
        let last = paths.len().saturating_sub(1);
        for (n, (number, path)) in paths.iter().enumerate() {
            segments.insert(*number, Entries::open(&*disk, path, n < last)?);
        }
        let numbers: Vec<u32> = segments.keys().copied().collect();
        let frames = Frames::new(disk, folder);
        let mut walk = Self { folder: folder.to_owned(), heads: BTreeMap::new(), segments, frames };
        for number in numbers {
            walk.pull(number)?;
        }
        Ok(walk)
    }

    /// Returns the next settled record; `None` at the end.
    ///
    /// # Errors
    /// Where an index cannot be read.
    pub fn next_settled(&mut self) -> Result<Option<Settled>, JournalError> {
        while let Some(((key, mut number, _), mut entry)) = self.heads.pop_first() {
            self.pull(number)?;
            // Whatever else is told of this record was told later.
            while let Some(first) = self.heads.first_entry().filter(|head| head.key().0 == key) {
                number = first.key().1;
                entry = first.remove();
                self.pull(number)?;
            }
            let class = EndClass::from_code(entry.code).filter(|_| entry.kind == Kind::Outcome);
            if let Some(class) = class {
                return Ok(Some(Settled { key, class, at: Located { segment: number, offset: entry.offset } }));
            }
        }
        Ok(None)
    }

    /// Reads an outcome that the walk came by; `None` where its bytes are damaged.
    ///
    /// # Errors
    /// Where the journal cannot be read at all.
    pub fn read(&mut self, settled: &Settled) -> Result<Option<Entry>, JournalError> {
        let Located { segment, offset } = settled.at;
        let read = self.frames.read(segment, offset).map_err(|e| failed(&self.folder, "read the journal in", &e))?;
        let is_it = |entry: &Entry| matches!(&entry.header, Header::Outcome(outcome) if outcome.key == settled.key);
        Ok(read.filter(is_it))
    }

    /// Moves the next entry of a segment that settles a record, or opens it again, to the heads.
    fn pull(&mut self, number: u32) -> Result<(), JournalError> {
        let Some(entries) = self.segments.get_mut(&number) else { return Ok(()) };
        loop {
            let next = entries
                .next()
                .map_err(|e| failed(&index::path_of(&segment::path_of(&self.folder, number)), "read", &e))?;
            match next {
                Some(entry) if matches!(entry.kind, Kind::Outcome | Kind::Reopened) => {
                    self.heads.insert((entry.key, number, entry.offset), entry);
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    self.segments.remove(&number);
                    return Ok(());
                }
            }
        }
    }
}

impl Entries {
    fn open(disk: &dyn Disk, path: &Path, is_sealed: bool) -> Result<Self, JournalError> {
        let (mut index, scanned) = recover::index_of(disk, path, is_sealed)?;
        if scanned.is_some() {
            index.sort();
            return Ok(Self::InMemory(index.entries.into_iter()));
        }
        // It was read whole just now, to check it, and is forgotten again: the next one needs the room.
        let (path, n_left) = (index::path_of(path), index.entries.len() as u64);
        drop(index);
        let opened = disk.open(&path, false).and_then(|file| {
            let at = index::entries_at(file.length()?, n_left);
            Ok(Self::InFile { file, at, n_left, piece: Vec::new().into_iter() })
        });
        opened.map_err(|e| failed(&path, "read", &e))
    }

    fn next(&mut self) -> io::Result<Option<IndexEntry>> {
        let (file, at, n_left, piece) = match self {
            Self::InMemory(entries) => return Ok(entries.next()),
            Self::InFile { file, at, n_left, piece } => (file, at, n_left, piece),
        };
        if let Some(entry) = piece.next() {
            return Ok(Some(entry));
        }
        let n = usize::try_from(*n_left).unwrap_or(usize::MAX).min(PIECE);
        let mut bytes = vec![0; n * index::ENTRY];
        let read = file.read_at(&mut bytes, *at)?;
        let entries: Option<Vec<_>> = bytes[..read].chunks_exact(index::ENTRY).map(IndexEntry::parse).collect();
        let entries = entries.filter(|entries| entries.len() == n);
        let entries = entries.ok_or_else(|| io::Error::other("the index changed while it was read"))?;
        *at += bytes.len() as u64;
        *n_left -= n as u64;
        *piece = entries.into_iter();
        Ok(piece.next())
    }
}
