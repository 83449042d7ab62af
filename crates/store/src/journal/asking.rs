//! Marks of what is in flight: one slot per attempt, written without a sync.
//!
//! They exist for one honest number: how many answers were lost with a killed process. A kill leaves the page cache
//! alone, so the marks are exact then; after a power failure they are what the disk happens to hold, and a torn mark
//! does not count.
//!
//! ```text
//! position u64, part u32, sample u32, step u16, unused u16, attempt u32, process u32, checksum u32     32 bytes
//! ```

use std::{io, path::Path};

use domain::{
    RecordKey,
    ports::{Disk, DiskFile, Recovered},
};

const MARK: usize = 32;

pub(super) struct Marks {
    file: Box<dyn DiskFile>,
    process: u32,
}

impl Marks {
    /// Opens the marks; `n_processes` have worked on the run before, and the last of them wrote what is there.
    pub(super) fn open(disk: &dyn Disk, folder: &Path, n_processes: u64) -> io::Result<Self> {
        let file = disk.open(&folder.join("asking"), true)?;
        Ok(Self { file, process: u32::try_from(n_processes).unwrap_or(u32::MAX) })
    }

    /// Writes one mark; attempt 0 clears the slot.
    pub(super) fn mark(&self, slot: u32, key: &RecordKey, attempt: u32) -> io::Result<()> {
        let mut mark = [0; MARK];
        mark[..8].copy_from_slice(&key.position.to_le_bytes());
        mark[8..12].copy_from_slice(&key.part.to_le_bytes());
        mark[12..16].copy_from_slice(&key.sample.to_le_bytes());
        mark[16..18].copy_from_slice(&key.step.to_le_bytes());
        mark[20..24].copy_from_slice(&attempt.to_le_bytes());
        mark[24..28].copy_from_slice(&(self.process + 1).to_le_bytes());
        let checksum = crc32c::crc32c(&mark[..28]);
        mark[28..].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_at(&mark, u64::from(slot) * MARK as u64)
    }

    /// Counts the attempts of the last process that left neither an outcome nor a failed attempt in the journal.
    pub(super) fn n_lost(&self, recovered: &Recovered) -> io::Result<u64> {
        let length = usize::try_from(self.file.length()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let read = self.file.read_at(&mut bytes, 0)?;
        let mut lost = std::collections::HashSet::new();
        for mark in bytes[..read].chunks_exact(MARK) {
            let four = |at: usize| u32::from_le_bytes([mark[at], mark[at + 1], mark[at + 2], mark[at + 3]]);
            if crc32c::crc32c(&mark[..28]) != four(28) || four(24) != self.process {
                continue;
            }
            let key = RecordKey {
                position: u64::from(four(0)) | u64::from(four(4)) << 32,
                part: four(8),
                sample: four(12),
                step: u16::from_le_bytes([mark[16], mark[17]]),
            };
            let spent = recovered.spent.get(&key).map_or(0, domain::Spent::total);
            if four(20) > spent && !recovered.settled.contains(&key) {
                lost.insert(key);
            }
        }
        Ok(lost.len() as u64)
    }
}
