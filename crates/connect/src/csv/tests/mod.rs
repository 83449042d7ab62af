//! What a user of CSV and TSV may rely on.

mod cells;
mod python;
mod reading;
mod speed;
mod wide;
mod writing;
