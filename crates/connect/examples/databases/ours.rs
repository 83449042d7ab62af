//! Reading and writing through the ports, as a run does.

use std::fs;

use connect::{
    AnswerColumns, Place, Resolver, SinkConfig, SourceConfig, SqlSinkSettings, SqlSource, SqlSourceSettings, Wanted,
};
use domain::{
    End, Outcome, Record, Secret, Timestamp, json,
    ports::{Projection, Sink as _, Source as _, Starts},
};
use serde_json::{json, value::RawValue};

use super::{
    Fallible,
    client::{self, Flavor, Value},
    table::ANSWERS,
};

/// Records that the engine reads at once.
const READ: usize = 64;
/// Answers that the engine shows a sink at once, where it is behind.
const BATCH: usize = 1024;
/// The run's folder.
const FOLDER: &str = "run";

/// Takes all rows of the table, as a run that begins.
pub(crate) fn read(address: &str) -> Fallible<u64> {
    // What is there is of another table.
    let _ = fs::remove_dir_all(FOLDER);
    fs::create_dir(FOLDER)?;
    let mut n = 0;
    let (source, _) = source(address)?;
    each(&source, READ, |records| {
        n += records.len() as u64;
        Ok(())
    })?;
    Ok(n)
}

/// Writes two answers into each row that was taken.
pub(crate) fn write(address: &str) -> Fallible<u64> {
    let (source, access) = source(address)?;
    let config: SinkConfig = serde_json::from_value(json!({ kind(address): { "overwrite": true } }))?;
    let settings = SqlSinkSettings {
        is_in_place: true,
        access,
        records: source.lines().clone(),
        source: Some(source),
        guarded: None,
        status: None,
        failures: Place { path: "run/failures.jsonl".into(), name: "failures.jsonl".to_owned() },
        folder: FOLDER.into(),
        run: "bench".to_owned(),
        step: 0,
        creates: false,
        names: Vec::new(),
    };
    let mut sink = config.sql_sink(settings, &ANSWERS.map(str::to_owned))?;
    sink.prepare()?;
    sink.open(true)?;
    let mut n = 0;
    each_batch(address, |records| {
        let settled = records.iter().map(|record| {
            let [category, comment] = answers(record.key.position);
            let output = Some(RawValue::from_string(format!(r#"{{"category":"{category}","comment":"{comment}"}}"#))?);
            let end = Outcome::of(record, End::Succeeded, Timestamp(0));
            Ok(Projection { record: record.clone(), outcome: Outcome { output, attempts: 1, ..end } })
        });
        let settled = settled.collect::<Fallible<Vec<_>>>()?;
        sink.project(&settled)?;
        n += settled.len() as u64;
        match sink.held_back() {
            Some(why) => Err(why.into()),
            None => Ok(()),
        }
    })?;
    Ok(n)
}

/// Gives the records that were taken, so many at once as a sink that is behind gets.
pub(crate) fn each_batch(address: &str, see: impl FnMut(&[Record]) -> Fallible<()>) -> Fallible<()> {
    each(&source(address)?.0, BATCH, see)
}

/// Returns the key of a record's row.
pub(crate) fn key_of(record: &Record) -> Value {
    let mut key = None;
    let text = str::from_utf8(&record.bytes).unwrap_or_default();
    let _ = json::members(text, |name, value| {
        if name == "id" {
            key =
                Some(value.get().parse().map_or_else(
                    |_| Value::Text(serde_json::from_str(value.get()).unwrap_or_default()),
                    Value::Integer,
                ));
        }
    });
    key.unwrap_or(Value::Integer(-1))
}

/// Returns what is written into a row.
pub(crate) fn answers(row: u64) -> [String; 2] {
    let category = ["news", "question", "complaint"][row as usize % 3];
    let comment =
        format!("what a model has to say of row {row}: that it would be better answered by a person than by it");
    [category.to_owned(), comment]
}

fn kind(address: &str) -> &'static str {
    match client::flavor(address) {
        Flavor::Sqlite => "sqlite",
        Flavor::Mysql => "mysql",
        Flavor::Postgres => "postgres",
    }
}

fn source(address: &str) -> Fallible<(SqlSource, connect::Access)> {
    let at = match address.strip_prefix("sqlite:") {
        Some(path) => json!({ "path": path, "table": "t" }),
        None => json!({ "url": address, "table": "t", "password": { "env": "PASSWORD" } }),
    };
    let config: SourceConfig = serde_json::from_value(json!({ kind(address): at }))?;
    let resolver = Resolver {
        place: &|path| Place { path: path.to_owned(), name: path.display().to_string() },
        password: &|_| Ok(Secret::new(testkit::servers::PASSWORD)),
    };
    let access = config.access(&resolver).map_err(|mistake| mistake.message)?.ok_or("it is no table")?;
    let settings = SqlSourceSettings {
        access: access.clone(),
        wanted: Wanted::default(),
        claims_as: None,
        spool: Some(Place { path: "run/rows-0.jsonl".into(), name: "the rows".to_owned() }),
        step: 0,
        answers: AnswerColumns::default(),
    };
    Ok((SqlSource::new(settings)?, access))
}

/// Reads a source to its end, as the engine does.
fn each(source: &SqlSource, at_once: usize, mut see: impl FnMut(&[Record]) -> Fallible<()>) -> Fallible<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut records = source.open(&Starts::new())?;
    loop {
        let some = runtime.block_on(records.next(at_once))?;
        if some.is_empty() {
            return Ok(());
        }
        see(&some.into_iter().map(|read| read.record).collect::<Vec<_>>())?;
    }
}
