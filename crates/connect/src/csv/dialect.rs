//! How cells are told apart.

use super::{
    cells::{Cells, Quoting, quoting},
    sample::Sample,
};

/// What stands between cells and around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    /// Nothing where no character quotes.
    pub(crate) quote: Option<u8>,
}

/// What is declared of a dialect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Declared {
    pub(crate) delimiter: Option<u8>,
    pub(crate) quote: Option<Option<u8>>,
}

/// What is tried, in this order where several would do.
const DELIMITERS: [u8; 4] = *b",;\t|";
const USUAL: Option<u8> = Some(b'"');
const APOSTROPHE: Option<u8> = Some(b'\'');

impl Declared {
    /// Finds out the rest from the beginning of a file. `is_whole` says whether it is all of it, `has_header` whether its first
    /// row tells how many columns there are.
    pub(super) fn detect(self, head: &[u8], is_whole: bool, has_header: bool) -> Dialect {
        let delimiters = self.delimiter.map_or(DELIMITERS.to_vec(), |one| vec![one]);
        let look = |delimiter, quote| Look::at(Dialect { delimiter, quote }, head, is_whole, has_header);
        let looks = delimiters.iter().map(|&delimiter| match self.quote {
            Some(quote) => look(delimiter, quote),
            None => {
                let (usual, other) = (look(delimiter, USUAL), look(delimiter, APOSTROPHE));
                if other.is_used_rather_than(&usual) { other } else { usual }
            }
        });
        let best = looks.reduce(|best, look| if look.likeness() > best.likeness() { look } else { best });
        best.map_or(Dialect { delimiter: b',', quote: USUAL }, |look| look.dialect)
    }
}

/// What the first rows look like in a dialect.
struct Look {
    dialect: Dialect,
    n_columns: usize,
    /// The share of the rows that have as many cells as there are columns.
    even: f64,
    /// Cells with a quote at both ends, and none in between that is not doubled.
    n_quoted: usize,
    /// Cells that begin with a quote, and are not such.
    n_broken: usize,
    /// Whether any cell would be another one without its quotes.
    are_needed: bool,
    /// Whether there is a column in which every cell behind the first row is quoted.
    fill_a_column: bool,
}

impl Look {
    fn at(dialect: Dialect, head: &[u8], is_whole: bool, has_header: bool) -> Self {
        let sample = Sample::of(head, dialect, is_whole);
        let n_columns = sample.n_columns(dialect, has_header);
        let rows = sample.rows;
        let (mut n_even, mut n_quoted, mut n_broken, mut are_needed) = (0_usize, 0, 0, false);
        // Of each column, how many cells behind the first row hold anything, and how many are quoted.
        let mut columns = vec![(0_usize, 0_usize); n_columns];
        for (number, row) in rows.iter().enumerate() {
            let mut n_cells = 0;
            for cell in Cells::new(row, dialect) {
                let found = quoting(cell, dialect);
                n_quoted += usize::from(matches!(found, Quoting::Whole { .. }));
                n_broken += usize::from(found == Quoting::Broken);
                are_needed |= found == Quoting::Whole { is_needed: true };
                if let Some((n_filled, n_in_quotes)) = columns.get_mut(n_cells).filter(|_| number > 0) {
                    *n_filled += usize::from(!cell.is_empty());
                    *n_in_quotes += usize::from(matches!(found, Quoting::Whole { .. }));
                }
                n_cells += 1;
            }
            n_even += usize::from(n_cells == n_columns);
        }
        Self {
            dialect,
            n_columns,
            even: share(n_even, rows.len()),
            n_quoted,
            n_broken,
            are_needed,
            fill_a_column: columns.iter().any(|(n_filled, n_in_quotes)| *n_filled > 1 && n_filled == n_in_quotes),
        }
    }

    /// Returns whether an apostrophe, as which it looks like this, is used as a quote, and not the usual one. Apostrophes begin
    /// words, and stand around some: as a quote they stand around cells that need one, or around a whole column, and the rows
    /// come out at least as even. Where there is as much to say for the usual one, that is it.
    fn is_used_rather_than(&self, usual: &Self) -> bool {
        let is_used =
            self.n_quoted > 1 && self.n_broken * 10 < self.n_quoted && (self.are_needed || self.fill_a_column);
        let is_better = self.even > usual.even && self.n_quoted > usual.n_quoted;
        is_used && (is_better || (self.even >= usual.even && usual.n_quoted == 0))
    }

    /// Returns how well the dialect fits; greater is better, in this order.
    fn likeness(&self) -> Likeness {
        let has_columns = self.n_columns > 1;
        Likeness {
            has_columns,
            fit: self.even * if self.n_broken > 0 { share(self.n_quoted, self.n_quoted + self.n_broken) } else { 1.0 },
            is_quoted: self.n_quoted > 0,
            is_tab: has_columns && self.dialect.delimiter == b'\t',
            n_columns: self.n_columns,
        }
    }
}

#[derive(Debug, PartialEq, PartialOrd)]
struct Likeness {
    /// Cells are told apart at all.
    has_columns: bool,
    /// The share of even rows, of which the share of cells in quotes that are closed where the cell ends.
    fit: f64,
    /// Quotes stand around cells, and not in the middle of them.
    is_quoted: bool,
    /// Texts hold commas and semicolons all the time, and tabs hardly ever.
    is_tab: bool,
    n_columns: usize,
}

fn share(part: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}
