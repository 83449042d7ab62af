//! What a request asks for, found in one pass over its text.

use std::ops::Range;

use bytes::Bytes;
use domain::json::{self, NotAnObject};
use serde_json::value::RawValue;

/// Where in a request stands what may have to change, and what is needed to choose who gets it.
///
/// It holds places and not the text, so that it can be kept beside the request while one upstream after the other is
/// asked.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The requested name; nothing where there is none.
    pub model: Option<String>,
    /// Whether it says itself that it wants a stream, or none.
    pub stream: Option<bool>,
    /// How many answers it wants: 1 unless it says otherwise. Where there are several prompts, so many for each.
    pub n_choices: usize,
    /// What of the members that decide how it is treated is not of the type that it must have, or stands there twice with
    /// different values, so that vendors differ in which of them they believe; with the member's name.
    pub unclear: Option<(&'static str, String)>,
    /// The longest answer that it wants, in tokens.
    pub max_tokens: Option<u64>,
    /// Whether it offers tools.
    pub has_tools: bool,
    /// Whether it demands that the answer is valid against a schema.
    pub wants_schema: bool,
    pub(super) models: Vec<Range<usize>>,
    pub(super) formats: Vec<Member>,
    pub(super) messages: Option<Range<usize>>,
    pub(super) has_stream_options: bool,
    pub(super) n_members: usize,
}

/// A member of a request.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) value: Range<usize>,
    /// All of the member with one comma.
    pub(super) whole: Range<usize>,
}

