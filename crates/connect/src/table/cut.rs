//! Blocks of bytes into records.

use std::sync::Arc;

use bytes::Bytes;
use domain::{Origin, PartNumber, Read, Record, RecordKey, SkipReason, StepNumber};

use super::AnswerColumns;
use crate::ByteSize;

/// How much of a record that is too long is kept for people.
pub(crate) const EXCERPT: usize = 200;
/// How much records that are made of one block may come to before they are handed on, in bytes. Rows that name a long text, or
/// columns with long names, come to far more than they are.
pub(crate) const AT_ONCE: usize = 8 << 20;

/// What a format finds in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// So many bytes belong to no record.
    Pass(usize),
    /// The record that is being read goes on behind these bytes.
    More,
    /// The record that is being read ends before `end`; what follows it begins at `next`.
    End {
        /// Where it ends.
        end: usize,
        /// Behind what ends it.
        next: usize,
    },
}

/// What is left when a part is over.
pub(crate) enum Last {
    /// Nothing.
    Nothing,
    /// A record whose end the part's own end is.
    Record,
    /// Such a record, and why it cannot be used.
    Flawed(SkipReason, String),
}

/// How the records of one part stand in its bytes. It sees all bytes of the part, in order.
pub(crate) trait Shape: Send + 'static {
    /// Looks for the end of the current record in `bytes`, which follow what it was given before and are not empty.
    ///
    /// # Errors
    /// Where the part cannot be read on: the index in `bytes`, and what is wrong there.
    fn find(&mut self, bytes: &[u8]) -> Result<Found, (usize, String)>;

    /// Says what is left at the part's end. `n_held` is the length of what no record was made of.
    ///
    /// # Errors
    /// Where the part may not end like this.
    fn end(&mut self, n_held: u64) -> Result<Last, String>;

    /// Returns how much of a record's bytes is the record's own, where a part of its end is among them. `has_end` is
    /// false for a last record that the part's end cut off.
    fn own(&self, bytes: &[u8], has_end: bool) -> usize;

    /// Makes records of the first of what was cut, and returns of how many, which is one at least: as it comes, `bytes` of each
    /// is the record as it stood. It stops where what it made comes to more than [`AT_ONCE`].
    fn dress(&mut self, reads: &mut [Read]) -> usize {
        reads.len()
    }

    /// Counts the records that end in `block`, and forgets them. Returns how many there are, and how many bytes behind the
    /// last end belong to a record that goes on.
    ///
    /// # Errors
    /// As [`Shape::find`].
    fn count(&mut self, block: &[u8]) -> Result<(u64, u64), (usize, String)> {
        let (mut n, mut at) = (0, 0);
        while at < block.len() {
            match self.find(&block[at..]).map_err(|(i, what)| (at + i, what))? {
                Found::Pass(passed) => at += passed,
                Found::More => return Ok((n, (block.len() - at) as u64)),
                Found::End { next, .. } => {
                    n += 1;
                    at += next;
                }
            }
        }
        Ok((n, 0))
    }
}

/// How people call what a format has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// A record by its place: `line`.
    pub(crate) noun: &'static str,
    /// The key of the longest one that is read.
    pub(crate) limit: &'static str,
}

/// What is the same for all records of a part.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) name: Arc<str>,
    pub(crate) words: Words,
    pub(crate) step: StepNumber,
    pub(crate) part: PartNumber,
    pub(crate) max: ByteSize,
    /// The number of the first record, for people: 2 behind a header.
    pub(crate) first: u64,
    /// What is known of columns of answers to whoever need not make records that are answered.
    pub(crate) answers: AnswerColumns,
}

/// Cuts blocks into records. A record within one block is a slice of it; only those that span blocks are joined.
pub(crate) struct Splitter<S> {
    about: About,
    shape: S,
    position: u64,
    /// Where the current record begins.
    offset: u64,
    /// The beginning of the current record from earlier blocks; an excerpt of it once it is too long.
    held: Vec<u8>,
    /// The length of the current record in earlier blocks.
    held_length: u64,
}

