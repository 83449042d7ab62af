//! Responses: OpenAI's interface of 2025, whole and as a stream of events that have names.

use std::{borrow::Cow, io::Write as _, sync::Arc};

use http::{HeaderValue, Response, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    CREATED,
    bill::Billed as Bill,
    call::{Call, Callee},
    chat::{Choice, Identity, Message, text_of},
    error::WireError,
    stream::pieces,
};
use crate::{
    answer::{Demand, Schemas},
    body::{Billed, Body},
    fault::FaultKind,
    script::{Answer, Script},
    shape::ShapeKind,
};

/// What of a request matters here.
pub(crate) struct ResponsesRequest<'a> {
    /// The model's name as JSON text.
    model: &'a RawValue,
    is_stream: bool,
    demand: Demand,
    call: Option<Callee>,
    pub(crate) prompt_tokens: usize,
    /// What the answer repeats of the request.
    repeated: [(&'static str, Value); 6],
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<Cow<'a, str>>,
    stream: Option<bool>,
    text: Option<Value>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    max_output_tokens: Option<Value>,
    metadata: Option<Value>,
}

/// An item of the input; those that are no messages have no role.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// What an answer consists of.
struct Output {
    item: Value,
    text: String,
    is_refusal: bool,
    call: Option<Call>,
    /// Why it is not whole.
    incomplete: Option<&'static str>,
    has_end: bool,
}

impl<'a> ResponsesRequest<'a> {
    /// Reads a request, or says what is wrong with it.
    pub(crate) fn parse(
        body: &'a [u8],
        script: &Script,
        fixed: Option<&Arc<str>>,
        schemas: &Schemas,
    ) -> Result<Self, WireError> {
        let wire: Wire<'a> = serde_json::from_slice(body)
            .map_err(|error| WireError::invalid(None, format!("the body is not a request for a response: {error}")))?;
        let model = super::model_of(wire.model)?;
        let input = wire.input.ok_or_else(|| WireError::invalid(Some("input"), "the request has no `input`"))?;
        let messages = messages(input)?;
        let format = wire.text.as_ref().map(|text| &text["format"]);
        let demand = match (&script.answer, fixed) {
            (_, Some(fixed)) => Demand::Text(Arc::clone(fixed)),
            (Answer::Echo, None) => {
                let message = messages.iter().rfind(|message| message.role == "user").or(messages.last());
                Demand::Text(message.map_or(String::new(), text_of).into())
            }
            _ => demand(format, schemas)?,
        };
        let call = Callee::choose(wire.tools, wire.tool_choice, script.calls_tools, schemas)?;
        let instructions = wire.instructions.as_deref().map_or(0, |text| script.usage.of_text(text));
        let billed = Bill { messages: &messages, others: [wire.tools, None] };
        let value = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        let repeated = [
            ("instructions", wire.instructions.as_deref().map_or(Value::Null, Value::from)),
            ("max_output_tokens", wire.max_output_tokens.unwrap_or(Value::Null)),
            ("metadata", wire.metadata.unwrap_or_else(|| json!({}))),
            (
                "text",
                json!({ "format": format.filter(|f| f.is_object()).cloned().unwrap_or_else(|| json!({ "type": "text" })) }),
            ),
            ("tools", value(wire.tools).unwrap_or_else(|| json!([]))),
            ("tool_choice", value(wire.tool_choice).unwrap_or_else(|| json!("auto"))),
        ];
        Ok(ResponsesRequest {
            model,
            is_stream: wire.stream.unwrap_or(false) && !script.lacks.stream,
            demand,
            call,
            prompt_tokens: script.usage.of_request(&billed) + instructions,
            repeated,
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
        let output = self.output(script, identity, fault, shape);
        let tokens = script.usage.of_text(output.call.as_ref().map_or(&output.text, |call| &call.arguments));
        let whole = self.response(script, identity, &output, tokens);
        let (content_type, body) = if self.is_stream {
            ("text/event-stream; charset=utf-8", events(script, &whole, &output))
        } else {
            ("application/json", Body::whole(whole.to_string()))
        };
        let mut response = Response::new(body);
        response.extensions_mut().insert(Billed(tokens));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    fn output(
        &self,
        script: &Script,
        identity: Identity,
        fault: Option<FaultKind>,
        shape: Option<ShapeKind>,
    ) -> Output {
        let id = format!("{:032x}_{}", identity.request_hash, identity.ask);
        if let Some(callee) = self.call.as_ref().filter(|_| fault.is_none_or(|fault| !fault.is_about_the_message())) {
            let call = callee.call(script.seed, identity, 0);
            let item = json!({
                "type": "function_call", "id": format!("fc_{id}"), "status": "completed", "call_id": call.id,
                "name": call.name, "arguments": call.arguments,
            });
            let call = Some(call);
            return Output { item, text: String::new(), is_refusal: false, call, incomplete: None, has_end: true };
        }
        let content = || self.demand.satisfy(script.seed, identity.request_hash, 0);
        let Choice { content, refusal, finish_reason, .. } = Choice::spoiled_by(fault, content, 0);
        let incomplete = match finish_reason {
            Some("length") => Some("max_output_tokens"),
            Some("content_filter") => Some("content_filter"),
            _ => None,
        };
        let is_refusal = refusal.is_some();
        let text = refusal.map(str::to_owned).or(content).unwrap_or_default();
        let text = shape.filter(|_| !is_refusal).map_or(text.clone(), |shape| shape.wrap(text));
        let status = if incomplete.is_some() { "incomplete" } else { "completed" };
        let item = json!({
            "type": "message", "id": format!("msg_{id}"), "status": status, "role": "assistant",
            "content": [part(&text, is_refusal)],
        });
        Output { item, text, is_refusal, call: None, incomplete, has_end: finish_reason.is_some() }
    }

    fn response(&self, script: &Script, identity: Identity, output: &Output, tokens: usize) -> Value {
        let (input, cached) = (self.prompt_tokens, (self.prompt_tokens as f64 * script.usage.cached) as usize);
        let mut response = json!({
            "id": format!("resp_{:032x}_{}", identity.request_hash, identity.ask),
            "object": "response",
            "created_at": CREATED,
            "status": if output.incomplete.is_some() { "incomplete" } else { "completed" },
            "background": false,
            "error": null,
            "incomplete_details": output.incomplete.map(|reason| json!({ "reason": reason })),
            "model": self.model,
            "output": [output.item],
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": { "effort": null, "summary": null },
            "service_tier": "default",
            "store": true,
            "temperature": 1.0,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": {
                "input_tokens": input,
                "input_tokens_details": { "cached_tokens": cached, "cache_write_tokens": 0 },
                "output_tokens": tokens,
                "output_tokens_details": { "reasoning_tokens": 0 },
                "total_tokens": input + tokens,
            },
            "user": null,
        });
        for (name, value) in &self.repeated {
            response[*name] = value.clone();
        }
        response
    }
}

/// Writes the events of an answer: <https://platform.openai.com/docs/api-reference/responses-streaming>.
fn events(script: &Script, whole: &Value, output: &Output) -> Body {
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    let mut event = |kind: &str, members: Value| {
        let mut data = json!({ "type": kind, "sequence_number": ends.len() });
        if let (Some(data), Value::Object(members)) = (data.as_object_mut(), members) {
            data.extend(members);
        }
        // Writing into a vector never fails.
        let _ = write!(out, "event: {kind}\ndata: {data}\n\n");
        ends.push(out.len());
    };
    let mut begun = whole.clone();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    begun["incomplete_details"] = Value::Null;
    event("response.created", json!({ "response": begun }));
    event("response.in_progress", json!({ "response": begun }));

    let mut item = output.item.clone();
    let id = item["id"].clone();
    item["status"] = json!("in_progress");
    if let Some(call) = &output.call {
        item["arguments"] = json!("");
        event("response.output_item.added", json!({ "output_index": 0, "item": item }));
        for piece in pieces(&call.arguments) {
            let delta = json!({ "item_id": id, "output_index": 0, "delta": piece });
            event("response.function_call_arguments.delta", delta);
        }
        let done = json!({ "item_id": id, "output_index": 0, "name": call.name, "arguments": call.arguments });
        event("response.function_call_arguments.done", done);
    } else {
        item["content"] = json!([]);
        event("response.output_item.added", json!({ "output_index": 0, "item": item }));
        let place = || json!({ "item_id": id, "output_index": 0, "content_index": 0 });
        let with = |name: &str, value: Value| {
            let mut members = place();
            members[name] = value;
            if !output.is_refusal && (name == "delta" || name == "text") {
                members["logprobs"] = json!([]);
            }
            members
        };
        let (kind, name) = if output.is_refusal { ("refusal", "refusal") } else { ("output_text", "text") };
        event("response.content_part.added", with("part", part("", output.is_refusal)));
        for piece in pieces(&output.text) {
            event(&format!("response.{kind}.delta"), with("delta", json!(piece)));
        }
        event(&format!("response.{kind}.done"), with(name, json!(output.text)));
        event("response.content_part.done", with("part", part(&output.text, output.is_refusal)));
    }
    event("response.output_item.done", json!({ "output_index": 0, "item": output.item }));
    if output.has_end {
        let end = if output.incomplete.is_some() { "response.incomplete" } else { "response.completed" };
        event(end, json!({ "response": whole }));
    }
    Body::events(out.into(), ends, script.stream_pause.into())
}

fn part(text: &str, is_refusal: bool) -> Value {
    if is_refusal {
        return json!({ "type": "refusal", "refusal": text });
    }
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

/// Returns the messages of an input, which is a text or a list.
fn messages(input: &RawValue) -> Result<Vec<Message<'_>>, WireError> {
    if input.get().starts_with('"') {
        return Ok(vec![Message { role: "user".into(), content: Some(input), name: None }]);
    }
    let items: Vec<Item<'_>> = serde_json::from_str(input.get())
        .map_err(|error| WireError::invalid(Some("input"), format!("`input` is neither a text nor a list: {error}")))?;
    Ok(items.into_iter().map(|Item { role, content }| Message { role, content, name: None }).collect())
}

/// Returns what the request demands by its text format.
fn demand(format: Option<&Value>, schemas: &Schemas) -> Result<Demand, WireError> {
    let refused = |message: String| WireError::invalid(Some("text"), message);
    match format.and_then(|format| format["type"].as_str()) {
        None | Some("text") => Ok(Demand::Sentence),
        Some("json_object") => Ok(Demand::Object),
        Some("json_schema") => {
            let schema = format.map(|format| format["schema"].to_string()).unwrap_or_default();
            let schema = schemas.compile(&schema);
            schema.map(Demand::Schema).map_err(|reason| refused(format!("no answer to the schema: {reason}")))
        }
        Some(other) => Err(refused(format!("`{other}` is not a text format"))),
    }
}
