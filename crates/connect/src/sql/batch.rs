//! Guarded writes in place: rows that are still what was read, or what we wrote.

use std::collections::HashMap;

use domain::{Failure, FailureKind, RecordKey};

use super::{Database, DatabaseError, Flavor, Kind, Trouble, Value, cells, database::Statement, table::Table};
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

/// Columns as they are, as JSON.
type Image = HashMap<usize, String>;

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
            let end = match images.get(&name(&change.row)) {
                None => Err(conflict("the row is not there any more".to_owned())),
                Some(Found::Many) => Err(Failure::new(
                    FailureKind::WriteRejected,
                    "several rows of the table have this key; name columns that are unique with `key:`",
                )),
                Some(Found::One(image)) => match differing(table, change, image) {
                    None => {
                        good.push(change);
                        Ok(())
                    }
                    Some(what) => ours(database, table, change, image, what)?,
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

enum Found {
    One(Image),
    Many,
}

/// Reads rows as they are now, and locks them.
fn images(
    database: &mut dyn Database,
    table: &Table,
    changes: &[Change],
) -> Result<HashMap<String, Found>, DatabaseError> {
    let mut columns: Vec<usize> = Vec::new();
    for change in changes {
        for (column, _) in change.read.iter().chain(&change.new) {
            if !columns.contains(column) {
                columns.push(*column);
            }
        }
    }
    let keys: Vec<&[Value]> = changes.iter().map(|change| change.row.as_slice()).collect();
    let mut images: HashMap<String, Found> = HashMap::with_capacity(changes.len());
    for row in table.rows(database, &columns, &keys, true)? {
        let (key, cells) = row.split_at(table.key.len());
        let key: Vec<Value> = (table.keys().zip(key))
            .map(|(column, cell)| cells::to_value(table.flavor, column, &cells::to_json(table.flavor, column, cell)))
            .collect();
        let image = columns.iter().zip(cells);
        let image = image.map(|(n, cell)| (*n, cells::to_json(table.flavor, &table.columns[*n], cell))).collect();
        let found = images.remove(&name(&key)).map_or(Found::One(image), |_| Found::Many);
        images.insert(name(&key), found);
    }
    Ok(images)
}

fn name(row: &[Value]) -> String {
    format!("{row:?}")
}

/// Returns the column in which a row is not what was read.
fn differing(table: &Table, change: &Change, image: &Image) -> Option<String> {
    let differs = |(column, read): &&(usize, String)| image.get(column).is_some_and(|now| now != read);
    let (column, read) = change.read.iter().find(differs)?;
    let now = image.get(column).map_or("", String::as_str);
    let name = &table.columns[*column].name;
    Some(format!(
        "the row was changed by someone else: `{name}` was {} when it was read, and is {}; what is there stays",
        shown(read),
        shown(now)
    ))
}

/// A row is not what was read: is it what we wrote? Writing the same again changes nothing then, in the database's own
/// spelling of the values.
fn ours(
    database: &mut dyn Database,
    table: &Table,
    change: &Change,
    before: &Image,
    what: String,
) -> Result<Result<(), Failure>, DatabaseError> {
    for values in std::iter::once(&change.new).chain(&change.last) {
        database.execute("SAVEPOINT tidemill", &[])?;
        let is_ours = match update(database, table, &change.row, values) {
            Ok(()) => {
                let now = images(database, table, std::slice::from_ref(change))?;
                let now = now.get(&name(&change.row));
                let same = |now: &Image| values.iter().all(|(column, _)| now.get(column) == before.get(column));
                matches!(now, Some(Found::One(now)) if same(now))
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

fn update(
    database: &mut dyn Database,
    table: &Table,
    row: &[Value],
    values: &[(usize, String)],
) -> Result<(), DatabaseError> {
    let flavor = table.flavor;
    let mut statement = Statement::new(flavor, format!("UPDATE {} SET ", flavor.table(&table.name)));
    for (n, (column, value)) in values.iter().enumerate() {
        let column = &table.columns[*column];
        statement.push(if n > 0 { ", " } else { "" });
        statement.name(&column.name).push(" = ").bind(column, cells::to_value(flavor, column, value));
    }
    statement.push(" WHERE ");
    table.equals(&mut statement, row);
    statement.execute(database).map(drop)
}

/// Writes rows that are good: one statement for as many as write the same columns, where the database has a form for it.
fn together(database: &mut dyn Database, table: &Table, changes: &[&Change]) -> Result<(), DatabaseError> {
    // In a table made of values everything but numbers is text for MySQL, with a collation of its own: no bytes, and no way
    // to a key of text by its index.
    let is_binary = |(column, _): &(usize, String)| table.columns[*column].kind == Kind::Binary;
    let is_numbered = table.keys().all(|column| column.kind == Kind::Integer)
        && !changes.iter().any(|change| change.new.iter().any(is_binary));
    let has_form = table.flavor == Flavor::Postgres || (table.flavor == Flavor::Mysql && is_numbered);
    if !has_form || changes.len() == 1 {
        return changes.iter().try_for_each(|change| update(database, table, &change.row, &change.new));
    }
    let mut rest = changes;
    while let Some(first) = rest.first() {
        let columns: Vec<usize> = first.new.iter().map(|(column, _)| *column).collect();
        let is_alike = |change: &&&Change| change.new.iter().map(|(column, _)| *column).eq(columns.iter().copied());
        let n = rest.iter().take_while(is_alike).count();
        let (alike, behind) = rest.split_at(n);
        rest = behind;
        if table.flavor == Flavor::Mysql {
            joined(database, table, alike, &columns)?;
            continue;
        }
        let mut statement =
            Statement::new(table.flavor, format!("UPDATE {} AS t SET ", table.flavor.table(&table.name)));
        for (n, column) in columns.iter().enumerate() {
            let quoted = table.flavor.quoted(&table.columns[*column].name);
            statement.push(&format!("{}{quoted} = v.c{n}", if n > 0 { ", " } else { "" }));
        }
        statement.push(" FROM (VALUES ");
        for (n, change) in alike.iter().enumerate() {
            statement.push(if n > 0 { ", (" } else { "(" });
            for (n, (column, value)) in table.keys().zip(&change.row).enumerate() {
                statement.push(if n > 0 { ", " } else { "" }).bind(column, value.clone());
            }
            for (column, value) in &change.new {
                let column = &table.columns[*column];
                statement.push(", ").bind(column, cells::to_value(table.flavor, column, value));
            }
            statement.push(")");
        }
        let names = (0..table.key.len()).map(|n| format!("k{n}")).chain((0..columns.len()).map(|n| format!("c{n}")));
        statement.push(&format!(") AS v({}) WHERE ", names.collect::<Vec<_>>().join(", ")));
        for (n, column) in table.keys().enumerate() {
            let quoted = table.flavor.quoted(&column.name);
            statement.push(&format!("{}t.{quoted} = v.k{n}", if n > 0 { " AND " } else { "" }));
        }
        statement.execute(database)?;
    }
    Ok(())
}

/// As [`together`], in the words of MySQL, where the values are a table that comes first: each finds its row by the key.
fn joined(
    database: &mut dyn Database,
    table: &Table,
    changes: &[&Change],
    columns: &[usize],
) -> Result<(), DatabaseError> {
    let flavor = table.flavor;
    let mut statement = Statement::new(flavor, "UPDATE (");
    for (row, change) in changes.iter().enumerate() {
        statement.push(if row > 0 { " UNION ALL SELECT " } else { "SELECT " });
        for (n, (column, value)) in table.keys().zip(&change.row).enumerate() {
            statement.push(if n > 0 { ", " } else { "" }).bind(column, value.clone());
            statement.push(&if row == 0 { format!(" AS k{n}") } else { String::new() });
        }
        for (n, (column, value)) in change.new.iter().enumerate() {
            let column = &table.columns[*column];
            statement.push(", ").bind(column, cells::to_value(flavor, column, value));
            statement.push(&if row == 0 { format!(" AS c{n}") } else { String::new() });
        }
    }
    statement.push(&format!(") AS v STRAIGHT_JOIN {} AS t ON ", flavor.table(&table.name)));
    for (n, column) in table.keys().enumerate() {
        let quoted = flavor.quoted(&column.name);
        statement.push(&format!("{}t.{quoted} = v.k{n}", if n > 0 { " AND " } else { "" }));
    }
    statement.push(" SET ");
    for (n, column) in columns.iter().enumerate() {
        let quoted = flavor.quoted(&table.columns[*column].name);
        statement.push(&format!("{}t.{quoted} = v.c{n}", if n > 0 { ", " } else { "" }));
    }
    statement.execute(database).map(drop)
}

fn conflict(message: String) -> Failure {
    Failure::new(FailureKind::Conflict, message)
}

/// A value as it is shown.
fn shown(value: &str) -> String {
    const SHOWN: usize = 200;
    cut(value, SHOWN).into_owned()
}
