//! Chat completions: the request as it matters here, and the answer in one piece.
//!
//! This is the path that benchmarks run over. The request is read once, with everything that passes through borrowed
//! from it, and the answer is written into one buffer.

use std::{borrow::Cow, io::Write as _, sync::Arc};

use bytes::Bytes;
use hyper::{Response, header::CONTENT_TYPE, http::HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CREATED, error::WireError, stream, tokens};
use crate::{
    answer::{Demand, Schemas},
    body::Body,
    fault::FaultKind,
    script::{Answer, Script},
};

/// As many choices as OpenAI makes at most.
const MOST_CHOICES: u32 = 128;

/// What the content fault `garbage` says: half of an object, as a model writes it that talks first.
const GARBAGE: &str = "Here is what you asked for: {\"answer\": \"the tide turns\", \"grain";

const REFUSAL: &str = "I cannot help with that, as the script says.";

/// What of a request matters here.
pub(crate) struct ChatRequest<'a> {
    /// The model's name as JSON text.
    pub(super) model: &'a str,
    pub(super) prompt_tokens: usize,
    pub(super) includes_usage: bool,
    is_stream: bool,
    choices: u32,
    demand: Demand,
}

/// One choice of an answer.
pub(super) struct Choice {
    pub(super) content: Option<String>,
    pub(super) refusal: Option<&'static str>,
    pub(super) finish_reason: &'static str,
}

/// Which ask of which request is answered.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) request_hash: u128,
    pub(crate) ask: u32,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<Vec<Message<'a>>>,
    n: Option<u32>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    response_format: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct ResponseFormat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    json_schema: Option<JsonSchema<'a>>,
}

#[derive(Deserialize)]
struct JsonSchema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

