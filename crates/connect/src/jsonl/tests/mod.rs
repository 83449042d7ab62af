//! What a user of JSON Lines may rely on.

mod reading;
mod speed;
mod writing;

use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    FileSink, FileSource, SinkPlaces,
    tests::{all, failed, outcome, place, sink_config, skipped, source_config, succeeded},
};
use domain::{
    Read, Record,
    ports::{Source as _, Starts},
};

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

    fn source(&self) -> FileSource {
        let config = source_config(json!({"jsonl": self.config}));
        config
            .source(
                place(self.path(), "tickets.jsonl"),
                0,
                crate::AnswerColumns { names: self.forbidden.clone(), ..Default::default() },
            )
            .unwrap()
    }

    fn sink(&self, config: serde_json::Value, fields: &[&str]) -> FileSink {
        let config = sink_config(json!({"jsonl": config}));
        let output = place(self.path(), config.path().to_str().unwrap());
        let failures = config.failures().map(|path| place(self.path(), path.to_str().unwrap()));
        let fields: Vec<String> = fields.iter().map(|&f| f.to_owned()).collect();
        config.sink(SinkPlaces::beside(output, failures), &fields, "run-7", &self.source()).unwrap()
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