impl<S: Shape> Splitter<S> {
    pub(crate) fn new(about: About, shape: S, position: u64, offset: u64) -> Self {
        Self { about, shape, position, offset, held: Vec::new(), held_length: 0 }
    }

    /// Adds what is cut out of `block`: the records that end in it, as they stand.
    ///
    /// # Errors
    /// Where the part cannot be read on, with the place.
    pub(crate) fn push(&mut self, block: &Bytes, reads: &mut Vec<Read>) -> Result<(), String> {
        let mut start = 0;
        loop {
            if start == block.len() {
                return Ok(());
            }
            match self.shape.find(&block[start..]) {
                Ok(Found::Pass(n)) => {
                    self.offset += n as u64;
                    start += n;
                }
                Ok(Found::More) => {
                    self.hold(&block[start..]);
                    return Ok(());
                }
                Ok(Found::End { end, next }) => {
                    self.end_record(block.slice(start..start + end), Some(next - end), None, reads);
                    start += next;
                }
                Err((at, what)) => {
                    let at = self.offset + self.held_length + at as u64;
                    return Err(format!("`{}` cannot be read on from byte {}: {what}", self.about.name, at + 1));
                }
            }
        }
    }

    /// Makes records of the first of what was cut, takes them out of it and returns them: what is there at once is little,
    /// whatever the rest comes to. Of nothing it makes nothing.
    pub(crate) fn dress(&mut self, cut: &mut Vec<Read>) -> Vec<Read> {
        let n = self.shape.dress(cut);
        let rest = if n < cut.len() { cut.split_off(n) } else { Vec::new() };
        std::mem::replace(cut, rest)
    }

    /// Adds the last record, where it has no end of its own.
    ///
    /// # Errors
    /// Where the part may not end like this.
    pub(crate) fn finish(&mut self, reads: &mut Vec<Read>) -> Result<(), String> {
        let flaw = match self.shape.end(self.held_length) {
            Ok(Last::Nothing) => return Ok(()),
            Ok(Last::Record) => None,
            Ok(Last::Flawed(reason, what)) => Some((reason, what)),
            Err(what) => return Err(format!("`{}` {what}", self.about.name)),
        };
        self.end_record(Bytes::new(), None, flaw, reads);
        Ok(())
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held_length += bytes.len() as u64;
        self.held.extend_from_slice(bytes);
        if self.held_length > self.about.max.0 {
            self.held.truncate(EXCERPT);
            self.held.shrink_to(EXCERPT);
        }
    }

    fn end_record(
        &mut self,
        tail: Bytes,
        end_length: Option<usize>,
        flaw: Option<(SkipReason, String)>,
        reads: &mut Vec<Read>,
    ) {
        let About { name, words: Words { noun, limit, .. }, max, .. } = &self.about;
        let length = self.held_length + tail.len() as u64;
        let next_offset = self.offset + length + end_length.unwrap_or(0) as u64;
        let is_too_long = length > max.0;
        let mut bytes = if self.held.is_empty() {
            tail
        } else {
            let mut joined = std::mem::take(&mut self.held);
            // The excerpt of a record that is too long is long enough.
            if !is_too_long || joined.len() < EXCERPT {
                joined.extend_from_slice(&tail);
            }
            joined.into()
        };
        let own = self.shape.own(&bytes, end_length.is_some());
        bytes.truncate(own);
        let line = self.position + self.about.first;
        let mut flaw = flaw.map(|(reason, what)| (reason, format!("{name} {noun} {line}: {what}")));
        if is_too_long {
            bytes = Bytes::copy_from_slice(&bytes[..bytes.len().min(EXCERPT)]);
            let message = format!(
                "{name} {noun} {line}: the {noun} has {length} bytes, over the limit of {max}; raise `{limit}` to read it"
            );
            flaw = Some((SkipReason::TooLong, message));
        }
        let About { step, part, .. } = self.about;
        let key = RecordKey { step, part, sample: 0, position: self.position };
        let record = Record { key, origin: Origin { line, offset: self.offset }, bytes, row: None };
        reads.push(Read { record, next_offset, flaw });
        self.position += 1;
        self.offset = next_offset;
        self.held_length = 0;
    }
}
