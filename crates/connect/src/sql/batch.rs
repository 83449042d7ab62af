//! Guarded writes in place: rows that are still what was read, or what we wrote.

use std::collections::HashMap;

use domain::{Failure, FailureKind, RecordKey};

use super::{
    Cell, Database, DatabaseError, Trouble, Value, cells,
    table::Table,
    together::{together, update},
};
use crate::table::cut;

/// What is to become of one row.
pub(crate) struct Change {
    pub(crate) key: RecordKey,
    /// The row's key.
    pub(crate) row: Vec<Value>,
    /// Columns as they were read, as JSON: what the row must still be.
    pub(crate) read: Vec<(usize, String)>,
    /// The values that are written, by column.
    pub(crate) new: Vec<(usize, String)>,
    /// The values that we wrote last, where we did.
    pub(crate) last: Option<Vec<(usize, String)>>,
    /// The same as `new`, for the notes.
    pub(crate) values: String,
}

/// Rows that one statement reads or writes.
const AT_ONCE: usize = 128;

/// Rows as they are now.
struct Images {
    /// Where a column of the table stands in an image.
    places: Vec<Option<usize>>,
    found: HashMap<Vec<u8>, Found>,
}

enum Found {
    /// Its cells.
    One(Vec<Cell>),
    Many,
}

impl Images {
    fn of(&self, row: &[Value]) -> Option<&Found> {
        self.found.get(&name(row))
    }

    fn cell<'a>(&self, image: &'a [Cell], column: usize) -> Option<&'a Cell> {
        image.get(self.places.get(column).copied().flatten()?)
    }
}

