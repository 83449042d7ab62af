//! The index of a segment: where each entry lies, without reading it.
//!
//! ```text
//! "TIDEMILL-INDEX\0\0"  16 bytes
//! version               u32
//! summary length        u32
//! entries               u64
//! summary               JSON: what must be added up over segments
//! entries               24 bytes each, sorted by step, part, sample, position, offset
//! checksum              u32, CRC-32C of all before it
//! ```
//!
//! An index is written once, when its segment is sealed, and can be built again from the segment.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use domain::{AnswerMeta, Billed, Entry, Header, RecordKey, StepNumber, ports::Disk};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 16] = b"TIDEMILL-INDEX\0\0";
/// 2: what was billed, by upstream; records that were opened again.
const VERSION: u32 = 3;
const HEAD: usize = 32;
/// The length of the checksum at the end.
const CHECKSUM: usize = 4;
/// The length of one entry.
pub(super) const ENTRY: usize = 24;

/// The bit of an attempt's code that says that the record is not a member of its item any more.
pub(super) const LEFT: u8 = 0x80;

/// What kind of entry lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An outcome; the code is that of its class.
    Outcome,
    /// A failed attempt of one record; the code is that of its failure's kind, and [`LEFT`] where it left its item.
    Attempted,
    /// A note, a parking or a failed attempt of an item as a whole; the code is 1 where it has several members.
    Item,
    /// A settled record is open again.
    Reopened,
}

/// One entry of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) key: RecordKey,
    pub(super) kind: Kind,
    pub(super) code: u8,
    pub(super) offset: u32,
}

impl IndexEntry {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.position.to_le_bytes());
        out.extend_from_slice(&self.key.part.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.key.sample.to_le_bytes());
        out.extend_from_slice(&self.key.step.to_le_bytes());
        out.push(match self.kind {
            Kind::Outcome => 0,
            Kind::Attempted => 1,
            Kind::Item => 2,
            Kind::Reopened => 3,
        });
        out.push(self.code);
    }

    /// Reads an entry from its 24 bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let four = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        let key = RecordKey {
            position: bytes.get(..8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes)?,
            part: four(8)?,
            sample: four(16)?,
            step: bytes.get(20..22).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes)?,
        };
        let kind = match bytes.get(22)? {
            0 => Kind::Outcome,
            1 => Kind::Attempted,
            2 => Kind::Item,
            3 => Kind::Reopened,
            _ => return None,
        };
        Some(Self { key, kind, code: *bytes.get(23)?, offset: four(12)? })
    }

    fn order(&self) -> (u16, u32, u32, u64, u32) {
        (self.key.step, self.key.part, self.key.sample, self.key.position, self.offset)
    }
}

/// What is added up over segments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// The length of the segment that was indexed.
    pub(super) length: u64,
    /// Tokens billed, by step.
    pub(super) billed: BTreeMap<u16, Billed>,
    /// Attempts that counted, by step.
    pub(super) attempts: BTreeMap<u16, u64>,
    /// The position behind the last derived record, by the step that made it.
    pub(super) derived: BTreeMap<u16, u64>,
    /// Processes that began.
    pub(super) started: u64,
    /// Requests asked again after crashes.
    pub(super) asked_again: u64,
    /// Entries that are attempts or items: 0 spares resume a second look.
    pub(super) n_unsettling: u64,
    /// Whether the last entry says that a process stopped in good order.
    pub(super) stopped: bool,
}

/// The index of a segment, in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) entries: Vec<IndexEntry>,
    pub(super) summary: Summary,
}

