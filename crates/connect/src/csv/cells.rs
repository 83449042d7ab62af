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

/// How a cell uses the quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoting {
    /// It does not begin with one.
    None,
    /// It stands in quotes.
    Whole {
        /// Whether without them it would be another cell.
        is_needed: bool,
    },
    /// It begins with a quote, which is closed before the cell ends, or never.
    Broken,
}

/// Returns how a cell uses the quote.
pub(super) fn quoting(cell: &[u8], dialect: Dialect) -> Quoting {
    let Some(quote) = dialect.quote.filter(|quote| cell.first() == Some(quote)) else { return Quoting::None };
    match closing(cell, quote) {
        Some(at) if at + 1 == cell.len() => {
            let inner = &cell[1..at];
            let is_special = |byte: &u8| [dialect.delimiter, quote, b'\n', b'\r'].contains(byte);
            Quoting::Whole { is_needed: inner.iter().any(is_special) }
        }
        _ => Quoting::Broken,
    }
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
    undoubled(inner, quote, |piece| text.extend_from_slice(piece));
    text.extend_from_slice(behind);
    Cow::Owned(text)
}

/// Passes on the pieces of what stands in quotes: inside they are doubled, and the second one of each pair is left out.
fn undoubled(inner: &[u8], quote: u8, mut piece: impl FnMut(&[u8])) {
    let mut copied = 0;
    for (i, at) in memchr_iter(quote, inner).enumerate() {
        if i % 2 == 1 {
            piece(&inner[copied..at]);
            copied = at + 1;
        }
    }
    piece(&inner[copied..]);
}

/// Appends the text of a cell as a JSON string.
pub(super) fn push_json_of(cell: &[u8], quote: Option<u8>, out: &mut Vec<u8>) {
    let quoted = quote.filter(|quote| cell.first() == Some(quote));
    let Some(quote) = quoted else { return push_json(cell, out) };
    let end = closing(cell, quote).unwrap_or(cell.len());
    out.push(b'"');
    undoubled(&cell[1..end], quote, |piece| push_json_inside(piece, out));
    push_json_inside(cell.get(end + 1..).unwrap_or_default(), out);
    out.push(b'"');
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
    /// So many bytes are looked at in one go, which is much faster than one by one; few texts hold anything special.
    const AT_A_TIME: usize = 16;
    let is_special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    let (mut copied, mut at) = (0, 0);
    while at < text.len() {
        if let Some(some) = text[at..].first_chunk::<AT_A_TIME>()
            && !some.iter().fold(false, |any, byte| any | is_special(*byte))
        {
            at += AT_A_TIME;
            continue;
        }
        let some = &text[at..text.len().min(at + AT_A_TIME)];
        let Some(found) = some.iter().position(|byte| is_special(*byte)) else { break };
        let byte = some[found];
        at += found;
        out.extend_from_slice(&text[copied..at]);
        at += 1;
        copied = at;
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
