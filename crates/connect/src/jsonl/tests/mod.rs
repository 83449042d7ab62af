//! What a user of JSON Lines may rely on.

mod compose;
mod reading;
mod speed;
mod writing;

use std::{fs, path::Path};

use domain::{
    Answer, AnswerMeta, End, Failure, FailureKind, Outcome, Read, Record, SkipReason, Timestamp,
    ports::{Records, Source as _, Starts},
};
use serde_json::{json, value::RawValue};
use tempfile::TempDir;

use super::{JsonlSink, JsonlSource, SinkConfig, SinkPlaces, SourceConfig};
use crate::Place;

fn place(folder: &Path, name: &str) -> Place {
    Place { path: folder.join(name), name: name.to_owned() }
}

/// A folder with `tickets.jsonl` in it, and the source of that file.
struct Tickets {
    folder: TempDir,
    config: serde_json::Value,
    forbidden: Vec<String>,
}

impl Tickets {
    fn new(content: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tickets.jsonl"), content).unwrap();
        Self { folder, config: json!({"path": "tickets.jsonl"}), forbidden: vec![] }
    }

    fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.config[name] = value.into();
        self
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn source(&self) -> JsonlSource {
        let config: SourceConfig = serde_json::from_value(self.config.clone()).unwrap();
        JsonlSource::new(&config, place(self.path(), "tickets.jsonl"), 0, self.forbidden.clone())
    }

    fn sink(&self, config: serde_json::Value, fields: &[&str]) -> JsonlSink {
        let config: SinkConfig = serde_json::from_value(config).unwrap();
        let output = place(self.path(), config.path.to_str().unwrap());
        let failures = config.failures.as_ref().map(|f| place(self.path(), f.to_str().unwrap()));
        let places = SinkPlaces { output, failures, source: place(self.path(), "tickets.jsonl") };
        let fields: Vec<String> = fields.iter().map(|&f| f.to_owned()).collect();
        JsonlSink::new(&config, places, &fields, "run-7").unwrap()
    }

    fn read(&self) -> Vec<Read> {
        all(self.source().open(&Starts::from([(0, (0, 0))])).unwrap())
    }

    fn records(&self) -> Vec<Record> {
        self.read().into_iter().map(|read| read.record).collect()
    }

    fn append(&self, more: &str) {
        let mut content = fs::read(self.path().join("tickets.jsonl")).unwrap();
        content.extend_from_slice(more.as_bytes());
        fs::write(self.path().join("tickets.jsonl"), content).unwrap();
    }
}

fn all(mut records: Box<dyn Records>) -> Vec<Read> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut all = Vec::new();
        loop {
            let some = records.next(100).await.unwrap();
            assert!(some.len() <= 100);
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    })
}

fn answer(output: &str) -> Answer {
    let output = RawValue::from_string(output.to_owned()).unwrap();
    Answer { output, raw: Default::default(), meta: AnswerMeta::default(), derived: vec![] }
}

fn outcome(record: &Record, end: End, output: Option<&str>) -> Outcome {
    Outcome {
        key: record.key,
        line: record.origin.line,
        offset: record.origin.offset,
        hash: record.hash(),
        request: None,
        end,
        output: output.map(|output| answer(output).output),
        attempts: 3,
        meta: AnswerMeta::default(),
        derived: None,
        at: Timestamp(0),
        same_as: None,
        reparsed: false,
        restored: false,
    }
}

fn succeeded(record: &Record, output: &str) -> Outcome {
    outcome(record, End::Succeeded, Some(output))
}

fn failed(record: &Record) -> Outcome {
    outcome(record, End::Failed(Failure::new(FailureKind::Timeout, "no answer within 60 s")), None)
}

fn skipped(record: &Record, reason: SkipReason, message: &str) -> Outcome {
    outcome(record, End::Skipped { reason, message: message.to_owned() }, None)
}
