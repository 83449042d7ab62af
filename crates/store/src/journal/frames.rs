//! Reading frames whose places are known, in an order that is near that of the journal.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::ports::{Disk, DiskFile};

use super::{frame, segment};

/// How much of a segment is held around the place that is being read, and how much of it lies before that place:
/// outcomes stand in the order of their completion, so neighbours are near but on both sides.
const BLOCK: usize = 4 << 20;
const BEHIND: u64 = 1 << 20;
/// After so many reads outside of the block it moves to where they are.
const MISSES: u32 = 8;

pub(super) struct Frames {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    segments: HashMap<u32, Box<dyn DiskFile>>,
    block: Vec<u8>,
    block_at: (u32, u64),
    /// Reads in a row that the block did not serve.
    n_misses: u32,
}

impl Frames {
    pub(super) fn new(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        let (segments, block) = (HashMap::new(), Vec::new());
        Self { disk, folder: folder.to_owned(), segments, block, block_at: (0, 0), n_misses: 0 }
    }

    /// Reads the frame at `offset` of segment `number`; `Ok(None)` where it is not sound.
    pub(super) fn read(&mut self, number: u32, offset: u32) -> io::Result<Option<domain::Entry>> {
        if !self.segments.contains_key(&number) {
            let file = self.disk.open(&segment::path_of(&self.folder, number), false)?;
            self.segments.insert(number, file);
        }
        let Some(file) = self.segments.get(&number) else { return Ok(None) };
        let at = u64::from(offset);
        // A record that came very late lies far ahead; the block must not run after it, or its neighbours pay. It moves
        // when the reading has come to its end, or has gone elsewhere for good.
        let end = self.block_at.1 + self.block.len() as u64;
        let is_next = self.block_at.0 == number && at >= end && at < end + BEHIND;
        if is_next || self.n_misses > MISSES {
            self.n_misses = 0;
            let from = at.saturating_sub(BEHIND);
            self.block.resize(BLOCK, 0);
            let read = file.read_at(&mut self.block, from)?;
            self.block.truncate(read);
            self.block_at = (number, from);
        }
        // Whatever does not lie whole in the block (it came much earlier, or is huge) is read by itself.
        if self.block_at.0 == number
            && let Some(from) = at.checked_sub(self.block_at.1)
            && let Some(bytes) = usize::try_from(from).ok().and_then(|from| self.block.get(from..))
            && let Some(head) = frame::Head::parse(bytes)
            && let Some(bytes) = usize::try_from(head.frame()).ok().and_then(|n| bytes.get(..n))
        {
            self.n_misses = 0;
            return if head.is_sound(bytes) {
                frame::decode(&head, bytes).map(Some).map_err(io::Error::other)
            } else {
                Ok(None)
            };
        }
        self.n_misses += 1;
        segment::read_one(&**file, offset)
    }
}
