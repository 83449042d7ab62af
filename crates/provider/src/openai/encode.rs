//! Putting into a request what the vendor needs, and taking out what it does not take.

use std::{borrow::Cow, ops::Range};

use bytes::{BufMut, Bytes, BytesMut};
use domain::{
    json::{self, NotAnObject},
    ports::Ask,
};
use serde_json::value::RawValue;

use super::{form, scan::Scan};
use crate::{
    abilities::{Abilities, Json},
    transport::Payload,
};

/// How our own requests begin.
const OURS: &[u8] = br#"{"model":""#;

/// Up to this length a request is copied into one piece: the system likes few pieces, and so short a copy is cheaper.
const COPIED: usize = 64 * 1024;

/// A request as it goes out.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) body: Payload,
    /// Whether `stream_options` stand in it that were not in the request.
    pub(super) adds_stream_options: bool,
    /// Whether it demands less of the form of the answer than the request.
    pub(super) lowers_form: bool,
    /// How many choices were asked for.
    pub(super) n_choices: usize,
}

/// Returns `body` with `model`, a JSON string, as its model; for a stream, with what asks for one; with no more demand on
/// the form of the answer than the vendor takes; and with those of `defaults`, members as they stand in JSON, that it
/// lacks. Every other byte stays as it is.
///
/// # Errors
/// Where `body` is not a JSON object.
pub(super) fn encode(
    body: &Bytes,
    model: &str,
    ask: Ask,
    abilities: Abilities,
    defaults: &[(String, String)],
) -> Result<Encoded, NotAnObject> {
    let is_stream = ask == Ask::ChatStream;
    let takes_form = ask == Ask::Embeddings || abilities.json == Json::Schema;
    if !is_stream
        && takes_form
        && defaults.is_empty()
        && let Some(value) = at_the_front(body)
    {
        let body = edited(body, vec![(value, Cow::Borrowed(model))]);
        return Ok(Encoded { body, adds_stream_options: false, lowers_form: false, n_choices: 1 });
    }
    let text = text(body)?;
    let scan = Scan::of(text)?;
    let mut changes = Changes::new(text, &scan);
    let lowers_form = !takes_form && changes.lower_form(abilities.json);
    changes.name(model);
    let adds_stream_options = is_stream && changes.stream(abilities.stream_options);
    changes.complete(defaults)?;
    let n_choices = scan.n_choices;
    Ok(Encoded { body: edited(body, changes.edits), adds_stream_options, lowers_form, n_choices })
}

/// Returns a request of a client as it goes out: with `model` as its model, no more demand on the form of the answer than
/// the vendor takes, and those of `defaults`, members as they stand in JSON, that it lacks. Every other byte stays.
///
/// # Errors
/// Where `body` is not what `scan` was made of.
pub(super) fn adapt(
    body: &Bytes,
    scan: &Scan,
    model: &str,
    json: Json,
    defaults: &[(String, String)],
) -> Result<Payload, NotAnObject> {
    if let ([model_span], true, true) = (scan.models.as_slice(), json == Json::Schema, defaults.is_empty()) {
        return Ok(edited(body, vec![(model_span.clone(), Cow::Borrowed(model))]));
    }
    let text = text(body)?;
    let mut changes = Changes::new(text, scan);
    if json != Json::Schema {
        changes.lower_form(json);
    }
    changes.name(model);
    changes.complete(defaults)?;
    Ok(edited(body, changes.edits))
}

fn text(body: &[u8]) -> Result<&str, NotAnObject> {
    std::str::from_utf8(body).map_err(|e| NotAnObject(format!("not valid UTF-8 ({e})")))
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

/// What will be different in a request.
struct Changes<'a> {
    text: &'a str,
    scan: &'a Scan,
    /// Members that will stand in the request.
    n_members: usize,
    edits: Vec<Edit<'a>>,
}

impl<'a> Changes<'a> {
    fn new(text: &'a str, scan: &'a Scan) -> Self {
        Self { text, scan, n_members: scan.n_members, edits: Vec::new() }
    }

    /// Puts in the model's name. Parsers differ in which of two members they believe, so all of them say the same.
    fn name(&mut self, model: &'a str) {
        if self.scan.models.is_empty() {
            let behind_brace = self.text.find('{').map_or(0, |brace| brace + 1);
            let member = format!("\"model\":{model}{}", if self.n_members == 0 { "" } else { "," });
            self.n_members += 1;
            self.edits.push((behind_brace..behind_brace, member.into()));
        }
        self.edits.extend(self.scan.models.iter().map(|span| (span.clone(), Cow::Borrowed(model))));
    }

