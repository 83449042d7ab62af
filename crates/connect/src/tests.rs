//! What the tests of several rooms need.

use std::{fs, path::Path};

use domain::{
    End, Failure, FailureKind, Outcome, Read, Record, SkipReason, Timestamp,
    ports::{Artefact, Records, Sink as _, Source as _, Starts},
};
use serde_json::{Value, json, value::RawValue};
use tempfile::TempDir;

use crate::{AnswerColumns, FileSink, FileSource, Place, SinkConfig, SinkPlaces, SourceConfig};

pub(crate) fn place(folder: &Path, name: &str) -> Place {
    Place { path: folder.join(name), name: name.to_owned() }
}

pub(crate) fn source_config(config: Value) -> SourceConfig {
    serde_json::from_value(config).unwrap()
}

pub(crate) fn sink_config(config: Value) -> SinkConfig {
    serde_json::from_value(config).unwrap()
}

/// Reads to the end, or to what stands in the way.
pub(crate) fn try_all(mut records: Box<dyn Records>) -> Result<Vec<Read>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut all = Vec::new();
        loop {
            let some = records.next(100).await.map_err(|error| error.0)?;
            assert!(some.len() <= 100);
            if some.is_empty() {
                return Ok(all);
            }
            all.extend(some);
        }
    })
}

pub(crate) fn all(records: Box<dyn Records>) -> Vec<Read> {
    try_all(records).unwrap()
}

pub(crate) fn outcome(record: &Record, end: End, output: Option<&str>) -> Outcome {
    let output = output.map(|output| RawValue::from_string(output.to_owned()).unwrap());
    Outcome { output, attempts: 3, ..Outcome::of(record, end, Timestamp(0)) }
}

pub(crate) fn succeeded(record: &Record, output: &str) -> Outcome {
    outcome(record, End::Succeeded, Some(output))
}

pub(crate) fn failed(record: &Record) -> Outcome {
    outcome(record, End::Failed(Failure::new(FailureKind::Timeout, "no answer within 60 s")), None)
}

pub(crate) fn skipped(record: &Record, reason: SkipReason, message: &str) -> Outcome {
    outcome(record, End::Skipped { reason, message: message.to_owned() }, None)
}

/// A folder with files, and a source and a sink over them.
pub(crate) struct Job {
    folder: TempDir,
    source: Value,
    sink: Value,
    fields: Vec<String>,
    pub(crate) answers: AnswerColumns,
}

impl Job {
    /// Begins with a source of one `format` and its options.
    pub(crate) fn of(format: &str, path: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            source: json!({ format: { "path": path } }),
            sink: json!({ "jsonl": { "path": "out.jsonl" } }),
            fields: vec!["x".to_owned()],
            answers: AnswerColumns::default(),
        }
    }

    /// Sets an option of the source.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let format = self.source.as_object().unwrap().keys().next().unwrap().clone();
        self.source[format][name] = value.into();
        self
    }

    pub(crate) fn into(mut self, format: &str, options: Value) -> Self {
        self.sink = json!({ format: options });
        self
    }

    pub(crate) fn fields(mut self, fields: &[&str]) -> Self {
        self.fields = fields.iter().map(|&field| field.to_owned()).collect();
        self
    }

    pub(crate) fn forbidding(mut self, fields: &[&str]) -> Self {
        self.answers.names = fields.iter().map(|&field| field.to_owned()).collect();
        self
    }

    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(name, content);
        self
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn source(&self) -> FileSource {
        let config = source_config(self.source.clone());
        assert_eq!(config.mistakes(), []);
        let place = place(self.path(), config.path().to_str().unwrap());
        config.source(place, 0, self.answers.clone()).unwrap()
    }

    pub(crate) fn places(&self) -> SinkPlaces {
        let config = sink_config(self.sink.clone());
        let failures = config.failures().map(|path| place(self.path(), path.to_str().unwrap()));
        SinkPlaces::beside(place(self.path(), config.path().to_str().unwrap()), failures)
    }

    pub(crate) fn sink_at(&self, places: SinkPlaces) -> FileSink {
        let config = sink_config(self.sink.clone());
        assert_eq!(config.mistakes(), []);
        config.sink(places, &self.fields, "run-7", &self.source()).unwrap()
    }

    pub(crate) fn sink(&self) -> FileSink {
        self.sink_at(self.places())
    }

    pub(crate) fn read(&self) -> Vec<Read> {
        all(self.source().open(&Starts::new()).unwrap())
    }

    pub(crate) fn read_from(&self, starts: &Starts) -> Vec<Read> {
        all(self.source().open(starts).unwrap())
    }

    /// Reads until something stands in the way.
    pub(crate) fn error(&self) -> String {
        match self.source().open(&Starts::new()) {
            Err(error) => error.0,
            Ok(records) => try_all(records).map(|reads| reads.len()).unwrap_err(),
        }
    }

    /// Records as text.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.read().iter().map(|read| String::from_utf8_lossy(&read.record.bytes).into_owned()).collect()
    }

    /// Why each record that is none is none.
    pub(crate) fn skips(&self) -> Vec<(u64, SkipReason, String)> {
        let source = self.source();
        let why = |read: Read| {
            let found = match read.flaw {
                Some(flaw) => flaw,
                None => source.inspect(&read.record).err()?,
            };
            Some((read.record.key.position, found.0, found.1))
        };
        self.read().into_iter().filter_map(why).collect()
    }

    /// Merges, with what `output` says of each record; those that are none are skipped.
    pub(crate) fn merge(&self, output: impl Fn(&Record) -> String) -> Vec<Artefact> {
        self.try_merge(output).unwrap()
    }

    pub(crate) fn try_merge(&self, output: impl Fn(&Record) -> String) -> Result<Vec<Artefact>, String> {
        let (source, mut sink) = (self.source(), self.sink());
        sink.prepare().map_err(|error| error.message)?;
        let mut merge = sink.merge().map_err(|error| error.message)?;
        for Read { record, flaw, .. } in self.read() {
            let outcome = match flaw.map_or_else(|| source.inspect(&record).map(|_| ()), Err) {
                Ok(()) => succeeded(&record, &output(&record)),
                Err((reason, what)) => skipped(&record, reason, &what),
            };
            merge.write(&record, &outcome).map_err(|error| error.message)?;
        }
        let rejected = merge.settle().map_err(|error| error.message)?;
        let artefacts = merge.finish().map_err(|error| error.message)?;
        match rejected.into_iter().next() {
            Some(rejected) => Err(rejected.failure.message),
            None => Ok(artefacts),
        }
    }
}
