//! Rows that hold something behind the last column.

use domain::ports::SourceError;

use super::{Dialect, cells::Cells, head::Head, rows::Boundaries};
use crate::{
    file::{Opened, Part, cannot},
    table::Found,
};

/// How much is read at once.
const BLOCK: usize = 256 << 10;

/// Returns whether a row holds anything behind its first `n_columns` cells. Cells that are empty there are nothing.
pub(super) fn has_surplus(row: &[u8], n_columns: usize, dialect: Dialect) -> bool {
    Cells::new(row, dialect).skip(n_columns).any(|cell| !cell.is_empty())
}

/// Goes through a part, and returns the number of the first row that holds anything behind the last column. No row is kept, so
/// it takes as much memory as a block, however long rows are.
///
/// # Errors
/// Where the part cannot be read.
pub(super) fn first_surplus(part: &Part, head: &Head) -> Result<Option<u64>, SourceError> {
    let (dialect, n_columns) = (head.dialect, head.names.len());
    let Opened { mut reader, .. } = part.open(head.start)?;
    let mut boundaries = Boundaries::new(dialect);
    let (mut row, mut n_delimiters) = (if head.has_header { 2 } else { 1 }, 0);
    loop {
        let block = reader.block(BLOCK).map_err(|error| SourceError(cannot("read", &part.place, &error)))?;
        if block.is_empty() {
            return Ok(None);
        }
        let mut at = 0;
        while at < block.len() {
            let rest = &block[at..];
            let mut behind = (n_delimiters >= n_columns).then_some(0);
            let found = boundaries.walk::<true>(rest, |delimiter| {
                n_delimiters += 1;
                if n_delimiters == n_columns {
                    behind = Some(delimiter + 1);
                }
            });
            let (end, next) = match found {
                Found::End { end, next } => (end, Some(next)),
                Found::More | Found::Pass(_) => (rest.len(), None),
            };
            // A `\r` that is a part of a cell stands in quotes, which are something.
            let is_nothing = |byte: &u8| [dialect.delimiter, b'\r'].contains(byte);
            if behind.is_some_and(|behind| !rest[behind.min(end)..end].iter().all(is_nothing)) {
                return Ok(Some(row));
            }
            let Some(next) = next else { break };
            at += next;
            row += 1;
            n_delimiters = 0;
        }
    }
}
