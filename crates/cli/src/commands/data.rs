//! `tidemill data`: looking at tables, and making other formats of them.

mod open;

use std::fs;

use connect::{FileSource, SinkConfig, SinkPlaces};
use domain::{
    End, Outcome, Read, SkipReason, Timestamp, json,
    ports::{Sink as _, Source as _, Starts},
};
use serde_json::{Value, value::RawValue};

use crate::{
    args::{Convert, Data, Head, Stats},
    exit::{ConfigurationError, Exit},
    progress::counted,
    talk,
};

/// Records are read in batches of this size.
const BATCH: usize = 512;

/// Does what the command line says.
pub(super) fn run(args: &Data) -> anyhow::Result<Exit> {
    match args {
        Data::Head(args) => head(args),
        Data::Stats(args) => stats(args),
        Data::Convert(args) => convert(args),
    }
}

fn head(args: &Head) -> anyhow::Result<Exit> {
    let opened = open::open(&args.table, Some(args.lines))?;
    let source = opened.source();
    // What was found out, or declared: where it is wrong, this is where it shows.
    if let Some(how) = source.dialect().ok().flatten() {
        talk::say(format!("{}: {how}", args.table.file.display()));
    }
    let mut n_left = args.lines;
    let bad = each(source, |read| {
        n_left = n_left.saturating_sub(1);
        let mut line = String::new();
        json::compact(str::from_utf8(&read.record.bytes).unwrap_or_default(), &mut line);
        talk::data(line);
        Ok(n_left > 0)
    })?;
    Ok(told(bad))
}

fn convert(args: &Convert) -> anyhow::Result<Exit> {
    if open::is_sqlite(&args.output) {
        let message = format!(
            "`{}` is a database, and `data convert` writes files; rows go into a table with `tidemill run`, and \
             `sqlite: {{ path: …, table: … }}` as its `sink:`",
            args.output.display()
        );
        return Err(ConfigurationError(message).into());
    }
    let word = open::word_of(&args.output)?;
    let opened = open::open(&args.table, None)?;
    let source = opened.source();
    if source.reads(&args.output) {
        let file = args.output.display();
        return Err(ConfigurationError(format!("the output `{file}` is the input; name another file")).into());
    }
    let config = serde_json::json!({ word: { "path": &args.output, "overwrite": true } });
    let config: SinkConfig = serde_json::from_value(config)?;
    let places = SinkPlaces::beside(open::place(&args.output), None);
    let failures = places.failures.path.clone();
    let refused = |error: domain::ports::SinkError| match error.is_environment {
        true => anyhow::anyhow!(error.message),
        false => ConfigurationError(error.message).into(),
    };
    let mut sink = config.sink(places, &[], "convert", source).map_err(refused)?;
    sink.prepare().map_err(refused)?;
    let mut merge = sink.merge().map_err(refused)?;
    let nothing = RawValue::from_string("{}".to_owned())?;
    let bad = each_of_all(source, |read| {
        let end = match &read.flaw {
            Some((reason, message)) => End::Skipped { reason: *reason, message: message.clone() },
            None if read.record.bytes.trim_ascii().is_empty() => return Ok(true),
            None => End::Succeeded,
        };
        let outcome = outcome(read, end, &nothing);
        merge.write(&read.record, &outcome).map_err(refused)?;
        Ok(true)
    })?;
    let artefacts = merge.finish().map_err(refused)?;
    if bad == 0 {
        // Nobody misses a file without anything in it. One that cannot be removed says nothing wrong.
        let _ = fs::remove_file(failures);
    }
    for artefact in artefacts.iter().take(if bad == 0 { 1 } else { 2 }) {
        talk::say(format!("{} ({})", artefact.path, counted(artefact.records, "record")));
    }
    Ok(told(bad))
}

/// What is known of a column.
#[derive(Default)]
struct Column {
    name: String,
    n_filled: u64,
    n_texts: u64,
    n_numbers: u64,
    n_others: u64,
    longest: usize,
    example: String,
}

