//! Writing.

use domain::{
    Record, json,
    ports::{SinkError, SourceError},
};
use encoding_rs::{Encoding, UTF_8};
use serde_json::value::RawValue;

use super::{
    Declared, Dialect, Heading,
    cells::{Cells, NeedsQuote, push_cell, text_of},
    rows::Boundaries,
    surplus::has_surplus,
};
use crate::{
    file::{Aside, BOM},
    table::{Composer, FileSource, Layout, New, Pen, PenError, RowsPen, SpoolPen},
};

/// Records as rows.
pub(crate) struct RowsLayout {
    /// What is declared; the rest is as in the source.
    pub(crate) declared: Declared,
    pub(crate) bom: Option<bool>,
    pub(crate) encoding: &'static Encoding,
}

impl Layout for RowsLayout {
    fn check(&self, composer: &Composer, source: &FileSource, keeps_all: bool) -> Result<(), SinkError> {
        // What is wrong with the source itself is told where it is read.
        if !source.is_sound() {
            return Ok(());
        }
        let unreadable = |error: SourceError| SinkError::new(error.0);
        let Some(heading) = source.heading().map_err(unreadable)? else { return Ok(()) };
        let places = places_of(composer, &heading)?;
        if let (true, Some(column)) = (keeps_all, first_new(composer, &places))
            && let Some(row) = source.first_surplus().map_err(unreadable)?
        {
            return Err(SinkError::new(format!("{row}: {}", surplus(&heading, column))));
        }
        Ok(())
    }

    fn pen(&self, composer: &Composer, source: &FileSource, out: &mut Aside) -> Result<Box<dyn Pen>, PenError> {
        let Some(heading) = source.heading().map_err(|error| SinkError::new(error.0))? else {
            self.mark(false, out)?;
            let usual = Dialect { delimiter: b',', quote: Some(b'"') };
            let rows = NewRows { dialect: self.dialect(usual), line: Vec::new() };
            return Ok(Box::new(SpoolPen::new(composer.clone(), rows, out)?));
        };
        let pen = TablePen {
            dialect: self.dialect(heading.dialect),
            places: places_of(composer, &heading)?,
            composer: composer.clone(),
            heading,
            values: Vec::new(),
            are_set: Vec::new(),
            line: Vec::new(),
        };
        self.mark(pen.heading.has_bom, out)?;
        pen.head(out)?;
        Ok(Box::new(pen))
    }
}

impl RowsLayout {
    fn dialect(&self, source: Dialect) -> Dialect {
        let Declared { delimiter, quote } = self.declared;
        Dialect { delimiter: delimiter.unwrap_or(source.delimiter), quote: quote.unwrap_or(source.quote) }
    }

    /// Begins the file with a byte order mark, where it is to have one.
    fn mark(&self, has_bom: bool, out: &mut Aside) -> Result<(), PenError> {
        let is_wanted = self.bom.unwrap_or(has_bom && self.encoding == UTF_8);
        // UTF-16 has one in any case.
        let is_there = self.encoding == encoding_rs::UTF_16LE || self.encoding == encoding_rs::UTF_16BE;
        if is_wanted && !is_there {
            out.add(BOM)?;
        }
        Ok(())
    }
}

/// Returns where each new column goes: in place of an old one, or behind them all.
fn places_of(composer: &Composer, heading: &Heading) -> Result<Vec<Option<usize>>, SinkError> {
    let place = |name: &str| heading.names.iter().position(|old| old == name);
    let columns = composer.columns().iter();
    let places: Vec<_> = columns.map(|column| place(&column.name)).collect();
    if let Some(taken) = places.iter().flatten().next().filter(|_| !composer.overwrites()) {
        return Err(SinkError::new(format!(
            "the source already has a column `{}`; give the new field another name with `columns:` or set \
             `overwrite: true`",
            heading.names[*taken]
        )));
    }
    Ok(places)
}

/// Returns the first new column behind all old ones.
fn first_new<'c>(composer: &'c Composer, places: &[Option<usize>]) -> Option<&'c str> {
    let mut columns = composer.columns().iter().zip(places);
    columns.find(|(_, place)| place.is_none()).map(|(column, _)| &*column.name)
}

/// Says of a row that it holds something where a new column would be.
fn surplus(heading: &Heading, column: &str) -> String {
    let n = heading.names.len();
    let has = if heading.header.is_some() { "the header has" } else { "most of the first rows have" };
    format!(
        "the row has more cells than {has} ({n}), and the new column `{column}` would stand over them, so that a later run would \
         take them for answers; put a cell that holds the delimiter in quotes, give those cells columns of their own, or write \
         to another file, without `rows: all` and `status`"
    )
}

