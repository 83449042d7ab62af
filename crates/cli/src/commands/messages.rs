//! A request for people.

use serde::Deserialize;
use serde_json::Value;

/// Returns the texts of a request's messages with their roles, for people; parts that are no text are named.
pub(crate) fn messages(body: &[u8]) -> Vec<(String, String)> {
    #[derive(Deserialize)]
    struct Request {
        #[serde(default)]
        messages: Vec<Message>,
        input: Option<Value>,
    }
    #[derive(Deserialize)]
    struct Message {
        role: String,
        #[serde(default)]
        content: Value,
    }
    let Ok(request) = serde_json::from_slice::<Request>(body) else { return Vec::new() };
    let text_of = |content: Value| match content {
        Value::String(text) => text,
        Value::Array(parts) => parts
            .iter()
            .map(|part| match (part["text"].as_str(), part["type"].as_str()) {
                (Some(text), _) => text.to_owned(),
                (None, kind) => format!("[{}]", kind.unwrap_or("part")),
            })
            .collect::<Vec<_>>()
            .join("\n"),
        other => other.to_string(),
    };
    let input = request.input.map(|input| ("input".to_owned(), text_of(input)));
    request.messages.into_iter().map(|message| (message.role, text_of(message.content))).chain(input).collect()
}
