//! Completions of a prompt, from before there were chats.

use std::{io::Write as _, sync::Arc};

use http::{HeaderValue, Response, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    CREATED,
    bill::Tokens,
    chat::{Choice, Identity, StreamOptions, quote},
    error::WireError,
    stream::pieces,
};
use crate::{
    answer::Demand,
    body::{Billed, Body},
    fault::FaultKind,
    script::{Answer, Script},
    shape::ShapeKind,
};

/// As many prompts and choices together as are answered at most.
const MOST_CHOICES: usize = 2_048;

/// What of a request matters here.
pub(crate) struct CompletionsRequest<'a> {
    /// The model's name as JSON text.
    model: &'a str,
    /// The prompts as texts; a list of tokens is the text of its JSON.
    prompts: Vec<String>,
    per_prompt: usize,
    is_stream: bool,
    includes_usage: bool,
    fixed: Option<Arc<str>>,
    pub(crate) prompt_tokens: usize,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    n: Option<usize>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

impl<'a> CompletionsRequest<'a> {
    /// Reads a request, or says what is wrong with it.
    pub(crate) fn parse(body: &'a [u8], script: &Script, fixed: Option<&Arc<str>>) -> Result<Self, WireError> {
        let wire: Wire<'a> = serde_json::from_slice(body)
            .map_err(|error| WireError::invalid(None, format!("the body is not a completion request: {error}")))?;
        let model = super::model_of(wire.model)?.get();
        let prompt = wire.prompt.map_or("\"<|endoftext|>\"", RawValue::get);
        let prompts = if let Ok(prompt) = serde_json::from_str::<String>(prompt) {
            vec![prompt]
        } else {
            serde_json::from_str::<Vec<String>>(prompt).unwrap_or_else(|_| vec![prompt.to_owned()])
        };
        if prompts.is_empty() {
            return Err(WireError::invalid(Some("prompt"), "`prompt` is an empty list"));
        }
        let per_prompt = wire.n.unwrap_or(1);
        if per_prompt == 0 || per_prompt * prompts.len() > MOST_CHOICES {
            return Err(WireError::invalid(
                Some("n"),
                format!("`n` is 0, or there are more than {MOST_CHOICES} choices"),
            ));
        }
        let prompt_tokens = prompts.iter().map(|prompt| script.usage.of_text(prompt)).sum();
        Ok(CompletionsRequest {
            model,
            prompts,
            per_prompt,
            is_stream: wire.stream.unwrap_or(false) && !script.lacks.stream,
            includes_usage: wire.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
            fixed: fixed.cloned(),
            prompt_tokens,
        })
    }

    /// Answers the request, in this shape, spoiled by the fault where that is about the text.
    pub(crate) fn answer(
        &self,
        script: &Script,
        identity: Identity,
        fault: Option<FaultKind>,
        shape: Option<ShapeKind>,
    ) -> Response<Body> {
        let texts: Vec<(String, Option<&str>)> = (0..self.prompts.len() * self.per_prompt)
            .map(|index| {
                let demand = match (&script.answer, &self.fixed) {
                    (_, Some(fixed)) => Demand::Text(Arc::clone(fixed)),
                    (Answer::Echo, None) => Demand::Text(self.prompts[index / self.per_prompt].as_str().into()),
                    _ => Demand::Sentence,
                };
                let index = index as u32;
                let content = || demand.satisfy(script.seed, identity.request_hash, index);
                let Choice { content, refusal, finish_reason, .. } = Choice::spoiled_by(fault, content, index);
                let text = content.or_else(|| refusal.map(str::to_owned)).unwrap_or_default();
                (shape.map_or(text.clone(), |shape| shape.wrap(text)), finish_reason)
            })
            .collect();
        let completion = texts.iter().map(|(text, _)| script.usage.of_text(text)).sum();
        let tokens = Tokens { prompt: self.prompt_tokens, completion, ..Tokens::default() };
        let (content_type, body) = if self.is_stream {
            ("text/event-stream; charset=utf-8", self.events(script, identity, &texts, tokens))
        } else {
            let mut out = Vec::new();
            self.open(identity, &mut out);
            for (index, (text, reason)) in texts.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"" } else { b"," });
                choice(index, text, *reason, &mut out);
            }
            out.extend_from_slice(b"],\"usage\":");
            script.usage.write(tokens, &mut out);
            out.push(b'}');
            ("application/json", Body::whole(out))
        };
        let mut response = Response::new(body);
        response.extensions_mut().insert(Billed(completion));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    fn events(&self, script: &Script, identity: Identity, texts: &[(String, Option<&str>)], tokens: Tokens) -> Body {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let mut event = |rest: &mut dyn FnMut(&mut Vec<u8>)| {
            out.extend_from_slice(b"data: ");
            self.open(identity, &mut out);
            rest(&mut out);
            out.extend_from_slice(b"}\n\n");
            ends.push(out.len());
        };
        let unbilled: &[u8] = if self.includes_usage { b"],\"usage\":null" } else { b"]" };
        for (index, (text, reason)) in texts.iter().enumerate() {
            let ending = reason.map(|reason| ("", Some(reason)));
            for (piece, reason) in pieces(text).map(|piece| (piece, None)).chain(ending) {
                event(&mut |out| {
                    choice(index, piece, reason, out);
                    out.extend_from_slice(unbilled);
                });
            }
        }
        if self.includes_usage {
            event(&mut |out| {
                out.extend_from_slice(b"],\"usage\":");
                script.usage.write(tokens, out);
            });
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        ends.push(out.len());
        Body::events(out.into(), ends, script.stream_pause.into())
    }

    fn open(&self, identity: Identity, out: &mut Vec<u8>) {
        let Identity { request_hash, ask } = identity;
        let model = self.model;
        // Writing into a vector never fails.
        let _ = write!(
            out,
            "{{\"id\":\"cmpl-{request_hash:032x}-{ask}\",\"object\":\"text_completion\",\"created\":{CREATED},\"model\":{model},\
             \"system_fingerprint\":\"simulated\",\"choices\":["
        );
    }
}

fn choice(index: usize, text: &str, finish_reason: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"text\":");
    quote(Some(text), out);
    let _ = write!(out, ",\"index\":{index},\"logprobs\":null,\"finish_reason\":");
    quote(finish_reason, out);
    out.push(b'}');
}
