//! Chat completions: the request as it matters here, and the answer in one piece.
//!
//! This is the path that benchmarks run over. The request is read once, with everything that passes through borrowed
//! from it, and the answer is written into one buffer.

use std::{borrow::Cow, io::Write as _, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    CREATED,
    bill::{self, Tokens},
    call::{Call, Callee},
    error::WireError,
    stream, told,
};
use crate::{
    answer::{Demand, Schemas},
    body::{Billed, Body},
    fault::FaultKind,
    lack::Refused,
    script::{Answer, Script},
    shape::ShapeKind,
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
    pub(super) includes_usage: bool,
    /// Whether it complains of an answer: it ends with one, and what a user says to it.
    pub(crate) is_complaint: bool,
    pub(crate) prompt_tokens: usize,
    is_stream: bool,
    choices: u32,
    demand: Demand,
    /// What is to be called instead of saying something.
    call: Option<Callee>,
}

/// One choice of an answer.
pub(super) struct Choice {
    /// The thought before it, under its name.
    pub(super) reasoning: Option<(&'static str, String)>,
    pub(super) content: Option<String>,
    pub(super) refusal: Option<&'static str>,
    pub(super) call: Option<Call>,
    /// None where the fault is that there is none.
    pub(super) finish_reason: Option<&'static str>,
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
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) role: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
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
        let model = super::model_of(wire.model)?.get();
        let messages = wire.messages.filter(|messages| !messages.is_empty());
        let messages = messages.ok_or_else(|| WireError::invalid(Some("messages"), "the request has no `messages`"))?;
        let choices = wire.n.unwrap_or(1);
        if !(1..=MOST_CHOICES).contains(&choices) {
            return Err(WireError::invalid(Some("n"), format!("`n` is not between 1 and {MOST_CHOICES}")));
        }
        let format = wire.response_format.map(ResponseFormat::read).transpose()?;
        refuse_what_is_lacking(script, format.as_ref(), wire.stream_options.is_some())?;
        let schema = format.as_ref().and_then(ResponseFormat::schema);
        let demand = match (&script.answer, fixed) {
            (_, Some(fixed)) => Demand::Text(Arc::clone(fixed)),
            (Answer::Fixed(text), None) => Demand::Text(text.as_str().into()),
            (Answer::Echo, None) => Demand::Text(last_user_text(&messages).into()),
            (Answer::Conform | Answer::Ready(_), None) => demand(format, &messages, schemas)?,
        };
        let call = Callee::choose(wire.tools, wire.tool_choice, script.calls_tools, schemas)?;
        let roles: Vec<&str> = messages.iter().rev().take(2).map(|message| &*message.role).collect();
        let is_complaint = roles == ["user", "assistant"];
        let prompt_tokens =
            script.usage.of_request(&bill::Billed { messages: &messages, others: [wire.tools, schema] });
        Ok(ChatRequest {
            model,
            includes_usage: wire.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
            is_complaint,
            prompt_tokens,
            is_stream: wire.stream.unwrap_or(false) && !script.lacks.stream,
            choices,
            demand,
            call,
        })
    }

    /// Answers the request, in this shape, spoiled by the fault where that is about the message.
    pub(crate) fn answer(
        &self,
        script: &Script,
        identity: Identity,
        fault: Option<FaultKind>,
        shape: Option<ShapeKind>,
    ) -> Response<Body> {
        let choices = (0..self.choices).map(|choice| {
            let content = || self.demand.satisfy(script.seed, identity.request_hash, choice);
            let mut choice = match &self.call {
                Some(callee) if fault.is_none_or(|fault| !fault.is_about_the_message()) => {
                    Choice::calling(callee.call(script.seed, identity, choice))
                }
                _ => Choice::spoiled_by(fault, content, choice),
            };
            if let Some(shape) = shape {
                choice.content = choice.content.map(|content| shape.wrap(content));
            }
            choice
        });
        let mut choices: Vec<Choice> = choices.collect();
        if let Some(reasoning) = script.reasoning {
            for (n, choice) in choices.iter_mut().enumerate() {
                let thought = Demand::thought(script.seed, identity.request_hash, n as u32);
                choice.reasoning = Some((reasoning.name(), thought));
            }
        }
        let (content_type, body) = if self.is_stream {
            let (bytes, ends) = stream::events(self, script, identity, &choices);
            ("text/event-stream; charset=utf-8", Body::events(bytes, ends, script.stream_pause.into()))
        } else {
            ("application/json", Body::whole(self.completion(script, identity, &choices)))
        };
        let mut response = Response::new(body);
        if script.limits.tokens_per_minute.is_some() {
            response.extensions_mut().insert(Billed(self.tokens(script, &choices).completion));
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    fn completion(&self, script: &Script, identity: Identity, choices: &[Choice]) -> Bytes {
        let n_bytes: usize = choices.iter().map(Choice::n_bytes).sum();
        let mut out = Vec::with_capacity(512 + self.model.len() + 2 * n_bytes + 128 * choices.len());
        self.open(identity, "chat.completion", &mut out);
        for (index, choice) in choices.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{{\"index\":{index},\"message\":{{\"role\":\"assistant\",\"content\":");
            quote(choice.content.as_deref(), &mut out);
            if let Some((name, thought)) = &choice.reasoning {
                let _ = write!(out, ",\"{name}\":");
                quote(Some(thought), &mut out);
            }
            out.extend_from_slice(b",\"refusal\":");
            quote(choice.refusal, &mut out);
            if let Some(call) = &choice.call {
                out.extend_from_slice(b",\"tool_calls\":[");
                call.write(None, &mut out);
                out.push(b']');
            }
            out.extend_from_slice(b",\"annotations\":[]},\"logprobs\":null,\"finish_reason\":");
            quote(choice.finish_reason, &mut out);
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"usage\":");
        self.usage(script, choices, &mut out);
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

    pub(super) fn usage(&self, script: &Script, choices: &[Choice], out: &mut Vec<u8>) {
        script.usage.write(self.tokens(script, choices), out);
    }

    fn tokens(&self, script: &Script, choices: &[Choice]) -> Tokens {
        let mut tokens = Tokens { prompt: self.prompt_tokens, ..Tokens::default() };
        if script.usage.tokenizer.is_none() && script.reasoning.is_none() {
            // All choices together, which is how the rule of thumb rounds least.
            tokens.completion = super::tokens(choices.iter().map(Choice::n_bytes).sum());
        } else {
            for choice in choices {
                let of = |text: Option<&str>| text.map_or(0, |text| script.usage.of_text(text));
                let thought = of(choice.reasoning.as_ref().map(|(_, thought)| thought.as_str()));
                tokens.reasoning += thought;
                let call = of(choice.call.as_ref().map(|call| call.arguments.as_str()));
                tokens.completion += thought + of(choice.content.as_deref()) + of(choice.refusal) + call;
            }
        }
        tokens
    }
}

impl Choice {
    fn calling(call: Call) -> Choice {
        Choice { reasoning: None, content: None, refusal: None, call: Some(call), finish_reason: Some("tool_calls") }
    }

    pub(super) fn spoiled_by(fault: Option<FaultKind>, content: impl FnOnce() -> String, index: u32) -> Choice {
        let ending = |content, refusal, reason| Choice {
            reasoning: None,
            content,
            refusal,
            call: None,
            finish_reason: Some(reason),
        };
        let whole = |content| ending(Some(content), None, "stop");
        match fault {
            Some(FaultKind::Garbage) => whole(GARBAGE.to_owned()),
            Some(FaultKind::WrongFields) => whole(with_wrong_fields(&content(), index)),
            Some(FaultKind::Empty) => whole(String::new()),
            Some(FaultKind::Refused) => ending(None, Some(REFUSAL), "stop"),
            Some(FaultKind::NoFinish) => Choice { finish_reason: None, ..whole(content()) },
            Some(FaultKind::Filtered) => ending(None, None, "content_filter"),
            Some(FaultKind::Length) => {
                let mut content = content();
                content.truncate(content.floor_char_boundary(content.len() / 2));
                ending(Some(content), None, "length")
            }
            _ => whole(content()),
        }
    }

    fn n_bytes(&self) -> usize {
        let call = self.call.as_ref().map_or(0, |call| call.arguments.len());
        self.content.as_ref().map_or(0, String::len) + self.refusal.map_or(0, str::len) + call
    }
}

/// Writes the text as a JSON string, or null.
pub(super) fn quote(text: Option<&str>, out: &mut Vec<u8>) {
    // Writing into a vector never fails.
    let _ = serde_json::to_writer(out, &text);
}

/// Gives the first field of an object another name; what is no object becomes one.
fn with_wrong_fields(content: &str, index: u32) -> String {
    match content.strip_prefix("{\"") {
        Some(rest) => format!("{{\"not_{rest}"),
        None => format!("{{\"wrong\":{index}}}"),
    }
}

impl<'a> ResponseFormat<'a> {
    fn read(format: &'a RawValue) -> Result<Self, WireError> {
        let refused = |error| WireError::invalid(Some("response_format"), format!("`response_format`: {error}"));
        serde_json::from_str(format.get()).map_err(refused)
    }

    fn schema(&self) -> Option<&'a RawValue> {
        self.json_schema.as_ref().and_then(|json_schema| json_schema.schema)
    }
}

/// Turns a request away that has what the script's vendor does not take.
fn refuse_what_is_lacking(
    script: &Script,
    format: Option<&ResponseFormat<'_>>,
    has_stream_options: bool,
) -> Result<(), WireError> {
    let lacks = &script.lacks;
    let refused = match format.map(|format| &*format.kind) {
        Some("json_schema") => lacks.json_schema.map(|words| words.refuse(Refused::JsonSchema)),
        Some("json_object") => lacks.json_object.map(|words| words.refuse(Refused::JsonObject)),
        _ => None,
    };
    let refused = refused.or_else(|| {
        let words = lacks.stream_options.filter(|_| has_stream_options)?;
        Some(words.refuse(Refused::StreamOptions))
    });
    refused.map_or(Ok(()), |(status, body)| Err(WireError::in_words(status, &body)))
}

/// Returns what the request demands by its response format, or tells in its words.
fn demand(
    format: Option<ResponseFormat<'_>>,
    messages: &[Message<'_>],
    schemas: &Schemas,
) -> Result<Demand, WireError> {
    let refused = |message: String| WireError::invalid(Some("response_format"), message);
    let told = |otherwise| told::schema(messages, schemas).map_or(otherwise, Demand::Schema);
    let Some(format) = format else { return Ok(told(Demand::Sentence)) };
    match &*format.kind {
        "text" => Ok(told(Demand::Sentence)),
        "json_object" => Ok(told(Demand::Object)),
        "json_schema" => {
            let schema = format.schema();
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
    message.map_or(String::new(), text_of)
}

/// Returns what a message says, its parts joined.
pub(super) fn text_of(message: &Message<'_>) -> String {
    let Some(content) = message.content else { return String::new() };
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        return text;
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(content.get()).unwrap_or_default();
    parts.into_iter().filter_map(|part| part.text).collect()
}
