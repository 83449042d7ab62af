//! Putting into a request what the vendor needs, and taking out what it does not take.

use std::{borrow::Cow, ops::Range};

use bytes::{BufMut, Bytes, BytesMut};
use domain::{
    json::{self, NotAnObject},
    ports::Ask,
};
use serde_json::value::RawValue;

use super::form;
use crate::abilities::{Abilities, Json};

/// How our own requests begin.
const OURS: &[u8] = br#"{"model":""#;

/// A request as it goes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) body: Bytes,
    /// Whether `stream_options` stand in it that were not in the request.
    pub(super) adds_stream_options: bool,
    /// Whether it demands less of the form of the answer than the request.
    pub(super) lowers_form: bool,
    /// How many choices were asked for.
    pub(super) n_choices: usize,
}

/// Returns `body` with `model`, a JSON string, as its model; for a stream, with what asks for one; and with no more
/// demand on the form of the answer than the vendor takes. Every other byte stays as it is.
///
/// # Errors
/// Where `body` is not a JSON object.
pub(super) fn encode(body: &Bytes, model: &str, ask: Ask, abilities: Abilities) -> Result<Encoded, NotAnObject> {
    let is_stream = ask == Ask::ChatStream;
    let takes_form = ask == Ask::Embeddings || abilities.json == Json::Schema;
    if !is_stream
        && takes_form
        && let Some(value) = at_the_front(body)
    {
        let body = edited(body, vec![(value, Cow::Borrowed(model))]);
        return Ok(Encoded { body, adds_stream_options: false, lowers_form: false, n_choices: 1 });
    }
    let text = std::str::from_utf8(body).map_err(|e| NotAnObject(format!("not valid UTF-8 ({e})")))?;
    let mut request = Request::read(text)?;
    let lowers_form = !takes_form && request.lower_form(abilities.json);
    request.name(model);
    let adds_stream_options = is_stream && request.stream(abilities.stream_options);
    let (edits, n_choices) = (request.edits, request.n_choices);
    Ok(Encoded { body: edited(body, edits), adds_stream_options, lowers_form, n_choices })
}

/// Returns whether `body` demands that the answer is valid against a schema.
pub(super) fn demands_schema(body: &[u8]) -> bool {
    let mut found = false;
    let Ok(text) = std::str::from_utf8(body) else { return false };
    // What is not an object demands nothing, and was told to be none when it was encoded.
    let _ = json::members(text, |name, value| found |= name == "response_format" && form::schema_of(value).is_some());
    found
}

/// A place in a request, and what is to stand there.
type Edit<'a> = (Range<usize>, Cow<'a, str>);

/// A request, looked through for what may have to change.
struct Request<'a> {
    text: &'a str,
    models: Vec<Range<usize>>,
    formats: Vec<Member<'a>>,
    messages: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    has_stream_options: bool,
    n_choices: usize,
    /// Members that will stand in the request.
    n_members: usize,
    edits: Vec<Edit<'a>>,
}

struct Member<'a> {
    value: &'a RawValue,
    /// All of the member with one comma.
    whole: Range<usize>,
}

impl<'a> Request<'a> {
    fn read(text: &'a str) -> Result<Self, NotAnObject> {
        let mut request = Self {
            text,
            models: Vec::new(),
            formats: Vec::new(),
            messages: None,
            stream: None,
            has_stream_options: false,
            n_choices: 1,
            n_members: 0,
            edits: Vec::new(),
        };
        let mut end = text.find('{').map_or(0, |brace| brace + 1);
        json::members(text, |name, value| {
            let span = span_in(text, value);
            match &*name {
                "model" => request.models.push(span.clone()),
                "messages" => request.messages = Some(value),
                "stream" => request.stream = Some(value),
                "stream_options" => request.has_stream_options = true,
                "n" => request.n_choices = value.get().parse().unwrap_or(1).max(1),
                "response_format" => {
                    let mut whole = end..span.end;
                    if request.n_members == 0 {
                        // Nothing stands before it, so the comma behind it goes.
                        let rest = &text[span.end..];
                        let comma =
                            rest.find(|c: char| !c.is_ascii_whitespace()).filter(|at| rest[*at..].starts_with(','));
                        whole.end += comma.map_or(0, |at| at + 1);
                    }
                    request.formats.push(Member { value, whole });
                }
                _ => {}
            }
            request.n_members += 1;
            end = span.end;
        })?;
        Ok(request)
    }

