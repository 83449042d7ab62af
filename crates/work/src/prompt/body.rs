//! The request's body.

use bytes::Bytes;
use serde_json::Value;

use super::{Prompt, fields, render::Rendered};

/// Everything of a body but the texts. The model stands first, where the gateway finds and replaces it cheaply; the
/// same record makes the same bytes in every process.
#[derive(Debug)]
pub(super) struct Body {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Body {
    pub(super) fn new(prompt: &Prompt) -> Self {
        let head = format!("{{\"model\":{},\"messages\":[", Value::from(prompt.model.as_str()));
        let mut tail = String::from("]");
        let mut add = |name: &str, value: &Value| tail.push_str(&format!(",{}:{value}", Value::from(name)));
        for (name, value) in prompt.parameters.iter().flatten() {
            add(name, value);
        }
        if let Some(output) = &prompt.output {
            add("response_format", &fields::response_format(output));
        }
        tail.push('}');
        Self { head: head.into(), tail: tail.into() }
    }

    pub(super) fn with(&self, texts: &Rendered<'_>) -> Bytes {
        let system = texts.system.as_deref();
        // Room for the texts with some escapes, so that the buffer rarely grows.
        let length = texts.prompt.len() + system.map_or(0, str::len);
        let mut body = Vec::with_capacity(self.head.len() + self.tail.len() + length + length / 8 + 80);
        body.extend_from_slice(&self.head);
        if let Some(system) = system {
            push_message("system", system, &mut body);
            body.push(b',');
        }
        push_message("user", &texts.prompt, &mut body);
        body.extend_from_slice(&self.tail);
        body.into()
    }
}

fn push_message(role: &str, content: &str, body: &mut Vec<u8>) {
    body.extend_from_slice(b"{\"role\":\"");
    body.extend_from_slice(role.as_bytes());
    body.extend_from_slice(b"\",\"content\":");
    // Text is always serializable, and a vector always takes it.
    let _ = serde_json::to_writer(&mut *body, content);
    body.push(b'}');
}
