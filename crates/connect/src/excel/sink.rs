//! Writing: the workbook that was read, with new cells in its sheet; or a new one (`fresh`).

use std::{
    io::{self, Read as _},
    sync::Arc,
};

use super::{
    cells::{Cell, Cells, N_COLUMNS, last_column, letters, number_of, push_column},
    content::push_content,
    copy::BookCopy,
    fresh::FreshSheet,
    head::{Head, find},
    source::Sheet,
    text::{Kind, Tag},
};
use crate::{
    Place,
    file::{Aside, cannot_sink},
    table::{Composer, FileSource, Layout, New as Fields, Pen, PenError, PlacedSheet, SpoolPen},
};
use domain::{Record, json, ports::SinkError};

/// How much is read and written at once.
const BLOCK: usize = 64 << 10;

/// Records as rows of the sheet that they were read from, or of a new one.
#[derive(Default)]
pub(crate) struct SheetLayout {
    /// How many rows a new workbook has at most before another one is begun.
    pub(crate) rows_per_file: Option<u64>,
}

impl Layout for SheetLayout {
    fn copies_the_rest(&self) -> bool {
        true
    }

    fn check(&self, composer: &Composer, source: &FileSource, _: bool) -> Result<(), SinkError> {
        // What is wrong with the source itself is told where it is read.
        if !source.is_sound() {
            return Ok(());
        }
        match sheet_of(source)? {
            Some((place, sheet)) => Targets::of(composer, &sheet, &place).map(|_| ()),
            None => Ok(()),
        }
    }

    fn pen(&self, composer: &Composer, source: &FileSource, out: &mut Aside) -> Result<Box<dyn Pen>, PenError> {
        let Some((place, sheet)) = sheet_of(source)? else {
            let rows = FreshSheet::begin(self.rows_per_file, out)?;
            return Ok(Box::new(SpoolPen::new(composer.clone(), rows, out)?));
        };
        let targets = Targets::of(composer, &sheet, &place)?;
        let Sheet { package, head, .. } = &*sheet;
        let read = |error: domain::ports::SourceError| SinkError::new(error.0);
        let xml = package.read_sheet().map_err(read)?;
        let mut copy =
            BookCopy::begin(package.archive().map_err(read)?, place.clone(), package.sheet_entry.clone(), out)?;
        let beginning = targets.beginning(head)?;
        copy.write(&beginning)?;
        let mut pen = SheetPen {
            at: 0,
            sheet: xml,
            place,
            copy,
            composer: composer.clone(),
            targets,
            head: Arc::clone(head),
            values: Vec::new(),
            are_set: Vec::new(),
            row: Vec::new(),
            is_held: false,
            out: Vec::new(),
            block: vec![0; BLOCK],
        };
        pen.pass(head.xml.len() as u64, false)?;
        Ok(Box::new(pen))
    }
}

/// Returns the one sheet that a source reads, with the place of its workbook; nothing where it reads none.
fn sheet_of(source: &FileSource) -> Result<Option<PlacedSheet>, SinkError> {
    let Some(sheets) = source.sheets().map_err(|error| SinkError::new(error.0))? else { return Ok(None) };
    let [(place, sheet)] = &sheets[..] else {
        return Err(SinkError::new(
            "answers go into the workbook that was read, and several were; name one, or write to `csv` or `jsonl`",
        ));
    };
    Ok(Some((place.clone(), Arc::clone(sheet))))
}

/// The columns that new fields go into, in the order of the composer's.
struct Targets(Vec<Target>);

struct Target {
    name: String,
    /// From 0.
    column: u32,
    /// Whether it was there.
    is_old: bool,
}

impl Targets {
    fn of(composer: &Composer, sheet: &Sheet, place: &Place) -> Result<Self, SinkError> {
        let Sheet { package, head, .. } = sheet;
        let name = format!("`{}`, sheet `{}`", place.name, package.sheet);
        let last = sheet.last_used().map_err(|error| cannot_sink("read", place, &error))?;
        let mut next = last + 1;
        let mut targets = Vec::new();
        for column in composer.columns() {
            let old = head.column_of(&column.name);
            if old.is_some() && !composer.overwrites() {
                return Err(SinkError::new(format!(
                    "{name} already has a column `{}`; give the new field another name with `columns:` or set `overwrite: true`",
                    column.name
                )));
            }
            let place = old.unwrap_or(next);
            next += u32::from(old.is_none());
            if place >= N_COLUMNS {
                return Err(SinkError::new(format!("{name} has no room for another column: there are {N_COLUMNS}")));
            }
            targets.push(Target { name: column.name.clone(), column: place, is_old: old.is_some() });
        }
        Ok(Self(targets))
    }

