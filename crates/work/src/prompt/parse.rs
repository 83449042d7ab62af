//! The envelope of an answer: OpenAI's chat completion, read as leniently as vendors write it.

use std::borrow::Cow;

use domain::{AnswerMeta, Failure, FailureKind, Usage, json};
use serde_json::value::RawValue;

use super::record::text_of;

/// What an answer says, and what is known besides.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) content: Result<Cow<'a, str>, Failure>,
    pub(super) meta: AnswerMeta,
}

/// Reads a body. Nothing but the values that are needed is looked at, so that an odd one elsewhere costs nothing.
pub(super) fn parse(body: &[u8]) -> Parsed<'_> {
    let mut meta = AnswerMeta::default();
    let content = content_of(body, &mut meta);
    Parsed { content, meta }
}

fn content_of<'a>(body: &'a [u8], meta: &mut AnswerMeta) -> Result<Cow<'a, str>, Failure> {
    let broken =
        |what: &str| Failure::new(FailureKind::Unavailable, format!("the answer is not a chat completion: {what}"));
    let text = str::from_utf8(body).map_err(|_| broken("not valid UTF-8"))?;
    let (mut choices, mut error) = (None, None);
    json::members(text, |name, value| match &*name {
        "choices" => choices = Some(value),
        "error" => error = given(value),
        "usage" => meta.usage = usage_of(value),
        "model" => meta.model = string(value).map(Cow::into_owned),
        "id" => meta.request_id = string(value).map(Cow::into_owned),
        _ => {}
    })
    .map_err(|error| broken(&error.0))?;
    if let Some(error) = error {
        let message = member(error, "message").and_then(string).unwrap_or_else(|| error.get().into());
        let message = format!("the answer is an error: {}", cut(&message));
        return Err(Failure::new(FailureKind::Unavailable, message));
    }
    let choices: Vec<&RawValue> = choices.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let choice = choices.first().ok_or_else(|| broken("it has no choices"))?;
    let (mut message, mut finish_reason) = (None, None);
    json::members(choice.get(), |name, value| match &*name {
        "message" => message = given(value),
        "finish_reason" => finish_reason = string(value),
        _ => {}
    })
    .map_err(|error| broken(&format!("its choice is {}", error.0)))?;
    meta.finish_reason = finish_reason.as_deref().map(str::to_owned);
    let message = message.ok_or_else(|| broken("its choice has no message"))?;
    let (mut content, mut refusal, mut has_reasoning) = (Cow::Borrowed(""), None, false);
    json::members(message.get(), |name, value| match &*name {
        "content" => content = joined(value, &mut refusal),
        "refusal" => refusal = refusal.take().or_else(|| string(value)),
        "reasoning_content" | "reasoning" => has_reasoning = string(value).is_some_and(|text| !text.is_empty()),
        _ => {}
    })
    .map_err(|error| broken(&format!("its message is {}", error.0)))?;

    let invalid = |what: &str| Err(Failure::new(FailureKind::InvalidOutput, what));
    if let Some(refusal) = refusal.filter(|text| !text.trim().is_empty()) {
        return Err(Failure::new(FailureKind::Refused, format!("the model declined: {}", cut(&refusal))).finally());
    }
    let is_empty = content.trim().is_empty();
    match finish_reason.as_deref() {
        Some("content_filter") => {
            Err(Failure::new(FailureKind::Refused, "the upstream's content filter stopped the answer").finally())
        }
        Some("length" | "max_tokens") if is_empty && has_reasoning => {
            invalid("the model spent all of `max_tokens` on its reasoning; raise `max_tokens` in `parameters`")
        }
        Some("length" | "max_tokens") => {
            invalid("the answer was cut off at `max_tokens`; raise it in `parameters`, or ask for less")
        }
        Some("tool_calls" | "function_call") if is_empty => invalid("the model asked for a tool, and has none"),
        _ if is_empty => invalid("the answer is empty"),
        _ => Ok(content),
    }
}

/// Returns a content's text: a string, or the texts of its parts; a part may be a refusal.
fn joined<'a>(content: &'a RawValue, refusal: &mut Option<Cow<'a, str>>) -> Cow<'a, str> {
    if let Some(text) = string(content) {
        return text;
    }
    let parts: Vec<&RawValue> = serde_json::from_str(content.get()).unwrap_or_default();
    let mut all = String::new();
    for part in parts {
        all.push_str(&member(part, "text").and_then(string).unwrap_or_default());
        if let Some(text) = member(part, "refusal").and_then(string) {
            *refusal = Some(text);
        }
    }
    all.into()
}

fn usage_of(usage: &RawValue) -> Option<Usage> {
    let (mut prompt, mut completion) = (None, None);
    json::members(usage.get(), |name, value| match &*name {
        "prompt_tokens" => prompt = count(value),
        "completion_tokens" => completion = count(value),
        _ => {}
    })
    .ok()?;
    if prompt.is_none() && completion.is_none() {
        return None;
    }
    Some(Usage { prompt_tokens: prompt.unwrap_or(0), completion_tokens: completion.unwrap_or(0), ..Usage::default() })
}

/// Returns a count, also where a vendor writes it as `12.0`.
fn count(value: &RawValue) -> Option<u64> {
    let text = value.get();
    let whole =
        text.split_once('.').filter(|(_, part)| part.bytes().all(|b| b == b'0')).map_or(text, |(whole, _)| whole);
    whole.parse().ok()
}

fn member<'a>(object: &'a RawValue, wanted: &str) -> Option<&'a RawValue> {
    let mut found = None;
    json::members(object.get(), |name, value| {
        if name == wanted {
            found = Some(value);
        }
    })
    .ok()?;
    found
}

fn given(value: &RawValue) -> Option<&RawValue> {
    (value.get() != "null").then_some(value)
}

fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    if value.get().starts_with('"') { text_of(value).ok() } else { None }
}

/// Cuts what an upstream says to what a person reads.
pub(super) fn cut(text: &str) -> Cow<'_, str> {
    const SHOWN: usize = 300;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", &text[..end]).into(),
        None => text.into(),
    }
}
