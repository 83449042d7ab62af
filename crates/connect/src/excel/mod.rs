//! Excel workbooks (`.xlsx`, `.xlsm`): one sheet, one row a record.
//!
//! A workbook is a package of XML files in a zip archive. Only one of them, the chosen sheet's, is read row by row and
//! written again row by row; everything else in the package is copied as it lies there, packed. So other sheets, styles,
//! formulas, widths, comments, images and pivot tables come out as they went in, and memory does not grow with the sheet.
//!
//! **In** (`package`, `head`, `row`). The first row that holds anything names the columns, unless `header_row` says which
//! one does; columns without a name are no fields. Text is text, also where it looks like a number (`00123`). Numbers are
//! numbers, dates and times text as ISO 8601 has it, `true` and `false` what they are, and an empty cell is `null`. A formula counts
//! as the value that was computed for it when the workbook was saved. Texts that cells share lie in a table of their own
//! (`strings`), which goes to a file when it is long.
//!
//! A record's `bytes` is a JSON object of all that; its `row` is what stood in the sheet.
//!
//! **Out** (`sink`). A sheet that was read is written with new cells behind the others, in new columns or with `overwrite` in
//! old ones, whose look they keep; rows that are no records or did not succeed stay as they are. Records of other sources get a
//! new workbook (`fresh`) with the columns that any of them has.

mod archive;
mod cells;
mod config;
mod content;
mod copy;
mod dates;
mod fresh;
mod head;
#[cfg(test)]
mod made_by;
mod package;
mod row;
mod sink;
mod source;
mod strings;
mod styles;
#[cfg(test)]
mod tests;
mod text;

pub use config::{SheetName, SinkConfig, SourceConfig};
pub(crate) use package::Chosen;
pub(crate) use sink::SheetLayout;
pub(crate) use source::{Sheet, SheetFormat};
