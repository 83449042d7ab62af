//! The drivers that `connect` stands on, with nothing around them.

use std::{collections::HashMap, hint::black_box, time::Duration};

use mysql::prelude::{AsStatement, Queryable as _};
use postgres::types::ToSql;

use super::Fallible;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    Sqlite,
    Mysql,
    Postgres,
}

/// A value that is bound, or the key of a row.
#[derive(Clone)]
pub(crate) enum Value {
    Integer(i64),
    Text(String),
}

/// What a query yielded.
pub(crate) struct Seen {
    pub(crate) rows: usize,
    /// The first cell of the last row.
    pub(crate) last: Option<Value>,
}

/// A connection of a plain client.
pub(crate) trait Client {
    /// Runs a statement that yields rows, and looks at each cell.
    fn query(&mut self, sql: &str, values: &[Value]) -> Fallible<Seen>;

    /// Runs a statement with values.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Fallible<()>;

    /// Runs a statement without values.
    fn command(&mut self, sql: &str) -> Fallible<()>;

    /// Returns the first cell of a statement without values.
    fn text(&mut self, sql: &str) -> Fallible<String>;
}

pub(crate) fn flavor(address: &str) -> Flavor {
    match address.split(':').next() {
        Some("mysql") => Flavor::Mysql,
        Some("postgres") => Flavor::Postgres,
        _ => Flavor::Sqlite,
    }
}

pub(crate) fn connect(address: &str) -> Fallible<Box<dyn Client>> {
    let with_password = || address.replacen('@', &format!(":{}@", testkit::servers::PASSWORD), 1);
    Ok(match flavor(address) {
        Flavor::Sqlite => {
            let path = address.strip_prefix("sqlite:").ok_or("an address is a URL, or `sqlite:` and a path")?;
            let connection = rusqlite::Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            Box::new(connection)
        }
        Flavor::Mysql => {
            let options = mysql::OptsBuilder::from_opts(mysql::Opts::from_url(&with_password())?)
                .prefer_socket(false)
                .stmt_cache_size(64)
                .init(vec!["SET NAMES utf8mb4", "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"]);
            Box::new(mysql::Conn::new(options)?)
        }
        Flavor::Postgres => {
            let client = postgres::Client::connect(&with_password(), postgres::NoTls)?;
            Box::new(Postgres { client, prepared: HashMap::new() })
        }
    })
}

impl Client for rusqlite::Connection {
    fn query(&mut self, sql: &str, values: &[Value]) -> Fallible<Seen> {
        let mut statement = self.prepare_cached(sql)?;
        let n = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        let mut seen = Seen { rows: 0, last: None };
        while let Some(row) = rows.next()? {
            for cell in 1..n {
                black_box(row.get_ref(cell)?);
            }
            seen.rows += 1;
            seen.last = Some(match row.get_ref(0)? {
                rusqlite::types::ValueRef::Integer(number) => Value::Integer(number),
                text => Value::Text(text.as_str()?.to_owned()),
            });
        }
        Ok(seen)
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Fallible<()> {
        self.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values))?;
        Ok(())
    }

    fn command(&mut self, sql: &str) -> Fallible<()> {
        Ok(self.execute_batch(sql)?)
    }

    fn text(&mut self, sql: &str) -> Fallible<String> {
        Ok(self.query_row(sql, [], |row| row.get(0))?)
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(match self {
            Self::Integer(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        })
    }
}

impl Client for mysql::Conn {
    fn query(&mut self, sql: &str, values: &[Value]) -> Fallible<Seen> {
        let statement = sql.as_statement(self)?.into_owned();
        let mut seen = Seen { rows: 0, last: None };
        for row in self.exec_iter(statement, bound(values))? {
            let cells = row?.unwrap();
            for cell in &cells[1..] {
                black_box(cell);
            }
            seen.rows += 1;
            seen.last = Some(match &cells[0] {
                mysql::Value::Int(number) => Value::Integer(*number),
                mysql::Value::Bytes(text) => Value::Text(str::from_utf8(text)?.to_owned()),
                other => return Err(format!("{other:?} is no key").into()),
            });
        }
        Ok(seen)
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Fallible<()> {
        Ok(self.exec_drop(sql, bound(values))?)
    }

    fn command(&mut self, sql: &str) -> Fallible<()> {
        Ok(self.query_drop(sql)?)
    }

    fn text(&mut self, sql: &str) -> Fallible<String> {
        Ok(self.query_first(sql)?.ok_or("no row")?)
    }
}

fn bound(values: &[Value]) -> mysql::Params {
    if values.is_empty() {
        return mysql::Params::Empty;
    }
    let values = values.iter().map(|value| match value {
        Value::Integer(number) => mysql::Value::Int(*number),
        Value::Text(text) => mysql::Value::Bytes(text.clone().into_bytes()),
    });
    mysql::Params::Positional(values.collect())
}

struct Postgres {
    client: postgres::Client,
    prepared: HashMap<String, postgres::Statement>,
}

impl Postgres {
    fn prepared(&mut self, sql: &str) -> Fallible<postgres::Statement> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql)?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// Returns values as the text that the statements cast.
fn texts(values: &[Value]) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text.clone(),
    };
    values.iter().map(text).collect()
}

fn referred(texts: &[String]) -> Vec<&(dyn ToSql + Sync)> {
    texts.iter().map(|text| text as &(dyn ToSql + Sync)).collect()
}

impl Client for Postgres {
    fn query(&mut self, sql: &str, values: &[Value]) -> Fallible<Seen> {
        let (statement, texts) = (self.prepared(sql)?, texts(values));
        let rows = self.client.query(&statement, &referred(&texts))?;
        for row in &rows {
            for cell in 0..row.len() {
                black_box(row.try_get::<_, Option<&str>>(cell)?);
            }
        }
        let last = rows.last().map(|row| row.try_get::<_, String>(0)).transpose()?.map(Value::Text);
        Ok(Seen { rows: rows.len(), last })
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Fallible<()> {
        let (statement, texts) = (self.prepared(sql)?, texts(values));
        self.client.execute(&statement, &referred(&texts))?;
        Ok(())
    }

    fn command(&mut self, sql: &str) -> Fallible<()> {
        Ok(self.client.batch_execute(sql)?)
    }

    fn text(&mut self, sql: &str) -> Fallible<String> {
        Ok(self.client.query_one(sql, &[])?.try_get(0)?)
    }
}
