//! Rows into another table, each once.
//!
//! Without a `key`, a row of [`TABLE`] is added in the same transaction: whoever is killed between the commit and its note
//! finds it there. When the step is finished, the notes are made durable, and the rows of [`TABLE`] are removed: what they
//! told, the notes tell. With a `key`, a row that is there is written over, which may be done twice.

use std::collections::HashSet;

use domain::{Failure, FailureKind, RecordKey};

use super::{
    Cell, Database, DatabaseError, Flavor, Kind, Trouble, Value, cells, database::Statement, table::Table,
    table::nearest,
};

/// The table of what was added.
const TABLE: &str = "tidemill_written";

/// Rows that one statement adds, the values that it binds for them, and their bytes; every database takes more.
const ROWS_AT_ONCE: usize = 128;
const VALUES_AT_ONCE: usize = 8_000;
const BYTES_AT_ONCE: usize = 1 << 20;

/// A row to be added.
pub(crate) struct Addition {
    pub(crate) key: RecordKey,
    /// Columns by name, with their values as JSON.
    pub(crate) row: Vec<(String, String)>,
    /// The new fields, for the notes.
    pub(crate) values: String,
    /// It was added before, with other values.
    pub(crate) is_again: bool,
}

/// Makes the table of what was added.
pub(crate) fn prepare(database: &mut dyn Database) -> Result<(), DatabaseError> {
    let (text, number) = match database.flavor() {
        Flavor::Sqlite => ("TEXT", "INTEGER"),
        Flavor::Mysql => ("VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "BIGINT"),
        Flavor::Postgres => ("text", "bigint"),
    };
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (run {text} NOT NULL, record {text} NOT NULL, at {number} NOT NULL, PRIMARY KEY \
         (run, record))"
    );
    database.execute(&sql, &[]).map(drop)
}

/// Adds rows in one transaction, and returns what became of each.
pub(crate) fn write(
    database: &mut dyn Database,
    table: &Table,
    run: &str,
    rows: &[Addition],
) -> Result<Vec<Result<(), Failure>>, DatabaseError> {
    match attempt(database, table, run, rows, false) {
        Err(error) if error.trouble == Trouble::Statement => attempt(database, table, run, rows, true),
        done => done,
    }
}

fn attempt(
    database: &mut dyn Database,
    table: &Table,
    run: &str,
    rows: &[Addition],
    each: bool,
) -> Result<Vec<Result<(), Failure>>, DatabaseError> {
    database.execute(table.flavor.begin(), &[])?;
    let written = all(database, table, run, rows, each).and_then(|written| {
        database.execute("COMMIT", &[])?;
        Ok(written)
    });
    if written.is_err() {
        let _ = database.execute("ROLLBACK", &[]);
    }
    written
}

fn all(
    database: &mut dyn Database,
    table: &Table,
    run: &str,
    rows: &[Addition],
    each: bool,
) -> Result<Vec<Result<(), Failure>>, DatabaseError> {
    let is_once = table.key.is_empty();
    let mut good: Vec<(&Addition, Vec<(usize, Value)>)> = Vec::new();
    let added = if is_once { added(database, run, rows)? } else { HashSet::new() };
    let mut ends = Vec::with_capacity(rows.len());
    for row in rows {
        // What our notes tell is not in the database any more, once the step was finished.
        if is_once && (row.is_again || added.contains(&row.key.to_string())) {
            let again = "the row was added with an earlier answer; give the sink the `key` of its table, so that it can be \
                         written over";
            let rejected = row.is_again.then(|| Failure::new(FailureKind::WriteRejected, again));
            ends.push(rejected.map_or(Ok(()), Err));
            continue;
        }
        let values = match bound(table, row) {
            Ok(values) => values,
            Err(failure) => {
                ends.push(Err(failure));
                continue;
            }
        };
        if !each {
            good.push((row, values));
            ends.push(Ok(()));
            continue;
        }
        database.execute("SAVEPOINT tidemill", &[])?;
        match add(database, table, run, row, &values) {
            Ok(()) => {
                database.execute("RELEASE SAVEPOINT tidemill", &[])?;
                ends.push(Ok(()));
            }
            Err(error) if error.trouble == Trouble::Statement => {
                database.execute("ROLLBACK TO SAVEPOINT tidemill", &[])?;
                let message = format!("the table `{}` does not take the row: {}", table.name.table, error.message);
                ends.push(Err(Failure::new(FailureKind::WriteRejected, message)));
            }
            Err(error) => return Err(error),
        }
    }
    if is_once {
        together(database, table, run, &good)?;
    } else {
        good.iter().try_for_each(|(row, values)| add(database, table, run, row, values))?;
    }
    Ok(ends)
}

/// Adds rows of a table without a key, many to a statement.
fn together(
    database: &mut dyn Database,
    table: &Table,
    run: &str,
    rows: &[(&Addition, Vec<(usize, Value)>)],
) -> Result<(), DatabaseError> {
    let columns_of = |values: &[(usize, Value)]| values.iter().map(|(column, _)| *column).collect::<Vec<_>>();
    let mut rest = rows;
    while let Some((_, first)) = rest.first() {
        let columns = columns_of(first);
        let most = (VALUES_AT_ONCE / columns.len().max(1)).clamp(1, ROWS_AT_ONCE);
        let mut bytes = 0_usize;
        let fits = |(_, values): &&(&Addition, Vec<(usize, Value)>)| {
            bytes += values.iter().map(|(_, value)| value.length()).sum::<usize>();
            bytes <= BYTES_AT_ONCE && columns_of(values) == columns
        };
        // A row that is greater than all that is a statement of its own.
        let n = rest.iter().take(most).take_while(fits).count().max(1);
        let (alike, behind) = rest.split_at(n);
        rest = behind;
        insert(database, table, &alike.iter().map(|(_, values)| values.as_slice()).collect::<Vec<_>>())?;
        note(database, run, alike.iter().map(|(row, _)| *row))?;
    }
    Ok(())
}

