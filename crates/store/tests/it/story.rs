//! What the tests say in short: a journal on some disk, outcomes, appending and waiting.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{
    Attempted, End, Entry, Failure, FailureKind, Header, Outcome, RecordKey, Timestamp,
    ports::{Disk, Found, Journal as _, JournalError, Recovered},
};
use store::{Journal, Options};

pub(crate) const FOLDER: &str = "/run/journal";

pub(crate) fn key(position: u64) -> RecordKey {
    RecordKey { step: 0, part: 0, position, sample: 0 }
}

/// Commits at once, in small segments, so that a short test meets every edge.
pub(crate) fn hasty() -> Options {
    Options { window: Duration::ZERO, group: 1, queue: 64, segment_bytes: 4096, accept_damage: false }
}

pub(crate) fn open(disk: &Arc<dyn Disk>, options: Options) -> Result<(Journal, Recovered), JournalError> {
    Journal::open(Arc::clone(disk), Path::new(FOLDER), 7, options)
}

pub(crate) fn outcome(position: u64, raw: &[u8]) -> Entry {
    let outcome = Outcome {
        key: key(position),
        line: position + 1,
        offset: position * 100,
        hash: position,
        request: Some(u128::from(position)),
        end: End::Succeeded,
        output: Some(serde_json::value::RawValue::from_string(format!(r#"{{"n":{position}}}"#)).unwrap()),
        attempts: 1,
        meta: domain::AnswerMeta::default(),
        derived: None,
        at: Timestamp(1),
        same_as: None,
        reparsed: false,
        restored: false,
    };
    Entry { header: Header::Outcome(Box::new(outcome)), raw: Bytes::copy_from_slice(raw) }
}

pub(crate) fn attempt(position: u64) -> Entry {
    let failure = Failure::new(FailureKind::Timeout, "no answer");
    Entry {
        header: Header::Attempted(Attempted {
            key: key(position),
            failure,
            members: Vec::new(),
            left: false,
            meta: domain::AnswerMeta::default(),
            at: Timestamp(1),
        }),
        raw: Bytes::new(),
    }
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Reads the raw bytes of an outcome; `None` where it is not settled.
pub(crate) fn raw_of(journal: &Journal, position: u64) -> Option<Vec<u8>> {
    match journal.outcomes(0).unwrap().of(&key(position)).unwrap() {
        Found::Outcome(entry) => Some(entry.raw.to_vec()),
        Found::Nothing => None,
        Found::Damaged(damage) => panic!("damaged: {damage:?}"),
    }
}