impl Index {
    /// Adds an entry that lies at `offset` and ends before `end`.
    pub(super) fn add(&mut self, entry: &Entry, offset: u32, end: u64) {
        self.summary.length = end;
        self.summary.stopped = matches!(entry.header, Header::Stopped(_));
        let indexed = match &entry.header {
            Header::Outcome(outcome) => {
                // An answer that is judged again was billed when it came.
                if !outcome.reparsed {
                    self.bill(outcome.key.step, &outcome.meta);
                }
                self.count(outcome.key.step, u64::from(outcome.is_of_attempt()));
                if let Some(derived) = &outcome.derived {
                    let end = derived.base + derived.records.len() as u64;
                    let next = self.summary.derived.entry(outcome.key.step).or_default();
                    *next = end.max(*next);
                }
                IndexEntry { key: outcome.key, kind: Kind::Outcome, code: outcome.end.class().code(), offset }
            }
            Header::Attempted(attempted) if !attempted.members.is_empty() => {
                self.bill(attempted.key.step, &attempted.meta);
                self.count(attempted.key.step, attempted.n_charged());
                IndexEntry { key: attempted.key, kind: Kind::Item, code: 1, offset }
            }
            Header::Attempted(attempted) => {
                self.bill(attempted.key.step, &attempted.meta);
                self.count(attempted.key.step, attempted.n_charged());
                let code = attempted.failure.kind as u8 | if attempted.left { LEFT } else { 0 };
                IndexEntry { key: attempted.key, kind: Kind::Attempted, code, offset }
            }
            Header::Noted(noted) => IndexEntry {
                key: noted.id,
                kind: Kind::Item,
                code: u8::from(noted.members.iter().map(|m| m.n).sum::<u64>() > 1),
                offset,
            },
            Header::Parked(parked) => IndexEntry { key: parked.id, kind: Kind::Item, code: 1, offset },
            Header::Reopened(reopened) => IndexEntry { key: reopened.key, kind: Kind::Reopened, code: 0, offset },
            Header::Started(started) => {
                self.summary.started += 1;
                self.summary.asked_again += started.asked_again;
                return;
            }
            Header::Stopped(_) => return,
        };
        if matches!(indexed.kind, Kind::Attempted | Kind::Item) {
            self.summary.n_unsettling += 1;
        }
        self.entries.push(indexed);
    }

    fn count(&mut self, step: StepNumber, n: u64) {
        if n > 0 {
            *self.summary.attempts.entry(step).or_default() += n;
        }
    }

    fn bill(&mut self, step: StepNumber, meta: &AnswerMeta) {
        if let Some(usage) = meta.usage {
            self.summary.billed.entry(step).or_default().add(meta.upstream.as_deref().unwrap_or_default(), usage);
        }
    }

    /// Brings the entries into the order in which they are written.
    pub(super) fn sort(&mut self) {
        self.entries.sort_unstable_by_key(IndexEntry::order);
    }

    /// Writes the index aside, syncs it and renames it into place.
    pub(super) fn write(&mut self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        self.sort();
        let summary = serde_json::to_vec(&self.summary).map_err(io::Error::other)?;
        let mut out = Vec::with_capacity(HEAD + summary.len() + self.entries.len() * ENTRY + CHECKSUM);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&u32::try_from(summary.len()).map_err(io::Error::other)?.to_le_bytes());
        out.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        out.extend_from_slice(&summary);
        for entry in &self.entries {
            entry.write(&mut out);
        }
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        let aside = path.with_extension("idx.tmp");
        let file = disk.open(&aside, true)?;
        file.cut(0)?;
        file.write_at(&out, 0)?;
        file.sync()?;
        disk.rename(&aside, path)?;
        disk.sync_folder(path.parent().unwrap_or(Path::new(".")))
    }

    /// Reads an index; `Ok(None)` where there is none or it is not sound (it is built again then).
    pub(super) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Self>> {
        let file = match disk.open(path, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        if crc32c::crc32c(content) != u32::from_le_bytes(checksum.try_into().ok()?) {
            return None;
        }
        let head = content.get(..HEAD)?;
        let version = u32::from_le_bytes(head[16..20].try_into().ok()?);
        if &head[..16] != MAGIC || version != VERSION {
            return None;
        }
        let summary_length = u32::from_le_bytes(head[20..24].try_into().ok()?) as usize;
        let n_entries = usize::try_from(u64::from_le_bytes(head[24..32].try_into().ok()?)).ok()?;
        let (summary, entries) = content[HEAD..].split_at_checked(summary_length)?;
        if entries.len() != n_entries.checked_mul(ENTRY)? {
            return None;
        }
        let summary = serde_json::from_slice(summary).ok()?;
        let entries = entries.chunks_exact(ENTRY).map(IndexEntry::parse).collect::<Option<Vec<_>>>()?;
        Some(Self { entries, summary })
    }

    /// Returns where the last outcome of `key` lies in this segment.
    pub(super) fn find(&self, key: &RecordKey) -> Option<u32> {
        let wanted = (key.step, key.part, key.sample, key.position);
        let end = self.entries.partition_point(|e| {
            let (step, part, sample, position, _) = e.order();
            (step, part, sample, position) <= wanted
        });
        self.entries[..end]
            .iter()
            .rev()
            .take_while(|e| e.key == *key)
            .find(|e| e.kind == Kind::Outcome)
            .map(|e| e.offset)
    }
}

/// Returns where the entries begin in an index file of `length` bytes that holds `n_entries`.
pub(super) fn entries_at(length: u64, n_entries: u64) -> u64 {
    length.saturating_sub(CHECKSUM as u64 + n_entries * ENTRY as u64)
}

/// Returns the path of the index of the segment at `segment`.
pub(super) fn path_of(segment: &Path) -> PathBuf {
    segment.with_extension("idx")
}