/// Writes changes in one transaction, and returns what became of each.
///
/// # Errors
/// Where nothing is written: the database is away, or lets us write nothing.
pub(crate) fn write(
    database: &mut dyn Database,
    table: &Table,
    changes: &[Change],
) -> Result<Vec<Result<(), Failure>>, DatabaseError> {
    match attempt(database, table, changes, Care::Together) {
        // One of them is not taken: each on its own, so that it costs the others nothing.
        Err(error) if error.trouble == Trouble::Statement => attempt(database, table, changes, Care::Each),
        done => done,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    Together,
    Each,
}

fn attempt(
    database: &mut dyn Database,
    table: &Table,
    changes: &[Change],
    care: Care,
) -> Result<Vec<Result<(), Failure>>, DatabaseError> {
    database.execute(table.flavor.begin(), &[])?;
    let written = all(database, table, changes, care).and_then(|written| {
        database.execute("COMMIT", &[])?;
        Ok(written)
    });
    if written.as_ref().is_err_and(|error| !error.is_away()) {
        database.execute("ROLLBACK", &[])?;
    } else if written.is_err() {
        // It may be a lock that was not to be had; on a connection that is gone this does nothing.
        let _ = database.execute("ROLLBACK", &[]);
    }
    written
}

fn all(
    database: &mut dyn Database,
    table: &Table,
    changes: &[Change],
    care: Care,
) -> Result<Vec<Result<(), Failure>>, DatabaseError> {
    let mut ends = Vec::with_capacity(changes.len());
    for some in changes.chunks(AT_ONCE) {
        let images = images(database, table, some)?;
        let mut good: Vec<&Change> = Vec::with_capacity(some.len());
        for change in some {
            let end = match images.of(&change.row) {
                None => Err(conflict("the row is not there any more".to_owned())),
                Some(Found::Many) => Err(Failure::new(
                    FailureKind::WriteRejected,
                    "several rows of the table have this key; name columns that are unique with `key:`",
                )),
                Some(Found::One(image)) => match differing(table, change, &images, image) {
                    None => {
                        good.push(change);
                        Ok(())
                    }
                    Some(what) => ours(database, table, change, &images, image, what)?,
                },
            };
            ends.push(end);
        }
        if care == Care::Together {
            together(database, table, &good)?;
            continue;
        }
        let first = ends.len() - some.len();
        for change in good {
            let at = first + some.iter().position(|one| std::ptr::eq(one, change)).unwrap_or_default();
            ends[at] = each(database, table, change)?;
        }
    }
    Ok(ends)
}

/// Reads rows as they are now, and locks them.
fn images(database: &mut dyn Database, table: &Table, changes: &[Change]) -> Result<Images, DatabaseError> {
    let (mut columns, mut places) = (Vec::new(), vec![None; table.columns.len()]);
    for change in changes {
        for (column, _) in change.read.iter().chain(&change.new) {
            if places[*column].is_none() {
                places[*column] = Some(columns.len());
                columns.push(*column);
            }
        }
    }
    let keys: Vec<&[Value]> = changes.iter().map(|change| change.row.as_slice()).collect();
    let mut found: HashMap<Vec<u8>, Found> = HashMap::with_capacity(changes.len());
    for row in table.rows(database, &columns, &keys, true)? {
        let mut key = row;
        let image = key.split_off(table.key.len());
        let key: Vec<Value> = (table.keys().zip(&key))
            .map(|(column, cell)| cells::to_value(table.flavor, column, &cells::to_json(table.flavor, column, cell)))
            .collect();
        found.entry(name(&key)).and_modify(|found| *found = Found::Many).or_insert(Found::One(image));
    }
    Ok(Images { places, found })
}

/// Returns what is the same for the same key only.
fn name(row: &[Value]) -> Vec<u8> {
    let mut name = Vec::with_capacity(9 * row.len());
    for value in row {
        let (kind, bytes): (u8, &[u8]) = match value {
            Value::Null => (0, &[]),
            Value::Integer(number) => (1, &number.to_le_bytes()),
            Value::Unsigned(number) => (5, &number.to_le_bytes()),
            Value::Real(number) => (2, &number.to_bits().to_le_bytes()),
            Value::Text(text) => (3, text.as_bytes()),
            Value::Bytes(bytes) => (4, bytes),
        };
        name.push(kind);
        // Where one ends and the next begins.
        name.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        name.extend_from_slice(bytes);
    }
    name
}

/// Returns the column in which a row is not what was read.
fn differing(table: &Table, change: &Change, images: &Images, image: &[Cell]) -> Option<String> {
    let mut now = String::new();
    let differs = |(column, read): &&(usize, String)| {
        let Some(cell) = images.cell(image, *column) else { return false };
        now.clear();
        cells::push_json(table.flavor, &table.columns[*column], cell, &mut now);
        now != *read
    };
    let (column, read) = change.read.iter().find(differs)?;
    let name = &table.columns[*column].name;
    Some(format!(
        "the row was changed by someone else: `{name}` was {} when it was read, and is {}; what is there stays",
        shown(read),
        shown(&now)
    ))
}

/// A row is not what was read: is it what we wrote? Writing the same again changes nothing then, in the database's own
/// spelling of the values.
fn ours(
    database: &mut dyn Database,
    table: &Table,
    change: &Change,
    images: &Images,
    before: &[Cell],
    what: String,
) -> Result<Result<(), Failure>, DatabaseError> {
    for values in std::iter::once(&change.new).chain(&change.last) {
        database.execute("SAVEPOINT tidemill", &[])?;
        let is_ours = match update(database, table, &change.row, values) {
            Ok(()) => {
                let after = self::images(database, table, std::slice::from_ref(change))?;
                let is_same = |now: &[Cell]| {
                    values.iter().all(|(column, _)| after.cell(now, *column) == images.cell(before, *column))
                };
                matches!(after.of(&change.row), Some(Found::One(now)) if is_same(now))
            }
            Err(error) if error.trouble == Trouble::Statement => false,
            Err(error) => return Err(error),
        };
        database.execute("ROLLBACK TO SAVEPOINT tidemill", &[])?;
        if is_ours {
            return each(database, table, change);
        }
    }
    Ok(Err(conflict(what)))
}

/// Writes one row, which may not be taken.
fn each(database: &mut dyn Database, table: &Table, change: &Change) -> Result<Result<(), Failure>, DatabaseError> {
    database.execute("SAVEPOINT tidemill", &[])?;
    match update(database, table, &change.row, &change.new) {
        Ok(()) => database.execute("RELEASE SAVEPOINT tidemill", &[]).map(|_| Ok(())),
        Err(error) if error.trouble == Trouble::Statement => {
            database.execute("ROLLBACK TO SAVEPOINT tidemill", &[])?;
            let message = format!("the table `{}` does not take the answer: {}", table.name.table, error.message);
            Ok(Err(Failure::new(FailureKind::WriteRejected, message)))
        }
        Err(error) => Err(error),
    }
}

fn conflict(message: String) -> Failure {
    Failure::new(FailureKind::Conflict, message)
}

/// A value as it is shown.
fn shown(value: &str) -> String {
    const SHOWN: usize = 200;
    cut(value, SHOWN).into_owned()
}
