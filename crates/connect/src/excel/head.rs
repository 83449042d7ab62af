//! The beginning of a sheet: all that stands before its records.

use std::{
    collections::HashMap,
    io::{self, Read},
};

use domain::ports::SourceError;

use super::{
    cells::{Cells, N_COLUMNS, column_of, last_column, letters, number_of},
    package::{Chosen, Package},
    row::{CellError, Value, push_value},
    strings::{Strings, StringsReader},
    text::{Kind, Tag},
};
use crate::file::{Part, cannot};

/// No beginning of a sheet is longer, in bytes.
const LONGEST: usize = 64 << 20;
/// How much is read at once to find it.
const BLOCK: usize = 64 << 10;

/// A column that is a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// From 0.
    pub(super) column: u32,
    pub(super) name: String,
    /// The name as a JSON string with its colon.
    pub(super) quoted: Vec<u8>,
}

/// What stands before the records of a sheet.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// In the order of the columns.
    pub(super) fields: Vec<Field>,
    /// All of it, to the end of the row that names the columns.
    pub(super) xml: Vec<u8>,
    /// Where that row begins in it.
    pub(super) row_at: usize,
    /// Its number, from 1.
    pub(super) row_number: u64,
    /// What the names of elements begin with: nothing, or `x:`.
    pub(super) prefix: Vec<u8>,
    /// The last column that has a name, from 0.
    pub(super) last_named: u32,
    /// The last column of the range that the sheet says it has, from 0.
    last_said: u32,
}

impl Head {
    /// Reads the beginning of the sheet of a workbook.
    pub(super) fn of(part: &Part, package: &Package, strings: &Strings, chosen: &Chosen) -> Result<Self, SourceError> {
        let wrong = |what: &str| SourceError(format!("`{}`, sheet `{}`: {what}", part.place.name, package.sheet));
        let mut sheet = package.read_sheet()?;
        let (mut xml, mut is_whole) = (Vec::new(), false);
        // How far rows were passed over, and how many.
        let (mut data_at, mut at, mut n_rows, mut prefix, mut last_said) = (None, 0, 0_u64, Vec::new(), u32::MAX);
        loop {
            if data_at.is_none()
                && let Some(data) = find(&xml, b"sheetData")
            {
                prefix = xml[data.0 + 1..data.1.end].to_vec();
                prefix.truncate(memchr::memmem::find(&prefix, b"sheetData").unwrap_or(0));
                last_said = dimension(&xml[..data.0]).unwrap_or(u32::MAX);
                if data.1.kind == Kind::Empty {
                    return Err(wrong("it is empty; its first row should name the columns"));
                }
                (data_at, at) = (Some(data.1.end), data.1.end);
            }
            while data_at.is_some()
                && let Some(row) = row_at(&xml, at)
            {
                let Row::Row { begin, end } = row else {
                    return Err(wrong(&match chosen.header_row {
                        Some(number) => format!("it has no row {number}, which should name the columns (`header_row`)"),
                        None => "it is empty; its first row should name the columns".to_owned(),
                    }));
                };
                n_rows += 1;
                let number = number_of(&xml[begin..end]).unwrap_or(n_rows);
                n_rows = number;
                let fields = fields(&xml[begin..end], &mut strings.reader(), &package.styles)
                    .map_err(|what| wrong(&format!("row {number}: {what}")))?;
                let is_it = match chosen.header_row {
                    Some(wanted) => number >= u64::from(wanted),
                    None => !fields.is_empty(),
                };
                at = end;
                if !is_it {
                    continue;
                }
                if fields.is_empty() || chosen.header_row.is_some_and(|wanted| number > u64::from(wanted)) {
                    let number = chosen.header_row.map_or(number, u64::from);
                    return Err(wrong(&format!("row {number} is empty, and should name the columns (`header_row`)")));
                }
                xml.truncate(end);
                let last_named = fields.last().map_or(0, |field| field.column);
                return Ok(Self { fields, xml, row_at: begin, row_number: number, prefix, last_named, last_said });
            }
            if is_whole || xml.len() > LONGEST {
                return Err(wrong("it is damaged: its rows have no beginning or no end"));
            }
            let n_before = xml.len();
            // As much again, so that a long one is not looked through time and again.
            let read = sheet.by_ref().take(BLOCK.max(n_before) as u64).read_to_end(&mut xml);
            read.map_err(|error| SourceError(cannot("read", &part.place, &error)))?;
            is_whole = xml.len() == n_before;
            if n_before == 0 && !xml.starts_with(b"<") && !xml.starts_with("\u{feff}".as_bytes()) {
                return Err(wrong("it is not in UTF-8; open the workbook in Excel and save it again"));
            }
        }
    }

