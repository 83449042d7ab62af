//! The CSV file that is worked on.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use anyhow::Result;

/// The column that holds answers.
pub(super) const ANSWER: &str = "category";

/// Writes `n` rows: two numbers, three texts of about 80 characters, and an answer where the row `is_answered`.
pub(super) fn write(path: &Path, n: u64, is_answered: impl Fn(u64) -> bool) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "id,score,a,b,c,{ANSWER}")?;
    for row in 1..=n {
        write!(out, "{row:07},{:.2}", row as f64 * 0.37)?;
        for column in 2..5 {
            let number = (row * 2_654_435_761 + column) % 1_000_000_007;
            write!(out, ",\"row {row} column {column}: words that a person would write, and \"\"more\"\", {number}\"")?;
        }
        let answer = if is_answered(row) { ["news", "question", "complaint"][row as usize % 3] } else { "" };
        writeln!(out, ",{answer}")?;
    }
    Ok(out.flush()?)
}
