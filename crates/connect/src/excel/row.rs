//! Rows into records.

use std::{io, sync::Arc};

use bytes::Bytes;
use domain::{Read, SkipReason};

use super::{
    cells::{Cell, Cells, Sort, number_of},
    dates::{Look, iso},
    head::Head,
    strings::{Looked, StringsReader},
    styles::Styles,
    text::{push_json_rich, push_json_text},
};
use crate::{
    ByteSize,
    csv::push_json,
    table::{AT_ONCE, EXCERPT, Found, Last, Shape},
};

/// What a cell was found to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Empty,
    Text,
    Other,
}

/// Why a cell cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CellError {
    /// It names a text that is not there.
    #[error("a cell names a text that the workbook does not have; open and save it in Excel")]
    NoText,
    /// With its text the row would be longer than a row may be.
    #[error("the text is too long")]
    TooLong,
    /// It is not where it belongs.
    #[error("the cell stands behind one of a later column, or is there twice; open and save it in Excel")]
    OutOfOrder,
    /// The texts cannot be looked up.
    #[error("the texts of the workbook cannot be read again: {0}")]
    Strings(#[from] io::Error),
}

/// Appends what a cell holds as JSON; nothing for an empty one. A text that it shares with others is looked up if it has no more
/// than `most` bytes.
pub(super) fn push_value(
    cell: &Cell<'_>,
    strings: &mut StringsReader,
    styles: &Styles,
    most: u64,
    out: &mut Vec<u8>,
) -> Result<Value, CellError> {
    let Some(value) = cell.value else { return Ok(Value::Empty) };
    let n_before = out.len();
    let text = || str::from_utf8(value).unwrap_or("").trim();
    match cell.sort {
        Sort::Shared => {
            let number = text().parse().map_err(|_| CellError::NoText)?;
            match strings.push(number, most, out)? {
                Looked::Found => {}
                Looked::Missing => return Err(CellError::NoText),
                Looked::TooLong => return Err(CellError::TooLong),
            }
        }
        Sort::Inline => push_json_rich(value, out),
        Sort::Text | Sort::Error | Sort::Date => {
            out.push(b'"');
            push_json_text(value, out);
            out.push(b'"');
        }
        Sort::Truth => {
            out.extend_from_slice(if text() == "1" || text() == "true" { b"true" } else { b"false" });
            return Ok(Value::Other);
        }
        Sort::Number => {
            let text = text();
            if text.is_empty() {
                return Ok(Value::Empty);
            }
            let date = match styles.look(cell.style) {
                Look::Date => text.parse().ok().and_then(|serial| iso(serial, styles.is_1904)),
                Look::Number => None,
            };
            if let Some(date) = date {
                push_json(date.as_bytes(), out);
                return Ok(Value::Text);
            }
            return Ok(push_number(text, out));
        }
    }
    // An empty text is what a cell is that somebody emptied by hand.
    if out.len() == n_before + 2 {
        out.truncate(n_before);
        return Ok(Value::Empty);
    }
    Ok(Value::Text)
}

/// Appends a number. Workbooks keep numbers in binary, and write more digits than were meant.
fn push_number(text: &str, out: &mut Vec<u8>) -> Value {
    // Most numbers are short, and JSON's as they stand.
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let is_whole = digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit);
    if is_whole && (text == "0" || digits.first().is_some_and(|first| *first != b'0')) {
        out.extend_from_slice(text.as_bytes());
        return Value::Other;
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => {
            // The shortest that means the same number; a whole one without a point, as the sheet shows it.
            let number = if number == 0.0 { 0.0 } else { number };
            let plain = number.to_string();
            if plain.len() <= 40 {
                out.extend_from_slice(plain.as_bytes());
            } else {
                out.extend_from_slice(format!("{number:e}").as_bytes());
            }
            Value::Other
        }
        _ => {
            push_json(text.as_bytes(), out);
            Value::Text
        }
    }
}

