//! Bytes into rows, rows into records.

use std::sync::Arc;

use bytes::Bytes;
use domain::{Read, SkipReason};
use encoding_rs::Encoding;
use memchr::{memchr, memchr2, memchr3};

use super::{
    Dialect,
    answered::Answered,
    cells::{Cells, push_json_of},
    head::Head,
};
use crate::table::{ANSWERED, AT_ONCE, Found, Last, Shape, as_text};

/// Finds where rows end.
#[derive(Clone, Debug)]
pub(super) struct Boundaries {
    dialect: Dialect,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A cell begins.
    Start,
    /// Within a cell that no quote protects.
    Plain,
    /// Within quotes.
    Quoted,
    /// Behind a quote within quotes, which closes them unless it is doubled.
    Closing,
    /// Behind a `\r` at the end of what was seen, to which a `\n` may belong.
    Return,
}

impl Boundaries {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, state: State::Start }
    }

    /// Looks for the end of the current row in the next bytes.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Found {
        self.walk::<false>(bytes, |_| {})
    }

    /// Does the same, and with `CELLS` tells where in these bytes each delimiter stands.
    pub(super) fn walk<const CELLS: bool>(&mut self, bytes: &[u8], mut on_delimiter: impl FnMut(usize)) -> Found {
        let Dialect { delimiter, quote } = self.dialect;
        let mut at = 0;
        if self.state == State::Return {
            self.state = State::Start;
            return Found::End { end: 0, next: usize::from(bytes.first() == Some(&b'\n')) };
        }
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Start if Some(byte) == quote => {
                    self.state = State::Quoted;
                    at += 1;
                }
                State::Quoted => match quote.and_then(|quote| memchr(quote, &bytes[at..])) {
                    Some(found) => {
                        self.state = State::Closing;
                        at += found + 1;
                    }
                    None => return Found::More,
                },
                State::Closing if Some(byte) == quote => {
                    self.state = State::Quoted;
                    at += 1;
                }
                State::Start | State::Plain | State::Closing | State::Return => {
                    self.state = State::Plain;
                    let rest = &bytes[at..];
                    // Without quotes nothing in a row matters but its end.
                    let found = match quote {
                        None if !CELLS => memchr2(b'\n', b'\r', rest),
                        _ => memchr3(delimiter, b'\n', b'\r', rest),
                    };
                    let Some(found) = found else { return Found::More };
                    at += found;
                    match bytes[at] {
                        b'\n' => {
                            self.state = State::Start;
                            return Found::End { end: at, next: at + 1 };
                        }
                        b'\r' => match bytes.get(at + 1) {
                            None => {
                                self.state = State::Return;
                                return Found::More;
                            }
                            // The `\r` is counted with the row, and taken off it in the end.
                            Some(next) => {
                                self.state = State::Start;
                                return Found::End { end: at + 1, next: at + 1 + usize::from(*next == b'\n') };
                            }
                        },
                        _ => {
                            on_delimiter(at);
                            self.state = State::Start;
                            at += 1;
                        }
                    }
                }
            }
        }
        Found::More
    }

    /// Returns whether a quote is open.
    pub(super) fn is_quoted(&self) -> bool {
        self.state == State::Quoted
    }

    /// Returns whether a row begins here, or only waits for the rest of its line end.
    pub(super) fn is_at_row(&self, n_held: u64) -> bool {
        self.state == State::Return || (self.state == State::Start && n_held == 0)
    }
}

/// Cuts the rows of a part, and makes records of them.
pub(crate) struct Rows {
    boundaries: Boundaries,
    head: Arc<Head>,
    encoding: Option<&'static Encoding>,
    name: String,
    /// Bytes of a line end that stand before the first row.
    n_passed: usize,
    /// What tells rows of which no record is made.
    answered: Option<Answered>,
}

impl Rows {
    pub(super) fn new(
        head: Arc<Head>,
        encoding: Option<&'static Encoding>,
        name: String,
        n_passed: usize,
        answered: Option<Answered>,
    ) -> Self {
        Self { boundaries: Boundaries::new(head.dialect), head, encoding, name, n_passed, answered }
    }