    /// Puts in the model's name. Parsers differ in which of two members they believe, so all of them say the same.
    fn name(&mut self, model: &'a str) {
        if self.models.is_empty() {
            let behind_brace = self.text.find('{').map_or(0, |brace| brace + 1);
            let member = format!("\"model\":{model}{}", if self.n_members == 0 { "" } else { "," });
            self.n_members += 1;
            self.edits.push((behind_brace..behind_brace, member.into()));
        }
        self.edits.extend(self.models.drain(..).map(|span| (span, Cow::Borrowed(model))));
    }

    /// Asks for a stream; returns whether that added `stream_options`.
    fn stream(&mut self, takes_options: bool) -> bool {
        // A request that says itself whether it wants a stream knows better; options belong to a stream only.
        let is_said = self.stream.is_some();
        let is_stream = self.stream.is_none_or(|value| value.get() == "true");
        let adds_options = takes_options && is_stream && !self.has_stream_options;
        let mut added = String::new();
        for (member, is_added) in
            [("\"stream\":true", !is_said), ("\"stream_options\":{\"include_usage\":true}", adds_options)]
        {
            if is_added {
                added.push_str(if self.n_members == 0 { "" } else { "," });
                added.push_str(member);
                self.n_members += 1;
            }
        }
        // The brace is there: it was read as an object.
        let brace = self.text.rfind('}').unwrap_or(self.text.len());
        if !added.is_empty() {
            self.edits.push((brace..brace, added.into()));
        }
        adds_options
    }

    /// Demands less of the form of the answer, and tells the model in words what is no longer demanded; returns whether
    /// anything was demanded.
    fn lower_form(&mut self, to: Json) -> bool {
        let demands = self.formats.iter().filter_map(|member| Some((member, form::schema_of(member.value)?)));
        let demands: Vec<_> = demands.collect();
        let Some((_, schema)) = demands.last() else { return false };
        let instruction = form::instruction(*schema);
        for (member, _) in &demands {
            let value = span_in(self.text, member.value);
            self.edits.push(match to {
                Json::None if demands.len() == 1 => (member.whole.clone(), Cow::Borrowed("")),
                // Taking out one of two neighbours would need to know who owns the comma between them.
                Json::None => (value, Cow::Borrowed(r#"{"type":"text"}"#)),
                Json::Schema | Json::Object => (value, Cow::Borrowed(r#"{"type":"json_object"}"#)),
            });
        }
        self.n_members -= usize::from(to == Json::None && demands.len() == 1);
        let told = self.messages.and_then(|messages| {
            let (at, words) = form::told(messages, &instruction)?;
            let start = span_in(self.text, messages).start;
            Some((start + at.start..start + at.end, words.into()))
        });
        self.edits.extend(told);
        true
    }
}

/// Returns where in `text` a part of it stands.
fn span_in(text: &str, part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.get().len()
}

/// Returns where the model's name stands in a request of ours, which begins with it. Only this much of it is read: the
/// rest was written by us, and can be long.
fn at_the_front(body: &[u8]) -> Option<Range<usize>> {
    let name = body.strip_prefix(OURS)?;
    let mut end = 0;
    loop {
        end += memchr::memchr2(b'"', b'\\', &name[end..])?;
        if name[end] == b'"' {
            // With its quotes.
            return Some(OURS.len() - 1..OURS.len() + end + 1);
        }
        end += 2;
        if end > name.len() {
            return None;
        }
    }
}

fn edited(body: &Bytes, mut edits: Vec<Edit<'_>>) -> Bytes {
    // What is put in at a place stands before what is taken out there.
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let added: usize = edits.iter().map(|(_, with)| with.len()).sum();
    let mut out = BytesMut::with_capacity(body.len() + added);
    let mut copied = 0;
    for (range, with) in edits {
        out.put_slice(&body[copied..range.start]);
        out.put_slice(with.as_bytes());
        copied = range.end;
    }
    out.put_slice(&body[copied..]);
    out.freeze()
}

#[cfg(test)]
mod tests;
