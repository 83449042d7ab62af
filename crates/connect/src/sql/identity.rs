//! Whether two addresses lead to one table.
//!
//! Addresses tell too little: `localhost` is `127.0.0.1`, a host has several names, and a port may be forwarded. So the
//! servers are asked, with what every user may do: a lock of a name that nobody else has is taken through one connection,
//! and looked for through the other. Who finds it held is on the same server; in PostgreSQL, in the same database of it.

use std::hash::{BuildHasher as _, RandomState};

use super::{Access, Cell, Database, DatabaseError, Flavor, TableName, Value, Where, database::Statement};
use crate::file::is_same_file;

/// Returns whether `sink`, to which `to` is connected, is the table `source`.
///
/// # Errors
/// Where the source's server cannot be asked.
pub(crate) fn is_one_table(source: &Access, sink: &Access, to: &mut dyn Database) -> Result<bool, DatabaseError> {
    // Upper and lower case are the same name in some databases; where they are not, the database tells below.
    if !source.name.table.eq_ignore_ascii_case(&sink.name.table) {
        return Ok(false);
    }
    match (&source.at, &sink.at) {
        (Where::Sqlite(one), Where::Sqlite(other)) => Ok(is_same_file(&one.path, &other.path)),
        (Where::Mysql(_), Where::Mysql(_)) => {
            let mut from = source.connect()?;
            Ok(is_one_mysql(&mut *from, to)? && is_one_name(source, sink, &mut *from, to)?)
        }
        (Where::Postgres(_), Where::Postgres(_)) => {
            let mut from = source.connect()?;
            from.execute(Flavor::Postgres.begin(), &[])?;
            // It is given back with the connection.
            if !is_one_postgres(&mut *from, to)? {
                return Ok(false);
            }
            let (one, other) = (number_of(&mut *from, &source.name)?, number_of(to, &sink.name)?);
            Ok(one.is_some() && one == other)
        }
        _ => Ok(false),
    }
}

fn is_one_mysql(from: &mut dyn Database, to: &mut dyn Database) -> Result<bool, DatabaseError> {
    let lock = format!("tidemill-{:016x}", drawn());
    from.query(&format!("SELECT GET_LOCK('{lock}', 0)"), &[])?;
    let is_free = to.query(&format!("SELECT IS_FREE_LOCK('{lock}')"), &[])?;
    Ok(first(is_free).as_deref() == Some("0"))
}

/// Returns whether database and table are the same names, as the server sees names.
fn is_one_name(
    source: &Access,
    sink: &Access,
    from: &mut dyn Database,
    to: &mut dyn Database,
) -> Result<bool, DatabaseError> {
    let is_exact = first(to.query("SELECT @@lower_case_table_names", &[])?).as_deref() == Some("0");
    let database = |of: &mut dyn Database| of.query("SELECT DATABASE()", &[]).map(first);
    let (one, other) = (database(from)?.unwrap_or_default(), database(to)?.unwrap_or_default());
    Ok(if is_exact { (one, &source.name) == (other, &sink.name) } else { one.eq_ignore_ascii_case(&other) })
}

fn is_one_postgres(from: &mut dyn Database, to: &mut dyn Database) -> Result<bool, DatabaseError> {
    let take = format!("SELECT pg_try_advisory_xact_lock({})::text", drawn().cast_signed());
    from.query(&take, &[])?;
    Ok(first(to.query(&take, &[])?).as_deref() == Some("false"))
}

/// Returns the number that PostgreSQL has given to a table.
fn number_of(database: &mut dyn Database, name: &TableName) -> Result<Option<String>, DatabaseError> {
    let mut statement = Statement::new(
        Flavor::Postgres,
        "SELECT c.oid::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = COALESCE(",
    );
    statement.bind_as("text", name.schema.clone().map_or(Value::Null, Value::Text));
    statement.push(", current_schema()::text) AND c.relname = ").bind_as("text", Value::Text(name.table.clone()));
    statement.query(database).map(first)
}

/// A number that nobody else has: the keys of a hash are drawn at random.
fn drawn() -> u64 {
    RandomState::new().hash_one(0)
}

fn first(rows: Vec<Vec<Cell>>) -> Option<String> {
    match rows.into_iter().next()?.into_iter().next()? {
        Cell::Number(text) | Cell::Text(text) => Some(text),
        Cell::Null | Cell::Bytes(_) => None,
    }
}