/// Keeps in the database which rows were added.
fn note<'a>(
    database: &mut dyn Database,
    run: &str,
    rows: impl Iterator<Item = &'a Addition>,
) -> Result<(), DatabaseError> {
    let flavor = database.flavor();
    let mut note = Statement::new(flavor, format!("INSERT INTO {TABLE} (run, record, at) VALUES"));
    for (n, row) in rows.enumerate() {
        note.push(if n > 0 { ", (" } else { " (" });
        note.bind_as("text", Value::Text(run.to_owned())).push(", ");
        note.bind_as("text", Value::Text(row.key.to_string())).push(&format!(", {})", flavor.now()));
    }
    note.execute(database).map(drop)
}

/// Returns which rows were added already.
fn added(database: &mut dyn Database, run: &str, rows: &[Addition]) -> Result<HashSet<String>, DatabaseError> {
    let mut found = HashSet::new();
    for some in rows.chunks(128) {
        let mut statement = Statement::new(database.flavor(), format!("SELECT record FROM {TABLE} WHERE run = "));
        statement.bind_as("text", Value::Text(run.to_owned())).push(" AND record IN (");
        for (n, row) in some.iter().enumerate() {
            statement.push(if n > 0 { ", " } else { "" }).bind_as("text", Value::Text(row.key.to_string()));
        }
        statement.push(")");
        found.extend(statement.query(database)?.into_iter().filter_map(|row| match row.into_iter().next() {
            Some(Cell::Text(text)) => Some(text),
            _ => None,
        }));
    }
    Ok(found)
}

/// Removes what was kept for a run, which knows by its own notes what it added.
pub(crate) fn forget(database: &mut dyn Database, run: &str) -> Result<(), DatabaseError> {
    /// How many rows of MySQL go at once: what it keeps for taking them back, it keeps for all of them.
    const AT_ONCE: u64 = 10_000;
    let flavor = database.flavor();
    let mut statement = Statement::new(flavor, format!("DELETE FROM {TABLE} WHERE run = "));
    statement.bind_as("text", Value::Text(run.to_owned()));
    if flavor != Flavor::Mysql {
        return statement.execute(database).map(drop);
    }
    statement.push(&format!(" LIMIT {AT_ONCE}"));
    while statement.execute(database)? == AT_ONCE {}
    Ok(())
}

fn bound(table: &Table, row: &Addition) -> Result<Vec<(usize, Value)>, Failure> {
    let mut values = Vec::with_capacity(row.row.len());
    for (name, value) in &row.row {
        let Some(n) = table.find(name) else {
            let near = nearest(name, table.columns.iter().map(|column| column.name.as_str()));
            let message = format!("the table `{}` has no column `{name}`{near}", table.name.table);
            return Err(Failure::new(FailureKind::WriteRejected, message));
        };
        let column = &table.columns[n];
        // An empty cell of a file is no number and no date.
        let is_nothing = value == "\"\"" && table.flavor != Flavor::Sqlite && column.kind != Kind::Text;
        values.push((n, if is_nothing { Value::Null } else { cells::to_value(table.flavor, column, value) }));
    }
    Ok(values)
}

fn add(
    database: &mut dyn Database,
    table: &Table,
    run: &str,
    row: &Addition,
    values: &[(usize, Value)],
) -> Result<(), DatabaseError> {
    let flavor = table.flavor;
    if table.key.is_empty() {
        insert(database, table, &[values])?;
        return note(database, run, std::iter::once(row));
    }
    let value_of = |n: &usize| values.iter().find(|(column, _)| column == n).map(|(_, value)| value.clone());
    let Some(key) = table.key.iter().map(value_of).collect::<Option<Vec<Value>>>() else {
        return insert(database, table, &[values]);
    };
    if table.rows(database, &[], &[key.as_slice()], true)?.is_empty() {
        return insert(database, table, &[values]);
    }
    let others: Vec<&(usize, Value)> = values.iter().filter(|(column, _)| !table.key.contains(column)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let mut statement = Statement::new(flavor, format!("UPDATE {} SET ", flavor.table(&table.name)));
    for (n, (column, value)) in others.into_iter().enumerate() {
        let column = &table.columns[*column];
        statement.push(if n > 0 { ", " } else { "" });
        statement.name(&column.name).push(" = ").bind(column, value.clone());
    }
    statement.push(" WHERE ");
    table.equals(&mut statement, &key);
    statement.execute(database).map(drop)
}

/// Adds rows that all have the columns of the first.
fn insert(database: &mut dyn Database, table: &Table, rows: &[&[(usize, Value)]]) -> Result<(), DatabaseError> {
    let flavor = table.flavor;
    let mut statement = Statement::new(flavor, format!("INSERT INTO {} (", flavor.table(&table.name)));
    for (n, (column, _)) in rows.iter().take(1).copied().flatten().enumerate() {
        statement.push(if n > 0 { ", " } else { "" }).name(&table.columns[*column].name);
    }
    statement.push(") VALUES ");
    for (n, values) in rows.iter().enumerate() {
        statement.push(if n > 0 { ", (" } else { "(" });
        for (n, (column, value)) in values.iter().enumerate() {
            statement.push(if n > 0 { ", " } else { "" }).bind(&table.columns[*column], value.clone());
        }
        statement.push(")");
    }
    statement.execute(database).map(drop)
}