    /// Returns the beginning of the sheet with the names of the new columns.
    fn beginning(&self, head: &Head) -> Result<Vec<u8>, PenError> {
        let before = &head.xml[..head.row_at];
        let last = self.0.iter().map(|target| target.column).max().unwrap_or(0);
        let mut out = widened(before, last);
        let row = &head.xml[head.row_at..];
        let style = Cells::new(row).last().map_or(0, |cell| cell.style);
        let new: Vec<_> = self
            .0
            .iter()
            .filter(|target| !target.is_old)
            .map(|target| {
                let name = serde_json::to_string(&target.name).unwrap_or_default();
                let mut content = Vec::new();
                push_content(&name, &head.prefix, &mut content).map(|()| (target, content))
            })
            .collect::<Result<_, _>>()
            .map_err(|what| PenError::Record(format!("the name of a column: {what}")))?;
        let cells = new.iter().map(|(target, content)| New { target, content, style: Some(style) });
        push_row(row, head.row_number, &head.prefix, cells, &mut out)?;
        Ok(out)
    }
}

/// Returns the beginning of a sheet with the range that it says it has made to reach to a column.
fn widened(xml: &[u8], last: u32) -> Vec<u8> {
    let range = find(xml, b"dimension").and_then(|(_, tag)| tag.attribute(b"ref"));
    let Some(range) = range else { return xml.to_vec() };
    let at = range.as_ptr().addr() - xml.as_ptr().addr();
    let mut corners = range.splitn(2, |byte| *byte == b':');
    let (first, end) = (corners.next().unwrap_or(range), corners.next().unwrap_or(range));
    let is_within = super::cells::column_of(end).is_none_or(|column| column >= last);
    let digits = end.iter().position(u8::is_ascii_digit);
    let Some(digits) = digits.filter(|_| !is_within) else { return xml.to_vec() };
    let mut out = xml[..at].to_vec();
    out.extend_from_slice(first);
    out.push(b':');
    push_column(last, &mut out);
    out.extend_from_slice(&end[digits..]);
    out.extend_from_slice(&xml[at + range.len()..]);
    out
}

/// A cell to be written.
struct New<'a> {
    target: &'a Target,
    /// What stands behind the cell's name and place: ` t="b"><v>1</v>`; nothing for an empty cell.
    content: &'a [u8],
    /// The number of its look, where there was no cell before.
    style: Option<usize>,
}

/// Appends a row with new cells in it.
fn push_row<'a>(
    row: &[u8],
    number: u64,
    prefix: &[u8],
    new: impl Iterator<Item = New<'a>>,
    out: &mut Vec<u8>,
) -> Result<(), PenError> {
    let mut new: Vec<_> = new.collect();
    new.sort_by_key(|new| new.target.column);
    let mut new = new.into_iter().peekable();
    let Some(tag) = Tag::at(row, 0) else { return Err(PenError::Record("the row has no beginning".to_owned())) };
    push_row_tag(&row[..tag.end], tag.kind, out);
    let mut copied = tag.end;
    // Most often all new cells stand behind all others, which then need not be looked at.
    let is_behind = new.peek().is_some_and(|new| last_column(row).is_some_and(|last| last < new.target.column));
    for cell in Cells::new(if is_behind { &[] } else { row }) {
        out.extend_from_slice(&row[copied..cell.begin]);
        copied = cell.begin;
        while let Some(new) = new.next_if(|new| new.target.column < cell.column) {
            push_cell(&new, number, prefix, new.style, out);
        }
        let Some(new) = new.next_if(|new| new.target.column == cell.column) else { continue };
        let place = || format!("cell {}{number}", letters(cell.column));
        if cell.has_formula {
            return Err(PenError::Rejected(format!(
                "{} holds a formula, which is not written over; give `{}` another column with `columns:`",
                place(),
                new.target.name
            )));
        }
        push_cell(&new, number, prefix, Some(cell.style), out);
        copied = cell.end;
    }
    let end = if tag.kind == Kind::Empty { row.len() } else { memchr::memrchr(b'<', row).unwrap_or(row.len()) };
    out.extend_from_slice(&row[copied.min(end)..end]);
    for new in new {
        push_cell(&new, number, prefix, new.style, out);
    }
    match tag.kind {
        Kind::Empty => out.extend_from_slice(&[b"</", prefix, b"row>"].concat()),
        _ => out.extend_from_slice(&row[end..]),
    }
    Ok(())
}

