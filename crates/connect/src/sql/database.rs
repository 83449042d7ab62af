//! What all databases are to the rest: statements in, rows out.

use std::fmt::Write as _;

/// How a database spells SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    Sqlite,
    /// `MariaDB` too.
    Mysql,
    Postgres,
}

/// One cell as the database gave it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    /// A number, exactly as text.
    Number(String),
    Text(String),
    Bytes(Vec<u8>),
}

/// A value that is bound to a place in a statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    /// A number that no signed one is, for MySQL: as text it would be compared as a floating point number.
    Unsigned(u64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    /// Returns how many bytes it takes in a statement, about.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Null | Self::Integer(_) | Self::Unsigned(_) | Self::Real(_) => 8,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// What a column holds, as far as it matters for reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Decimal,
    Float,
    Bool,
    Text,
    Binary,
    Json,
    /// A date with a time.
    DateTime,
    Other,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The type as the database calls it, without lengths: what text is cast to.
    pub(crate) declared: String,
    /// Its place in the primary key, from 1; 0 where it is not in it.
    pub(crate) in_key: u32,
}

/// A table within its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
}

/// What stands behind a database's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It cannot be reached now, or not now: it may pass.
    Away,
    /// It does not let us: a wrong password, a missing right, an unknown database.
    Refused,
    /// It does not take this statement: a value that is too long, a constraint.
    Statement,
}

/// What a database said.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct DatabaseError {
    pub(crate) message: String,
    pub(crate) trouble: Trouble,
}

impl DatabaseError {
    pub(crate) fn new(trouble: Trouble, message: impl Into<String>) -> Self {
        Self { message: message.into(), trouble }
    }

    pub(crate) fn is_away(&self) -> bool {
        self.trouble == Trouble::Away
    }
}

/// A connection. Calls block; after [`Trouble::Away`] it is of no use any more.
pub(crate) trait Database: Send {
    fn flavor(&self) -> Flavor;

    /// Runs a statement that yields rows.
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Cell>>, DatabaseError>;

    /// Runs a statement, and returns how many rows it touched.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, DatabaseError>;

    /// Returns the columns of a table in order; none where there is no such table.
    fn columns(&mut self, table: &TableName) -> Result<Vec<Column>, DatabaseError>;

    /// Returns the names of the tables.
    fn tables(&mut self, schema: Option<&str>) -> Result<Vec<String>, DatabaseError>;
}

impl Flavor {
    /// Returns a name as it stands in a statement, whatever is in it.
    pub(crate) fn quoted(self, name: &str) -> String {
        let quote = if self == Self::Mysql { '`' } else { '"' };
        let doubled = name.replace(quote, &format!("{quote}{quote}"));
        format!("{quote}{doubled}{quote}")
    }

    /// Returns a table's name as it stands in a statement.
    pub(crate) fn table(self, table: &TableName) -> String {
        let name = self.quoted(&table.table);
        match &table.schema {
            Some(schema) => format!("{}.{name}", self.quoted(schema)),
            None => name,
        }
    }

    /// Returns the statement that begins a transaction which will write.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Mysql => "START TRANSACTION",
            Self::Postgres => "BEGIN",
        }
    }

    /// Returns what makes rows that are read stay as they are until the transaction ends.
    pub(crate) fn locking(self) -> &'static str {
        if self == Self::Sqlite { "" } else { " FOR UPDATE" }
    }

    /// Returns the type of a column for text of any length.
    pub(crate) fn text_type(self) -> &'static str {
        match self {
            Self::Sqlite => "TEXT",
            Self::Mysql => "LONGTEXT",
            Self::Postgres => "text",
        }
    }

    /// Returns the seconds since 1970 by the database's own clock, as an expression.
    pub(crate) fn now(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(strftime('%s','now') AS INTEGER)",
            Self::Mysql => "UNIX_TIMESTAMP()",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS bigint)",
        }
    }
}

/// A statement that is put together.
pub(crate) struct Statement {
    pub(crate) flavor: Flavor,
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

impl Statement {
    pub(crate) fn new(flavor: Flavor, sql: impl Into<String>) -> Self {
        Self { flavor, sql: sql.into(), values: Vec::new() }
    }

    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    pub(crate) fn name(&mut self, name: &str) -> &mut Self {
        let quoted = self.flavor.quoted(name);
        self.push(&quoted)
    }

    /// Binds a value for `column`.
    pub(crate) fn bind(&mut self, column: &Column, value: Value) -> &mut Self {
        self.bind_as(&column.declared, value)
    }

    /// Binds a value that a `column` of the key is compared with. A decimal goes to MySQL as text, which it compares as a floating
    /// point number unless it is told better.
    pub(crate) fn bind_key(&mut self, column: &Column, value: Value) -> &mut Self {
        let scale = match &value {
            Value::Text(text) if self.flavor == Flavor::Mysql && column.kind == Kind::Decimal => {
                Some(text.split_once('.').map_or(0, |(_, digits)| digits.len()))
            }
            _ => None,
        };
        let Some(scale) = scale else { return self.bind(column, value) };
        self.push("CAST(").bind(column, value).push(&format!(" AS DECIMAL(65,{scale}))"))
    }

    /// Binds a value of the type that is called so. Everything goes to PostgreSQL as text, and is cast there to the type
    /// without its length, so that what is too long is an error and not cut.
    pub(crate) fn bind_as(&mut self, declared: &str, value: Value) -> &mut Self {
        self.values.push(value);
        if self.flavor != Flavor::Postgres {
            return self.push("?");
        }
        // Writing to text does not fail.
        let _ = write!(self.sql, "${}::text", self.values.len());
        if declared != "text" {
            self.push("::").push(declared);
        }
        self
    }

    pub(crate) fn query(&self, database: &mut dyn Database) -> Result<Vec<Vec<Cell>>, DatabaseError> {
        database.query(&self.sql, &self.values)
    }

    pub(crate) fn execute(&self, database: &mut dyn Database) -> Result<u64, DatabaseError> {
        database.execute(&self.sql, &self.values)
    }
}
