//! Many rows in one statement, in the words of each database.

use super::{
    Database, DatabaseError, Flavor, Kind, Trouble, Value,
    batch::Change,
    cells,
    database::{Column, Statement},
    table::Table,
};

/// How rows are written together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A list of values, as PostgreSQL has it: each is cast to its column's type.
    Values,
    /// A table made of values, as MySQL has it. Everything but numbers is text in it, with a collation of its own: no bytes,
    /// and no way to a key of text by its index.
    Joined,
    /// A case for each key. It is compared with the column itself, so by the column's own rules and by its index.
    Cases,
    /// A statement a row.
    Each,
}

/// Rows that are told apart by cases in one statement: each row goes through those of the others.
const CASES: usize = 32;

/// Writes rows that are good: one statement for as many as write the same columns, where the database has a form for it.
pub(super) fn together(database: &mut dyn Database, table: &Table, changes: &[&Change]) -> Result<(), DatabaseError> {
    let form = form(table, changes);
    let mut rest = changes;
    while let Some(first) = rest.first() {
        let columns: Vec<usize> = first.new.iter().map(|(column, _)| *column).collect();
        let is_alike = |change: &&&Change| change.new.iter().map(|(column, _)| *column).eq(columns.iter().copied());
        let n = rest.iter().take_while(is_alike).count();
        let (alike, behind) = rest.split_at(n);
        rest = behind;
        match form {
            Form::Values => all_of(values(database, table, alike, &columns)?, alike.len())?,
            Form::Joined => all_of(joined(database, table, alike, &columns)?, alike.len())?,
            Form::Cases => alike.chunks(CASES).try_for_each(|some| {
                let n = cases(database, table, some, &columns)?;
                all_of(n, some.len())
            })?,
            Form::Each => alike.iter().try_for_each(|change| update(database, table, &change.row, &change.new))?,
        }
    }
    Ok(())
}

/// Makes sure that a statement found all the rows that it was to write: they were read a moment ago, and are locked. A
/// trigger or a rule may have kept some from being written.
fn all_of(n: u64, wanted: usize) -> Result<(), DatabaseError> {
    if n == wanted as u64 {
        return Ok(());
    }
    let message = format!("{n} of {wanted} rows were written; a trigger or a rule of the table may stand in the way");
    Err(DatabaseError::new(Trouble::Statement, message))
}

fn form(table: &Table, changes: &[&Change]) -> Form {
    let new = || changes.iter().flat_map(|change| &change.new).map(|(column, _)| *column);
    let is_keyed_by = |kinds: &[Kind]| table.keys().all(|column| kinds.contains(&column.kind));
    // Among texts a whole number is compared as a float: those beyond the signed ones, which travel as text, would be one.
    let is_whole = |change: &&Change| {
        let mut key = table.keys().zip(&change.row);
        key.all(|(column, value)| column.kind != Kind::Integer || matches!(value, Value::Integer(_)))
    };
    match table.flavor {
        _ if changes.len() == 1 => Form::Each,
        Flavor::Sqlite => Form::Each,
        Flavor::Postgres => Form::Values,
        Flavor::Mysql if !changes.iter().all(is_whole) => Form::Each,
        Flavor::Mysql => {
            let is_binary = |column: usize| table.columns[column].kind == Kind::Binary;
            if is_keyed_by(&[Kind::Integer]) && !new().any(is_binary) {
                Form::Joined
            } else if is_keyed_by(&[Kind::Integer, Kind::Text, Kind::Binary]) && !new().any(|n| table.key.contains(&n))
            {
                Form::Cases
            } else {
                Form::Each
            }
        }
    }
}

/// Writes one row.
pub(super) fn update(
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
    let n = statement.execute(database)?;
    // SQLite does not count what a view's trigger writes, and nobody else writes in the meantime.
    if flavor == Flavor::Sqlite { Ok(()) } else { all_of(n, 1) }
}

fn values(
    database: &mut dyn Database,
    table: &Table,
    changes: &[&Change],
    columns: &[usize],
) -> Result<u64, DatabaseError> {
    let flavor = table.flavor;
    let mut statement = Statement::new(flavor, format!("UPDATE {} AS t SET ", flavor.table(&table.name)));
    push_new(table, columns, "", &mut statement);
    statement.push(" FROM (VALUES ");
    for (n, change) in changes.iter().enumerate() {
        statement.push(if n > 0 { ", (" } else { "(" });
        for (n, (column, value)) in table.keys().zip(&change.row).enumerate() {
            statement.push(if n > 0 { ", " } else { "" }).bind(column, value.clone());
        }
        for (column, value) in &change.new {
            let column = &table.columns[*column];
            statement.push(", ").bind(column, cells::to_value(flavor, column, value));
        }
        statement.push(")");
    }
    let names = (0..table.key.len()).map(|n| format!("k{n}")).chain((0..columns.len()).map(|n| format!("c{n}")));
    statement.push(&format!(") AS v({}) WHERE ", names.collect::<Vec<_>>().join(", ")));
    push_same_key(table, &mut statement);
    statement.execute(database)
}

/// Appends that the `columns` of `t`, as they are called behind `of`, get what `v` has for them.
fn push_new(table: &Table, columns: &[usize], of: &str, statement: &mut Statement) {
    for (n, column) in columns.iter().enumerate() {
        statement.push(if n > 0 { ", " } else { "" }).push(of).name(&table.columns[*column].name);
        statement.push(&format!(" = v.c{n}"));
    }
}

/// Appends that `t` and `v` have the same key.
fn push_same_key(table: &Table, statement: &mut Statement) {
    for (n, column) in table.keys().enumerate() {
        statement.push(if n > 0 { " AND t." } else { "t." }).name(&column.name).push(&format!(" = v.k{n}"));
    }
}

/// The values are a table that comes first: each finds its row by the key.
fn joined(
    database: &mut dyn Database,
    table: &Table,
    changes: &[&Change],
    columns: &[usize],
) -> Result<u64, DatabaseError> {
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
    push_same_key(table, &mut statement);
    statement.push(" SET ");
    push_new(table, columns, "t.", &mut statement);
    statement.execute(database)
}

fn cases(
    database: &mut dyn Database,
    table: &Table,
    changes: &[&Change],
    columns: &[usize],
) -> Result<u64, DatabaseError> {
    let flavor = table.flavor;
    let mut statement = Statement::new(flavor, format!("UPDATE {} SET ", flavor.table(&table.name)));
    let single: Option<&Column> = Some(table.keys()).filter(|_| table.key.len() == 1).and_then(|mut keys| keys.next());
    for (n, column) in columns.iter().enumerate() {
        let column = &table.columns[*column];
        statement.push(if n > 0 { ", " } else { "" }).name(&column.name).push(" = CASE");
        if let Some(key) = single {
            statement.push(" ").name(&key.name);
        }
        for change in changes {
            statement.push(" WHEN ");
            match single {
                Some(key) => {
                    statement.bind(key, change.row[0].clone());
                }
                None => table.equals(&mut statement, &change.row),
            }
            statement.push(" THEN ").bind(column, cells::to_value(flavor, column, &change.new[n].1));
        }
        statement.push(" END");
    }
    statement.push(" WHERE ");
    table.among(&mut statement, &changes.iter().map(|change| change.row.as_slice()).collect::<Vec<_>>());
    statement.execute(database)
}