    /// Appends a row as a JSON object, unless it is answered, or says why it is none.
    fn push(&self, row: &[u8], out: &mut Vec<u8>) -> Result<(), (SkipReason, String)> {
        let Head { names, has_header, .. } = &*self.head;
        as_text(row, "row", self.encoding).map_err(|(reason, what)| match self.column_at(row) {
            Some(column) => (reason, format!("column `{column}`: {what}")),
            None => (reason, what),
        })?;
        if self.answered.as_ref().is_some_and(|answered| answered.is(row, &self.head)) {
            return Err((SkipReason::Answered, ANSWERED.to_owned()));
        }
        let n_cells = push_object(row, &self.head, out);
        if n_cells > names.len() {
            let what = format!(
                "the row has {n_cells} cells, and {} {}; a cell that holds the delimiter must be in quotes",
                if *has_header { "the header has" } else { "most of the first rows have" },
                names.len()
            );
            return Err((SkipReason::BadRecord, what));
        }
        Ok(())
    }

    /// Returns the column in which a row is no text.
    fn column_at(&self, row: &[u8]) -> Option<&str> {
        let is_bad = |cell: &[u8]| memchr(0, cell).is_some() || str::from_utf8(cell).is_err();
        let column = Cells::new(row, self.head.dialect).position(is_bad)?;
        self.head.names.get(column).map(String::as_str)
    }
}

/// Appends a row as a JSON object, and returns how many cells it has. Those behind the last column are not in the object.
pub(super) fn push_object(row: &[u8], head: &Head, out: &mut Vec<u8>) -> usize {
    let mut n_cells = 0;
    out.push(b'{');
    for cell in Cells::new(row, head.dialect) {
        if let Some(name) = head.quoted.get(n_cells) {
            if n_cells > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name);
            push_json_of(cell, head.dialect.quote, out);
        }
        n_cells += 1;
    }
    out.push(b'}');
    n_cells
}

impl Shape for Rows {
    fn find(&mut self, bytes: &[u8]) -> Result<Found, (usize, String)> {
        if self.n_passed > 0 {
            let n = self.n_passed.min(bytes.len());
            self.n_passed -= n;
            return Ok(Found::Pass(n));
        }
        Ok(self.boundaries.find(bytes))
    }

    fn end(&mut self, n_held: u64) -> Result<Last, String> {
        Ok(if self.boundaries.is_quoted() {
            let what = "a quote is opened in it and never closed, so all that follows is in one cell; close or double \
                        the quote, or say `quote: none` if quotes are characters like others";
            Last::Flawed(SkipReason::BadRecord, what.to_owned())
        } else if n_held > 0 {
            Last::Record
        } else {
            Last::Nothing
        })
    }

    fn own(&self, bytes: &[u8], _has_end: bool) -> usize {
        // Outside of quotes a `\r` at the end is a part of the line end, else the row would have ended before it.
        bytes.len() - usize::from(!self.boundaries.is_quoted() && bytes.last() == Some(&b'\r'))
    }

    fn dress(&mut self, reads: &mut [Read]) -> usize {
        let n_bytes: usize = reads.iter().map(|read| read.record.bytes.len()).sum();
        // All objects of a block lie in one piece of memory, as its rows do.
        let n_expected = n_bytes + reads.len() * (self.head.n_quoted + 8);
        let mut objects = Vec::with_capacity(n_expected.min(AT_ONCE));
        let mut ends = Vec::with_capacity(reads.len());
        for read in &mut *reads {
            let start = objects.len();
            if start > AT_ONCE {
                break;
            }
            if read.flaw.is_none()
                && !read.record.bytes.is_empty()
                && let Err((reason, what)) = self.push(&read.record.bytes, &mut objects)
            {
                objects.truncate(start);
                if reason == SkipReason::Answered {
                    read.record.row = Some(read.record.bytes.clone());
                }
                let what = format!("{} row {}: {what}", self.name, read.record.origin.line);
                read.flaw = Some((reason, what));
            }
            ends.push(objects.len());
        }
        let (objects, n) = (Bytes::from(objects), ends.len());
        let mut start = 0;
        for (read, end) in reads.iter_mut().zip(ends) {
            if end > start {
                let row = std::mem::replace(&mut read.record.bytes, objects.slice(start..end));
                read.record.row = Some(row);
            }
            start = end;
        }
        n
    }
}
