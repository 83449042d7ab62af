//! One file of the journal.
//!
//! A segment begins with 64 bytes (magic, version, its number, the run's tag, a checksum) and holds frames. Only the
//! last one is written to. A sealed segment has an index beside it.

use std::{
    io,
    path::{Path, PathBuf},
};

use domain::{
    Entry,
    ports::{Damage, Disk, DiskFile},
};

use super::frame::{self, HEAD, Head};

const MAGIC: &[u8; 16] = b"TIDEMILL-JOURNAL";
const VERSION: u32 = 1;
/// Where the first frame begins.
pub(super) const FIRST_FRAME: u64 = 64;
/// How much is read at once when a segment is scanned.
const BLOCK: usize = 1 << 20;

/// Returns the path of segment `number`.
pub(super) fn path_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.seg"))
}

/// Returns the number of the segment at `path`, if it is one.
pub(super) fn number_of(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".seg").filter(|n| n.len() == 8)?.parse().ok()
}

/// Writes the beginning of a segment and makes the file and its name durable.
pub(super) fn begin(disk: &dyn Disk, path: &Path, number: u32, tag: u64) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.open(path, true)?;
    file.cut(0)?;
    file.write_at(&beginning(number, tag), 0)?;
    file.sync()?;
    disk.sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok(file)
}

fn beginning(number: u32, tag: u64) -> [u8; FIRST_FRAME as usize] {
    let mut head = [0; FIRST_FRAME as usize];
    head[..16].copy_from_slice(MAGIC);
    head[16..20].copy_from_slice(&VERSION.to_le_bytes());
    head[20..24].copy_from_slice(&number.to_le_bytes());
    head[24..32].copy_from_slice(&tag.to_le_bytes());
    let checksum = crc32c::crc32c(&head[..60]);
    head[60..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// What the beginning of a segment says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// It is the segment that was expected.
    Sound,
    /// It never became durable, as a crash right after its creation leaves it.
    Torn,
    /// It is sound and belongs to another run or version; the reason.
    Foreign(String),
}

/// Reads the beginning of a segment.
pub(super) fn check_beginning(file: &dyn DiskFile, number: u32, tag: u64) -> io::Result<Beginning> {
    let mut head = [0; FIRST_FRAME as usize];
    let read = file.read_at(&mut head, 0)?;
    if read == head.len() && head == beginning(number, tag) {
        return Ok(Beginning::Sound);
    }
    let is_sound =
        read == head.len() && head[..16] == *MAGIC && crc32c::crc32c(&head[..60]).to_le_bytes() == head[60..];
    if !is_sound {
        return Ok(Beginning::Torn);
    }
    let version = u32::from_le_bytes([head[16], head[17], head[18], head[19]]);
    Ok(Beginning::Foreign(if version == VERSION {
        "it was written by another run".to_owned()
    } else {
        format!("its format is version {version}, this program reads version {VERSION}")
    }))
}

/// What a scan of a segment found.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Where the next frame belongs: behind the last sound frame that counts.
    pub(super) end: u64,
    /// Stretches before the durable end that are not frames.
    pub(super) damage: Vec<Damage>,
    /// Bytes behind `end` that a crash left.
    pub(super) torn: u64,
}

/// Reads every frame of a segment, in order, and tells `on_entry` where it lies and where it ends.
///
/// A stretch that is not sound is damage if a later frame proves that it was durable, and a torn tail otherwise. Frames
/// behind a break that nobody proves durable belong to a commit that was never acknowledged; they are cut with it.
///
/// `known_durable` is what is known besides: everything of a sealed segment was synced, whatever its frames say.
pub(super) fn scan(
    file: &dyn DiskFile,
    path: &Path,
    known_durable: u64,
    on_entry: &mut dyn FnMut(Entry, u32, u64),
) -> io::Result<Scanned> {
    let length = file.length()?;
    // No frame can bear witness to more than all of it, and looking for one reads everything once more.
    let durable = if known_durable >= length { length } else { last_group_start(file, length)?.max(known_durable) };
    let mut scanned = Scanned { end: FIRST_FRAME.min(length), ..Scanned::default() };
    let mut at = FIRST_FRAME;
    let mut reader = Reader::new(file, length);
    while at < length {
        let sound = reader.frame(at)?;
        let Some((head, bytes)) = sound else {
            if at >= durable {
                break;
            }
            let next = next_sound(&mut reader, at + 1)?.unwrap_or(length);
            let file = path.display().to_string();
            scanned.damage.push(Damage { file, offset: at, bytes: next - at, key: None });
            at = next;
            continue;
        };
        let entry = frame::decode(&head, bytes).map_err(io::Error::other)?;
        let Ok(offset) = u32::try_from(at) else { break };
        at += head.frame();
        scanned.end = at;
        on_entry(entry, offset, at);
    }
    scanned.torn = length.saturating_sub(scanned.end);
    Ok(scanned)
}

