//! Tables in files, measured: `cargo xtask bench tables` runs it beside other libraries.
//!
//! `read FILE`, `rewrite FILE OUT` and `new OUT ROWS` are about workbooks, `pending FILE COLUMN` is about a CSV file: how many
//! of its rows lack an answer. Each prints how many rows it saw.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::{error::Error, fs};

use connect::{AnswerColumns, FileSource, Place, SinkConfig, SinkPlaces, SourceConfig, Taken};
use domain::{
    End, Outcome, Read, Record, RecordKey, Timestamp,
    ports::{Merge, Sink as _, Source as _, Starts},
};
use serde_json::{json, value::RawValue};

// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let n = match words[..] {
        ["read", file] => each(&source("excel", file, AnswerColumns::default())?, |_| Ok(()))?,
        ["rewrite", file, out] => rewrite(file, out)?,
        ["new", out, n] => new(out, n.parse()?)?,
        ["pending", file, column] => pending(file, column)?,
        _ => return Err("read FILE | rewrite FILE OUT | new OUT ROWS | pending FILE COLUMN".into()),
    };
    println!("{n} rows");
    Ok(())
}

fn source(format: &str, path: &str, answers: AnswerColumns) -> Fallible<FileSource> {
    let config: SourceConfig = serde_json::from_value(json!({ format: { "path": path } }))?;
    let source = config.source(place(path), 0, answers)?;
    // As a run does it: from here on it is known which files there are.
    source.fingerprint()?;
    Ok(source)
}

fn place(path: &str) -> Place {
    Place { path: path.into(), name: path.to_owned() }
}

/// Reads a source to its end, as the engine does.
fn each(source: &FileSource, mut see: impl FnMut(&Read) -> Fallible<()>) -> Fallible<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut records = source.open(&Starts::new())?;
    let mut n = 0;
    loop {
        let some = runtime.block_on(records.next(256))?;
        if some.is_empty() {
            return Ok(n);
        }
        for read in &some {
            n += 1;
            see(read)?;
        }
    }
}

/// Counts the rows that lack an answer: each one is looked into.
fn pending(path: &str, column: &str) -> Fallible<u64> {
    let answers = AnswerColumns { names: vec![column.to_owned()], taken: Taken::Pending { errors: false } };
    let source = source("csv", path, answers)?;
    let mut n = 0;
    each(&source, |read| {
        n += u64::from(source.inspect(&read.record).is_ok());
        Ok(())
    })?;
    Ok(n)
}

/// Writes a workbook again with four more columns.
fn rewrite(path: &str, out: &str) -> Fallible<u64> {
    let source = source("excel", path, AnswerColumns::default())?;
    let fields = ["a1", "a2", "a3", "a4"].map(str::to_owned);
    let mut merge = output(out, &fields, &source)?;
    let n = each(&source, |read| {
        let row = read.record.key.position;
        let answer =
            format!(r#"{{"a1":"answer {row} of 1","a2":"answer {row} of 2","a3":"answer {row} of 3","a4":{row}}}"#);
        Ok(merge.write(&read.record, &outcome(&read.record, answer)?)?)
    })?;
    merge.finish()?;
    Ok(n)
}

/// Writes a new workbook of `n` rows whose last column is an answer: two numbers, three texts, one of three categories.
fn new(out: &str, n: u64) -> Fallible<u64> {
    let nothing = format!("{out}.jsonl");
    fs::write(&nothing, "")?;
    let source = source("jsonl", &nothing, AnswerColumns::default())?;
    let mut merge = output(out, &["kind".to_owned()], &source)?;
    for row in 1..=n {
        let bytes = format!(
            r#"{{"id":{row},"score":{},"a":"{}","b":"{}","c":"{}"}}"#,
            row as f64 * 0.37,
            text(row, 2),
            text(row, 3),
            text(row, 4),
        );
        let key = RecordKey { step: 0, part: 0, sample: 0, position: row };
        let record = Record { key, origin: Default::default(), bytes: bytes.into(), row: None };
        let kind = ["news", "question", "complaint"][row as usize % 3];
        merge.write(&record, &outcome(&record, format!(r#"{{"kind":"{kind}"}}"#))?)?;
    }
    merge.finish()?;
    fs::remove_file(nothing)?;
    Ok(n)
}

/// What stands in a cell of text, about 80 characters; the other programs write the same.
fn text(row: u64, column: u64) -> String {
    let number = (row * 2_654_435_761 + column) % 1_000_000_007;
    format!("row {row} column {column}: words that a person would write & more <of> it, {number}")
}

fn output(out: &str, fields: &[String], source: &FileSource) -> Fallible<Box<dyn Merge>> {
    let config: SinkConfig = serde_json::from_value(json!({ "excel": { "path": out } }))?;
    let mut sink = config.sink(SinkPlaces::beside(place(out), None), fields, "bench", source)?;
    sink.prepare()?;
    sink.open(true)?;
    Ok(sink.merge()?)
}

fn outcome(record: &Record, output: String) -> Fallible<Outcome> {
    let output = Some(RawValue::from_string(output)?);
    Ok(Outcome { output, attempts: 1, ..Outcome::of(record, End::Succeeded, Timestamp(0)) })
}
