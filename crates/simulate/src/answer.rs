//! What a successful answer says.

mod bounds;
mod compose;
mod merge;
mod schema;
mod words;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use xxhash_rust::xxh3::xxh3_128;

pub(crate) use schema::Schema;

use crate::draw::{self, Draws, Salt};

/// The most schemas kept compiled. A pipeline has a handful; a client with a new schema in every request must not fill
/// the memory.
const MOST_SCHEMAS: usize = 1_024;

/// What a message has to say.
#[derive(Clone)]
pub(crate) enum Demand {
    /// This text.
    Text(Arc<str>),
    /// A sentence.
    Sentence,
    /// Some JSON object.
    Object,
    /// A JSON value that satisfies the schema.
    Schema(Arc<Schema>),
}

/// The schemas that were compiled, by the hash of their text.
#[derive(Default)]
pub(crate) struct Schemas {
    compiled: Mutex<HashMap<u128, Arc<Schema>>>,
}

impl Demand {
    /// Writes the thought before the text of one choice: always the same for the same request.
    pub(crate) fn thought(seed: u64, request_hash: u128, choice: u32) -> String {
        let mut draws = Draws::new(draw::word(seed, request_hash, 0, Salt::Thought(choice)));
        let mut text = String::new();
        for n in 0..2 {
            text.push_str(if n == 0 { "" } else { " " });
            words::sentence(&mut draws, &mut text);
        }
        text
    }

    /// Writes the text of one choice: always the same for the same request.
    pub(crate) fn satisfy(&self, seed: u64, request_hash: u128, choice: u32) -> String {
        let mut draws = Draws::new(draw::word(seed, request_hash, 0, Salt::Content(choice)));
        let mut text = String::new();
        match self {
            Demand::Text(fixed) => text.push_str(fixed),
            Demand::Sentence => words::sentence(&mut draws, &mut text),
            Demand::Object => {
                text.push_str("{\"answer\":\"");
                words::sentence(&mut draws, &mut text);
                text.push_str("\"}");
            }
            Demand::Schema(schema) => schema.compose(&mut draws, &mut text),
        }
        text
    }
}

impl Schemas {
    /// Compiles the schema, or finds it compiled.
    pub(crate) fn compile(&self, text: &str) -> Result<Arc<Schema>, String> {
        let hash = xxh3_128(text.as_bytes());
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = compiled.get(&hash) {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(Schema::compile(text)?);
        if compiled.len() >= MOST_SCHEMAS {
            compiled.clear();
        }
        compiled.insert(hash, Arc::clone(&schema));
        Ok(schema)
    }
}
