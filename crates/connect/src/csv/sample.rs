//! The first rows of a table, from which is found out what nobody has declared.

use super::{Dialect, cells::Cells, rows::Boundaries};
use crate::table::{Found, as_text};

/// How many rows are looked at.
const ROWS: usize = 50;

/// The first rows that hold anything.
pub(super) struct Sample<'h> {
    pub(super) rows: Vec<&'h [u8]>,
    /// Whether a quote in the last of them is never closed.
    is_open: bool,
}

impl<'h> Sample<'h> {
    /// Cuts them out of the beginning of a file. `is_whole` says whether it is all of it.
    pub(super) fn of(head: &'h [u8], dialect: Dialect, is_whole: bool) -> Self {
        let (mut boundaries, mut at) = (Boundaries::new(dialect), 0);
        let mut sample = Self { rows: Vec::new(), is_open: false };
        for n_seen in 0..ROWS {
            if at == head.len() {
                break;
            }
            match boundaries.find(&head[at..]) {
                Found::End { end, next } => {
                    sample.add(&head[at..at + end]);
                    at += next;
                }
                // What was cut off has too few cells.
                Found::More if !is_whole && n_seen > 0 => break,
                Found::More | Found::Pass(_) => {
                    sample.add(&head[at..]);
                    sample.is_open = boundaries.is_quoted();
                    break;
                }
            }
        }
        sample
    }

    fn add(&mut self, row: &'h [u8]) {
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        if !row.is_empty() {
            self.rows.push(row);
        }
    }

    /// Returns how many columns the table has. Without a header they are as many as most of these rows have cells, and the
    /// greater number of two that are as frequent, which loses no cell. Rows that are no text say nothing, unless there are no
    /// others.
    pub(super) fn n_columns(&self, dialect: Dialect, has_header: bool) -> usize {
        let first = self.rows.first().map_or(0, |row| Cells::new(row, dialect).count());
        if has_header {
            return first;
        }
        let n_closed = self.rows.len() - usize::from(self.is_open);
        let sound = self.rows[..n_closed].iter().filter(|row| as_text(row, "row", None).is_ok());
        let mut widths: Vec<usize> = sound.map(|row| Cells::new(row, dialect).count()).collect();
        widths.sort_unstable();
        let most = widths.chunk_by(|a, b| a == b).max_by_key(|alike| alike.len());
        most.map_or(first, |alike| alike[0])
    }
}
