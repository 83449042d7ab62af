//! Cells of a row, in and out.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

use super::Dialect;

/// The cells of a row as they stand, quotes included.
#[derive(Clone)]
pub(super) struct Cells<'a> {
    /// What is left; nothing behind the last cell.
    rest: Option<&'a [u8]>,
    dialect: Dialect,
}

impl<'a> Cells<'a> {
    /// Looks at a row, without its line end.
    pub(super) fn new(row: &'a [u8], dialect: Dialect) -> Self {
        Self { rest: Some(row), dialect }
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let from = match self.dialect.quote {
            Some(quote) if rest.first() == Some(&quote) => closing(rest, quote).map_or(rest.len(), |at| at + 1),
            _ => 0,
        };
        let Some(end) = memchr(self.dialect.delimiter, &rest[from..]).map(|at| from + at) else {
            self.rest = None;
            return Some(rest);
        };
        self.rest = Some(&rest[end + 1..]);
        Some(&rest[..end])
    }
}

/// Returns the cells of a row as they stand.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn cells_of(row: &[u8], dialect: Dialect) -> Vec<&[u8]> {
    Cells::new(row, dialect).collect()
}

/// Returns where the quote is that closes what begins with one.
fn closing(cell: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr(quote, cell.get(at..)?)?;
        if cell.get(at + 1) != Some(&quote) {
            return Some(at);
        }
        at += 2;
    }
}

/// Returns the text of a cell.
pub(super) fn text_of(cell: &[u8], quote: Option<u8>) -> Cow<'_, [u8]> {
    let Some(quote) = quote.filter(|quote| cell.first() == Some(quote)) else { return Cow::Borrowed(cell) };
    let end = closing(cell, quote).unwrap_or(cell.len());
    let (inner, behind) = (&cell[1..end], cell.get(end + 1..).unwrap_or_default());
    if behind.is_empty() && memchr(quote, inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut text = Vec::with_capacity(cell.len());
    let mut copied = 0;
    // Quotes inside are doubled: the second one of each pair is left out.
    for (i, at) in memchr_iter(quote, inner).enumerate() {
        if i % 2 == 1 {
            text.extend_from_slice(&inner[copied..at]);
            copied = at + 1;
        }
    }
    text.extend_from_slice(&inner[copied..]);
    text.extend_from_slice(behind);
    Cow::Owned(text)
}

/// Why a text cannot be a cell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NeedsQuote;

/// Appends a text as a cell, in quotes where it needs them.
pub(super) fn push_cell(text: &[u8], dialect: Dialect, out: &mut Vec<u8>) -> Result<(), NeedsQuote> {
    let is_special =
        |byte: &u8| *byte == dialect.delimiter || *byte == b'\n' || *byte == b'\r' || dialect.quote == Some(*byte);
    if !text.iter().any(is_special) {
        out.extend_from_slice(text);
        return Ok(());
    }
    let Some(quote) = dialect.quote else { return Err(NeedsQuote) };
    out.push(quote);
    let mut copied = 0;
    for at in memchr_iter(quote, text) {
        out.extend_from_slice(&text[copied..=at]);
        out.push(quote);
        copied = at + 1;
    }
    out.extend_from_slice(&text[copied..]);
    out.push(quote);
    Ok(())
}

/// Appends bytes as a JSON string. What is not UTF-8 stays what it is.
pub(crate) fn push_json(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    push_json_inside(text, out);
    out.push(b'"');
}

/// Appends bytes as the inside of a JSON string.
pub(crate) fn push_json_inside(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut copied = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    out.extend_from_slice(&text[copied..]);
}
