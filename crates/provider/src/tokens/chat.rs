//! The tokens of a request.
//!
//! Messages by the rule that OpenAI publishes:
//! <https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken>. Tools and schemas become text of a shape that
//! nobody publishes; their JSON is near it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Tokenizer, image};

/// What stands around each message, and what begins the answer.
const EACH_MESSAGE: u64 = 3;
const ANSWER: u64 = 3;
/// What stands around a name.
const NAME: u64 = 1;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    functions: Option<&'a RawValue>,
    #[serde(borrow)]
    response_format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Parts(#[serde(borrow)] Vec<Part<'a>>),
    /// Vendors that take it are not OpenAI.
    Other(#[serde(borrow)] &'a RawValue),
}

/// A part of a content. Files and sounds cost what only the vendor can tell, and are counted as nothing.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image_url: Option<ImageUrl<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ImageUrl<'a> {
    Whole {
        #[serde(borrow)]
        url: Cow<'a, str>,
        #[serde(borrow)]
        detail: Option<Cow<'a, str>>,
    },
    Bare(#[serde(borrow)] Cow<'a, str>),
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow)]
    json_schema: Option<Schema<'a>>,
}

#[derive(Deserialize)]
struct Schema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

/// Counts a request; nothing where `body` is none.
pub(super) fn count(tokenizer: &Tokenizer, body: &[u8]) -> Option<u64> {
    let request: Request<'_> = serde_json::from_slice(body).ok()?;
    let text = |text: &Option<Cow<'_, str>>| text.as_deref().map_or(0, |text| tokenizer.count_text(text));
    let json = |value: Option<&RawValue>| value.map_or(0, |value| tokenizer.count_text(value.get()));
    let part = |part: &Part<'_>| {
        text(&part.text)
            + part.image_url.as_ref().map_or(0, |image| match image {
                ImageUrl::Whole { url, detail } => tokenizer.images.count(image::size_of(url), detail.as_deref()),
                ImageUrl::Bare(url) => tokenizer.images.count(image::size_of(url), None),
            })
    };
    let call = |call: &Call<'_>| call.function.as_ref().map_or(0, |it| text(&it.name) + text(&it.arguments));
    let message = |message: &Message<'_>| {
        let content = match &message.content {
            None => 0,
            Some(Content::Text(text)) => tokenizer.count_text(text),
            Some(Content::Parts(parts)) => parts.iter().map(part).sum(),
            Some(Content::Other(value)) => json(Some(value)),
        };
        let name = message.name.as_ref().map_or(0, |_| NAME + text(&message.name));
        let calls: u64 = message.tool_calls.iter().flatten().map(call).sum();
        EACH_MESSAGE + text(&message.role) + content + name + calls
    };
    let messages: u64 = request.messages.iter().map(message).sum();
    let schema = request.response_format.and_then(|format| format.json_schema).and_then(|it| it.schema);
    Some(messages + ANSWER + json(request.tools) + json(request.functions) + json(schema))
}
