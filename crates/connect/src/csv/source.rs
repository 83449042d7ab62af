//! Reading.

use std::sync::{Arc, Mutex, PoisonError};

use domain::{PartNumber, Record, SkipReason, ports::SourceError};
use encoding_rs::Encoding;

use super::{
    Declared, Heading,
    answered::Answered,
    head::Head,
    rows::{Boundaries, Rows, push_object},
    surplus::first_surplus,
};
use crate::{
    file::{Opened, Part, cannot},
    table::{About, Format, Found, Started, Words},
};

/// Rows as records.
pub(crate) struct RowsFormat {
    declared: Declared,
    has_header: bool,
    encoding: Option<&'static Encoding>,
    /// The head of the part of which a row was last made a record.
    last: Mutex<Option<(PartNumber, Arc<Head>)>>,
}

impl RowsFormat {
    pub(crate) fn new(declared: Declared, has_header: bool, encoding: Option<&'static Encoding>) -> Self {
        Self { declared, has_header, encoding, last: Mutex::new(None) }
    }
}

impl Format for RowsFormat {
    type Shape = Rows;

    fn words(&self) -> Words {
        Words { noun: "row", limit: "max_record" }
    }

    fn check(&self, part: &Part) -> Result<(), SourceError> {
        Head::of(part, self.declared, self.has_header).map(|_| ())
    }

    fn start(&self, part: &Part, offset: u64, about: &mut About) -> Result<Started<Rows>, SourceError> {
        let name = &part.place.name;
        let head = Head::of(part, self.declared, self.has_header)?;
        about.first = if self.has_header { 2 } else { 1 };
        let mut opened = part.open(offset.max(head.start))?;
        let is_first = opened.offset <= head.start;
        let n_passed = if is_first { Some(0) } else { to_row_start(&mut opened, part)? };
        let Some(n_passed) = n_passed else {
            return Err(SourceError(format!("`{name}` has no row that begins at byte {offset}: it is another file")));
        };
        let answered = Answered::of(&about.answers, &head);
        Ok(Started::at(opened, Rows::new(Arc::new(head), self.encoding, name.clone(), n_passed, answered)))
    }

    fn continued(&self, part: &Part, old_length: u64) -> Result<Option<String>, SourceError> {
        let name = &part.place.name;
        let before = Part { length: old_length, ..part.clone() };
        let Ok((boundaries, n_held, text_length)) = self.boundaries_at_end(&before) else {
            return Ok(Some(format!("`{name}` was not whole when the run was begun")));
        };
        if boundaries.is_quoted() {
            return Ok(Some(format!("the last row of `{name}` was within quotes and was continued")));
        }
        if boundaries.is_at_row(n_held) {
            return Ok(None);
        }
        let may_go_on = to_row_start(&mut part.open(text_length)?, part)?.is_some();
        Ok((!may_go_on).then(|| format!("the last row of `{name}` had no line end and was continued")))
    }

    fn heading(&self, parts: &[Part]) -> Result<Option<Heading>, SourceError> {
        Heading::of(parts, self.declared, self.has_header).map(Some)
    }

    fn whole(&self, part: &Part, record: &Record) -> Result<Record, SourceError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let head = match &*last {
            Some((number, head)) if *number == part.number => Arc::clone(head),
            _ => Arc::new(Head::of(part, self.declared, self.has_header)?),
        };
        *last = Some((part.number, Arc::clone(&head)));
        let mut object = Vec::new();
        push_object(&record.bytes, &head, &mut object);
        Ok(Record { bytes: object.into(), ..record.clone() })
    }

    fn first_surplus(&self, part: &Part) -> Result<Option<u64>, SourceError> {
        let head = Head::of(part, self.declared, self.has_header)?;
        if head.is_empty() { Ok(None) } else { first_surplus(part, &head) }
    }

    fn inspect<'r>(&self, record: &'r Record) -> Result<&'r str, (SkipReason, String)> {
        match str::from_utf8(&record.bytes) {
            Ok("") => Err((SkipReason::Blank, "the row is empty".to_owned())),
            Ok(text) => Ok(text),
            // Rows that are no text are found out when they are read.
            Err(error) => Err((SkipReason::BadText, error.to_string())),
        }
    }

    fn is_empty_missing(&self) -> bool {
        true
    }
}

impl RowsFormat {
    /// Goes through a part, and returns where that ends: how, with how many bytes of a row, and how long the text is.
    fn boundaries_at_end(&self, part: &Part) -> Result<(Boundaries, u64, u64), SourceError> {
        const BLOCK: usize = 256 << 10;
        let head = Head::of(part, self.declared, self.has_header)?;
        let mut boundaries = Boundaries::new(head.dialect);
        let Opened { mut reader, mut offset, .. } = part.open(0)?;
        let mut n_held = 0;
        loop {
            let block = reader.block(BLOCK).map_err(|error| SourceError(cannot("read", &part.place, &error)))?;
            if block.is_empty() {
                return Ok((boundaries, n_held, offset));
            }
            offset += block.len() as u64;
            let mut at = 0;
            while at < block.len() {
                match boundaries.find(&block[at..]) {
                    Found::End { next, .. } => {
                        (n_held, at) = (0, at + next);
                    }
                    Found::More | Found::Pass(_) => {
                        n_held += (block.len() - at) as u64;
                        break;
                    }
                }
            }
        }
    }
}

/// Returns how many bytes of a line end stand before the next row, where one ends or begins here.
fn to_row_start(opened: &mut Opened, part: &Part) -> Result<Option<usize>, SourceError> {
    let next = opened.reader.peek(2).map_err(|error| SourceError(cannot("read", &part.place, &error)))?;
    Ok(match (opened.before, next.as_slice()) {
        (Some(b'\r'), [b'\n', ..]) => Some(1),
        (None | Some(b'\n' | b'\r'), _) | (_, []) => Some(0),
        (_, b"\r\n") => Some(2),
        (_, [b'\n' | b'\r', ..]) => Some(1),
        _ => None,
    })
}