/// Cuts the rows of a sheet, and makes records of them.
pub(crate) struct Rows {
    head: Arc<Head>,
    strings: StringsReader,
    styles: Styles,
    name: String,
    /// The longest row that is read, in bytes, with the texts that its cells name.
    max: ByteSize,
    /// Every cell is read as text.
    is_text: bool,
    /// `</row>`, as this sheet writes it.
    end: Vec<u8>,
    state: State,
    /// How much of `end` was seen at the end of the last bytes.
    n_matched: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between rows.
    Between,
    /// Behind the `<` of what may be a row.
    Tag,
    /// Within the tag of a row. The byte before, which tells whether the tag is its own end.
    Open(u8),
    /// Within a row.
    Row,
    /// Behind all rows.
    Over,
}

impl Rows {
    pub(super) fn new(head: Arc<Head>, strings: StringsReader, styles: Styles, name: String, max: ByteSize) -> Self {
        let end = [b"</".as_slice(), &head.prefix, b"row>"].concat();
        Self { head, strings, styles, name, max, is_text: false, end, state: State::Between, n_matched: 0 }
    }

    /// Reads every cell as text.
    pub(super) fn with_text(self) -> Self {
        Self { is_text: true, ..self }
    }

    /// Returns where the row ends in `bytes`, if it does.
    fn row_end(&mut self, bytes: &[u8]) -> Option<usize> {
        // The end may lie across the edge of a block.
        while self.n_matched > 0 {
            let rest = &self.end[self.n_matched..];
            let n = rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            if n == rest.len() {
                self.n_matched = 0;
                return Some(n);
            }
            if n == bytes.len() {
                self.n_matched += n;
                return None;
            }
            // It begins with the only `<` in it, so none begins within what was seen of it.
            self.n_matched = 0;
        }
        if let Some(at) = memchr::memmem::find(bytes, &self.end) {
            return Some(at + self.end.len());
        }
        let tail = memchr::memrchr(b'<', bytes).map_or(&[][..], |at| &bytes[at..]);
        self.n_matched = if self.end.starts_with(tail) { tail.len() } else { 0 };
        None
    }

    /// Appends a row as a JSON object; returns whether it holds anything.
    fn push_object(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<bool, (SkipReason, String)> {
        if let Err(error) = str::from_utf8(row) {
            return Err((
                SkipReason::BadText,
                format!("not valid UTF-8 from byte {} of the row", error.valid_up_to() + 1),
            ));
        }
        let Self { head, strings, styles, is_text, max, .. } = self;
        // The names of columns alone may be more than the row: they are counted as well.
        let too_long = || {
            let what =
                format!("with the texts that its cells name the row has over {max}; raise `max_record` to read it");
            (SkipReason::TooLong, what)
        };
        let mut fields = head.fields.iter();
        let mut has_any = false;
        out.push(b'{');
        let begin = out.len();
        let name_next = |fields: &mut std::slice::Iter<'_, super::head::Field>, out: &mut Vec<u8>| {
            let Some(field) = fields.next() else { return };
            if out.len() > begin {
                out.push(b',');
            }
            out.extend_from_slice(&field.quoted);
        };
        let mut next_column = 0;
        let bad = |column, error: CellError| {
            let place = super::cells::letters(column);
            (SkipReason::BadRecord, format!("column {place}: {error}"))
        };
        for cell in Cells::new(row) {
            // Cells stand in the order of their columns, each once. Where they do not, it is anyone's guess what is meant.
            if cell.column < next_column {
                return Err(bad(cell.column, CellError::OutOfOrder));
            }
            next_column = cell.column + 1;
            while fields.as_slice().first().is_some_and(|field| field.column < cell.column) {
                name_next(&mut fields, out);
                out.extend_from_slice(b"null");
            }
            if fields.as_slice().first().is_none_or(|field| field.column != cell.column) {
                continue;
            }
            name_next(&mut fields, out);
            let start = out.len();
            let Some(left) = max.0.checked_sub((start - begin) as u64) else { return Err(too_long()) };
            match push_value(&cell, strings, styles, left, out) {
                Err(CellError::TooLong) => return Err(too_long()),
                Ok(Value::Other) if *is_text => {
                    let mut shown = out.split_off(start);
                    if cell.sort == Sort::Truth {
                        shown.make_ascii_uppercase();
                    }
                    push_json(&shown, out);
                    has_any = true;
                }
                Ok(Value::Empty) => out.extend_from_slice(b"null"),
                Ok(Value::Text | Value::Other) => has_any = true,
                Err(error) => return Err(bad(cell.column, error)),
            }
        }
        while !fields.as_slice().is_empty() {
            name_next(&mut fields, out);
            out.extend_from_slice(b"null");
        }
        if (out.len() - begin) as u64 > max.0 {
            return Err(too_long());
        }
        out.push(b'}');
        Ok(has_any)
    }
}