/// Returns the greatest group start that a sound frame bears witness to: everything before it was durable.
///
/// Sound frames are walked from the start; behind a break the walk goes on at the next sound frame.
fn last_group_start(file: &dyn DiskFile, length: u64) -> io::Result<u64> {
    let mut reader = Reader::new(file, length);
    let (mut at, mut durable) = (FIRST_FRAME, 0);
    while at < length {
        match reader.frame(at)? {
            Some((head, _)) => {
                durable = durable.max(u64::from(head.group_start));
                at += head.frame();
            }
            None => match next_sound(&mut reader, at + 1)? {
                Some(next) => at = next,
                None => break,
            },
        }
    }
    Ok(durable)
}

fn next_sound(reader: &mut Reader<'_>, from: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    while let Some(found) = reader.find_magic(at)? {
        if reader.frame(found)?.is_some() {
            return Ok(Some(found));
        }
        at = found + 1;
    }
    Ok(None)
}

/// Reads a segment through one block, so that a scan is a few large reads.
struct Reader<'a> {
    file: &'a dyn DiskFile,
    length: u64,
    block: Vec<u8>,
    block_at: u64,
}

impl<'a> Reader<'a> {
    fn new(file: &'a dyn DiskFile, length: u64) -> Self {
        Self { file, length, block: Vec::new(), block_at: 0 }
    }

    /// Returns `n` bytes at `at`, or fewer at the end.
    fn bytes(&mut self, at: u64, n: usize) -> io::Result<&[u8]> {
        let n = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX).min(n);
        let is_inside = at >= self.block_at && at + n as u64 <= self.block_at + self.block.len() as u64;
        if !is_inside {
            self.block.resize(n.max(BLOCK), 0);
            let read = self.file.read_at(&mut self.block, at)?;
            self.block.truncate(read);
            self.block_at = at;
        }
        // The bounds were made to fit above; a file that shrank meanwhile yields what is left of it.
        let from = usize::try_from(at - self.block_at).unwrap_or(usize::MAX).min(self.block.len());
        let to = (from + n).min(self.block.len());
        Ok(&self.block[from..to])
    }

    /// Returns the frame at `at`, if there is a sound one.
    fn frame(&mut self, at: u64) -> io::Result<Option<(Head, &[u8])>> {
        let Some(head) = Head::parse(self.bytes(at, HEAD)?) else { return Ok(None) };
        if at + head.frame() > self.length {
            return Ok(None);
        }
        let Ok(n) = usize::try_from(head.frame()) else { return Ok(None) };
        let frame = self.bytes(at, n)?;
        Ok(head.is_sound(frame).then_some((head, frame)))
    }

    /// Returns where the next frame magic stands at or behind `from`.
    fn find_magic(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        while at + HEAD as u64 <= self.length {
            let bytes = self.bytes(at, BLOCK)?;
            if let Some(found) = bytes.windows(frame::MAGIC.len()).position(|w| w == frame::MAGIC) {
                return Ok(Some(at + found as u64));
            }
            // Three bytes are looked at again: a magic may stand across the border.
            let Some(step) = bytes.len().checked_sub(frame::MAGIC.len() - 1).filter(|n| *n > 0) else { break };
            at += step as u64;
        }
        Ok(None)
    }
}

/// Reads the one frame at `offset`; `Ok(None)` where it is not sound.
pub(super) fn read_one(file: &dyn DiskFile, offset: u32) -> io::Result<Option<Entry>> {
    let at = u64::from(offset);
    let mut first = vec![0; 4096];
    let read = file.read_at(&mut first, at)?;
    first.truncate(read);
    let Some(head) = Head::parse(&first) else { return Ok(None) };
    let Ok(wanted) = usize::try_from(head.frame()) else { return Ok(None) };
    // A damaged length must not make us reserve gigabytes.
    if at + head.frame() > file.length()? {
        return Ok(None);
    }
    if wanted > first.len() {
        let have = first.len();
        first.resize(wanted, 0);
        let read = file.read_at(&mut first[have..], at + have as u64)?;
        first.truncate(have + read);
    } else {
        first.truncate(wanted);
    }
    if !head.is_sound(&first) {
        return Ok(None);
    }
    frame::decode(&head, &first).map(Some).map_err(io::Error::other)
}