impl Scan {
    /// Looks through the JSON object that `text` is.
    ///
    /// # Errors
    /// Where it is none.
    pub fn of(text: &str) -> Result<Self, NotAnObject> {
        let mut scan = Self { n_choices: 1, ..Self::default() };
        let (mut n_prompts, mut deciding): (usize, Vec<(&'static str, &str)>) = (1, Vec::new());
        let mut end = text.find('{').map_or(0, |brace| brace + 1);
        json::members(text, |name, value| {
            let span = span_in(text, value);
            match &*name {
                "model" => {
                    // Of several the last one counts, and all of them are rewritten.
                    scan.model = serde_json::from_str(value.get()).unwrap_or_else(|_| {
                        scan.unclear = Some(("model", not_a("a string", value)));
                        None
                    });
                    scan.models.push(span.clone());
                }
                "messages" => scan.messages = Some(span.clone()),
                "stream" => {
                    scan.stream = Some(value.get() == "true");
                    if !matches!(value.get(), "true" | "false" | "null") {
                        scan.unclear = Some(("stream", not_a("a boolean", value)));
                    }
                    deciding.push(("stream", value.get()));
                }
                "stream_options" => scan.has_stream_options = true,
                "n" => {
                    scan.n_choices = value.get().parse().unwrap_or(1).max(1);
                    deciding.push(("n", value.get()));
                }
                "prompt" => {
                    n_prompts = n_in(value);
                    deciding.push(("prompt", value.get()));
                }
                "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
                    scan.max_tokens = value.get().parse().ok().or(scan.max_tokens);
                }
                "tools" | "functions" => scan.has_tools |= !matches!(value.get(), "null" | "[]"),
                "response_format" => {
                    scan.wants_schema |= value.get().contains("json_schema");
                    let mut whole = end..span.end;
                    if scan.n_members == 0 {
                        // Nothing stands before it, so the comma behind it goes.
                        let rest = &text[span.end..];
                        let comma =
                            rest.find(|c: char| !c.is_ascii_whitespace()).filter(|at| rest[*at..].starts_with(','));
                        whole.end += comma.map_or(0, |at| at + 1);
                    }
                    scan.formats.push(Member { value: span.clone(), whole });
                }
                _ => {}
            }
            scan.n_members += 1;
            end = span.end;
        })?;
        if scan.messages.is_none() {
            scan.n_choices = scan.n_choices.saturating_mul(n_prompts);
        }
        let differs = |(at, (name, value)): (usize, &(&'static str, &str))| {
            deciding[..at].iter().any(|(other, said)| other == name && said != value).then_some(*name)
        };
        if let Some(name) = deciding.iter().enumerate().find_map(differs) {
            scan.unclear = Some((name, format!("`{name}` stands there twice, with different values")));
        }
        Ok(scan)
    }

    /// Returns the request for the rest of an answer that began with `text`: with what was said so far as the last message.
    /// Nothing where there are no messages.
    #[must_use]
    pub fn prefilled(&self, body: &Bytes, text: &str) -> Option<Bytes> {
        let messages = self.messages.clone()?;
        let end = messages.end.checked_sub(1).filter(|end| body.get(*end) == Some(&b']'))?;
        let is_empty = body[messages.start + 1..end].trim_ascii().is_empty();
        let message = serde_json::json!({ "role": "assistant", "content": text });
        let message = format!("{}{message}", if is_empty { "" } else { "," });
        Some([&body[..end], message.as_bytes(), &body[end..]].concat().into())
    }
}

fn not_a(wanted: &str, value: &RawValue) -> String {
    // A string that is none has an escape that stands for nothing.
    let is = if value.get().starts_with('"') { "a string that is not valid Unicode" } else { json::kind_of(value) };
    format!("it must be {wanted}, and is {is}")
}

/// Returns how many prompts a member has: an array of texts or of arrays of tokens is several, one of tokens is one.
/// <https://platform.openai.com/docs/api-reference/completions/create#completions-create-prompt>
fn n_in(prompt: &RawValue) -> usize {
    let inside = prompt.get().strip_prefix('[').map(|rest| rest.trim_ascii_start().as_bytes().first());
    match inside {
        Some(Some(b'"' | b'[')) => serde_json::from_str::<Vec<&RawValue>>(prompt.get()).map_or(1, |all| all.len()),
        _ => 1,
    }
}

/// Returns where in `text` a part of it stands.
fn span_in(text: &str, part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.get().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_cut_is_asked_for_from_there() {
        let body = Bytes::from(r#"{"messages":[{"role":"user","content":"hi"}],"model":"a"}"#);
        let scan = Scan::of(std::str::from_utf8(&body).unwrap()).unwrap();
        let expected =
            r#"{"messages":[{"role":"user","content":"hi"},{"content":"say \"so","role":"assistant"}],"model":"a"}"#;
        let got: serde_json::Value = serde_json::from_slice(&scan.prefilled(&body, "say \"so").unwrap()).unwrap();
        assert_eq!(got, serde_json::from_str::<serde_json::Value>(expected).unwrap());
        let body = Bytes::from(r#"{"prompt":"a"}"#);
        assert!(Scan::of(r#"{"prompt":"a"}"#).unwrap().prefilled(&body, "b").is_none());
    }

    #[test]
    fn several_prompts_want_several_answers() {
        for (text, n) in [
            (r#"{"prompt":"a"}"#, 1),
            (r#"{"prompt":["a","b","c"],"n":2}"#, 6),
            (r#"{"n":2,"prompt":[ [1,2], [3] ]}"#, 4),
            (r#"{"prompt":[1,2,3]}"#, 1),
            (r#"{"prompt":[]}"#, 1),
            // So many are tried, and the best are answered.
            (r#"{"prompt":["a","b"],"best_of":5}"#, 2),
            // Chats have messages, and responses a prompt that is something else.
            (r#"{"messages":[],"prompt":["a","b"]}"#, 1),
            (r#"{"prompt":{"id":"p"}}"#, 1),
        ] {
            assert_eq!(Scan::of(text).unwrap().n_choices, n, "{text}");
        }
    }

    #[test]
    fn a_request_is_looked_through_once() {
        let text = r#"{"messages":[{"role":"user","content":"hi"}],"n":2,"model":"a\u0062","stream":true,"max_tokens":7,"tools":[{}]}"#;
        let scan = Scan::of(text).unwrap();
        assert_eq!((scan.model.as_deref(), scan.stream, scan.n_choices), (Some("ab"), Some(true), 2));
        assert_eq!((scan.max_tokens, scan.has_tools, scan.wants_schema), (Some(7), true, false));
        assert_eq!(&text[scan.models[0].clone()], r#""a\u0062""#);
        assert!(Scan::of("[1]").is_err() && Scan::of(r#"{"model":"a""#).is_err());
        for (text, unclear) in [
            (r#"{"model":7}"#, Some("model")),
            (r#"{"model":"\ud800"}"#, Some("model")),
            (r#"{"model":["a"]}"#, Some("model")),
            (r#"{"stream":"yes"}"#, Some("stream")),
            (r#"{"stream":1}"#, Some("stream")),
            (r#"{"stream":true,"stream":false}"#, Some("stream")),
            (r#"{"n":1,"n":2}"#, Some("n")),
            (r#"{"model":null,"stream":null,"n":null}"#, None),
            (r#"{"model":"a","model":"b","stream":true,"stream":true,"tools":[{"stream":"yes"}]}"#, None),
        ] {
            assert_eq!(Scan::of(text).unwrap().unclear.map(|(name, _)| name), unclear, "{text}");
        }
        let bare = Scan::of(r#"{"tools":[],"model":7}"#).unwrap();
        assert_eq!((bare.model, bare.has_tools), (None, false));
    }
}