/// Writes rows that were read as rows.
struct TablePen {
    composer: Composer,
    heading: Heading,
    /// What is written in; the heading has what was read in.
    dialect: Dialect,
    /// For each new column the old one that it replaces.
    places: Vec<Option<usize>>,
    /// The new cells of a row, as they will stand.
    values: Vec<Vec<u8>>,
    /// Which of them there are; in place of the others stays what was there.
    are_set: Vec<bool>,
    line: Vec<u8>,
}

impl TablePen {
    fn head(&self, out: &mut Aside) -> Result<(), PenError> {
        let Heading { names, header, line_end, .. } = &self.heading;
        // Rows without a header stay without one; where there is not even a row, the new names are all there is.
        if header.is_none() && !names.is_empty() {
            return Ok(());
        }
        let mut line = Vec::new();
        match header {
            Some(header) if self.dialect == self.heading.dialect => line.extend_from_slice(header),
            _ => {
                for (i, name) in names.iter().enumerate() {
                    self.delimit(i, &mut line);
                    push_cell(name.as_bytes(), self.dialect, &mut line).map_err(|error| needs_quote(&error, name))?;
                }
            }
        }
        let mut n = names.len();
        for (column, _) in self.composer.columns().iter().zip(&self.places).filter(|(_, place)| place.is_none()) {
            self.delimit(n, &mut line);
            let name = &column.name;
            push_cell(name.as_bytes(), self.dialect, &mut line).map_err(|error| needs_quote(&error, name))?;
            n += 1;
        }
        if n > 0 {
            line.extend_from_slice(line_end);
        }
        Ok(out.add(&line)?)
    }

    /// Writes a row as it stood.
    fn keep(&mut self, row: &[u8], out: &mut Aside) -> Result<(), PenError> {
        self.line.clear();
        self.line.extend_from_slice(row);
        self.line.extend_from_slice(self.heading.line_end);
        Ok(out.add(&self.line)?)
    }

    /// Writes a row that could not be read as it stood. One whose quote is never closed has no line end of its own: another
    /// one would be a part of its cell, and one more with every run.
    fn keep_flawed(&mut self, row: &[u8], out: &mut Aside) -> Result<(), PenError> {
        let mut boundaries = Boundaries::new(self.heading.dialect);
        // All of it is one row.
        let _ = boundaries.find(row);
        if boundaries.is_quoted() { Ok(out.add(row)?) } else { self.keep(row, out) }
    }

    fn delimit(&self, i: usize, line: &mut Vec<u8>) {
        if i > 0 {
            line.push(self.dialect.delimiter);
        }
    }

    /// Finds the new cells of a row.
    fn evaluate(&mut self, new: New<'_>) -> Result<(), PenError> {
        let (columns, output) = (self.composer.columns(), new.output());
        self.values.resize_with(columns.len(), Vec::new);
        self.values.iter_mut().for_each(Vec::clear);
        self.are_set.clear();
        self.are_set.resize(columns.len(), matches!(new, New::Answer(_)));
        let mut wrong = None;
        let parsed =
            json::members(output.get(), |field, value| match columns.iter().position(|column| column.field == field) {
                Some(i) => {
                    self.values[i].clear();
                    self.are_set[i] = true;
                    if let Err(error) = push_value(value, self.dialect, &mut self.values[i]) {
                        wrong.get_or_insert(needs_quote(&error, &columns[i].name));
                    }
                }
                None => {
                    let what = format!("the work made a field `{field}` that it had not told of");
                    wrong.get_or_insert(PenError::Record(what));
                }
            });
        parsed.map_err(|error| PenError::Record(error.0))?;
        wrong.map_or(Ok(()), Err)
    }
}

const NO_ROW: &str = "it was not read as a row";

impl Pen for TablePen {
    fn takes_rows(&self) -> bool {
        true
    }