/// Appends the tag of a row, open, without the hint on where its cells are, which would be wrong.
fn push_row_tag(tag: &[u8], kind: Kind, out: &mut Vec<u8>) {
    let end = tag.len() - if kind == Kind::Empty { 2 } else { 1 };
    let spans = memchr::memmem::find(&tag[..end], b" spans=\"");
    let behind = spans.and_then(|at| memchr::memchr(b'"', &tag[at + 8..end]).map(|n| (at, at + 8 + n + 1)));
    match behind {
        Some((at, behind)) => {
            out.extend_from_slice(&tag[..at]);
            out.extend_from_slice(&tag[behind..end]);
        }
        None => out.extend_from_slice(&tag[..end]),
    }
    out.push(b'>');
}

fn push_cell(new: &New<'_>, number: u64, prefix: &[u8], style: Option<usize>, out: &mut Vec<u8>) {
    let style = style.filter(|style| *style > 0);
    if new.content.is_empty() && style.is_none() {
        return;
    }
    out.push(b'<');
    out.extend_from_slice(prefix);
    out.extend_from_slice(b"c r=\"");
    push_column(new.target.column, out);
    out.extend_from_slice(number.to_string().as_bytes());
    out.push(b'"');
    if let Some(style) = style {
        out.extend_from_slice(format!(" s=\"{style}\"").as_bytes());
    }
    if new.content.is_empty() {
        out.extend_from_slice(b"/>");
        return;
    }
    out.extend_from_slice(new.content);
    out.extend_from_slice(b"</");
    out.extend_from_slice(prefix);
    out.extend_from_slice(b"c>");
}

/// Writes rows with new cells, and all that stands between them as it is.
struct SheetPen {
    sheet: Box<dyn io::Read + Send>,
    /// How much of it was read.
    at: u64,
    place: Place,
    copy: BookCopy,
    composer: Composer,
    targets: Targets,
    head: Arc<Head>,
    /// The new cells of a row, as they will stand.
    values: Vec<Vec<u8>>,
    /// Which of them there are; in place of the others stays what was there.
    are_set: Vec<bool>,
    /// The row that was read last.
    row: Vec<u8>,
    /// Whether that is still to be written.
    is_held: bool,
    /// The row as it will stand.
    out: Vec<u8>,
    block: Vec<u8>,
}

impl SheetPen {
    /// Writes the row that was read last as it stood, where it is still to be written.
    fn let_go(&mut self) -> Result<(), PenError> {
        if std::mem::take(&mut self.is_held) { self.copy.write(&self.row) } else { Ok(()) }
    }

