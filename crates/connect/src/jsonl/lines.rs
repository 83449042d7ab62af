//! Bytes into lines.

use std::{fs::File, io, io::Read as _, sync::Arc};

use bytes::Bytes;
use domain::{Origin, Read, Record, RecordKey, SkipReason, StepNumber};
use memchr::memchr_iter;
use tokio::sync::mpsc;

use crate::ByteSize;

/// How much is read at once. Lines are slices of the block, so a line that waits for a retry keeps its block alive:
/// with 4,096 records in flight blocks of this size hold 256 MiB at the very worst, and larger ones are not faster.
const BLOCK: usize = 64 << 10;

/// Blocks that may wait for the engine.
const BLOCKS_AHEAD: usize = 4;

/// How much of a line that is too long is kept for people.
const EXCERPT: usize = 200;

/// What the reading thread says.
pub(super) enum Batch {
    /// The lines that ended in one block.
    Lines(Vec<Read>),
    /// The file is over. Said explicitly, so that a thread that died is not taken for the end.
    End,
    /// It cannot be read on.
    Broken(io::Error),
}

/// Starts a thread that reads `file` from where it stands up to the offset `until`, at most the file's length. The
/// thread ends there, or when the receiver is dropped.
pub(super) fn read_aside(mut file: File, until: u64, mut splitter: Splitter) -> io::Result<mpsc::Receiver<Batch>> {
    let (sender, receiver) = mpsc::channel(BLOCKS_AHEAD);
    std::thread::Builder::new().name("jsonl-read".to_owned()).spawn(move || {
        loop {
            let mut lines = Vec::new();
            let left = usize::try_from(until.saturating_sub(splitter.read)).unwrap_or(BLOCK);
            let mut block = vec![0; left.min(BLOCK)];
            let batch = match file.read(&mut block) {
                Ok(0) if splitter.read < until => {
                    Batch::Broken(io::Error::other("the file became shorter while it was being read"))
                }
                Ok(0) => {
                    splitter.finish(&mut lines);
                    // Whether there was a last line or not, the receiver's end is the only thing that can go wrong.
                    let _ = sender.blocking_send(Batch::Lines(lines));
                    let _ = sender.blocking_send(Batch::End);
                    return;
                }
                Ok(n) => {
                    block.truncate(n);
                    splitter.push(&block.into(), &mut lines);
                    Batch::Lines(lines)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Batch::Broken(error),
            };
            let is_broken = matches!(batch, Batch::Broken(_));
            let is_empty = matches!(&batch, Batch::Lines(lines) if lines.is_empty());
            if (!is_empty && sender.blocking_send(batch).is_err()) || is_broken {
                return;
            }
            // A block in the middle of a long line sends nothing, so this is where a dropped receiver is noticed.
            if sender.is_closed() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Cuts blocks into lines. A line within one block is a slice of it; only lines that span blocks are joined.
pub(super) struct Splitter {
    name: Arc<str>,
    step: StepNumber,
    max_line: ByteSize,
    position: u64,
    /// Where the current line begins.
    offset: u64,
    /// The offset behind the last block.
    read: u64,
    /// The beginning of the current line from earlier blocks; an excerpt of it once it is too long.
    held: Vec<u8>,
    /// The length of the current line in earlier blocks.
    held_length: u64,
}

impl Splitter {
    pub(super) fn new(name: Arc<str>, step: StepNumber, max_line: ByteSize, position: u64, offset: u64) -> Self {
        Self { name, step, max_line, position, offset, read: offset, held: Vec::new(), held_length: 0 }
    }

    /// Adds the lines that end in `block`.
    pub(super) fn push(&mut self, block: &Bytes, lines: &mut Vec<Read>) {
        self.read += block.len() as u64;
        let mut start = 0;
        for end in memchr_iter(b'\n', block) {
            self.end_line(block.slice(start..end), 1, lines);
            start = end + 1;
        }
        self.hold(&block[start..]);
    }

    /// Adds the last line, where it has no end of its own.
    pub(super) fn finish(&mut self, lines: &mut Vec<Read>) {
        if self.held_length > 0 {
            self.end_line(Bytes::new(), 0, lines);
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held_length += bytes.len() as u64;
        self.held.extend_from_slice(bytes);
        if self.held_length > self.max_line.0 {
            self.held.truncate(EXCERPT);
            self.held.shrink_to(EXCERPT);
        }
    }

    fn end_line(&mut self, tail: Bytes, end_length: u64, lines: &mut Vec<Read>) {
        let length = self.held_length + tail.len() as u64;
        let next_offset = self.offset + length + end_length;
        let is_too_long = length > self.max_line.0;
        let mut bytes = if self.held.is_empty() {
            tail
        } else {
            let mut joined = std::mem::take(&mut self.held);
            // The excerpt of a line that is too long is long enough.
            if !is_too_long || joined.len() < EXCERPT {
                joined.extend_from_slice(&tail);
            }
            joined.into()
        };
        if end_length > 0 && bytes.last() == Some(&b'\r') {
            bytes.truncate(bytes.len() - 1);
        }
        let line = self.position + 1;
        let flaw = is_too_long.then(|| {
            bytes = Bytes::copy_from_slice(&bytes[..bytes.len().min(EXCERPT)]);
            let message = format!(
                "{} line {line}: the line has {length} bytes, over the limit of {}; raise `max_line` to read it",
                self.name, self.max_line
            );
            (SkipReason::TooLong, message)
        });
        let key = RecordKey { step: self.step, part: 0, sample: 0, position: self.position };
        let record = Record { key, origin: Origin { line, offset: self.offset }, bytes, row: None };
        lines.push(Read { record, next_offset, flaw });
        self.position += 1;
        self.offset = next_offset;
        self.held_length = 0;
    }
}
