//! What a user of prompts may rely on.

mod answering;
mod asking;
mod configuring;
mod corpus;
mod speed;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::{
    BoxFuture, Failure, Origin, Record, RecordKey,
    ports::{ModelAnswer, ModelClient, ModelRequest, Permit, Reservation, Reserve},
};
use serde_json::{Value, json};

use super::{Inputs, Prompt, PromptHandler};

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

fn handler_with(config: Value, inputs: Inputs) -> PromptHandler {
    PromptHandler::new(&prompt(config), inputs, "tickets.jsonl", Arc::new(Scripted::default())).unwrap()
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
