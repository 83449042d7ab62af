//! Reading.

use domain::{Record, SkipReason, ports::SourceError};
use encoding_rs::Encoding;
use memchr::{memchr, memchr_iter, memrchr};

use crate::{
    file::{Opened, Part, cannot},
    table::{About, Format, Found, Last, Shape, Started, Words, as_text},
};

/// Lines as records.
pub(crate) struct LinesFormat {
    /// The encoding that was declared.
    pub(crate) encoding: Option<&'static Encoding>,
}

impl Format for LinesFormat {
    type Shape = Lines;

    fn words(&self) -> Words {
        Words { noun: "line", limit: "max_line" }
    }

    fn start(&self, part: &Part, offset: u64, _about: &mut About) -> Result<Started<Lines>, SourceError> {
        let mut opened = part.open(offset)?;
        let Some(n_passed) = to_line_start(&mut opened, part)? else {
            let message = format!("`{}` has no line that begins at byte {offset}: it is another file", part.place.name);
            return Err(SourceError(message));
        };
        Ok(Started::at(opened, Lines { n_passed }))
    }

    fn continued(&self, part: &Part, old_length: u64) -> Result<Option<String>, SourceError> {
        let name = &part.place.name;
        let before = Part { length: old_length, ..part.clone() };
        let Ok(text_length) = before.text_length() else {
            return Ok(Some(format!("`{name}` was not whole when the run was begun")));
        };
        // The last line may have had no end, and may have been given one since.
        let may_go_on = to_line_start(&mut part.open(text_length)?, part)?.is_some();
        Ok((!may_go_on).then(|| format!("the last line of `{name}` had no line end and was continued")))
    }

    fn inspect<'r>(&self, record: &'r Record) -> Result<&'r str, (SkipReason, String)> {
        if record.bytes.trim_ascii().is_empty() {
            return Err((SkipReason::Blank, "the line is blank".to_owned()));
        }
        as_text(&record.bytes, "line", self.encoding)
    }
}

/// Returns how many bytes of a line end stand before the next line, where one ends or begins here.
fn to_line_start(opened: &mut Opened, part: &Part) -> Result<Option<usize>, SourceError> {
    if opened.offset <= opened.text_start || opened.before == Some(b'\n') {
        return Ok(Some(0));
    }
    let next = opened.reader.peek(2).map_err(|error| SourceError(cannot("read", &part.place, &error)))?;
    Ok(match next.as_slice() {
        [] => Some(0),
        [b'\n', ..] => Some(1),
        b"\r\n" => Some(2),
        _ => None,
    })
}

/// Cuts lines.
pub(crate) struct Lines {
    /// Bytes of a line end that stand before the first line.
    n_passed: usize,
}

#[cfg(test)]
impl Lines {
    pub(super) fn new() -> Self {
        Self { n_passed: 0 }
    }
}

impl Shape for Lines {
    fn find(&mut self, bytes: &[u8]) -> Result<Found, (usize, String)> {
        if self.n_passed > 0 {
            let n = self.n_passed.min(bytes.len());
            self.n_passed -= n;
            return Ok(Found::Pass(n));
        }
        Ok(match memchr(b'\n', bytes) {
            Some(end) => Found::End { end, next: end + 1 },
            None => Found::More,
        })
    }

    fn end(&mut self, n_held: u64) -> Result<Last, String> {
        Ok(if n_held > 0 { Last::Record } else { Last::Nothing })
    }

    fn own(&self, bytes: &[u8], has_end: bool) -> usize {
        bytes.len() - usize::from(has_end && bytes.last() == Some(&b'\r'))
    }

    fn count(&mut self, block: &[u8]) -> Result<(u64, u64), (usize, String)> {
        let n = memchr_iter(b'\n', block).count() as u64;
        let behind = memrchr(b'\n', block).map_or(block.len(), |last| block.len() - last - 1);
        Ok((n, behind as u64))
    }
}
