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
    /// How many answers it wants: 1 unless it says otherwise.
    pub n_choices: usize,
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
        let mut end = text.find('{').map_or(0, |brace| brace + 1);
        json::members(text, |name, value| {
            let span = span_in(text, value);
            match &*name {
                "model" => {
                    scan.model = serde_json::from_str(value.get()).ok();
                    scan.models.push(span.clone());
                }
                "messages" => scan.messages = Some(span.clone()),
                "stream" => scan.stream = Some(value.get() == "true"),
                "stream_options" => scan.has_stream_options = true,
                "n" => scan.n_choices = value.get().parse().unwrap_or(1).max(1),
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
    fn a_request_is_looked_through_once() {
        let text = r#"{"messages":[{"role":"user","content":"hi"}],"n":2,"model":"a\u0062","stream":true,"max_tokens":7,"tools":[{}]}"#;
        let scan = Scan::of(text).unwrap();
        assert_eq!((scan.model.as_deref(), scan.stream, scan.n_choices), (Some("ab"), Some(true), 2));
        assert_eq!((scan.max_tokens, scan.has_tools, scan.wants_schema), (Some(7), true, false));
        assert_eq!(&text[scan.models[0].clone()], r#""a\u0062""#);
        assert!(Scan::of("[1]").is_err() && Scan::of(r#"{"model":"a""#).is_err());
        let bare = Scan::of(r#"{"tools":[],"model":7}"#).unwrap();
        assert_eq!((bare.model, bare.has_tools), (None, false));
    }
}
