//! Reports of scripted journals.

mod adding_up;
mod differing;
mod golden;
mod markup;
mod well_formed;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use domain::{
    AnswerMeta, Attempted, End, Entry, Failure, FailureKind, Header, Outcome, RecordKey, Reopened, SkipReason, Started,
    Stopped, Timestamp, Usage,
    ports::{Artefact, Fingerprint, Journal as _},
    price::{Price, Prices},
};
use store::{Journal, LocalDisk, Manifest, Options, RunFolder};
use tempfile::TempDir;

use super::Heard;

/// A run on disk, whose journal is written entry by entry.
pub(super) struct Scripted {
    _state: TempDir,
    pub(super) folder: RunFolder,
    pub(super) manifest: Manifest,
    journal: Journal,
    heard: Heard,
}

impl Scripted {
    pub(super) fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(state.path(), "tickets-1");
        folder.create().unwrap();
        let manifest = manifest();
        manifest.write(folder.path()).unwrap();
        // Small segments, so that a short journal has several.
        let options = Options { window: Duration::ZERO, group: 1, segment_bytes: 4096, ..Options::default() };
        let (journal, _) = Journal::open(Arc::new(LocalDisk), &folder.journal(), 7, options).unwrap();
        let heard = Heard::of(&journal);
        Self { _state: state, folder, manifest, journal, heard }
    }

    pub(super) fn append(&self, entries: impl IntoIterator<Item = Entry>) -> &Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.journal.append(entries.into_iter().collect())).unwrap();
        self
    }

    /// Writes the manifest anew, as `change` wants it.
    pub(super) fn with(&mut self, change: impl FnOnce(&mut Manifest)) -> &mut Self {
        change(&mut self.manifest);
        self.manifest.write(self.folder.path()).unwrap();
        self
    }

    pub(super) fn report(&self) -> super::Report {
        super::of(&self.folder).unwrap()
    }

    /// The same, from what was heard while the journal was written; it is told once.
    pub(super) fn heard(&self) -> super::Report {
        super::assemble::of_heard(&self.folder, Some(&self.heard)).unwrap()
    }
}

fn manifest() -> Manifest {
    let price = |currency: &str, prompt, cached, completion| Price {
        currency: currency.to_owned(),
        prompt,
        cached,
        completion,
    };
    Manifest {
        format: store::FORMAT_VERSION,
        id: "tickets-1".to_owned(),
        pipeline: "tickets".to_owned(),
        file: PathBuf::from("/data/tickets.yaml"),
        frozen: "version: 1\nname: tickets\n".to_owned(),
        identity: String::new(),
        identity_parts: BTreeMap::new(),
        begun: Timestamp(1_000_000),
        version: "0.1.0".to_owned(),
        models_file: Some(PathBuf::from("/data/models.yaml")),
        prices: Prices(BTreeMap::from([
            ("east".to_owned(), price("USD", 150_000, 75_000, 600_000)),
            ("west".to_owned(), price("CNY", 2_000_000, 500_000, 8_000_000)),
        ])),
        limit: None,
        n_steps: 1,
        step_names: vec!["label".to_owned()],
        simulated: Vec::new(),
        inputs: BTreeMap::from([(
            "label".to_owned(),
            Fingerprint {
                parts: vec!["a.jsonl".to_owned(), "b.jsonl".to_owned()],
                lengths: vec![100, 100],
                samples: vec![String::new(), String::new()],
            },
        )]),
        sinks: BTreeMap::new(),
        artefacts: BTreeMap::from([(
            "label".to_owned(),
            vec![Artefact { path: "out/labels.jsonl".to_owned(), records: 3, bytes: 60, sha256: "ab".repeat(32) }],
        )]),
        n_records: BTreeMap::new(),
        told: true,
        short: BTreeMap::new(),
    }
}

/// An outcome of the record at `position`, which succeeded.
pub(super) fn outcome(position: u64) -> Outcome {
    Outcome {
        key: RecordKey { step: 0, part: 0, position, sample: 0 },
        line: position + 1,
        offset: 0,
        hash: position,
        request: None,
        end: End::Succeeded,
        output: None,
        attempts: 1,
        meta: AnswerMeta::default(),
        derived: None,
        at: Timestamp(1_000_000),
        same_as: None,
        reparsed: false,
        restored: false,
    }
}

/// What is known of an answer of so many tokens.
pub(super) fn meta(upstream: &str, prompt_tokens: u64, completion_tokens: u64, latency_ms: u64) -> AnswerMeta {
    AnswerMeta {
        usage: Some(Usage { prompt_tokens, completion_tokens, ..Usage::default() }),
        model: Some(format!("{upstream}-large")),
        upstream: Some(upstream.to_owned()),
        latency_ms: Some(latency_ms),
        finish_reason: Some("stop".to_owned()),
        request_id: None,
        characters: None,
    }
}

pub(super) fn settled(outcome: Outcome, raw: &str) -> Entry {
    Entry { header: Header::Outcome(Box::new(outcome)), raw: raw.as_bytes().to_vec().into() }
}

pub(super) fn attempted(position: u64, failure: Failure, meta: AnswerMeta, at: u64) -> Entry {
    let key = RecordKey { step: 0, part: 0, position, sample: 0 };
    let (members, left) = (Vec::new(), false);
    let header = Header::Attempted(Attempted { key, members, left, failure, meta, at: Timestamp(at) });
    Entry { header, raw: Vec::new().into() }
}

pub(super) fn reopened(key: RecordKey, at: u64) -> Entry {
    Entry { header: Header::Reopened(Reopened { key, at: Timestamp(at) }), raw: Vec::new().into() }
}

pub(super) fn started(at: u64, asked_again: u64) -> Entry {
    let started = Started { at: Timestamp(at), version: "0.1.0".to_owned(), asked_again };
    Entry { header: Header::Started(started), raw: Vec::new().into() }
}

pub(super) fn stopped(at: u64, reason: &str) -> Entry {
    let stopped = Stopped { at: Timestamp(at), reason: reason.to_owned() };
    Entry { header: Header::Stopped(stopped), raw: Vec::new().into() }
}

pub(super) fn failed(position: u64, kind: FailureKind, message: &str) -> Outcome {
    Outcome { end: End::Failed(Failure::new(kind, message)), ..outcome(position) }
}

pub(super) fn skipped(position: u64, reason: SkipReason, message: &str) -> Outcome {
    Outcome { end: End::Skipped { reason, message: message.to_owned() }, attempts: 0, ..outcome(position) }
}

/// The body of a chat completion that says this.
pub(super) fn body(says: &str) -> String {
    serde_json::json!({ "choices": [{ "message": { "content": says } }] }).to_string()
}
