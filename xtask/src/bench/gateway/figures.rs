//! Figures of several rounds, as a table.

use super::super::measure;

/// A table: a row for each peer, a column for each figure.
pub(super) struct Table {
    title: String,
    columns: Vec<Column>,
    rows: Vec<(String, Vec<Vec<f64>>)>,
}

/// What a column shows.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Digits behind the point.
    pub(super) digits: usize,
}

impl Table {
    pub(super) fn new(title: impl Into<String>, columns: &[(&'static str, usize)]) -> Self {
        let columns = columns.iter().map(|(name, digits)| Column { name, digits: *digits }).collect();
        Self { title: title.into(), columns, rows: Vec::new() }
    }

    /// Adds the figures of one round; NaN where there is none.
    pub(super) fn add(&mut self, row: &str, figures: &[f64]) {
        let at = match self.rows.iter().position(|(name, _)| name == row) {
            Some(at) => at,
            None => {
                self.rows.push((row.to_owned(), vec![Vec::new(); self.columns.len()]));
                self.rows.len() - 1
            }
        };
        let columns = self.rows[at].1.iter_mut();
        columns.zip(figures).filter(|(_, figure)| figure.is_finite()).for_each(|(column, figure)| column.push(*figure));
    }

    /// Returns the median of a figure.
    pub(super) fn median(&self, row: &str, column: usize) -> Option<f64> {
        let figures = &self.rows.iter().find(|(name, _)| name == row)?.1[column];
        Some(measure::spread(figures.clone()).0).filter(|median| median.is_finite())
    }

    /// Prints medians with the least and the greatest, and the first figure as a multiple of nginx's.
    pub(super) fn print(&self) {
        println!("### {}\n", self.title);
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        println!("| | {} | against nginx |", names.join(" | "));
        println!("|{}", " --- |".repeat(names.len() + 2));
        for (name, columns) in &self.rows {
            print!("| {name} |");
            for (column, figures) in self.columns.iter().zip(columns) {
                let (median, least, most) = measure::spread(figures.clone());
                let digits = column.digits;
                match figures.len() {
                    0 => print!(" – |"),
                    1 => print!(" {median:.digits$} |"),
                    _ => print!(" {median:.digits$} ({least:.digits$} to {most:.digits$}) |"),
                }
            }
            match (self.median(name, 0), self.median("nginx", 0)) {
                (Some(own), Some(nginx)) => println!(" {:.2} × |", own / nginx),
                _ => println!(" – |"),
            }
        }
        println!();
    }
}
