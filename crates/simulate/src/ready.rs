//! Answers that are made before anybody asks, so that a benchmark measures what stands before the vendor.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    body::{Body, Events},
    openai::CREATED,
    script::{Ready, ScriptError},
    wire::framed,
};

/// Both answers, as bodies and as they go onto the wire.
pub(crate) struct Made {
    pub(crate) whole: Body,
    pub(crate) events: Body,
    pub(crate) whole_framed: Bytes,
    pub(crate) events_framed: Bytes,
}

/// The shortest body that has all members of an answer, and the shortest event.
const SHORTEST: usize = 512;
const SHORTEST_EVENT: usize = 256;

/// The last event.
const DONE: &str = "data: [DONE]\n\n";

/// What the first event has more than the others.
const ROLE: &str = "\"role\":\"assistant\",";

/// No body is longer.
const LONGEST: usize = 256 << 20;

/// What the text is made of.
const WORDS: &str = "the tide turns the mill and the mill turns the tide ";

/// Checks that answers of these sizes can be made.
pub(crate) fn check(ready: &Ready) -> Result<(), ScriptError> {
    let problem = if !(SHORTEST..=LONGEST).contains(&ready.length) {
        "`length` is not between 512 and 268435456"
    } else if ready.events < 4 {
        "`events` is less than 4: there is a first one, one with the finish reason, one with the usage, and `[DONE]`"
    } else if ready.stream_length > LONGEST || ready.stream_length / ready.events < SHORTEST_EVENT / 2 + 40 {
        "`stream_length` is less than 168 bytes for each event, or more than 268435456"
    } else {
        return Ok(());
    };
    Err(ScriptError::Ready(problem))
}

impl Made {
    /// Makes both answers of a model of this name.
    pub(crate) fn new(ready: &Ready, model: &str, pause: Duration) -> Made {
        let model = serde_json::Value::from(model).to_string();
        let usage = "\"usage\":{\"prompt_tokens\":128,\"completion_tokens\":64,\"total_tokens\":192}";
        let before = format!(
            "{{\"id\":\"chatcmpl-ready\",\"object\":\"chat.completion\",\"created\":{CREATED},\"model\":{model},\"choices\":[{{\"index\":0,\
             \"message\":{{\"role\":\"assistant\",\"content\":\""
        );
        let after = format!(
            "\",\"refusal\":null,\"annotations\":[]}},\"logprobs\":null,\"finish_reason\":\"stop\"}}],{usage},\
             \"service_tier\":\"default\",\"system_fingerprint\":\"simulated\"}}"
        );
        let whole = padded(&before, &after, ready.length);

        let head = format!(
            "data: {{\"id\":\"chatcmpl-ready\",\"object\":\"chat.completion.chunk\",\"created\":{CREATED},\"model\":{model},\"choices\":["
        );
        let finish = format!("{head}{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n");
        let bill = format!("{head}],{usage}}}\n\n");
        let n_texts = ready.events - 3;
        let left = ready.stream_length.saturating_sub(finish.len() + bill.len() + DONE.len() + ROLE.len());
        let (mut stream, mut ends) = (String::with_capacity(ready.stream_length), Vec::with_capacity(ready.events));
        for n in 0..n_texts {
            let role = if n == 0 { ROLE } else { "" };
            let before = format!("{head}{{\"index\":0,\"delta\":{{{role}\"content\":\"");
            // What cannot be divided evenly is in the first events.
            let length = left / n_texts + usize::from(n < left % n_texts) + role.len();
            stream.push_str(&padded(&before, "\"},\"finish_reason\":null}]}\n\n", length));
            ends.push(stream.len());
        }
        for event in [&*finish, &bill, DONE] {
            stream.push_str(event);
            ends.push(stream.len());
        }

        let whole = Body::whole(whole);
        let events = Body::Events(Events { bytes: stream.into(), ends, pause });
        let whole_framed = framed("application/json", &whole);
        let events_framed = framed("text/event-stream; charset=utf-8", &events);
        Made { whole, events, whole_framed, events_framed }
    }
}

/// Returns whether a request wants a stream, by a look at its bytes. A message that speaks of `"stream":true` would deceive
/// it, as its quotes would be escaped.
pub(crate) fn wants_stream(body: &[u8]) -> bool {
    let name = b"\"stream\"";
    memchr::memmem::find_iter(body, name).any(|at| {
        let rest = body[at + name.len()..].trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"true"))
    })
}

/// Puts as much text between two parts as makes them so long together.
fn padded(before: &str, after: &str, length: usize) -> String {
    let text = length.saturating_sub(before.len() + after.len());
    let words = WORDS.chars().cycle().take(text);
    before.chars().chain(words).chain(after.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_size_that_was_asked_for() {
        for ready in [Ready::default(), Ready { length: 5_000, events: 7, stream_length: 3_001 }] {
            let made = Made::new(&ready, "m", Duration::ZERO);
            let (Body::Whole(whole), Body::Events(events)) = (&made.whole, &made.events) else {
                panic!("other bodies")
            };
            assert_eq!(whole.len(), ready.length);
            assert_eq!((events.bytes.len(), events.ends.len()), (ready.stream_length, ready.events));
            assert!(made.whole_framed.ends_with(whole) && made.events_framed.ends_with(b"0\r\n\r\n"));
            assert!(serde_json::from_slice::<serde_json::Value>(whole).is_ok());
        }
    }

    #[test]
    fn the_wish_for_a_stream_is_found_in_the_bytes() {
        assert!(wants_stream(br#"{"a":"stream","stream" : true}"#));
        for body in [r#"{"stream":false}"#, r#"{"stream_options":{}}"#, r#"{"a":"\"stream\":true"}"#] {
            assert!(!wants_stream(body.as_bytes()), "{body}");
        }
    }
}
