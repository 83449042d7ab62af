//! The request's body.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{Prompt, config::LIMITS, fields, render::Rendered};

/// Everything of a body but the messages. The model stands first, where the gateway finds and replaces it cheaply; the
/// same record makes the same bytes in every process. The messages stand before all that is the same for every record,
/// so that they can be added to: a body always ends in the same bytes.
#[derive(Debug)]
pub(super) struct Body {
    /// One for each model.
    heads: Vec<Vec<u8>>,
    /// The examples, each message with a comma behind it.
    examples: Vec<u8>,
    tail: Vec<u8>,
    parameters: Map<String, Value>,
    response_format: Option<Value>,
}

impl Body {
    pub(super) fn new(prompt: &Prompt, examples: Vec<u8>) -> Self {
        let head = |model: &str| format!("{{\"model\":{},", Value::from(model)).into();
        let mut body = Self {
            heads: prompt.routes().into_iter().map(head).collect(),
            examples,
            tail: Vec::new(),
            parameters: prompt.parameters.clone().unwrap_or_default(),
            response_format: prompt
                .output
                .as_ref()
                .and_then(|output| fields::response_format(output, prompt.response_format.unwrap_or_default())),
        };
        body.tail = body.tail_with(|_, value| value.clone());
        body
    }

    /// Makes what stands behind the messages, with each parameter as `value` has it.
    fn tail_with(&self, value: impl Fn(&str, &Value) -> Value) -> Vec<u8> {
        let mut tail = String::from("]");
        let mut add = |name: &str, value: &Value| tail.push_str(&format!(",{}:{value}", Value::from(name)));
        for (name, parameter) in &self.parameters {
            add(name, &value(name, parameter));
        }
        if let Some(format) = &self.response_format {
            add("response_format", format);
        }
        tail.push('}');
        tail.into()
    }

    /// Makes the body for the model of this number.
    pub(super) fn with(&self, model: usize, rendered: &Rendered<'_>) -> Bytes {
        let Rendered { system, tools, own, prompt, parts, .. } = rendered;
        let (system, tools, own, prompt) = (system.as_deref(), tools.as_deref(), own.as_deref(), prompt.as_deref());
        // Room for the texts with some escapes, so that the buffer rarely grows.
        let texts = prompt.map_or(0, str::len) + system.map_or(0, str::len);
        let asis = own.map_or(0, str::len) + tools.map_or(0, str::len) + parts.len() + self.examples.len();
        let head = &self.heads[model];
        let mut body = Vec::with_capacity(head.len() + self.tail.len() + texts + texts / 8 + asis + 120);
        body.extend_from_slice(head);
        if let Some(tools) = tools {
            body.extend_from_slice(b"\"tools\":");
            body.extend_from_slice(tools.as_bytes());
            body.push(b',');
        }
        body.extend_from_slice(b"\"messages\":[");
        if let Some(system) = system {
            push_message("system", system, &mut body);
            body.push(b',');
        }
        body.extend_from_slice(&self.examples);
        if let Some(own) = own {
            body.extend_from_slice(own.as_bytes());
            body.push(b',');
        }
        match prompt {
            Some(prompt) if parts.is_empty() => push_message("user", prompt, &mut body),
            None if parts.is_empty() => {
                // There is a message before: a record without any is skipped.
                body.pop();
            }
            prompt => push_parts(prompt, parts, &mut body),
        }
        body.extend_from_slice(&self.tail);
        body.into()
    }

    /// Makes a body like `body` with two more messages: what the model said, and what is wrong with it.
    pub(super) fn with_complaint(&self, body: &[u8], said: &str, complaint: &str) -> Option<Bytes> {
        let messages = body.strip_suffix(self.tail.as_slice())?;
        let mut longer = Vec::with_capacity(body.len() + said.len() + complaint.len() + 160);
        longer.extend_from_slice(messages);
        longer.push(b',');
        push_message("assistant", said, &mut longer);
        longer.push(b',');
        push_message("user", complaint, &mut longer);
        longer.extend_from_slice(&self.tail);
        Some(longer.into())
    }

    /// Returns the greatest limit of tokens among the parameters.
    pub(super) fn limit(&self) -> Option<u64> {
        LIMITS.iter().filter_map(|name| self.parameters.get(*name)?.as_u64()).max()
    }

    /// Makes a body like `body` with so many times the tokens allowed.
    pub(super) fn with_more_tokens(&self, body: &[u8], factor: f64) -> Option<Bytes> {
        let messages = body.strip_suffix(self.tail.as_slice())?;
        let tail = self.tail_with(|name, value| match value.as_u64().filter(|_| LIMITS.contains(&name)) {
            // Far below what a float holds exactly, and cut off where it is not.
            Some(limit) => Value::from((limit as f64 * factor).ceil() as u64),
            None => value.clone(),
        });
        Some([messages, &tail].concat().into())
    }
}

/// Adds a message with a text.
pub(super) fn push_message(role: &str, content: &str, body: &mut Vec<u8>) {
    body.extend_from_slice(b"{\"role\":\"");
    body.extend_from_slice(role.as_bytes());
    body.extend_from_slice(b"\",\"content\":");
    push_text(content, body);
    body.push(b'}');
}

/// Adds the user's message with a text and the parts that go with it, which each have a comma before them.
fn push_parts(text: Option<&str>, parts: &[u8], body: &mut Vec<u8>) {
    body.extend_from_slice(b"{\"role\":\"user\",\"content\":[");
    match text {
        Some(text) => {
            body.extend_from_slice(b"{\"type\":\"text\",\"text\":");
            push_text(text, body);
            body.push(b'}');
            body.extend_from_slice(parts);
        }
        None => body.extend_from_slice(&parts[1..]),
    }
    body.extend_from_slice(b"]}");
}

/// Adds a text as a JSON string.
pub(super) fn push_text(text: &str, body: &mut Vec<u8>) {
    // Text is always serializable, and a vector always takes it.
    let _ = serde_json::to_writer(body, text);
}