fn stats(args: &Stats) -> anyhow::Result<Exit> {
    /// How much of a value is shown.
    const SHOWN: usize = 30;
    let opened = open::open(&args.table, None)?;
    let source = opened.source();
    let (mut columns, mut n_records): (Vec<Column>, u64) = (Vec::new(), 0);
    let bad = each(source, |read| {
        n_records += 1;
        let text = str::from_utf8(&read.record.bytes).unwrap_or_default();
        let parsed = json::members(text, |name, value| {
            let index = columns.iter().position(|column| *column.name == *name).unwrap_or_else(|| {
                columns.push(Column { name: name.into_owned(), ..Column::default() });
                columns.len() - 1
            });
            columns[index].add(value, SHOWN);
        });
        parsed.map_err(|error| anyhow::anyhow!("{}: {}", source.place_of(&read.record), error.0))?;
        Ok(true)
    })?;
    if args.json {
        let columns: Vec<Value> = columns.iter().map(|column| column.json(n_records)).collect();
        talk::data(serde_json::to_string_pretty(&serde_json::json!({ "records": n_records, "columns": columns }))?);
        return Ok(told(bad));
    }
    let n_columns = u64::try_from(columns.len()).unwrap_or(u64::MAX);
    talk::table(format!("{}, {}", counted(n_records, "record"), counted(n_columns, "column")));
    for column in &columns {
        let Column { name, n_filled, longest, example, .. } = column;
        talk::table(format!(
            "{name}: {n_filled} filled, {} empty, {}, longest {longest}, such as {example}",
            n_records - n_filled,
            column.kind()
        ));
    }
    Ok(told(bad))
}

impl Column {
    fn add(&mut self, value: &RawValue, shown: usize) {
        let text = match value.get().as_bytes().first() {
            Some(b'n') => return,
            Some(b'"') => {
                let text: String = serde_json::from_str(value.get()).unwrap_or_default();
                if text.trim().is_empty() {
                    return;
                }
                self.n_texts += 1;
                text
            }
            Some(b'-' | b'0'..=b'9') => {
                self.n_numbers += 1;
                value.get().to_owned()
            }
            _ => {
                self.n_others += 1;
                value.get().to_owned()
            }
        };
        self.n_filled += 1;
        self.longest = self.longest.max(text.chars().count());
        if self.example.is_empty() {
            let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            self.example = one_line.chars().take(shown).collect();
            if one_line.chars().count() > shown {
                self.example.push('…');
            }
        }
    }

    fn kind(&self) -> &'static str {
        match (self.n_texts > 0, self.n_numbers > 0, self.n_others > 0) {
            (false, false, false) => "no values",
            (true, false, false) => "all text",
            (false, true, false) => "all numbers",
            (false, false, true) => "other values",
            _ => "mixed values",
        }
    }

    fn json(&self, n_records: u64) -> Value {
        serde_json::json!({
            "name": self.name,
            "filled": self.n_filled,
            "empty": n_records - self.n_filled,
            "texts": self.n_texts,
            "numbers": self.n_numbers,
            "others": self.n_others,
            "longest": self.longest,
        })
    }
}

/// Calls `what` for each sound record until it returns false; returns how many bad ones were told of.
fn each(source: &FileSource, mut what: impl FnMut(&Read) -> anyhow::Result<bool>) -> anyhow::Result<u64> {
    each_of_all(source, |read| {
        let is_one = read.flaw.is_none() && !read.record.bytes.trim_ascii().is_empty();
        if is_one { what(read) } else { Ok(true) }
    })
}

/// Calls `what` for each record until it returns false; returns how many bad ones there were, which are told of.
fn each_of_all(source: &FileSource, mut what: impl FnMut(&Read) -> anyhow::Result<bool>) -> anyhow::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut records = source.open(&Starts::new()).map_err(|error| anyhow::anyhow!(error.0))?;
    let mut bad = 0;
    loop {
        let mut reads = runtime.block_on(records.next(BATCH)).map_err(|error| anyhow::anyhow!(error.0))?;
        if reads.is_empty() {
            return Ok(bad);
        }
        for read in &mut reads {
            if read.flaw.is_none() {
                // What is no record in its format is found out when it is looked into.
                read.flaw = source.inspect(&read.record).err().filter(|(reason, _)| *reason != SkipReason::Blank);
            }
            if let Some((_, message)) = &read.flaw {
                bad += 1;
                talk::say(message);
            }
            if !what(read)? {
                return Ok(bad);
            }
        }
    }
}

fn told(bad: u64) -> Exit {
    if bad == 0 { Exit::Done } else { Exit::Beyond }
}

fn outcome(read: &Read, end: End, output: &RawValue) -> Outcome {
    Outcome { output: Some(output.to_owned()), ..Outcome::of(&read.record, end, Timestamp(0)) }
}
