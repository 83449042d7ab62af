//! The statements that ours issues, word for word, and nothing else: no comparison, no notes, no spool.

use super::{
    Fallible,
    client::{self, Client, Flavor, Value},
    ours,
    table::{ANSWERS, TEXTS},
};

/// Rows of one page, once ours has found them light.
const PAGE: usize = 4_000;
/// Rows that one statement reads or writes.
const AT_ONCE: usize = 128;
/// Rows that are told apart by cases in one statement.
const CASES: usize = 32;

/// How many rows are written.
enum Form {
    Each,
    Together,
    Cases,
}

struct Statements {
    flavor: Flavor,
    /// The type of the key, as PostgreSQL calls it.
    key: &'static str,
}

/// Reads all rows, page by page.
pub(crate) fn read(address: &str) -> Fallible<u64> {
    let mut n = 0;
    pages(address, |_, rows| {
        n += rows as u64;
        Ok(())
    })?;
    Ok(n)
}

fn pages(address: &str, mut see: impl FnMut(&mut dyn Client, usize) -> Fallible<()>) -> Fallible<()> {
    let mut client = client::connect(address)?;
    let statements = Statements::new(address, &mut *client)?;
    let mut last: Option<Value> = None;
    loop {
        let values: Vec<Value> = last.iter().cloned().collect();
        let seen = client.query(&statements.page(last.is_some()), &values)?;
        see(&mut *client, seen.rows)?;
        last = seen.last;
        if seen.rows < PAGE {
            return Ok(());
        }
    }
}

/// Writes two answers into each row, as ours does: rows are locked and looked at before they are written.
pub(crate) fn write(address: &str) -> Fallible<u64> {
    transactions(address, |client, statements, batch| {
        for some in batch.chunks(AT_ONCE) {
            let keys: Vec<Value> = some.iter().map(|(key, _)| key.clone()).collect();
            client.query(&statements.lock(keys.len()), &keys)?;
            match statements.form() {
                Form::Each => update_each(client, statements, some)?,
                Form::Together => {
                    let values = some.iter().flat_map(|(key, answers)| {
                        std::iter::once(key.clone()).chain(answers.iter().cloned().map(Value::Text))
                    });
                    client.execute(&statements.update(some.len()), &values.collect::<Vec<_>>())?;
                }
                Form::Cases => some.chunks(CASES).try_for_each(|some| {
                    let keys = some.iter().map(|(key, _)| key.clone());
                    let cases = (0..ANSWERS.len()).flat_map(|n| {
                        some.iter().flat_map(move |(key, answers)| [key.clone(), Value::Text(answers[n].clone())])
                    });
                    client.execute(&statements.cases(some.len()), &cases.chain(keys).collect::<Vec<_>>())
                })?,
            }
        }
        Ok(())
    })
}

/// Writes two answers into each row, one statement a row.
pub(crate) fn each(address: &str) -> Fallible<u64> {
    transactions(address, update_each)
}

/// A row's key and its two answers.
type Answered = (Value, [String; 2]);

fn transactions(
    address: &str,
    mut write: impl FnMut(&mut dyn Client, &Statements, &[Answered]) -> Fallible<()>,
) -> Fallible<u64> {
    let mut client = client::connect(address)?;
    let statements = Statements::new(address, &mut *client)?;
    let mut n = 0;
    // What a run took is in its folder, for this one too.
    ours::each_batch(address, |records| {
        let rows = records.iter().map(|record| (ours::key_of(record), ours::answers(record.key.position)));
        let rows: Vec<Answered> = rows.collect();
        client.command(statements.begin())?;
        write(&mut *client, &statements, &rows)?;
        client.command("COMMIT")?;
        n += rows.len() as u64;
        Ok(())
    })?;
    Ok(n)
}

fn update_each(client: &mut dyn Client, statements: &Statements, rows: &[Answered]) -> Fallible<()> {
    let sql = statements.update_one();
    for (key, answers) in rows {
        let [category, comment] = answers.clone().map(Value::Text);
        client.execute(&sql, &[category, comment, key.clone()])?;
    }
    Ok(())
}

impl Statements {
    fn new(address: &str, client: &mut dyn Client) -> Fallible<Self> {
        let flavor = client::flavor(address);
        let first = client.query(&format!("SELECT {} FROM original LIMIT 1", column(flavor, "id")), &[])?.last;
        let key = match first {
            Some(Value::Text(text)) if text.parse::<i64>().is_err() => "character varying",
            _ => "bigint",
        };
        Ok(Self { flavor, key })
    }

