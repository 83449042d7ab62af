//! What an answer is billed for.
//!
//! Without a tokenizer a token is four bytes, which costs nothing to know. With one, a request is what OpenAI's models are
//! given: for each message `<|im_start|>`, the role, `<|im_sep|>`, the content and `<|im_end|>`; then the beginning of the
//! answer's own message.

use std::{borrow::Cow, io::Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tiktoken::CoreBpe;

/// The special tokens around each message, and those that begin the answer's.
const AROUND: usize = 3;
const BEGINNING: usize = 3;

/// An image of 1,024 pixels square at high detail, and any image at low detail.
const IMAGE: usize = 765;
const SMALL_IMAGE: usize = 85;

/// How tokens are counted for the bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Usage {
    /// The table by which texts are counted; without it, every four bytes are a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Encoding>,
    /// The share of a request's tokens that the vendor had in its cache, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cached: f64,
}

/// A table of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// OpenAI's of 2024 and later.
    O200kBase,
    /// OpenAI's of 2023.
    Cl100kBase,
}

/// What a request has that is billed.
pub(super) struct Billed<'r, 'a> {
    /// Role, name and content of each message; the content as JSON text.
    pub(super) messages: &'r [super::chat::Message<'a>],
    /// Tools and schema as JSON text.
    pub(super) others: [Option<&'a RawValue>; 2],
}

/// The tokens of an answer.
#[derive(Clone, Copy, Default)]
pub(super) struct Tokens {
    pub(super) prompt: usize,
    pub(super) completion: usize,
    /// Of the completion's, those of the thought.
    pub(super) reasoning: usize,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Tokens(Vec<u64>),
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    image_url: Option<Image>,
}

#[derive(Deserialize)]
struct Image {
    detail: Option<String>,
}

impl Encoding {
    /// Unpacks the table, or finds it unpacked.
    pub(crate) fn table(self) -> Option<&'static CoreBpe> {
        tiktoken::get_encoding(match self {
            Encoding::O200kBase => "o200k_base",
            Encoding::Cl100kBase => "cl100k_base",
        })
    }
}

impl Usage {
    /// Returns the tokens of a text.
    pub(super) fn of_text(&self, text: &str) -> usize {
        match self.tokenizer.and_then(Encoding::table) {
            Some(table) => table.count(text),
            None => super::tokens(text.len()),
        }
    }

    /// Returns the tokens of an input of embeddings, given as JSON text.
    pub(super) fn of_input(&self, input: &str) -> usize {
        if self.tokenizer.is_none() {
            return super::tokens(input.len());
        }
        match serde_json::from_str::<Input<'_>>(input) {
            Ok(Input::Text(text)) => self.of_text(&text),
            Ok(Input::Tokens(tokens)) => tokens.len(),
            Err(_) => super::tokens(input.len()),
        }
    }

    /// Returns the tokens of a request.
    pub(super) fn of_request(&self, billed: &Billed<'_, '_>) -> usize {
        let Some(table) = self.tokenizer.and_then(Encoding::table) else {
            let contents = billed.messages.iter().filter_map(|message| message.content);
            return super::tokens(contents.map(|content| content.get().len()).sum());
        };
        let of_message = |message: &super::chat::Message<'_>| {
            let name = message.name.as_deref().map_or(0, |name| 1 + table.count(name));
            let content = message.content.map_or(0, |content| of_content(content.get(), table));
            AROUND + table.count(&message.role) + name + content
        };
        let messages: usize = billed.messages.iter().map(of_message).sum();
        let others: usize = billed.others.iter().flatten().map(|other| table.count(other.get())).sum();
        messages + BEGINNING + others
    }

    /// Writes the bill.
    pub(super) fn write(&self, tokens: Tokens, out: &mut Vec<u8>) {
        let Tokens { prompt, completion, reasoning } = tokens;
        let total = prompt + completion;
        // Writing into a vector never fails.
        let _ = write!(out, "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total}");
        if self.cached > 0.0 {
            let cached = (prompt as f64 * self.cached) as usize;
            let _ = write!(out, ",\"prompt_tokens_details\":{{\"cached_tokens\":{cached},\"audio_tokens\":0}}");
        }
        if reasoning > 0 {
            let _ = write!(out, ",\"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}");
        }
        out.push(b'}');
    }
}

fn of_content(content: &str, table: &CoreBpe) -> usize {
    if let Ok(text) = serde_json::from_str::<Cow<'_, str>>(content) {
        return table.count(&text);
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(content).unwrap_or_default();
    let of_image = |image: &Image| if image.detail.as_deref() == Some("low") { SMALL_IMAGE } else { IMAGE };
    let of_part = |part: &Part<'_>| {
        part.text.as_deref().map_or(0, |text| table.count(text)) + part.image_url.as_ref().map_or(0, of_image)
    };
    parts.iter().map(of_part).sum()
}
