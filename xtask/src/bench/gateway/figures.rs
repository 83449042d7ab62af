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

    /// Returns the first figure as a multiple of nginx's: the median of what each round says, because what else runs on
    /// the machine changes from round to round and is much the same within one.
    fn against_nginx(&self, row: &str) -> Option<f64> {
        let first = |row: &str| self.rows.iter().find(|(name, _)| name == row)?.1.first();
        let (own, nginx) = (first(row)?, first("nginx")?);
        let ratios: Vec<f64> = own.iter().zip(nginx).map(|(own, nginx)| own / nginx).collect();
        Some(measure::spread(ratios).0).filter(|median| median.is_finite())
    }

    /// Prints medians with the least and the greatest of the rounds.
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
            match self.against_nginx(name) {
                Some(ratio) => println!(" {ratio:.2} × |"),
                None => println!(" – |"),
            }
        }
        println!();
    }
}
