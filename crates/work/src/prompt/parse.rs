//! The envelope of an answer: OpenAI's chat completion, read as leniently as vendors write it.

use std::borrow::Cow;

use domain::{AnswerMeta, Failure, FailureKind, json};
use serde_json::value::RawValue;

use crate::reply::{error_in, given, member, string, usage_of};

/// What an answer says, and what is known besides.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) message: Result<Message<'a>, Failure>,
    pub(super) meta: AnswerMeta,
}

/// What the model said. Whether that will do is judged elsewhere.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    /// The text; empty where there is none.
    pub(super) content: Cow<'a, str>,
    /// What it said instead, where it declined.
    pub(super) refusal: Option<Cow<'a, str>>,
    /// What stands beside the text as its reasoning.
    pub(super) reasoning: Option<Cow<'a, str>>,
    /// The tools that it asks for: an array that holds something.
    pub(super) tool_calls: Option<&'a RawValue>,
    pub(super) finish: Finish,
}

/// Why a model stopped, as far as that makes a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Finish {
    #[default]
    Stop,
    Length,
    Filtered,
    ToolCalls,
}

/// Reads a body. Nothing but the values that are needed is looked at, so that an odd one elsewhere costs nothing.
pub(super) fn parse(body: &[u8]) -> Parsed<'_> {
    let mut meta = AnswerMeta::default();
    let message = message_of(body, &mut meta);
    Parsed { message, meta }
}

fn message_of<'a>(body: &'a [u8], meta: &mut AnswerMeta) -> Result<Message<'a>, Failure> {
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
        return Err(error_in(error));
    }
    let choices: Vec<&RawValue> = choices.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let choice = choices.first().ok_or_else(|| broken("it has no choices"))?;
    let (mut inner, mut finish_reason) = (None, None);
    json::members(choice.get(), |name, value| match &*name {
        "message" => inner = given(value),
        "finish_reason" => finish_reason = string(value),
        _ => {}
    })
    .map_err(|error| broken(&format!("its choice is {}", error.0)))?;
    meta.finish_reason = finish_reason.as_deref().map(str::to_owned);
    let inner = inner.ok_or_else(|| broken("its choice has no message"))?;
    let finish = match finish_reason.as_deref() {
        Some("content_filter") => Finish::Filtered,
        Some("length" | "max_tokens") => Finish::Length,
        Some("tool_calls" | "function_call") => Finish::ToolCalls,
        _ => Finish::Stop,
    };
    let mut message = Message { finish, ..Message::default() };
    let filled = |text: &Cow<'_, str>| !text.trim().is_empty();
    json::members(inner.get(), |name, value| match &*name {
        "content" => message.content = joined(value, &mut message.refusal),
        "refusal" => message.refusal = message.refusal.take().or_else(|| string(value).filter(filled)),
        "reasoning_content" | "reasoning" => {
            message.reasoning = message.reasoning.take().or_else(|| string(value).filter(filled));
        }
        "tool_calls" => {
            message.tool_calls = Some(value).filter(|calls| calls.get().len() > 2 && given(calls).is_some())
        }
        _ => {}
    })
    .map_err(|error| broken(&format!("its message is {}", error.0)))?;
    let said = if message.content.is_empty() { message.refusal.as_deref().unwrap_or("") } else { &message.content };
    meta.characters = Some(said.chars().count() as u64);
    Ok(message)
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
        if let Some(text) = member(part, "refusal").and_then(string).filter(|text| !text.trim().is_empty()) {
            *refusal = Some(text);
        }
    }
    all.into()
}