    /// Reads on to `offset`, and writes what it reads if `is_kept`.
    fn pass(&mut self, offset: u64, is_kept: bool) -> Result<(), PenError> {
        while self.at < offset {
            let left = usize::try_from(offset - self.at).unwrap_or(BLOCK).min(BLOCK);
            let n = match self.sheet.read(&mut self.block[..left]) {
                Ok(0) => return Err(self.changed()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(cannot_sink("read", &self.place, &error).into()),
            };
            self.at += n as u64;
            if is_kept {
                self.copy.write(&self.block[..n])?;
            }
        }
        Ok(())
    }

    /// Makes sure that a row holds nothing where a new column is to be: the next run would take that for an answer. The new
    /// columns stand behind all that the sheet says it has; what it says may be wrong.
    fn refuse_surplus(&self, row: &[u8], line: u64) -> Result<(), PenError> {
        let new = || self.targets.0.iter().filter(|target| !target.is_old);
        let Some(first) = new().map(|target| target.column).min() else { return Ok(()) };
        if last_column(row).is_some_and(|last| last < first) {
            return Ok(());
        }
        let holds = |cell: &Cell<'_>| cell.has_formula || cell.value.is_some_and(|value| !value.is_empty());
        let found = Cells::new(row).find(|cell| holds(cell) && new().any(|target| target.column == cell.column));
        found.map_or(Ok(()), |cell| {
            Err(PenError::Record(format!(
                "cell {}{} holds something, and the sheet says that it has no such column; open and save the workbook in Excel, \
                 and run the same command again",
                letters(cell.column),
                number_of(row).unwrap_or(line)
            )))
        })
    }

    fn changed(&self) -> PenError {
        PenError::Record(format!("`{}` is not the workbook any more that was read", self.place.name))
    }

    /// Finds the new cells of a row.
    fn evaluate(&mut self, new: Fields<'_>) -> Result<(), PenError> {
        let (columns, output) = (self.composer.columns(), new.output());
        self.are_set.clear();
        self.are_set.resize(columns.len(), matches!(new, Fields::Answer(_)));
        self.values.resize_with(columns.len(), Vec::new);
        self.values.iter_mut().for_each(Vec::clear);
        let mut wrong = None;
        let parsed = json::members(output.get(), |field, value| {
            let Some(i) = columns.iter().position(|column| column.field == field) else {
                wrong.get_or_insert_with(|| format!("the work made a field `{field}` that it had not told of"));
                return;
            };
            self.values[i].clear();
            self.are_set[i] = true;
            if let Err(what) = push_content(value.get(), &self.head.prefix, &mut self.values[i]) {
                wrong.get_or_insert_with(|| format!("the cell of column `{}`: {what}", columns[i].name));
            }
        });
        parsed.map_err(|error| PenError::Record(error.0))?;
        wrong.map_or(Ok(()), |what| Err(PenError::Rejected(what)))
    }
}

impl Pen for SheetPen {
    fn write(&mut self, record: &Record, new: Fields<'_>, _: &mut Aside) -> Result<(), PenError> {
        let Some(row) = record.row.as_ref().filter(|_| !new.is_nothing()) else {
            // What is passed by is copied.
            let is_kept = matches!(new, Fields::Only(_));
            let what = "it was not read as a row of a sheet";
            return if is_kept { self.pass_by(record) } else { Err(PenError::Record(what.to_owned())) };
        };
        self.refuse_surplus(row, record.origin.line)?;
        self.evaluate(new)?;
        let is_again = self.is_held && self.at == record.origin.offset + row.len() as u64;
        if !is_again {
            self.let_go()?;
            self.pass(record.origin.offset, true)?;
            self.row.resize(row.len(), 0);
            let read = self.sheet.read_exact(&mut self.row);
            read.map_err(|_| self.changed())?;
            self.at += row.len() as u64;
            if self.row != **row {
                return Err(self.changed());
            }
            self.is_held = true;
        }
        let number = number_of(row).unwrap_or(record.origin.line);
        self.out.clear();
        let cells = self.targets.0.iter().zip(&self.values).zip(&self.are_set).filter(|(_, is_set)| **is_set);
        let cells = cells.map(|((target, content), _)| New { target, content, style: None });
        push_row(row, number, &self.head.prefix, cells, &mut self.out)?;
        self.copy.write(&self.out)?;
        self.is_held = false;
        Ok(())
    }

    fn pass_by(&mut self, record: &Record) -> Result<(), PenError> {
        self.refuse_surplus(record.row.as_ref().unwrap_or(&record.bytes), record.origin.line)
    }

    fn end(&mut self, out: &mut Aside) -> Result<(), PenError> {
        self.let_go()?;
        loop {
            match self.sheet.read(&mut self.block) {
                Ok(0) => break,
                Ok(n) => self.copy.write(&self.block[..n])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cannot_sink("read", &self.place, &error).into()),
            }
        }
        self.copy.end(out)
    }
}
