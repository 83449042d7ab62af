//! A new workbook with one sheet.

use serde_json::value::RawValue;

use super::{
    archive::Archive,
    cells::{N_COLUMNS, letters, push_column},
    content::{push_content, takes},
};
use crate::{
    file::Aside,
    table::{PenError, RowsPen},
};

/// More rows than a sheet can have, the one that names the columns included.
const N_ROWS: u64 = 1_048_576;
/// How much of a sheet is put together before it is packed.
const GATHERED: usize = 64 << 10;

const TYPES: &str = include_str!("fresh/content_types.xml");
const RELATIONS: &str = include_str!("fresh/relations.xml");
const BOOK: &str = include_str!("fresh/workbook.xml");
const BOOK_RELATIONS: &str = include_str!("fresh/workbook_relations.xml");
/// The plain look, and a bold one for the names of columns.
const STYLES: &str = include_str!("fresh/styles.xml");
/// The first row stays in sight.
const BEGINNING: &str = include_str!("fresh/sheet_beginning.xml");
const END: &str = "</sheetData></worksheet>";

/// The sheet of a new workbook, row after row.
pub(super) struct FreshSheet {
    archive: Archive,
    xml: Vec<u8>,
    content: Vec<u8>,
    n_rows: u64,
    /// After so many records another file is begun.
    rows_per_file: Option<u64>,
}

impl FreshSheet {
    pub(super) fn begin(rows_per_file: Option<u64>, out: &Aside) -> Result<Self, PenError> {
        let archive = Archive::begin(out)?;
        let mut fresh = Self { archive, xml: Vec::new(), content: Vec::new(), n_rows: 0, rows_per_file };
        for (name, text) in [
            ("[Content_Types].xml", TYPES),
            ("_rels/.rels", RELATIONS),
            ("xl/workbook.xml", BOOK),
            ("xl/_rels/workbook.xml.rels", BOOK_RELATIONS),
            ("xl/styles.xml", STYLES),
        ] {
            fresh.begin_part(name, text, 0)?;
        }
        Ok(fresh)
    }

    /// Begins a part of the workbook that may become so many bytes long.
    fn begin_part(&mut self, name: &str, text: &str, n_bytes: u64) -> Result<(), PenError> {
        self.archive.part(name, n_bytes)?;
        self.archive.write(text.as_bytes())
    }

    /// Adds a cell of the current row.
    fn push_cell(&mut self, column: usize, value: &str, look: &str) -> Result<(), String> {
        self.content.clear();
        push_content(value, b"", &mut self.content)?;
        if self.content.is_empty() {
            return Ok(());
        }
        self.xml.extend_from_slice(b"<c r=\"");
        push_column(u32::try_from(column).unwrap_or(N_COLUMNS), &mut self.xml);
        self.xml.extend_from_slice(self.n_rows.to_string().as_bytes());
        self.xml.push(b'"');
        self.xml.extend_from_slice(look.as_bytes());
        self.xml.extend_from_slice(&self.content);
        self.xml.extend_from_slice(b"</c>");
        Ok(())
    }

    fn begin_row(&mut self) -> Result<(), PenError> {
        self.n_rows += 1;
        if self.n_rows > N_ROWS {
            return Err(PenError::Record(format!(
                "a sheet has {N_ROWS} rows and no more; say `rows_per_file: 1000000` for further files, or write to `csv` or \
                 `jsonl`: nothing is asked again"
            )));
        }
        self.xml.extend_from_slice(b"<row r=\"");
        self.xml.extend_from_slice(self.n_rows.to_string().as_bytes());
        self.xml.extend_from_slice(b"\">");
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), PenError> {
        self.xml.extend_from_slice(b"</row>");
        if self.xml.len() < GATHERED {
            return Ok(());
        }
        self.pack()
    }

    fn pack(&mut self) -> Result<(), PenError> {
        self.archive.write(&self.xml)?;
        self.xml.clear();
        Ok(())
    }
}

impl RowsPen for FreshSheet {
    fn head(&mut self, names: &[String], n_rows: u64, n_bytes: u64, _: &mut Aside) -> Result<(), PenError> {
        /// What stands around a value, at most.
        const AROUND: u64 = 80;
        let n_cells = n_rows.saturating_mul(names.len() as u64);
        // What has no names has no cells. A sheet that does not say its range is gone through by whoever wants to add columns.
        let beginning = names.len().checked_sub(1).map_or(BEGINNING.to_owned(), |last| {
            let n_rows = 1 + n_rows.min(self.rows_per_file.unwrap_or(n_rows));
            let last = letters(u32::try_from(last).unwrap_or(N_COLUMNS));
            BEGINNING.replacen("<sheetViews>", &format!("<dimension ref=\"A1:{last}{n_rows}\"/><sheetViews>"), 1)
        });
        self.begin_part(
            "xl/worksheets/sheet1.xml",
            &beginning,
            n_bytes.saturating_add(n_cells.saturating_mul(AROUND)),
        )?;
        self.begin_row()?;
        for (column, name) in names.iter().enumerate() {
            let quoted = serde_json::to_string(name).map_err(|error| PenError::Record(error.to_string()))?;
            let pushed = self.push_cell(column, &quoted, " s=\"1\"");
            pushed.map_err(|what| PenError::Record(format!("the name of a column: {what}")))?;
        }
        self.end_row()
    }

    fn row(&mut self, names: &[String], values: &[Option<&RawValue>], _: &mut Aside) -> Result<(), PenError> {
        self.begin_row()?;
        for (column, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let pushed = self.push_cell(column, value.get(), "");
            pushed.map_err(|what| PenError::Record(format!("the cell of column `{}`: {what}", names[column])))?;
        }
        self.end_row()
    }

    fn takes(&self, value: &RawValue) -> Result<(), String> {
        takes(value.get())
    }

    fn is_full(&self) -> bool {
        // The first row names the columns.
        self.rows_per_file.is_some_and(|most| self.n_rows > most)
    }

    fn again(&self, out: &Aside) -> Result<Self, PenError> {
        Self::begin(self.rows_per_file, out)
    }

    fn end(&mut self, out: &mut Aside) -> Result<(), PenError> {
        self.xml.extend_from_slice(END.as_bytes());
        self.pack()?;
        self.archive.end(out)
    }
}