    /// Asks for a stream; returns whether that added `stream_options`.
    fn stream(&mut self, takes_options: bool) -> bool {
        // A request that says itself whether it wants a stream knows better; options belong to a stream only.
        let is_said = self.scan.stream.is_some();
        let is_stream = self.scan.stream.unwrap_or(true);
        let adds_options = takes_options && is_stream && !self.scan.has_stream_options;
        let members = [("\"stream\":true", !is_said), ("\"stream_options\":{\"include_usage\":true}", adds_options)];
        for (member, _) in members.into_iter().filter(|(_, is_added)| *is_added) {
            self.add(member);
        }
        adds_options
    }

    /// Adds a member behind all others.
    fn add(&mut self, member: &str) {
        // The brace is there: it was read as an object.
        let brace = self.text.rfind('}').unwrap_or(self.text.len());
        let comma = if self.n_members == 0 { "" } else { "," };
        self.edits.push((brace..brace, format!("{comma}{member}").into()));
        self.n_members += 1;
    }

    /// Adds those of `defaults` that it lacks.
    fn complete(&mut self, defaults: &[(String, String)]) -> Result<(), NotAnObject> {
        if defaults.is_empty() {
            return Ok(());
        }
        let mut missing: Vec<_> = defaults.iter().collect();
        json::members(self.text, |name, _| missing.retain(|(default, _)| *default != name))?;
        for (name, value) in missing {
            self.add(&format!("{}:{value}", serde_json::Value::from(name.as_str())));
        }
        Ok(())
    }

    /// Demands less of the form of the answer, and tells the model in words what is no longer demanded; returns whether
    /// anything was demanded.
    fn lower_form(&mut self, to: Json) -> bool {
        let Scan { formats, messages, .. } = self.scan;
        let part = |span: &Range<usize>| serde_json::from_str::<&RawValue>(&self.text[span.clone()]).ok();
        let demands = formats.iter().filter_map(|member| Some((member, form::schema_of(part(&member.value)?)?)));
        let demands: Vec<_> = demands.collect();
        let Some((_, schema)) = demands.last() else { return false };
        let instruction = form::instruction(*schema);
        for (member, _) in &demands {
            let value = member.value.clone();
            self.edits.push(match to {
                Json::None if demands.len() == 1 => (member.whole.clone(), Cow::Borrowed("")),
                // Taking out one of two neighbours would need to know who owns the comma between them.
                Json::None => (value, Cow::Borrowed(r#"{"type":"text"}"#)),
                Json::Schema | Json::Object => (value, Cow::Borrowed(r#"{"type":"json_object"}"#)),
            });
        }
        self.n_members -= usize::from(to == Json::None && demands.len() == 1);
        let told = messages.as_ref().and_then(|span| {
            let (at, words) = form::told(part(span)?, &instruction)?;
            Some((span.start + at.start..span.start + at.end, words.into()))
        });
        self.edits.extend(told);
        true
    }
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

/// Makes the changes. What is long is not copied: its parts are sent one behind the other.
fn edited(body: &Bytes, mut edits: Vec<Edit<'_>>) -> Payload {
    // What is put in at a place stands before what is taken out there; what is put in there later stands behind it.
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    if body.len() > COPIED {
        let mut pieces = Vec::with_capacity(2 * edits.len() + 1);
        let mut sent = 0;
        for (range, with) in edits {
            pieces.push(body.slice(sent..range.start));
            pieces.push(Bytes::copy_from_slice(with.as_bytes()));
            sent = range.end;
        }
        pieces.push(body.slice(sent..));
        return Payload::Pieces(pieces);
    }
    let added: usize = edits.iter().map(|(_, with)| with.len()).sum();
    let mut out = BytesMut::with_capacity(body.len() + added);
    let mut copied = 0;
    for (range, with) in edits {
        out.put_slice(&body[copied..range.start]);
        out.put_slice(with.as_bytes());
        copied = range.end;
    }
    out.put_slice(&body[copied..]);
    Payload::One(out.freeze())
}

#[cfg(test)]
mod tests;
