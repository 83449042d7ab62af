//! A whole answer for a client that waits for events: some upstreams do not stream, whatever they are asked.

use bytes::Bytes;
use domain::json::{self, NotAnObject};
use provider::watch::Events;
use serde_json::value::RawValue;

/// Returns a whole answer as the events that a stream of it would have had, as few as there can be; nothing where it is no
/// such answer. Values stay as the vendor wrote them.
pub(super) fn as_events(events: Events, answer: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(answer).ok()?;
    match events {
        Events::Choices => Some(format!("data: {}\n\ndata: [DONE]\n\n", chunk(text)?).into()),
        Events::Responses => response(text).map(Bytes::from),
    }
}

/// <https://platform.openai.com/docs/api-reference/chat/streaming>: what is `message` there is `delta` here.
fn chunk(text: &str) -> Option<String> {
    let mut has_choices = false;
    let chunk = edited(text, |name, value| match name {
        "object" if value.get() == "\"chat.completion\"" => Some("\"chat.completion.chunk\"".to_owned()),
        "choices" => {
            let all: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            let all: Option<Vec<String>> = all.iter().enumerate().map(|(n, one)| choice(n, one.get())).collect();
            has_choices = all.as_ref().is_some_and(|all| !all.is_empty());
            Some(format!("[{}]", all?.join(",")))
        }
        _ => None,
    });
    // Without any, nothing was answered that a client could make something of.
    chunk.ok().filter(|_| has_choices)
}

fn choice(number: usize, text: &str) -> Option<String> {
    let mut has_index = false;
    let mut out = Object::default();
    json::members(text, |name, value| {
        has_index |= name == "index";
        match &*name {
            "message" => out.add("delta", &delta(value.get()).unwrap_or_else(|| "{}".to_owned())),
            name => out.add(name, &compact(value)),
        }
    })
    .ok()?;
    if !has_index {
        out.add("index", &number.to_string());
    }
    Some(out.done())
}

/// Calls of tools are put together by their number, which they have in streams only.
fn delta(message: &str) -> Option<String> {
    let numbered = |calls: &RawValue| -> Option<String> {
        let calls: Vec<&RawValue> = serde_json::from_str(calls.get()).ok()?;
        let calls = calls.iter().enumerate().map(|(number, call)| {
            let (mut out, mut has_index) = (Object::default(), false);
            json::members(call.get(), |name, value| {
                has_index |= name == "index";
                out.add(&name, &compact(value));
            })
            .ok()?;
            if !has_index {
                out.add("index", &number.to_string());
            }
            Some(out.done())
        });
        Some(format!("[{}]", calls.collect::<Option<Vec<_>>>()?.join(",")))
    };
    edited(message, |name, value| if name == "tool_calls" { numbered(value) } else { None }).ok()
}

/// <https://platform.openai.com/docs/api-reference/responses-streaming>: the whole response stands in its last event, and
/// clients want one before it.
fn response(text: &str) -> Option<String> {
    let (mut status, mut is_response) = (String::new(), false);
    let whole = edited(text, |name, value| {
        is_response |= name == "output";
        if name == "status" {
            status = serde_json::from_str(value.get()).unwrap_or_default();
        }
        None
    });
    let whole = whole.ok().filter(|_| is_response)?;
    let begun = edited(text, |name, _| match name {
        "status" => Some("\"in_progress\"".to_owned()),
        "output" => Some("[]".to_owned()),
        "usage" => Some("null".to_owned()),
        _ => None,
    });
    let end = match &*status {
        "failed" => "response.failed",
        "incomplete" => "response.incomplete",
        _ => "response.completed",
    };
    let event = |number: u8, kind: &str, response: &str| {
        format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number},\"response\":{response}}}\n\n")
    };
    Some(event(0, "response.created", &begun.ok()?) + &event(1, end, &whole))
}

/// Returns an object on one line, with those members changed for which `change` returns something.
fn edited(text: &str, mut change: impl FnMut(&str, &RawValue) -> Option<String>) -> Result<String, NotAnObject> {
    let mut out = Object::default();
    json::members(text, |name, value| {
        let value = change(&name, value).unwrap_or_else(|| compact(value));
        out.add(&name, &value);
    })?;
    Ok(out.done())
}

/// An event is a line, so no value may have one within.
fn compact(value: &RawValue) -> String {
    let mut out = String::with_capacity(value.get().len());
    json::compact(value.get(), &mut out);
    out
}

/// An object that is written.
#[derive(Default)]
struct Object(String);

impl Object {
    fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&serde_json::Value::from(name).to_string());
        self.0.push(':');
        self.0.push_str(value);
    }

    fn done(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(events: Events, answer: &str) -> Option<String> {
        as_events(events, answer.as_bytes()).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_whole_chat_becomes_one_event_and_its_end() {
        let answer = concat!(
            "{\n \"id\": \"c\", \"object\": \"chat.completion\", \"choices\": [\n",
            "{\"message\": {\"role\":\"assistant\",\"content\":\"a\\n b\",\"tool_calls\":[{\"id\":\"t\"},{\"index\":7}]},",
            "\"logprobs\":1.10, \"finish_reason\":\"stop\"}], \"usage\":{\"total_tokens\": 3}}"
        );
        let expected = concat!(
            "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[",
            "{\"delta\":{\"role\":\"assistant\",\"content\":\"a\\n b\",\"tool_calls\":[{\"id\":\"t\",\"index\":0},{\"index\":7}]},",
            "\"logprobs\":1.10,\"finish_reason\":\"stop\",\"index\":0}],\"usage\":{\"total_tokens\":3}}\n\ndata: [DONE]\n\n"
        );
        assert_eq!(events(Events::Choices, answer).as_deref(), Some(expected));
        // Completions look the same either way.
        let text = r#"{"object":"text_completion","choices":[{"index":0,"text":"a","finish_reason":"stop"}]}"#;
        assert_eq!(events(Events::Choices, text), Some(format!("data: {text}\n\ndata: [DONE]\n\n")));
    }

    #[test]
    fn a_whole_response_stands_in_its_last_event() {
        let got =
            events(Events::Responses, r#"{"id":"r","status":"incomplete","output":[{"a":1}],"usage":{}}"#).unwrap();
        let created = r#"{"id":"r","status":"in_progress","output":[],"usage":null}"#;
        assert!(got.starts_with("event: response.created\ndata: ") && got.contains(created), "{got}");
        let whole = r#""response":{"id":"r","status":"incomplete","output":[{"a":1}],"usage":{}}}"#;
        assert!(
            got.contains("\n\nevent: response.incomplete\ndata: ") && got.ends_with(&format!("{whole}\n\n")),
            "{got}"
        );
    }

    #[test]
    fn what_is_no_answer_becomes_none() {
        for answer in ["", "[]", "{}", r#"{"choices":[]}"#, r#"{"choices":"a"}"#, r#"{"choices":[1]}"#] {
            assert_eq!(events(Events::Choices, answer), None, "{answer}");
            assert_eq!(events(Events::Responses, answer), None, "{answer}");
        }
    }
}
