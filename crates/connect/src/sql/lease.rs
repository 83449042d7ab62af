//! The right of a run to rows, for a time, so that several runs share a table and none asks about another one's row.
//!
//! A row is claimed by a row in `tidemill_leases`, whose key decides between two that want it. Only then its values are
//! read, under the same conditions: whoever had it before may be done with it. The database's own clock says what is over,
//! and a thread renews what is held. Locks (`SKIP LOCKED`) last as long as a transaction, and a model takes longer than that.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use super::{
    Access, Cell, Column, Database, DatabaseError, Flavor, Kind, Value, Wanted, database::Statement, table::Table,
};

/// The table of claims.
const TABLE: &str = "tidemill_leases";

/// For how long a row is claimed, in seconds. What a run that died had claimed is free after so long.
const LASTS: u64 = 120;
const RENEWED: Duration = Duration::from_secs(30);

/// How many rows one statement names.
const AT_ONCE: usize = 128;

/// The claims of one run on one table.
pub(crate) struct Lease {
    access: Access,
    run: String,
    /// Dropped, it ends the thread that renews.
    renewing: Mutex<Option<SyncSender<()>>>,
}

impl Lease {
    pub(crate) fn new(access: Access, run: String) -> Self {
        Self { access, run, renewing: Mutex::new(None) }
    }

    /// Makes the table of claims, and begins to renew.
    pub(crate) fn prepare(&self, database: &mut dyn Database) -> Result<(), DatabaseError> {
        let flavor = database.flavor();
        let (text, number) = match flavor {
            Flavor::Sqlite => ("TEXT", "INTEGER"),
            // As long as a key may be there. Keys are told apart by each byte.
            Flavor::Mysql => ("VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "BIGINT"),
            Flavor::Postgres => ("text", "bigint"),
        };
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {TABLE} (of_table {text} NOT NULL, of_row {text} NOT NULL, run {text} NOT NULL, \
             until {number} NOT NULL, PRIMARY KEY (of_table, of_row))"
        );
        let created = database.execute(&sql, &[]);
        // Two that create it at once may be told that it is there.
        let exists = !database.columns(&self.table())?.is_empty();
        if !exists {
            created?;
        }
        let mut renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        if renewing.is_none() {
            let (sender, stop) = sync_channel::<()>(1);
            let (access, run) = (self.access.clone(), self.run.clone());
            let thread = std::thread::Builder::new().name("table-lease".to_owned());
            let started = thread.spawn(move || {
                while stop.recv_timeout(RENEWED) == Err(RecvTimeoutError::Timeout) {
                    // Where it cannot be reached now, the next time is soon enough.
                    let _ = access.connect().and_then(|mut database| renew(&mut *database, &access, &run));
                }
            });
            *renewing = started.ok().map(|_| sender);
        }
        Ok(())
    }

    fn table(&self) -> super::TableName {
        super::TableName { schema: None, table: TABLE.to_owned() }
    }

    /// Claims `rows` of `table`, and returns those that are ours and still wanted, as they are now.
    pub(crate) fn claim(
        &self,
        database: &mut dyn Database,
        table: &Table,
        wanted: &Wanted,
        rows: Vec<Vec<Cell>>,
    ) -> Result<Vec<Vec<Cell>>, DatabaseError> {
        let flavor = database.flavor();
        let now = flavor.now();
        let mut ours = Vec::new();
        for some in rows.chunks(AT_ONCE) {
            let names: Vec<String> = some.iter().map(|row| row_name(table, row)).collect();
            // On its own, without a transaction around it: nobody waits for anybody longer than for one statement.
            let mut statement =
                Statement::new(flavor, format!("INSERT INTO {TABLE} (of_table, of_row, run, until) VALUES "));
            for (n, name) in names.iter().enumerate() {
                statement.push(if n > 0 { ", (" } else { "(" });
                statement.bind(&text(), Value::Text(self.access.name())).push(", ");
                statement.bind(&text(), Value::Text(name.clone())).push(", ");
                statement.bind(&text(), Value::Text(self.run.clone()));
                statement.push(&format!(", {now} + {LASTS})"));
            }
            statement.push(&match flavor {
                Flavor::Mysql => format!(
                    " ON DUPLICATE KEY UPDATE run = IF(until < {now}, VALUES(run), run), until = IF(run = VALUES(run), \
                     VALUES(until), until)"
                ),
                Flavor::Sqlite | Flavor::Postgres => format!(
                    " ON CONFLICT (of_table, of_row) DO UPDATE SET run = excluded.run, until = excluded.until WHERE \
                     {TABLE}.until < {now} OR {TABLE}.run = excluded.run"
                ),
            });
            statement.execute(database)?;
            let mut held = Statement::new(flavor, format!("SELECT of_row FROM {TABLE} WHERE of_table = "));
            held.bind(&text(), Value::Text(self.access.name())).push(" AND run = ");
            held.bind(&text(), Value::Text(self.run.clone())).push(" AND of_row IN (");
            for (n, name) in names.iter().enumerate() {
                held.push(if n > 0 { ", " } else { "" }).bind(&text(), Value::Text(name.clone()));
            }
            held.push(")");
            let held: HashSet<String> = (held.query(database)?.into_iter())
                .filter_map(|row| match row.into_iter().next() {
                    Some(Cell::Text(text)) => Some(text),
                    _ => None,
                })
                .collect();
            let mut keys = Vec::new();
            for (row, name) in some.iter().zip(&names) {
                let mut line = String::new();
                table.push_object(row, &mut line);
                if held.contains(name)
                    && let Some(key) = table.key_of(&line)
                {
                    keys.push(key);
                }
            }
            ours.extend(table.still_wanted(database, wanted, &keys)?);
        }
        Ok(ours)
    }

    /// Gives all rows back.
    pub(crate) fn release(&self, database: &mut dyn Database) -> Result<(), DatabaseError> {
        self.renewing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut statement = Statement::new(database.flavor(), format!("DELETE FROM {TABLE} WHERE of_table = "));
        statement.bind(&text(), Value::Text(self.access.name())).push(" AND run = ");
        statement.bind(&text(), Value::Text(self.run.clone()));
        statement.execute(database).map(drop)
    }
}

fn renew(database: &mut dyn Database, access: &Access, run: &str) -> Result<(), DatabaseError> {
    let flavor = database.flavor();
    let sql = format!("UPDATE {TABLE} SET until = {} + {LASTS} WHERE of_table = ", flavor.now());
    let mut statement = Statement::new(flavor, sql);
    statement.bind(&text(), Value::Text(access.name())).push(" AND run = ");
    statement.bind(&text(), Value::Text(run.to_owned()));
    statement.execute(database).map(drop)
}

/// The name of a row: its key as a JSON array, or where that is long its hash.
fn row_name(table: &Table, row: &[Cell]) -> String {
    let cells = table.key.iter().map(|n| super::cells::to_json(table.flavor, &table.columns[*n], &row[*n]));
    let name = format!("[{}]", cells.collect::<Vec<_>>().join(","));
    if name.len() <= 200 { name } else { format!("{:032x}", xxhash_rust::xxh3::xxh3_128(name.as_bytes())) }
}

fn text() -> Column {
    Column { name: String::new(), kind: Kind::Text, declared: "text".to_owned(), in_key: 0 }
}
