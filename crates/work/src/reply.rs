//! What every reply has, whatever was asked: read as leniently as vendors write it.

use std::borrow::Cow;

use domain::{End, Failure, FailureKind, Usage, json};
use serde_json::value::RawValue;

use crate::template::text_of;

/// Returns the failure that a body is which came with a good status and tells an error.
pub(crate) fn error_in(error: &RawValue) -> Failure {
    let message = member(error, "message").and_then(string).unwrap_or_else(|| error.get().into());
    Failure::new(FailureKind::Unavailable, format!("the answer is an error: {}", cut(&message)))
}

/// Reads a count of tokens.
pub(crate) fn usage_of(usage: &RawValue) -> Option<Usage> {
    let (mut prompt, mut completion, mut cached, mut reasoning) = (None, None, None, None);
    json::members(usage.get(), |name, value| match &*name {
        "prompt_tokens" => prompt = count(value),
        "completion_tokens" => completion = count(value),
        "prompt_tokens_details" => cached = cached.or(member(value, "cached_tokens").and_then(count)),
        // https://api-docs.deepseek.com/guides/kv_cache: beside the others, and not in details.
        "prompt_cache_hit_tokens" => cached = count(value).or(cached),
        "completion_tokens_details" => reasoning = member(value, "reasoning_tokens").and_then(count),
        _ => {}
    })
    .ok()?;
    if prompt.is_none() && completion.is_none() {
        return None;
    }
    Some(Usage {
        prompt_tokens: prompt.unwrap_or(0),
        completion_tokens: completion.unwrap_or(0),
        cached_tokens: cached.unwrap_or(0),
        reasoning_tokens: reasoning.unwrap_or(0),
    })
}

/// Returns a count, also where a vendor writes it as `12.0`.
fn count(value: &RawValue) -> Option<u64> {
    let text = value.get();
    let whole =
        text.split_once('.').filter(|(_, part)| part.bytes().all(|b| b == b'0')).map_or(text, |(whole, _)| whole);
    whole.parse().ok()
}

/// Returns the member of an object that is called so; of two, the last.
pub(crate) fn member<'a>(object: &'a RawValue, wanted: &str) -> Option<&'a RawValue> {
    let mut found = None;
    json::members(object.get(), |name, value| {
        if name == wanted {
            found = Some(value);
        }
    })
    .ok()?;
    found
}

/// Returns a value that is not `null`.
pub(crate) fn given(value: &RawValue) -> Option<&RawValue> {
    (value.get() != "null").then_some(value)
}

/// Returns a text.
pub(crate) fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    if value.get().starts_with('"') { text_of(value).ok() } else { None }
}

/// Cuts what an upstream says to what a person reads.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    const SHOWN: usize = 300;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", &text[..end]).into(),
        None => text.into(),
    }
}

/// Returns whether an end came of what a model said, and not of the way to it.
pub(crate) fn was_judged(end: &End) -> bool {
    use FailureKind::{Conflict, InvalidOutput, NotAccepted, Refused, WriteRejected};
    match end {
        End::Succeeded => true,
        End::Failed(failure) => {
            matches!(failure.kind, InvalidOutput | Refused | NotAccepted | WriteRejected | Conflict)
        }
        End::Skipped { .. } | End::Cancelled | End::Missing => false,
    }
}
