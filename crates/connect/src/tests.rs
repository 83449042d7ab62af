//! What the tests of several rooms need.

use std::path::Path;

use domain::{AnswerMeta, End, Failure, FailureKind, Outcome, Read, Record, SkipReason, Timestamp, ports::Records};
use serde_json::{Value, value::RawValue};

use crate::{Place, SinkConfig, SourceConfig};

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
    Outcome {
        key: record.key,
        line: record.origin.line,
        offset: record.origin.offset,
        hash: record.hash(),
        request: None,
        end,
        output: output.map(|output| RawValue::from_string(output.to_owned()).unwrap()),
        attempts: 3,
        meta: AnswerMeta::default(),
        derived: None,
        at: Timestamp(0),
        same_as: None,
        reparsed: false,
        restored: false,
    }
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
