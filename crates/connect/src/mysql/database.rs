//! The connection.

use std::{borrow::Cow, path::Path, time::Duration};

use mysql::{
    Conn, Error, OptsBuilder, Params, SslOpts,
    consts::{CapabilityFlags, ColumnFlags, ColumnType},
    prelude::Queryable as _,
};

use crate::sql::{Cell, Column, Database, DatabaseError, Flavor, Kind, Server, TableName, Tls, Trouble, Value};

/// What bytes are that are no text.
const BINARY: u16 = 63;

/// How long a server may take to let us in.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to a server.
pub(crate) fn connect(server: &Server) -> Result<Box<dyn Database>, DatabaseError> {
    let mut options = OptsBuilder::new()
        .ip_or_hostname(Some(server.host.clone()))
        .tcp_port(server.port)
        .user(Some(server.user.clone()))
        .pass(server.password.as_ref().map(|password| password.expose().to_owned()))
        .db_name(Some(server.database.clone()))
        .tcp_connect_timeout(Some(PATIENCE))
        .read_timeout(Some(Duration::from_secs(300)))
        .write_timeout(Some(Duration::from_secs(60)))
        .prefer_socket(false)
        // An update counts the rows that it finds, also those that hold the answer already.
        .additional_capabilities(CapabilityFlags::CLIENT_FOUND_ROWS)
        .stmt_cache_size(64)
        .init(vec![
            "SET NAMES utf8mb4",
            "SET SESSION sql_mode = CONCAT_WS(',', @@sql_mode, 'STRICT_ALL_TABLES'), time_zone = '+00:00'",
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        ]);
    if server.tls != Tls::Off {
        let unverified = server.tls == Tls::Unverified;
        let tls = SslOpts::default()
            .with_root_cert_path(server.ca.clone().map(Cow::<'static, Path>::Owned))
            .with_danger_accept_invalid_certs(unverified)
            .with_danger_skip_domain_validation(unverified);
        options = options.ssl_opts(Some(tls));
    }
    let connected = Conn::new(options).map_err(|error| server.told(told(&error)))?;
    Ok(Box::new(Mysql(connected)))
}

struct Mysql(Conn);

impl Database for Mysql {
    fn flavor(&self) -> Flavor {
        Flavor::Mysql
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Cell>>, DatabaseError> {
        let rows = self.0.exec_iter(sql, bound(values)).and_then(|rows| {
            rows.map(|row| {
                let row = row?;
                let columns = row.columns();
                Ok(row.unwrap().into_iter().zip(columns.iter()).map(|(value, column)| cell(value, column)).collect())
            })
            .collect::<Result<Vec<Vec<Cell>>, Error>>()
        });
        rows.map_err(|error| told(&error))
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, DatabaseError> {
        // Not all statements can be prepared; those without values need not be.
        let done = if values.is_empty() { self.0.query_drop(sql) } else { self.0.exec_drop(sql, bound(values)) };
        done.map(|()| self.0.affected_rows()).map_err(|error| told(&error))
    }

    fn columns(&mut self, table: &TableName) -> Result<Vec<Column>, DatabaseError> {
        let sql = "SELECT c.COLUMN_NAME, c.DATA_TYPE, COALESCE(k.ORDINAL_POSITION, 0) FROM information_schema.COLUMNS c \
                   LEFT JOIN information_schema.KEY_COLUMN_USAGE k ON k.TABLE_SCHEMA = c.TABLE_SCHEMA AND k.TABLE_NAME = \
                   c.TABLE_NAME AND k.COLUMN_NAME = c.COLUMN_NAME AND k.CONSTRAINT_NAME = 'PRIMARY' WHERE c.TABLE_SCHEMA \
                   = DATABASE() AND c.TABLE_NAME = ? ORDER BY c.ORDINAL_POSITION";
        let name = [Value::Text(table.table.clone())];
        let rows = self.query(sql, &name)?;
        // `MariaDB` keeps JSON as text, with a check; MySQL has a type of its own, and other columns here.
        let checks = "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() \
                      AND TABLE_NAME = ?";
        let checks: Vec<String> = match self.query(checks, &name) {
            Ok(rows) => rows.iter().map(|row| text(&row[0])).collect(),
            Err(error) if error.is_away() => return Err(error),
            Err(_) => Vec::new(),
        };
        Ok(rows
            .into_iter()
            .map(|row| {
                let (name, declared) = (text(&row[0]), text(&row[1]).to_lowercase());
                let is_json = checks.iter().any(|check| check.contains(&format!("json_valid(`{name}`)")));
                let kind = match declared.as_str() {
                    _ if is_json => Kind::Json,
                    "json" => Kind::Json,
                    "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" | "bit" => Kind::Integer,
                    "decimal" => Kind::Decimal,
                    "float" | "double" => Kind::Float,
                    "datetime" | "timestamp" => Kind::DateTime,
                    "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Binary,
                    "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => Kind::Text,
                    _ => Kind::Other,
                };
                Column { name, kind, declared, in_key: text(&row[2]).parse().unwrap_or_default() }
            })
            .collect())
    }

    fn tables(&mut self, _: Option<&str>) -> Result<Vec<String>, DatabaseError> {
        let sql =
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME";
        Ok(self.query(sql, &[])?.into_iter().map(|row| text(&row[0])).collect())
    }
}

fn bound(values: &[Value]) -> Params {
    if values.is_empty() {
        return Params::Empty;
    }
    Params::Positional(
        values
            .iter()
            .map(|value| match value {
                Value::Null => mysql::Value::NULL,
                Value::Integer(number) => mysql::Value::Int(*number),
                Value::Unsigned(number) => mysql::Value::UInt(*number),
                Value::Real(number) => mysql::Value::Double(*number),
                Value::Text(text) => mysql::Value::Bytes(text.clone().into_bytes()),
                Value::Bytes(bytes) => mysql::Value::Bytes(bytes.clone()),
            })
            .collect(),
    )
}

fn cell(value: mysql::Value, column: &mysql::Column) -> Cell {
    use mysql::Value as It;
    let kind = column.column_type();
    match value {
        It::NULL => Cell::Null,
        It::Int(number) => Cell::Number(number.to_string()),
        It::UInt(number) => Cell::Number(number.to_string()),
        It::Float(number) => Cell::Number(number.to_string()),
        It::Double(number) => Cell::Number(serde_json::Value::from(number).to_string()),
        It::Bytes(bytes) if kind == ColumnType::MYSQL_TYPE_BIT => {
            Cell::Number(bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)).to_string())
        }
        It::Bytes(bytes) => {
            let is_number = matches!(kind, ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL);
            let is_binary = column.character_set() == BINARY
                && column.flags().contains(ColumnFlags::BINARY_FLAG)
                && !is_number
                && kind != ColumnType::MYSQL_TYPE_JSON;
            match String::from_utf8(bytes) {
                Ok(text) if is_number => Cell::Number(text),
                Ok(text) if !is_binary => Cell::Text(text),
                Ok(text) => Cell::Bytes(text.into_bytes()),
                Err(error) => Cell::Bytes(error.into_bytes()),
            }
        }
        It::Date(year, month, day, hour, minute, second, micros) => {
            let mut text = format!("{year:04}-{month:02}-{day:02}");
            if kind != ColumnType::MYSQL_TYPE_DATE {
                text.push_str(&format!(" {hour:02}:{minute:02}:{second:02}"));
                if micros > 0 {
                    text.push_str(&format!(".{micros:06}"));
                }
            }
            Cell::Text(text)
        }
        It::Time(is_negative, days, hours, minutes, seconds, micros) => {
            let sign = if is_negative { "-" } else { "" };
            let mut text = format!("{sign}{:02}:{minutes:02}:{seconds:02}", days * 24 + u32::from(hours));
            if micros > 0 {
                text.push_str(&format!(".{micros:06}"));
            }
            Cell::Text(text)
        }
    }
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Number(text) | Cell::Text(text) => text.clone(),
        Cell::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Cell::Null => String::new(),
    }
}

/// What the server's numbers mean (the error reference of MySQL 8.0, and of `MariaDB`).
fn told(error: &Error) -> DatabaseError {
    let (trouble, message) = match error {
        Error::MySqlError(error) => {
            let trouble = match error.code {
                // Too many connections, shut down, killed, waited for a lock, deadlock, gone.
                1040 | 1053 | 1077 | 1079 | 1080 | 1203 | 1205 | 1213 | 1317 | 1927 | 2006 | 2013 => Trouble::Away,
                // Not let in, no such database, no right, no such table, not allowed, read-only.
                1044 | 1045 | 1049 | 1142 | 1143 | 1146 | 1227 | 1251 | 1290 | 1698 | 1836 | 1792 => Trouble::Refused,
                _ => Trouble::Statement,
            };
            (trouble, error.message.clone())
        }
        Error::TlsError(error) => (Trouble::Refused, format!("no secure connection: {error}")),
        Error::DriverError(mysql::DriverError::TlsNotSupported) => {
            (Trouble::Refused, "the server does not offer TLS; `tls: off` connects without".to_owned())
        }
        // One that is not trusted now will not be by itself.
        other if other.to_string().contains("certificate") => {
            (Trouble::Refused, format!("no secure connection: {other}"))
        }
        other => (Trouble::Away, other.to_string()),
    };
    DatabaseError::new(trouble, message)
}