impl<'a> ChatRequest<'a> {
    /// Reads a request, or says what is wrong with it.
    pub(crate) fn parse(
        body: &'a [u8],
        script: &Script,
        fixed: Option<&Arc<str>>,
        schemas: &Schemas,
    ) -> Result<ChatRequest<'a>, WireError> {
        let wire: Wire<'a> = serde_json::from_slice(body)
            .map_err(|error| WireError::invalid(None, format!("the body is not a chat completion request: {error}")))?;
        let model = wire.model.map(RawValue::get).filter(|model| model.starts_with('"'));
        let model = model.ok_or_else(|| WireError::invalid(Some("model"), "the request names no `model`"))?;
        let messages = wire.messages.filter(|messages| !messages.is_empty());
        let messages = messages.ok_or_else(|| WireError::invalid(Some("messages"), "the request has no `messages`"))?;
        let choices = wire.n.unwrap_or(1);
        if !(1..=MOST_CHOICES).contains(&choices) {
            return Err(WireError::invalid(Some("n"), format!("`n` is not between 1 and {MOST_CHOICES}")));
        }
        let demand = match (&script.answer, fixed) {
            (_, Some(fixed)) => Demand::Text(Arc::clone(fixed)),
            (Answer::Fixed(text), None) => Demand::Text(text.as_str().into()),
            (Answer::Echo, None) => Demand::Text(last_user_text(&messages).into()),
            (Answer::Conform, None) => demand(wire.response_format, schemas)?,
        };
        let n_bytes = messages.iter().filter_map(|message| message.content).map(|content| content.get().len()).sum();
        Ok(ChatRequest {
            model,
            prompt_tokens: tokens(n_bytes),
            includes_usage: wire.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
            is_stream: wire.stream.unwrap_or(false),
            choices,
            demand,
        })
    }

    /// Answers the request, spoiled by the fault where that is about the message or its delivery.
    pub(crate) fn answer(&self, script: &Script, identity: Identity, fault: Option<FaultKind>) -> Response<Body> {
        let choices = (0..self.choices).map(|choice| {
            let content = || self.demand.satisfy(script.seed, identity.request_hash, choice);
            Choice::spoiled_by(fault, content)
        });
        let choices: Vec<Choice> = choices.collect();
        let is_half = fault == Some(FaultKind::Half);
        let (content_type, body) = if self.is_stream {
            let (bytes, ends) = stream::events(self, identity, &choices);
            let body = if is_half { Body::half_of_events } else { Body::events };
            ("text/event-stream; charset=utf-8", body(bytes, ends, script.stream_pause.into()))
        } else {
            let bytes = self.completion(identity, &choices);
            ("application/json", if is_half { Body::half(&bytes) } else { Body::whole(bytes) })
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    fn completion(&self, identity: Identity, choices: &[Choice]) -> Bytes {
        let n_bytes: usize = choices.iter().map(Choice::n_bytes).sum();
        let mut out = Vec::with_capacity(512 + self.model.len() + 2 * n_bytes + 128 * choices.len());
        self.open(identity, "chat.completion", &mut out);
        for (index, choice) in choices.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{{\"index\":{index},\"message\":{{\"role\":\"assistant\",\"content\":");
            quote(choice.content.as_deref(), &mut out);
            out.extend_from_slice(b",\"refusal\":");
            quote(choice.refusal, &mut out);
            let reason = choice.finish_reason;
            let _ = write!(out, ",\"annotations\":[]}},\"logprobs\":null,\"finish_reason\":\"{reason}\"}}");
        }
        out.extend_from_slice(b"],\"usage\":");
        self.usage(choices, &mut out);
        out.push(b'}');
        out.into()
    }

    /// Writes the beginning of an answer or an event, up to the first choice.
    pub(super) fn open(&self, identity: Identity, object: &str, out: &mut Vec<u8>) {
        let Identity { request_hash, ask } = identity;
        let _ = write!(
            out,
            "{{\"id\":\"chatcmpl-{request_hash:032x}-{ask}\",\"object\":\"{object}\",\"created\":{CREATED},\"model\":{},\
             \"service_tier\":\"default\",\"system_fingerprint\":\"simulated\",\"choices\":[",
            self.model
        );
    }

    pub(super) fn usage(&self, choices: &[Choice], out: &mut Vec<u8>) {
        let prompt = self.prompt_tokens;
        let completion = tokens(choices.iter().map(Choice::n_bytes).sum());
        let total = prompt + completion;
        let _ =
            write!(out, "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total}}}");
    }
}

impl Choice {
    fn spoiled_by(fault: Option<FaultKind>, content: impl FnOnce() -> String) -> Choice {
        let whole = |content| Choice { content: Some(content), refusal: None, finish_reason: "stop" };
        match fault {
            Some(FaultKind::Garbage) => whole(GARBAGE.to_owned()),
            Some(FaultKind::Empty) => whole(String::new()),
            Some(FaultKind::Refused) => Choice { content: None, refusal: Some(REFUSAL), finish_reason: "stop" },
            Some(FaultKind::Length) => {
                let mut content = content();
                content.truncate(content.floor_char_boundary(content.len() / 2));
                Choice { content: Some(content), refusal: None, finish_reason: "length" }
            }
            _ => whole(content()),
        }
    }

    fn n_bytes(&self) -> usize {
        self.content.as_ref().map_or(0, String::len) + self.refusal.map_or(0, str::len)
    }
}

/// Writes the text as a JSON string, or null.
pub(super) fn quote(text: Option<&str>, out: &mut Vec<u8>) {
    // Writing into a vector never fails.
    let _ = serde_json::to_writer(out, &text);
}

/// Returns what the request's response format demands.
fn demand(format: Option<&RawValue>, schemas: &Schemas) -> Result<Demand, WireError> {
    let refused = |message: String| WireError::invalid(Some("response_format"), message);
    let Some(format) = format else { return Ok(Demand::Sentence) };
    let format: ResponseFormat<'_> =
        serde_json::from_str(format.get()).map_err(|error| refused(format!("`response_format`: {error}")))?;
    match &*format.kind {
        "text" => Ok(Demand::Sentence),
        "json_object" => Ok(Demand::Object),
        "json_schema" => {
            let schema = format.json_schema.and_then(|json_schema| json_schema.schema);
            let schema = schema.ok_or_else(|| refused("`response_format` has no `json_schema.schema`".to_owned()))?;
            let schema = schemas.compile(schema.get());
            schema.map(Demand::Schema).map_err(|reason| refused(format!("no answer to the schema: {reason}")))
        }
        other => Err(refused(format!("`{other}` is not a response format"))),
    }
}

/// Returns the text of the last user message, or of the last message.
fn last_user_text(messages: &[Message<'_>]) -> String {
    let message = messages.iter().rfind(|message| message.role == "user").or(messages.last());
    let Some(content) = message.and_then(|message| message.content) else { return String::new() };
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        return text;
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(content.get()).unwrap_or_default();
    parts.into_iter().filter_map(|part| part.text).collect()
}