    fn begin(&self) -> &'static str {
        match self.flavor {
            Flavor::Sqlite => "BEGIN IMMEDIATE",
            Flavor::Mysql => "START TRANSACTION",
            Flavor::Postgres => "BEGIN",
        }
    }

    /// How ours writes many rows.
    fn form(&self) -> Form {
        match self.flavor {
            Flavor::Sqlite => Form::Each,
            Flavor::Mysql if self.key != "bigint" => Form::Cases,
            Flavor::Mysql | Flavor::Postgres => Form::Together,
        }
    }

    /// A page of rows, from the beginning or behind a key.
    fn page(&self, is_behind: bool) -> String {
        let (id, table) = (self.name("id"), self.name("t"));
        let behind = if is_behind { format!(" WHERE (({id} > {}))", self.key_at(1)) } else { String::new() };
        format!("{}{behind} ORDER BY {table}.{id} LIMIT {PAGE}", self.select(&["id"]))
    }

    /// Rows by their keys, which stay as they are.
    fn lock(&self, n: usize) -> String {
        let places: Vec<String> = (1..=n).map(|n| self.key_at(n)).collect();
        let locking = if self.flavor == Flavor::Sqlite { "" } else { " FOR UPDATE" };
        format!("{} WHERE {} IN ({}){locking}", self.select(&["id", "id"]), self.name("id"), places.join(", "))
    }

    fn select(&self, keys: &[&str]) -> String {
        let columns = keys.iter().chain(&TEXTS).chain(&ANSWERS).map(|name| column(self.flavor, name));
        format!("SELECT {} FROM {}", columns.collect::<Vec<_>>().join(", "), self.name("t"))
    }

    /// The answers of `n` rows in one statement.
    fn update(&self, n: usize) -> String {
        let [category, comment] = ANSWERS.map(|name| self.name(name));
        let (id, table) = (self.name("id"), self.name("t"));
        if self.flavor == Flavor::Mysql {
            let rows = format!("SELECT ? AS k0, ? AS c0, ? AS c1{}", " UNION ALL SELECT ?, ?, ?".repeat(n - 1));
            return format!(
                "UPDATE ({rows}) AS v STRAIGHT_JOIN {table} AS t ON t.{id} = v.k0 SET t.{category} = v.c0, t.{comment} = v.c1"
            );
        }
        let text = "::text::character varying";
        let row = |n: usize| format!("({}, ${}{text}, ${}{text})", self.key_at(3 * n + 1), 3 * n + 2, 3 * n + 3);
        let rows: Vec<String> = (0..n).map(row).collect();
        format!(
            "UPDATE {table} AS t SET {category} = v.c0, {comment} = v.c1 FROM (VALUES {}) AS v(k0, c0, c1) WHERE t.{id} = v.k0",
            rows.join(", ")
        )
    }

    /// The answers of `n` rows in one statement, told apart by their keys.
    fn cases(&self, n: usize) -> String {
        let id = self.name("id");
        let of = |name| format!("{} = CASE {id}{} END", self.name(name), " WHEN ? THEN ?".repeat(n));
        let [category, comment] = ANSWERS.map(of);
        format!("UPDATE {} SET {category}, {comment} WHERE {id} IN (?{})", self.name("t"), ", ?".repeat(n - 1))
    }

    /// The answers of one row.
    fn update_one(&self) -> String {
        let text = "::text::character varying";
        let (one, other) = match self.flavor {
            Flavor::Postgres => (format!("$1{text}"), format!("$2{text}")),
            Flavor::Sqlite | Flavor::Mysql => ("?".to_owned(), "?".to_owned()),
        };
        let [category, comment] = ANSWERS.map(|name| self.name(name));
        let (id, table) = (self.name("id"), self.name("t"));
        format!("UPDATE {table} SET {category} = {one}, {comment} = {other} WHERE {id} = {}", self.key_at(3))
    }

    fn key_at(&self, n: usize) -> String {
        if self.flavor == Flavor::Postgres { format!("${n}::text::{}", self.key) } else { "?".to_owned() }
    }

    fn name(&self, name: &str) -> String {
        quoted(self.flavor, name)
    }
}

/// A column as it is selected.
fn column(flavor: Flavor, name: &str) -> String {
    let cast = if flavor == Flavor::Postgres { "::text" } else { "" };
    format!("{}{cast}", quoted(flavor, name))
}

fn quoted(flavor: Flavor, name: &str) -> String {
    if flavor == Flavor::Mysql { format!("`{name}`") } else { format!("\"{name}\"") }
}
