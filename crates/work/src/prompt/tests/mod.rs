//! What a user of prompts may rely on.

mod again;
mod answering;
mod asking;
mod cases;
mod configuring;
mod conversing;
mod corpus;
mod making;
mod sampling;
mod speed;
mod verdicts;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{
    BoxFuture, Failure, NoteKind, Origin, Record, RecordKey, WorkItem,
    ports::{
        AttemptContext, Ended, Handler, JournalError, ModelAnswer, ModelClient, ModelRequest, Notes, Permit, Prior,
        Reservation, Reserve,
    },
};
use serde_json::{Value, json};

use super::{Attachments, Inputs, Prompt, PromptHandler};

/// A model that says what it was told to say, and keeps what it was asked.
#[derive(Default)]
struct Scripted {
    answer: Option<Result<ModelAnswer, (Failure, Bytes)>>,
    asked: Mutex<Vec<String>>,
}

impl ModelClient for Scripted {
    fn reserve(&self, ask: &Reservation<'_>) -> Reserve {
        self.asked.lock().unwrap().push(format!("{} {:?} {} tokens", ask.route, ask.class, ask.tokens));
        Reserve::Permit(Permit::new(()))
    }

    fn width_freed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn complete(&self, request: ModelRequest, _: Permit) -> BoxFuture<'_, Result<ModelAnswer, (Failure, Bytes)>> {
        self.asked.lock().unwrap().push(String::from_utf8(request.body.to_vec()).unwrap());
        Box::pin(std::future::ready(self.answer.clone().unwrap()))
    }
}

fn prompt(config: Value) -> Prompt {
    serde_json::from_value(config).unwrap()
}

/// Files that records may name.
struct Files;

impl Attachments for Files {
    fn read(&self, path: &str, max_bytes: u64) -> Result<Vec<u8>, String> {
        let bytes: &[u8] = match path {
            "img/a.png" => b"\x89PNG\r\n\x1a\n",
            "b.jpg" => b"\xff\xd8\xff\xe0",
            "not.png" => b"hello",
            "docs/Report.pdf" => b"%PDF-1.7",
            "notes.md" => b"\xef\xbb\xbf# A \"title\"\n",
            "gbk.txt" => b"\xc4\xe3",
            _ => return Err("cannot be read: no such file".to_owned()),
        };
        if bytes.len() as u64 > max_bytes { Err(format!("has more than {max_bytes} bytes")) } else { Ok(bytes.into()) }
    }
}

fn handler_with(config: Value, inputs: Inputs) -> PromptHandler {
    asking(config, inputs, Arc::new(Scripted::default()))
}

fn asking(config: Value, inputs: Inputs, client: Arc<Scripted>) -> PromptHandler {
    PromptHandler::new(&prompt(config), inputs, client, Arc::new(Files)).unwrap()
}

fn handler(config: Value) -> PromptHandler {
    handler_with(config, Inputs::default())
}

/// The four fields that most tests ask for.
fn output() -> Value {
    json!({
        "category": {"enum": ["bug", "wish"]},
        "score": {"type": "integer", "minimum": 0, "maximum": 100},
        "reason": {"type": "string", "max_length": 20, "nullable": true},
        "tags": {"type": "array", "items": {"type": "string"}},
    })
}

fn record(text: &str) -> Record {
    Record {
        key: RecordKey { step: 0, part: 0, sample: 0, position: 2 },
        origin: Origin { line: 3, offset: 90 },
        bytes: Bytes::copy_from_slice(text.as_bytes()),
        row: None,
    }
}

/// Wraps what a model says in an envelope.
fn saying(content: &str) -> String {
    json!({"id": "c-1", "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]})
        .to_string()
}

struct NoNotes;

impl Notes for NoNotes {
    fn note<'a>(&'a self, _: NoteKind, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Plans a record, reserves and makes one attempt.
fn attempt(handler: &dyn Handler, record: Record, number: u32, prior: &Prior) -> Ended {
    let planned = handler.plan(&record).unwrap();
    let item = WorkItem { id: record.key, members: vec![(record, planned)] };
    let deadline = Instant::now() + Duration::from_secs(60);
    let Reserve::Permit(permit) = handler.reserve(&item, deadline) else { panic!("there is room") };
    let attempt = AttemptContext { number, deadline, permit, prior, notes: &NoNotes };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        handler.width_freed().await;
        handler.perform(&item, attempt).await
    })
}
