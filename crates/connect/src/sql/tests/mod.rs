//! What every database must do alike.

mod added;
mod guarded;
mod identity;
mod keys;
mod reading;
mod servers;

use domain::Secret;
use tempfile::TempDir;

use super::{Access, Database, Flavor, Server, TableName, Tls, Where, cells, table::Table};
use crate::Place;

/// A database of a test, with what keeps it alive.
pub(super) struct Bed {
    pub(super) access: Access,
    _folder: Option<TempDir>,
    pub(super) server: Option<testkit::servers::Server>,
}

impl Bed {
    pub(super) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        std::fs::write(&path, b"").unwrap();
        let at = Where::Sqlite(Place { path, name: "t.db".to_owned() });
        Self { access: access(at), _folder: Some(folder), server: None }
    }

    pub(super) fn mariadb() -> Option<Self> {
        let server = testkit::servers::mariadb()?;
        let at = Where::Mysql(reached(&server, &["mysql"], 3306));
        Some(Self { access: access(at), _folder: None, server: Some(server) })
    }

    pub(super) fn postgres() -> Option<Self> {
        let server = testkit::servers::postgres()?;
        let at = Where::Postgres(reached(&server, &["postgres"], 5432));
        Some(Self { access: access(at), _folder: None, server: Some(server) })
    }

    pub(super) fn table(&self, name: &str) -> Access {
        Access { name: TableName { schema: None, table: name.to_owned() }, ..self.access.clone() }
    }

    pub(super) fn connect(&self) -> Box<dyn Database> {
        self.access.connect().unwrap()
    }

    /// Runs statements; `{text}` and the like stand for types.
    pub(super) fn run(&self, statements: &[&str]) {
        let mut database = self.connect();
        for statement in statements {
            let statement = spelled(database.flavor(), statement);
            database.execute(&statement, &[]).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// Returns the rows of a query over one table, as JSON objects.
    pub(super) fn rows(&self, table: &str) -> Vec<String> {
        let mut database = self.connect();
        let table = Table::look(&mut *database, &self.table(table).name, None).unwrap();
        let rows = table.page(&mut *database, &super::Wanted::default(), None, 10_000).unwrap();
        rows.iter()
            .map(|row| {
                let cells = row.iter().zip(&table.columns);
                let cells = cells.map(|(cell, column)| cells::to_json(table.flavor, column, cell));
                cells.collect::<Vec<_>>().join("|")
            })
            .collect()
    }
}

/// Spells the types and quotes that databases call differently.
fn spelled(flavor: Flavor, statement: &str) -> String {
    let (text, binary, json, quote) = match flavor {
        Flavor::Sqlite => ("TEXT", "BLOB", "JSON", "\""),
        Flavor::Mysql => ("VARCHAR(100)", "VARBINARY(100)", "JSON", "`"),
        Flavor::Postgres => ("VARCHAR(100)", "BYTEA", "JSONB", "\""),
    };
    statement.replace("{text}", text).replace("{binary}", binary).replace("{json}", json).replace("{q}", quote)
}

fn access(at: Where) -> Access {
    Access { at, name: TableName { schema: None, table: "t".to_owned() }, key: None }
}

fn reached(server: &testkit::servers::Server, schemes: &[&str], port: u16) -> Server {
    let parsed = Server::parse(&server.url(), schemes, port).unwrap();
    Server { password: Some(Secret::new(testkit::servers::PASSWORD)), tls: Tls::Off, ..parsed }
}
