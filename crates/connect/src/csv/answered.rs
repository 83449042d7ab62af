//! Rows that are answered: they are told by their cells, and no record is made of them.

use super::{
    cells::{Cells, text_of},
    head::Head,
};
use crate::table::{AnswerColumns, Taken, is_filled};

/// Where the answers of a table stand.
pub(super) struct Answered {
    /// The columns, from 0.
    columns: Vec<usize>,
    errors: bool,
}

impl Answered {
    /// Finds the columns of answers; nothing where rows that have them are not passed over, or one of them is not there.
    pub(super) fn of(answers: &AnswerColumns, head: &Head) -> Option<Self> {
        let Taken::Pending { errors } = answers.taken else { return None };
        let place = |name: &String| head.names.iter().position(|of| of == name);
        Some(Self { columns: answers.names.iter().map(place).collect::<Option<_>>()?, errors })
    }

    /// Returns whether a row, which is text, has all answers, and no more cells than there are columns.
    pub(super) fn is(&self, row: &[u8], head: &Head) -> bool {
        let (mut n_cells, mut n_filled) = (0, 0);
        for cell in Cells::new(row, head.dialect) {
            if self.columns.contains(&n_cells) {
                let text = text_of(cell, head.dialect.quote);
                n_filled += usize::from(str::from_utf8(&text).is_ok_and(|text| is_filled(text, self.errors)));
            }
            n_cells += 1;
        }
        n_cells <= head.names.len() && n_filled == self.columns.len()
    }
}
