//! The connection.

use std::time::Duration;

use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    types::{ToSqlOutput, ValueRef},
};

use crate::{
    Place,
    sql::{Cell, Column, Database, DatabaseError, Flavor, Kind, TableName, Trouble, Value},
};

/// Opens the database of a file that is there.
pub(crate) fn open(place: &Place) -> Result<Box<dyn Database>, DatabaseError> {
    if !place.path.exists() {
        let near = crate::file::did_you_mean(place);
        let message = format!("cannot open `{}`: there is no such file{near}", place.name);
        return Err(DatabaseError::new(Trouble::Refused, message));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&place.path, flags).and_then(|connection| {
        connection.busy_timeout(Duration::from_secs(10))?;
        // Looks into the file: whatever is no database is told now.
        connection.query_row("SELECT COUNT(*) FROM sqlite_master", [], |_| Ok(()))?;
        Ok(connection)
    });
    let connection = opened.map_err(|error| {
        let DatabaseError { message, trouble } = told(&error);
        DatabaseError { message: format!("cannot open `{}`: {message}", place.name), trouble }
    })?;
    Ok(Box::new(Sqlite(connection)))
}

struct Sqlite(Connection);

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            // Only MySQL has such numbers.
            Self::Unsigned(number) => return Ok(ToSqlOutput::from(number.to_string())),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Database for Sqlite {
    fn flavor(&self) -> Flavor {
        Flavor::Sqlite
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Cell>>, DatabaseError> {
        let run = || -> rusqlite::Result<Vec<Vec<Cell>>> {
            let mut statement = self.0.prepare_cached(sql)?;
            let n = statement.column_count();
            let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
                (0..n).map(|at| Ok(cell(row.get_ref(at)?))).collect::<rusqlite::Result<Vec<Cell>>>()
            })?;
            rows.collect()
        };
        run().map_err(|error| told(&error))
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, DatabaseError> {
        let run = || -> rusqlite::Result<u64> {
            if values.is_empty() {
                self.0.execute_batch(sql)?;
                return Ok(self.0.changes());
            }
            Ok(self.0.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values))? as u64)
        };
        run().map_err(|error| told(&error))
    }

    fn columns(&mut self, table: &TableName) -> Result<Vec<Column>, DatabaseError> {
        let sql = "SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden IN (0, 2, 3) ORDER BY cid";
        let rows = self.query(sql, &[Value::Text(table.table.clone())])?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let declared = text(&row[1]).to_ascii_uppercase();
                let kind = match declared.as_str() {
                    "JSON" => Kind::Json,
                    declared if declared.contains("BLOB") || declared.contains("BINARY") => Kind::Binary,
                    declared if declared.contains("CHAR") || declared.contains("TEXT") => Kind::Text,
                    declared if declared.contains("INT") => Kind::Integer,
                    _ => Kind::Other,
                };
                Column { name: text(&row[0]), kind, declared, in_key: text(&row[2]).parse().unwrap_or_default() }
            })
            .collect())
    }

    fn tables(&mut self, _: Option<&str>) -> Result<Vec<String>, DatabaseError> {
        let sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name";
        Ok(self.query(sql, &[])?.into_iter().map(|row| text(&row[0])).collect())
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Number(number.to_string()),
        ValueRef::Real(number) => Cell::Number(serde_json::Value::from(number).to_string()),
        // Its text need not be UTF-8.
        ValueRef::Text(bytes) => match str::from_utf8(bytes) {
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => Cell::Bytes(bytes.to_owned()),
        },
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_owned()),
    }
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Number(text) | Cell::Text(text) => text.clone(),
        Cell::Null | Cell::Bytes(_) => String::new(),
    }
}

fn told(error: &rusqlite::Error) -> DatabaseError {
    let trouble = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => Trouble::Away,
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::NotADatabase
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt,
        ) => Trouble::Refused,
        _ => Trouble::Statement,
    };
    DatabaseError::new(trouble, error.to_string())
}
