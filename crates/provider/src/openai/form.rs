//! The form of an answer: demanded of the vendor where it takes that, told to the model in words where it does not.

use std::ops::Range;

use domain::json;
use serde_json::{Value, value::RawValue};

/// Returns the schema that a `response_format` demands, which may be missing; nothing where it demands none.
///
/// Any other format is the user's own, and is left as it is.
pub(super) fn schema_of(format: &RawValue) -> Option<Option<&RawValue>> {
    let (mut is_schema, mut schema) = (false, None);
    json::members(format.get(), |name, value| match &*name {
        "type" => is_schema = value.get() == "\"json_schema\"",
        "json_schema" => {
            // What is no object holds no schema.
            let _ = json::members(value.get(), |name, value| {
                if name == "schema" {
                    schema = Some(value);
                }
            });
        }
        _ => {}
    })
    .ok()?;
    is_schema.then_some(schema)
}

/// Words the demand for the model. Vendors that take `json_object` want to see the word JSON among the messages:
/// <https://api-docs.deepseek.com/guides/json_mode>.
pub(super) fn instruction(schema: Option<&RawValue>) -> String {
    let Some(schema) = schema else {
        return "Answer with one JSON object and nothing else: no words around it, no code fence.".to_owned();
    };
    format!(
        "Answer with JSON that is valid against the JSON Schema below, and with nothing else: no words around it, no code \
         fence, not the schema itself.\n{}",
        schema.get()
    )
}

/// Returns where in `messages` the instruction is to stand, and as what: behind the words of the first system message,
/// else as a system message of its own before all others. Nothing where `messages` is no list of objects.
pub(super) fn told(messages: &RawValue, instruction: &str) -> Option<(Range<usize>, String)> {
    let text = messages.get();
    let all: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    for message in &all {
        let (mut is_system, mut content) = (false, None);
        json::members(message.get(), |name, value| match &*name {
            "role" => is_system = matches!(value.get(), "\"system\"" | "\"developer\""),
            "content" => content = Some(value),
            _ => {}
        })
        .ok()?;
        if let Some(content) = content.filter(|_| is_system) {
            let start = content.get().as_ptr() as usize - text.as_ptr() as usize;
            let (at, words) = behind(content.get(), instruction);
            return Some((start + at.start..start + at.end, words));
        }
    }
    let comma = if all.is_empty() { "" } else { "," };
    Some((1..1, format!("{{\"role\":\"system\",\"content\":{}}}{comma}", Value::from(instruction))))
}

/// Returns where in a content the instruction is to stand, and as what.
fn behind(content: &str, instruction: &str) -> (Range<usize>, String) {
    let last = content.len() - 1;
    match content.as_bytes()[0] {
        b'"' => {
            let gap = if content.len() > 2 { "\n\n" } else { "" };
            let quoted = Value::from(format!("{gap}{instruction}")).to_string();
            (last..last, quoted[1..quoted.len() - 1].to_owned())
        }
        b'[' => {
            let comma = if content[1..last].trim_ascii().is_empty() { "" } else { "," };
            (last..last, format!("{comma}{{\"type\":\"text\",\"text\":{}}}", Value::from(instruction)))
        }
        _ => (0..content.len(), Value::from(instruction).to_string()),
    }
}
