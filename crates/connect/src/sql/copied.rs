//! Rows of a table for those who look at it: copied into a file of lines, and read from there like any other.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
};

use tempfile::TempDir;

use super::{
    Access, Cell, Column, Database, DatabaseError, Flavor, Kind, Trouble, Unreached, Value, Wanted, table::Table,
};
use crate::{AnswerColumns, FileSource, Place, file::Stored, jsonl::LinesFormat, table::Settings};

/// Rows are copied so many at once.
const PAGE: u64 = 500;

/// Rows of a table that were copied; dropped, they are gone.
pub struct Copied {
    rows: FileSource,
    _folder: TempDir,
}

impl Copied {
    /// Returns the rows as a file of lines.
    #[must_use]
    pub fn rows(&self) -> &FileSource {
        &self.rows
    }
}

impl Access {
    /// Copies the first `most` rows of the table, or all.
    ///
    /// # Errors
    /// Where the table cannot be read, or there is no room for the rows.
    pub fn copied(&self, most: Option<u64>) -> Result<Copied, Unreached> {
        let no_room = |error: &std::io::Error| Unreached {
            message: format!("no room for rows of `{}`: {error}", self.name()),
            is_away: false,
        };
        let folder = tempfile::tempdir().map_err(|error| no_room(&error))?;
        let place = Place { path: folder.path().join("rows"), name: self.name() };
        let mut file = BufWriter::new(File::create(&place.path).map_err(|error| no_room(&error))?);
        let mut left = most.unwrap_or(u64::MAX);
        let copied = self.pages(|text, n_rows| {
            left = left.saturating_sub(n_rows);
            let written = file.write_all(text.as_bytes());
            written.map_err(|error| DatabaseError::new(Trouble::Refused, no_room(&error).message))?;
            Ok(left.min(PAGE))
        });
        copied.map_err(|error| self.unreached(error))?;
        file.flush().map_err(|error| no_room(&error))?;
        let stored = Stored { compression: Some(crate::Compression::None), encoding: None };
        let reading = Settings { key: None, max: crate::config::LONGEST, stored };
        let rows = FileSource::new(LinesFormat { encoding: None }, reading, place, 0, AnswerColumns::default());
        Ok(Copied { rows, _folder: folder })
    }

    /// Returns the names of the tables beside this one, but for those that are no data.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn tables(&self) -> Result<Vec<String>, Unreached> {
        let tables = self.connect().and_then(|mut database| database.tables(self.name.schema.as_deref()));
        let mut tables = tables.map_err(|error| self.unreached(error))?;
        tables.retain(|name| !name.starts_with("sqlite_") && !name.starts_with("tidemill_"));
        Ok(tables)
    }

    /// Returns the way to another table of the same database.
    #[must_use]
    pub fn beside(mut self, table: &str) -> Self {
        if self.name.table != table {
            (self.name.table, self.key) = (table.to_owned(), None);
        }
        self
    }

    fn unreached(&self, error: DatabaseError) -> Unreached {
        let is_away = error.is_away();
        let message = match self.name.table.as_str() {
            "" => error.message,
            _ => format!("cannot read the table `{}`: {}", self.name(), error.message),
        };
        Unreached { message, is_away }
    }

    /// Gives pages of rows, as lines with their number, to `take`, which says how many are wanted next.
    fn pages(&self, mut take: impl FnMut(&str, u64) -> Result<u64, DatabaseError>) -> Result<(), DatabaseError> {
        let mut database = self.connect()?;
        let looked = Table::look(&mut *database, &self.name, self.key.as_deref())?;
        let table = numbered(&mut *database, &looked)?;
        let (mut last, mut n): (Option<Vec<Value>>, u64) = (None, take("", 0)?);
        while n > 0 {
            let page = usize::try_from(n).unwrap_or(usize::MAX);
            let rows = table.page(&mut *database, &Wanted::default(), last.as_deref(), page)?;
            let mut text = String::new();
            for row in &rows {
                looked.push_object(&row[..looked.columns.len()], &mut text);
                text.push('\n');
            }
            last = rows.last().and_then(|row| key_of(&table, row));
            n = take(&text, rows.len() as u64)?;
            if rows.len() < page || last.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Returns a table whose rows can be told apart for as long as one looks at them: by the number that SQLite gives to each,
/// where there is no key.
fn numbered(database: &mut dyn Database, table: &Table) -> Result<Table, DatabaseError> {
    if !table.key.is_empty() || table.flavor != Flavor::Sqlite {
        return table.clone().with_key();
    }
    let is_table = "SELECT 1 FROM pragma_table_list WHERE name = ? COLLATE NOCASE AND type <> 'view'";
    let is_table = !database.query(is_table, &[Value::Text(table.name.table.clone())])?.is_empty();
    let is_free = |name: &&str| !table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let name = ["rowid", "_rowid_", "oid"].into_iter().find(is_free);
    let Some(name) = name.filter(|_| is_table) else { return table.clone().with_key() };
    let mut numbered = table.clone();
    numbered.key = vec![numbered.columns.len()];
    let (name, declared) = (name.to_owned(), "INTEGER".to_owned());
    numbered.columns.push(Column { name, kind: Kind::Integer, declared, in_key: 0 });
    Ok(numbered)
}

fn key_of(table: &Table, row: &[Cell]) -> Option<Vec<Value>> {
    let mut line = String::new();
    table.push_object(row, &mut line);
    table.key_of(&line)
}