    fn write(&mut self, record: &Record, new: New<'_>, out: &mut Aside) -> Result<(), PenError> {
        let Some(row) = &record.row else {
            // A blank row, or one that could not be read, stands as it stood.
            if matches!(new, New::Answer(_)) {
                return Err(PenError::Record(NO_ROW.to_owned()));
            }
            // Before the run began there was no such row, but somebody may have saved the file since.
            if let Some(column) = first_new(&self.composer, &self.places)
                && has_surplus(&record.bytes, self.heading.names.len(), self.heading.dialect)
            {
                return Err(PenError::Record(surplus(&self.heading, column)));
            }
            return self.keep_flawed(&record.bytes, out);
        };
        if new.is_nothing() && self.dialect == self.heading.dialect && self.places.iter().all(Option::is_some) {
            return self.keep(row, out);
        }
        self.evaluate(new)?;
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let is_same = self.dialect == self.heading.dialect;
        let n_columns = self.heading.names.len();
        let mut cells = Cells::new(row, self.heading.dialect);
        if is_same && self.places.iter().all(Option::is_none) {
            line.extend_from_slice(row);
            // Cells that the row lacks stand empty before the new ones.
            let n_missing = n_columns.saturating_sub(cells.count());
            line.extend(std::iter::repeat_n(self.dialect.delimiter, n_missing));
        } else {
            for i in 0..n_columns {
                self.delimit(i, &mut line);
                let cell = cells.next();
                let new = self.places.iter().position(|place| *place == Some(i));
                match (new.filter(|new| self.are_set[*new]), cell) {
                    (Some(new), _) => line.extend_from_slice(&self.values[new]),
                    (None, Some(cell)) if is_same => line.extend_from_slice(cell),
                    (None, Some(cell)) => {
                        let text = text_of(cell, self.heading.dialect.quote);
                        let pushed = push_cell(&text, self.dialect, &mut line);
                        pushed.map_err(|error| needs_quote(&error, &self.heading.names[i]))?;
                    }
                    (None, None) => {}
                }
            }
        }
        let new = self.values.iter().zip(&self.places).filter(|(_, place)| place.is_none());
        for (i, (value, _)) in (n_columns..).zip(new) {
            self.delimit(i, &mut line);
            line.extend_from_slice(value);
        }
        end_row(&mut line, self.dialect, self.heading.line_end);
        self.line = line;
        Ok(out.add(&self.line)?)
    }
}

/// Writes rows of records that were not read as rows.
struct NewRows {
    dialect: Dialect,
    line: Vec<u8>,
}

impl RowsPen for NewRows {
    fn head(&mut self, names: &[String], _: u64, _: u64, out: &mut Aside) -> Result<(), PenError> {
        self.line.clear();
        for (i, name) in names.iter().enumerate() {
            if i > 0 {
                self.line.push(self.dialect.delimiter);
            }
            push_cell(name.as_bytes(), self.dialect, &mut self.line).map_err(|error| needs_quote(&error, name))?;
        }
        if names.is_empty() {
            return Ok(());
        }
        end_row(&mut self.line, self.dialect, b"\n");
        Ok(out.add(&self.line)?)
    }

    fn row(&mut self, names: &[String], values: &[Option<&RawValue>], out: &mut Aside) -> Result<(), PenError> {
        self.line.clear();
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                self.line.push(self.dialect.delimiter);
            }
            let pushed = value.map_or(Ok(()), |value| push_value(value, self.dialect, &mut self.line));
            pushed.map_err(|error| needs_quote(&error, &names[i]))?;
        }
        end_row(&mut self.line, self.dialect, b"\n");
        Ok(out.add(&self.line)?)
    }

    fn again(&self, _: &Aside) -> Result<Self, PenError> {
        Ok(Self { dialect: self.dialect, line: Vec::new() })
    }
}

/// Ends a row. One of a single empty cell would be no row.
fn end_row(line: &mut Vec<u8>, dialect: Dialect, line_end: &[u8]) {
    if let (true, Some(quote)) = (line.is_empty(), dialect.quote) {
        line.extend_from_slice(&[quote, quote]);
    }
    line.extend_from_slice(line_end);
}

/// Appends a value as a cell: nothing for `null`, text as it is, and of whatever else the JSON text.
fn push_value(value: &RawValue, dialect: Dialect, out: &mut Vec<u8>) -> Result<(), NeedsQuote> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'n') => Ok(()),
        Some(b'"') => match serde_json::from_str::<String>(text) {
            Ok(text) => push_cell(text.as_bytes(), dialect, out),
            // Half of a surrogate pair is text in JSON alone.
            Err(_) => push_cell(text.as_bytes(), dialect, out),
        },
        Some(b'{' | b'[') => {
            let mut compact = String::with_capacity(text.len());
            json::compact(text, &mut compact);
            push_cell(compact.as_bytes(), dialect, out)
        }
        _ => push_cell(text.as_bytes(), dialect, out),
    }
}

/// Says of a column that one of its cells cannot be written.
fn needs_quote(_: &NeedsQuote, column: &str) -> PenError {
    PenError::Rejected(format!(
        "the cell of column `{column}` holds the delimiter or a line end, which no file can hold with `quote: none`; \
         name a quote, or write to `jsonl`"
    ))
}
