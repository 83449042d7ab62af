//! Reading outcomes in the order of the source.
//!
//! For each part and sample of a step a file `positions-STEP-PART-SAMPLE` is made from the indexes: for each position
//! eight bytes, the segment and the offset of its last outcome. It is built in windows of a million positions, so that
//! ten million records need eight megabytes of memory, and read with pread.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{
    Header, PartNumber, RecordKey, SampleNumber, StepNumber,
    ports::{Damage, Disk, DiskFile, Found, JournalError, Outcomes},
};

use super::{
    failed,
    frames::Frames,
    index::{self, Index, IndexEntry, Kind},
    segment,
};

const WINDOW: u64 = 1 << 20;
const CELL: u64 = 8;

pub(super) struct Reading {
    folder: PathBuf,
    positions: HashMap<(PartNumber, SampleNumber), Positions>,
    step: StepNumber,
    frames: Frames,
}

struct Positions {
    file: Box<dyn DiskFile>,
    block: Vec<u8>,
    block_at: u64,
}

impl Reading {
    /// Builds the files of positions and opens them.
    pub(super) fn open(disk: Arc<dyn Disk>, folder: &Path, step: StepNumber) -> io::Result<Self> {
        let mut paths: Vec<(u32, PathBuf)> =
            disk.list(folder)?.into_iter().filter_map(|p| segment::number_of(&p).map(|n| (n, p))).collect();
        paths.sort_unstable();
        let mut lanes = HashMap::new();
        // One index at a time is in memory; each writes its stretch of every lane. Later segments overwrite earlier
        // ones, which is the rule for records that were settled twice.
        for (number, path) in &paths {
            let Some(index) = Index::read(&*disk, &index::path_of(path))? else { continue };
            write_positions(&*disk, folder, step, *number, &index, &mut lanes)?;
        }
        let positions =
            lanes.into_iter().map(|(lane, file)| (lane, Positions { file, block: Vec::new(), block_at: 0 })).collect();
        Ok(Self { folder: folder.to_owned(), positions, step, frames: Frames::new(disk, folder) })
    }

    fn locate(&mut self, key: &RecordKey) -> io::Result<Option<(u32, u32)>> {
        let Some(positions) = self.positions.get_mut(&(key.part, key.sample)) else { return Ok(None) };
        let at = key.position * CELL;
        let have = positions.block_at..positions.block_at + positions.block.len() as u64;
        if !have.contains(&at) {
            positions.block.resize(64 << 10, 0);
            let read = positions.file.read_at(&mut positions.block, at)?;
            positions.block.truncate(read - read % CELL as usize);
            positions.block_at = at;
        }
        let from = usize::try_from(at - positions.block_at).map_err(io::Error::other)?;
        let Some(cell) = positions.block.get(from..from + CELL as usize) else { return Ok(None) };
        let segment = u32::from_le_bytes([cell[0], cell[1], cell[2], cell[3]]);
        let offset = u32::from_le_bytes([cell[4], cell[5], cell[6], cell[7]]);
        Ok((segment != 0).then_some((segment, offset)))
    }
}

impl Outcomes for Reading {
    fn of(&mut self, key: &RecordKey) -> Result<Found, JournalError> {
        debug_assert_eq!(key.step, self.step, "a reading is of one step");
        let folder = self.folder.clone();
        let located = self.locate(key).map_err(|e| failed(&folder, "read the positions in", &e))?;
        let Some((number, offset)) = located else { return Ok(Found::Nothing) };
        let entry = self.frames.read(number, offset).map_err(|e| failed(&folder, "read the journal in", &e))?;
        match entry {
            Some(entry) if matches!(&entry.header, Header::Outcome(outcome) if outcome.key == *key) => {
                Ok(Found::Outcome(Box::new(entry)))
            }
            _ => {
                let file = segment::path_of(&folder, number).display().to_string();
                Ok(Found::Damaged(Damage { file, offset: u64::from(offset), bytes: 0, key: Some(*key) }))
            }
        }
    }
}

type Lanes = HashMap<(PartNumber, SampleNumber), Box<dyn DiskFile>>;

/// Writes the places of one segment's outcomes into the files of positions.
fn write_positions(
    disk: &dyn Disk,
    folder: &Path,
    step: StepNumber,
    number: u32,
    index: &Index,
    lanes: &mut Lanes,
) -> io::Result<()> {
    let settling = |e: &&IndexEntry| e.key.step == step && matches!(e.kind, Kind::Outcome | Kind::Reopened);
    let mut entries = index.entries.iter().filter(settling).peekable();
    let mut cells: Vec<u8> = Vec::new();
    while let Some(first) = entries.peek().map(|e| e.key) {
        let lane = (first.part, first.sample);
        let window = first.position..first.position + WINDOW;
        let file = match lanes.entry(lane) {
            std::collections::hash_map::Entry::Occupied(found) => found.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let path = folder.join(format!("positions-{step}-{}-{}", lane.0, lane.1));
                let file = disk.open(&path, true)?;
                file.cut(0)?;
                vacant.insert(file)
            }
        };
        // What earlier segments wrote in this stretch is kept; the sorted order makes the stretch short.
        cells.clear();
        while let Some(entry) =
            entries.next_if(|e| (e.key.part, e.key.sample) == lane && window.contains(&e.key.position))
        {
            let from = usize::try_from((entry.key.position - window.start) * CELL).map_err(io::Error::other)?;
            if cells.len() < from + CELL as usize {
                let have = cells.len();
                cells.resize((from + CELL as usize).next_multiple_of(4096), 0);
                file.read_at(&mut cells[have..], window.start * CELL + have as u64)?;
            }
            // A record that was opened again has no outcome until it is settled anew.
            let (segment, offset) = if entry.kind == Kind::Outcome { (number, entry.offset) } else { (0, 0) };
            cells[from..from + 4].copy_from_slice(&segment.to_le_bytes());
            cells[from + 4..from + 8].copy_from_slice(&offset.to_le_bytes());
        }
        file.write_at(&cells, window.start * CELL)?;
    }
    Ok(())
}
