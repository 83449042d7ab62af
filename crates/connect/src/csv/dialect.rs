//! How cells are told apart.

use super::{cells::Cells, rows::Boundaries};
use crate::table::Found;

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
/// How many rows are looked at.
const ROWS: usize = 50;

impl Declared {
    /// Finds out the rest from the beginning of a file. `is_whole` says whether it is all of it.
    pub(super) fn detect(self, head: &[u8], is_whole: bool) -> Dialect {
        let quotes = match self.quote {
            Some(quote) => vec![quote],
            None => vec![Some(b'"'), Some(b'\'')],
        };
        let delimiters = self.delimiter.map_or(DELIMITERS.to_vec(), |one| vec![one]);
        let usual = Dialect { delimiter: delimiters[0], quote: quotes[0] };
        let mut best: Option<(Likeness, Dialect)> = None;
        for quote in quotes {
            for &delimiter in &delimiters {
                let dialect = Dialect { delimiter, quote };
                let likeness = likeness(dialect, head, is_whole);
                if best.as_ref().is_none_or(|(other, _)| likeness > *other) {
                    best = Some((likeness, dialect));
                }
            }
        }
        best.map_or(usual, |(_, dialect)| dialect)
    }
}

/// How well a dialect fits; greater is better, in this order.
#[derive(Debug, PartialEq, PartialOrd)]
struct Likeness {
    /// Cells are told apart at all.
    has_columns: bool,
    /// How sure the quote is one: an apostrophe is only where it is used as one throughout, and then it is.
    quote: u8,
    /// The share of the rows that have as many cells as the first one.
    even: f64,
    /// Texts hold commas and semicolons all the time, and tabs hardly ever.
    is_tab: bool,
    /// Cells in the first row.
    n_columns: usize,
}

fn likeness(dialect: Dialect, head: &[u8], is_whole: bool) -> Likeness {
    let (mut boundaries, mut at) = (Boundaries::new(dialect), 0);
    let (mut first, mut n_rows, mut n_even) = (0, 0_usize, 0_usize);
    let (mut n_quoted, mut n_open) = (0_usize, 0_usize);
    let mut see = |row: &[u8]| {
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        if row.is_empty() {
            return;
        }
        let mut n = 0;
        for cell in Cells::new(row, dialect) {
            n += 1;
            if dialect.quote.is_some_and(|quote| cell.first() == Some(&quote)) {
                let is_closed = cell.len() > 1 && cell.last() == cell.first();
                n_quoted += usize::from(is_closed);
                n_open += usize::from(!is_closed);
            }
        }
        if n_rows == 0 {
            first = n;
        }
        n_rows += 1;
        n_even += usize::from(n == first);
    };
    let mut n_seen = 0;
    while at < head.len() && n_seen < ROWS {
        match boundaries.find(&head[at..]) {
            Found::End { end, next } => {
                see(&head[at..at + end]);
                at += next;
                n_seen += 1;
            }
            // What was cut off has too few cells.
            Found::More if !is_whole && n_seen > 0 => break,
            Found::More | Found::Pass(_) => {
                see(&head[at..]);
                break;
            }
        }
    }
    // An apostrophe begins words; as a quote it stands at both ends of every cell that begins with one.
    let is_used = n_quoted > 1 && n_open == 0 && memchr::memchr(b'"', head).is_none();
    Likeness {
        has_columns: first > 1,
        quote: match dialect.quote {
            Some(b'\'') => 2 * u8::from(is_used),
            _ => 1,
        },
        even: if n_rows == 0 { 0.0 } else { n_even as f64 / n_rows as f64 },
        is_tab: first > 1 && dialect.delimiter == b'\t',
        n_columns: first,
    }
}