    /// Returns the last column that holds anything in any row, from 0. Where the sheet says that it has more columns than have
    /// names, or fewer, which cannot be right, it is read through for that.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn last_used(&self, package: &Package) -> io::Result<u32> {
        let mut last = self.last_named;
        if self.last_said == last {
            return Ok(last);
        }
        let mut sheet = package.read_sheet().map_err(|error| io::Error::other(error.0))?;
        let (mut held, mut at, mut skipped) = (Vec::new(), 0, false);
        let row_end = [b"</".as_slice(), &self.prefix, b"row>"].concat();
        loop {
            let n_before = held.len();
            sheet.by_ref().take(BLOCK.max(n_before) as u64).read_to_end(&mut held)?;
            if held.len() == n_before {
                return Ok(last);
            }
            if held.len() > 2 * LONGEST {
                return Err(io::Error::other("a row of it is longer than 64 MiB"));
            }
            if !skipped {
                if held.len() < self.xml.len() {
                    continue;
                }
                // The row that names the columns is looked at as well: its last cells may be unlike a name.
                (at, skipped) = (self.row_at, true);
            }
            while let Some(found) = memchr::memmem::find(&held[at..], &row_end) {
                let chunk = &held[at..at + found + row_end.len()];
                at += chunk.len();
                // Whatever stands between rows is no part of one.
                let row = &chunk[memchr::memchr(b'<', chunk).unwrap_or(0)..];
                // In nearly all rows the last cell tells.
                if last_column(row).is_none_or(|column| column > last) {
                    let used = Cells::new(row).filter(|cell| cell.value.is_some_and(|value| !value.is_empty()));
                    last = last.max(used.map(|cell| cell.column).max().unwrap_or(0));
                }
            }
            if memchr::memmem::find(&held[at..], b"sheetData>").is_some() {
                return Ok(last);
            }
            // What stands before the next tag is nothing.
            at = memchr::memchr(b'<', &held[at..]).map_or(held.len(), |found| at + found);
            held.drain(..at);
            at = 0;
        }
    }

    /// Returns the place of the field of a name.
    pub(super) fn column_of(&self, name: &str) -> Option<u32> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.column)
    }
}

/// What stands next among rows.
enum Row {
    Row { begin: usize, end: usize },
    Over,
}

/// Finds the next row; nothing where it is not all there.
fn row_at(xml: &[u8], from: usize) -> Option<Row> {
    let mut at = from;
    loop {
        let begin = at + memchr::memchr(b'<', &xml[at..])?;
        let tag = Tag::at(xml, begin)?;
        at = tag.end;
        match (tag.name, tag.kind) {
            (b"row", Kind::Empty) => return Some(Row::Row { begin, end: at }),
            (b"row", Kind::Open) => loop {
                let inner = Tag::at(xml, at + memchr::memchr(b'<', &xml[at..])?)?;
                at = inner.end;
                if inner.name == b"row" {
                    return Some(Row::Row { begin, end: at });
                }
            },
            (b"sheetData", _) => return Some(Row::Over),
            _ => {}
        }
    }
}

/// Finds the first tag of a name: where it begins, and the tag.
pub(super) fn find<'x>(xml: &'x [u8], name: &[u8]) -> Option<(usize, Tag<'x>)> {
    let mut at = 0;
    loop {
        let begin = at + memchr::memchr(b'<', &xml[at..])?;
        let tag = Tag::at(xml, begin)?;
        if tag.name == name {
            return Some((begin, tag));
        }
        at = tag.end;
    }
}

/// Returns the last column of the range that a sheet says it has.
fn dimension(xml: &[u8]) -> Option<u32> {
    let range = find(xml, b"dimension").and_then(|(_, tag)| tag.attribute(b"ref"));
    range?.rsplit(|byte| *byte == b':').next().and_then(column_of)
}

/// Returns the fields that a row names.
fn fields(row: &[u8], strings: &mut StringsReader, styles: &super::styles::Styles) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    let (mut columns, mut next_column, mut n_bytes) = (HashMap::new(), 0, 0);
    for cell in Cells::new(row).filter(|cell| cell.column < N_COLUMNS) {
        if cell.column < next_column {
            let (place, error) = (letters(cell.column), CellError::OutOfOrder);
            return Err(format!("column {place}: {error}"));
        }
        next_column = cell.column + 1;
        let mut quoted = Vec::new();
        let most = LONGEST.saturating_sub(n_bytes) as u64;
        let value = push_value(&cell, strings, styles, most, &mut quoted).map_err(|e| e.to_string())?;
        n_bytes += quoted.len();
        let name = match value {
            Value::Empty => continue,
            Value::Text => serde_json::from_slice::<String>(&quoted).map_err(|e| e.to_string())?,
            Value::Other => String::from_utf8_lossy(&quoted).into_owned(),
        };
        if name.trim().is_empty() {
            continue;
        }
        if let Some(earlier) = columns.insert(name.clone(), cell.column) {
            return Err(format!(
                "columns {} and {} are both called `{name}`; every column needs a name of its own, and those without a name \
                 are left alone",
                letters(earlier),
                letters(cell.column)
            ));
        }
        let mut quoted = Vec::new();
        crate::csv::push_json(name.as_bytes(), &mut quoted);
        quoted.push(b':');
        fields.push(Field { column: cell.column, name, quoted });
    }
    Ok(fields)
}
