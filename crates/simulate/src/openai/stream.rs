//! A chat completion as server-sent events.

use std::io::Write as _;

use bytes::Bytes;

use super::{
    call::Call,
    chat::{ChatRequest, Choice, Identity, quote},
};
use crate::script::Script;

/// How many bytes of text an event carries at most: about as much as a token or three.
const PIECE: usize = 16;

/// Writes the events of an answer, and where each of them ends.
pub(super) fn events(
    request: &ChatRequest<'_>,
    script: &Script,
    identity: Identity,
    choices: &[Choice],
) -> (Bytes, Vec<usize>) {
    let mut events = Events { request, head: Vec::new(), out: Vec::new(), ends: Vec::new() };
    events.head.extend_from_slice(b"data: ");
    request.open(identity, "chat.completion.chunk", &mut events.head);
    for (index, choice) in choices.iter().enumerate() {
        let content = if choice.call.is_some() { "null" } else { "\"\"" };
        events.delta(index, None, |out| {
            let _ = write!(out, "\"role\":\"assistant\",\"content\":{content}");
        });
        if let Some((name, thought)) = &choice.reasoning {
            events.text(index, name, thought);
        }
        let (name, text) = match choice.refusal {
            Some(refusal) => ("refusal", refusal),
            None => ("content", choice.content.as_deref().unwrap_or_default()),
        };
        events.text(index, name, text);
        if let Some(call) = &choice.call {
            events.call(index, call);
        }
        if let Some(reason) = choice.finish_reason {
            events.delta(index, Some(reason), |_| {});
        }
    }
    if request.includes_usage {
        events.event(|request, out| {
            out.extend_from_slice(b"],\"usage\":");
            request.usage(script, choices, out);
        });
    }
    events.out.extend_from_slice(b"data: [DONE]\n\n");
    events.ends.push(events.out.len());
    (events.out.into(), events.ends)
}

struct Events<'a> {
    request: &'a ChatRequest<'a>,
    /// What every event begins with.
    head: Vec<u8>,
    out: Vec<u8>,
    ends: Vec<usize>,
}

impl Events<'_> {
    /// Writes a text in pieces.
    fn text(&mut self, index: usize, name: &str, text: &str) {
        for piece in pieces(text) {
            self.delta(index, None, |out| {
                let _ = write!(out, "\"{name}\":");
                quote(Some(piece), out);
            });
        }
    }

    /// Writes a call: its name first, and its arguments in pieces.
    fn call(&mut self, index: usize, call: &Call) {
        self.delta(index, None, |out| {
            out.extend_from_slice(b"\"tool_calls\":[");
            Call { arguments: String::new(), ..call.clone() }.write(Some(0), out);
            out.push(b']');
        });
        for piece in pieces(&call.arguments) {
            self.delta(index, None, |out| {
                out.extend_from_slice(b"\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":");
                quote(Some(piece), out);
                out.extend_from_slice(b"}}]");
            });
        }
    }

    fn delta(&mut self, index: usize, finish_reason: Option<&str>, delta: impl FnOnce(&mut Vec<u8>)) {
        self.event(|request, out| {
            let _ = write!(out, "{{\"index\":{index},\"delta\":{{");
            delta(out);
            out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":");
            quote(finish_reason, out);
            out.extend_from_slice(b"}]");
            if request.includes_usage {
                out.extend_from_slice(b",\"usage\":null");
            }
        });
    }

    fn event(&mut self, rest: impl FnOnce(&ChatRequest<'_>, &mut Vec<u8>)) {
        self.out.extend_from_slice(&self.head);
        rest(self.request, &mut self.out);
        self.out.extend_from_slice(b"}\n\n");
        self.ends.push(self.out.len());
    }
}

/// Cuts the text into pieces that end between characters.
pub(super) fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE.min(text.len())));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}
