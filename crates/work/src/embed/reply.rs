//! The reply to a request for embeddings: OpenAI's list, read as leniently as vendors write it.

use domain::{AnswerMeta, Failure, FailureKind, Reason, Usage, json};
use serde_json::value::RawValue;

use crate::reply::{error_in, given, string, usage_of};

/// A reply.
#[derive(Debug)]
pub(super) struct Read<'a> {
    /// The members of the list, in the order of the texts that were sent.
    pub(super) members: Result<Vec<&'a RawValue>, Failure>,
    pub(super) meta: AnswerMeta,
}

/// Reads the reply to a request with `n` texts.
pub(super) fn read(body: &[u8], n: usize) -> Read<'_> {
    let mut meta = AnswerMeta::default();
    let members = members_of(body, n, &mut meta);
    Read { members, meta }
}

fn members_of<'a>(body: &'a [u8], n: usize, meta: &mut AnswerMeta) -> Result<Vec<&'a RawValue>, Failure> {
    let broken =
        |what: &str| Failure::new(FailureKind::Unavailable, format!("the answer is not a list of embeddings: {what}"));
    let text = str::from_utf8(body).map_err(|_| broken("not valid UTF-8"))?;
    let (mut data, mut error) = (None, None);
    json::members(text, |name, value| match &*name {
        "data" => data = given(value),
        "error" => error = given(value),
        "usage" => meta.usage = usage_of(value),
        "model" => meta.model = string(value).map(std::borrow::Cow::into_owned),
        "id" => meta.request_id = string(value).map(std::borrow::Cow::into_owned),
        _ => {}
    })
    .map_err(|error| broken(&error.0))?;
    if let Some(error) = error {
        return Err(error_in(error));
    }
    let data = data.ok_or_else(|| broken("it has no `data`"))?;
    let data: Vec<&RawValue> = serde_json::from_str(data.get()).map_err(|_| broken("its `data` is no array"))?;
    // Numbers that may belong to another text are worse than none.
    let invalid = |what: String| Failure::new(FailureKind::InvalidOutput, what).because(Reason::Schema);
    if data.len() != n {
        return Err(invalid(format!("{} embeddings came back for {n} texts", data.len())));
    }
    let mut members: Vec<Option<&RawValue>> = vec![None; n];
    for (place, member) in data.into_iter().enumerate() {
        let index = index_of(member).unwrap_or(place);
        match members.get_mut(index) {
            Some(free @ None) => *free = Some(member),
            Some(Some(_)) => return Err(invalid(format!("two embeddings came back for the text of index {index}"))),
            None => return Err(invalid(format!("an embedding came back for the text of index {index}, of {n} texts"))),
        }
    }
    Ok(members.into_iter().flatten().collect())
}

fn index_of(member: &RawValue) -> Option<usize> {
    let mut index = None;
    json::members(member.get(), |name, value| {
        if name == "index" {
            index = value.get().parse().ok();
        }
    })
    .ok()?;
    index
}

/// Returns the embedding in a member of a reply: an array of numbers as the model wrote it, or text where that was asked
/// for (`encoding_format: base64`).
pub(super) fn embedding_in(member: &str, dimensions: Option<u32>) -> Result<&RawValue, Failure> {
    let invalid = |what: String| Failure::new(FailureKind::InvalidOutput, what).because(Reason::Schema);
    let mut embedding = None;
    json::members(member, |name, value| {
        if name == "embedding" {
            embedding = given(value);
        }
    })
    .map_err(|error| invalid(format!("what came back for the text is {}", error.0)))?;
    let embedding = embedding.ok_or_else(|| invalid("no embedding came back for the text".to_owned()))?;
    let text = embedding.get();
    match text.as_bytes().first() {
        Some(b'[') => {
            let is_empty = text[1..text.len() - 1].trim().is_empty();
            let n = if is_empty { 0 } else { 1 + text.bytes().filter(|byte| *byte == b',').count() };
            match dimensions.filter(|wanted| usize::try_from(*wanted).is_ok_and(|wanted| wanted != n)) {
                _ if is_empty => Err(invalid("the embedding is empty".to_owned())),
                Some(wanted) => Err(invalid(format!("the embedding has {n} numbers, and {wanted} were asked for"))),
                None => Ok(embedding),
            }
        }
        Some(b'"') => Ok(embedding),
        _ => Err(invalid(format!("the embedding is {}, not an array", json::kind_of(embedding)))),
    }
}

/// Divides what a request was billed among `n` records so that the parts add up to it: the first one takes the rest.
pub(super) fn shares(usage: Usage, n: usize) -> impl Iterator<Item = Usage> {
    let n = u64::try_from(n.max(1)).unwrap_or(u64::MAX);
    let part = move |whole: u64, is_first: bool| whole / n + if is_first { whole % n } else { 0 };
    (0..n).map(move |i| Usage {
        prompt_tokens: part(usage.prompt_tokens, i == 0),
        completion_tokens: part(usage.completion_tokens, i == 0),
        cached_tokens: part(usage.cached_tokens, i == 0),
        reasoning_tokens: part(usage.reasoning_tokens, i == 0),
    })
}
