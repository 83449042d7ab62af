//! The table that is worked on: a key, three texts, and two columns for answers.

use super::{
    Fallible,
    client::{self, Client, Flavor},
};

/// The columns of text.
pub(crate) const TEXTS: [&str; 3] = ["a", "b", "c"];
/// The columns of answers.
pub(crate) const ANSWERS: [&str; 2] = ["category", "comment"];

/// Rows that are added by one statement.
const AT_ONCE: u64 = 100;

/// Makes the table `original` of `n` rows, and `t` like it.
pub(crate) fn fill(address: &str, n: u64, has_text_key: bool) -> Fallible<u64> {
    let mut client = client::connect(address)?;
    if client::flavor(address) == Flavor::Mysql {
        // What a server has that works for others than a test: room for the table, and each commit on disk.
        client.command("SET GLOBAL innodb_buffer_pool_size = 268435456")?;
        client.command("SET GLOBAL innodb_log_file_size = 268435456")?;
        client.command("SET GLOBAL innodb_flush_log_at_trx_commit = 1")?;
    }
    let key = if has_text_key { "VARCHAR(40)" } else { "BIGINT" };
    make(&mut *client, "original", key)?;
    client.command("BEGIN")?;
    for first in (1..=n).step_by(AT_ONCE as usize) {
        let rows: Vec<String> = (first..(first + AT_ONCE).min(n + 1)).map(|row| values(row, has_text_key)).collect();
        client.command(&format!("INSERT INTO original (id, a, b, c) VALUES {}", rows.join(", ")))?;
    }
    client.command("COMMIT")?;
    drop(client);
    reset(address)
}

fn make(client: &mut dyn Client, name: &str, key: &str) -> Fallible<()> {
    client.command(&format!("DROP TABLE IF EXISTS {name}"))?;
    client.command(&format!(
        "CREATE TABLE {name} (id {key} PRIMARY KEY, a VARCHAR(200), b VARCHAR(200), c VARCHAR(200), category VARCHAR(40), \
         comment VARCHAR(400))"
    ))
}

fn values(row: u64, has_text_key: bool) -> String {
    let key = if has_text_key { format!("'{}'", text_key(row)) } else { row.to_string() };
    let texts = [2, 3, 4].map(|column| {
        let number = (row * 2_654_435_761 + column) % 1_000_000_007;
        format!("'row {row} column {column}: words that a person would write & more <of> it, {number}'")
    });
    format!("({key}, {})", texts.join(", "))
}

fn text_key(row: u64) -> String {
    format!("ticket-{row:09}")
}

/// Makes `t` what it was, on disk and with its statistics, and returns how many rows it has.
pub(crate) fn reset(address: &str) -> Fallible<u64> {
    let (flavor, mut client) = (client::flavor(address), client::connect(address)?);
    let cast = if flavor == Flavor::Mysql { "CHAR" } else { "TEXT" };
    let has_text_key = client.text(&format!("SELECT CAST(id AS {cast}) FROM original LIMIT 1"))?.starts_with('t');
    make(&mut *client, "t", if has_text_key { "VARCHAR(40)" } else { "BIGINT" })?;
    client.command("INSERT INTO t SELECT * FROM original")?;
    match flavor {
        Flavor::Sqlite => client.command("ANALYZE t")?,
        Flavor::Mysql => client.command("ANALYZE TABLE t")?,
        Flavor::Postgres => {
            client.command("VACUUM ANALYZE t")?;
            client.command("CHECKPOINT")?;
        }
    }
    count(&mut *client, flavor, "")
}

/// Returns how many rows have both answers.
pub(crate) fn check(address: &str) -> Fallible<u64> {
    let [category, comment] = ANSWERS;
    let answered =
        format!(" WHERE {category} IN ('news', 'question', 'complaint') AND {comment} LIKE 'what a model %'");
    count(&mut *client::connect(address)?, client::flavor(address), &answered)
}

fn count(client: &mut dyn Client, flavor: Flavor, which: &str) -> Fallible<u64> {
    let cast = if flavor == Flavor::Mysql { "CHAR" } else { "TEXT" };
    Ok(client.text(&format!("SELECT CAST(COUNT(*) AS {cast}) FROM t{which}"))?.parse()?)
}