impl Shape for Rows {
    fn find(&mut self, bytes: &[u8]) -> Result<Found, (usize, String)> {
        match self.state {
            State::Over => Ok(Found::Pass(bytes.len())),
            State::Between => {
                let n = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                if n > 0 {
                    return Ok(Found::Pass(n));
                }
                if bytes[0] != b'<' {
                    return Err((0, "there is text between its rows; open and save it in Excel".to_owned()));
                }
                if bytes.len() == 1 {
                    self.state = State::Tag;
                    return Ok(Found::More);
                }
                if bytes[1] == b'/' {
                    self.state = State::Over;
                    return Ok(Found::Pass(bytes.len()));
                }
                self.state = State::Open(b'<');
                self.open(bytes)
            }
            State::Tag => {
                if bytes[0] == b'/' {
                    self.state = State::Over;
                    return Ok(Found::Pass(bytes.len()));
                }
                self.state = State::Open(b'<');
                self.open(bytes)
            }
            State::Open(_) => self.open(bytes),
            State::Row => Ok(self.inside(bytes, 0)),
        }
    }

    fn end(&mut self, _n_held: u64) -> Result<Last, String> {
        match self.state {
            State::Over => Ok(Last::Nothing),
            _ => Err("ends in the middle of its rows; open and save it in Excel".to_owned()),
        }
    }

    fn own(&self, bytes: &[u8], _has_end: bool) -> usize {
        bytes.len()
    }

    fn dress(&mut self, reads: &mut [Read]) -> usize {
        let n_bytes: usize = reads.iter().map(|read| read.record.bytes.len()).sum();
        let (mut objects, mut ends) = (Vec::with_capacity(n_bytes), Vec::with_capacity(reads.len()));
        for read in &mut *reads {
            let start = objects.len();
            if start > AT_ONCE {
                break;
            }
            let row = read.record.bytes.clone();
            let line = number_of(&row).unwrap_or(read.record.origin.line);
            read.record.origin.line = line;
            if read.flaw.is_none() {
                match self.push_object(&row, &mut objects) {
                    Ok(true) => {}
                    Ok(false) => objects.truncate(start),
                    Err((reason, what)) => {
                        objects.truncate(start);
                        if reason == SkipReason::TooLong {
                            read.record.bytes = Bytes::copy_from_slice(&row[..row.len().min(EXCERPT)]);
                        }
                        read.flaw = Some((reason, format!("{} row {line}: {what}", self.name)));
                    }
                }
            }
            ends.push(objects.len());
        }
        let (objects, n) = (Bytes::from(objects), ends.len());
        let mut start = 0;
        for (read, end) in reads.iter_mut().zip(ends) {
            if read.flaw.is_none() {
                let row = std::mem::replace(&mut read.record.bytes, objects.slice(start..end));
                read.record.row = Some(row);
            }
            start = end;
        }
        n
    }
}

impl Rows {
    /// Goes through the tag of a row.
    fn open(&mut self, bytes: &[u8]) -> Result<Found, (usize, String)> {
        let State::Open(before) = self.state else { return Ok(Found::More) };
        let Some(at) = memchr::memchr(b'>', bytes) else {
            self.state = State::Open(bytes.last().copied().unwrap_or(before));
            return Ok(Found::More);
        };
        let before = if at == 0 { before } else { bytes[at - 1] };
        if before == b'/' {
            self.state = State::Between;
            return Ok(Found::End { end: at + 1, next: at + 1 });
        }
        self.state = State::Row;
        Ok(self.inside(bytes, at + 1))
    }

    fn inside(&mut self, bytes: &[u8], from: usize) -> Found {
        match self.row_end(&bytes[from..]) {
            Some(end) => {
                self.state = State::Between;
                Found::End { end: from + end, next: from + end }
            }
            None => Found::More,
        }
    }
}
