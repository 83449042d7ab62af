//! The shapes in which models wrap their answers, and when.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    draw::{self, Salt},
    script::Script,
};

/// A shape that some answers have, and how many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// What is done to the text.
    pub kind: ShapeKind,
    /// The share of answers that have it, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rate: f64,
    /// Only the first so many answers to a request have it; every one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub asks: Option<u32>,
}

/// What is done to the text of an answer. What it says stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ShapeKind {
    /// A thought stands before it, in `<think>` tags, with a draft of an object in it.
    Think,
    /// It stands in a code fence.
    Fence,
    /// Words stand around it, with braces among them.
    Prose,
    /// A comma stands before its last brace or bracket.
    TrailingComma,
    /// A line break stands within one of its strings, as it is and not as `\n`.
    RawNewline,
}

impl Script {
    /// Returns the shape of the answer when the request with this hash is answered for the `ask`-th time (from 1). There is
    /// one draw per ask, as for faults.
    pub fn shape_for(&self, request_hash: u128, ask: u32) -> Option<ShapeKind> {
        if self.shapes.is_empty() {
            return None;
        }
        let draw = draw::unit(draw::word(self.seed, request_hash, ask, Salt::Shape));
        let mut end = 0.0;
        let shape = self.shapes.iter().find(|shape| {
            end += shape.rate;
            draw < end
        })?;
        shape.asks.is_none_or(|asks| ask <= asks).then_some(shape.kind)
    }
}

impl ShapeKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [ShapeKind; 5] =
        [ShapeKind::Think, ShapeKind::Fence, ShapeKind::Prose, ShapeKind::TrailingComma, ShapeKind::RawNewline];

    /// Returns the name by which scripts and counts call it.
    pub fn name(self) -> &'static str {
        match self {
            ShapeKind::Think => "think",
            ShapeKind::Fence => "fence",
            ShapeKind::Prose => "prose",
            ShapeKind::TrailingComma => "trailing_comma",
            ShapeKind::RawNewline => "raw_newline",
        }
    }

    /// Puts a text into this shape. One that has no place for it stays as it is.
    pub(crate) fn wrap(self, text: String) -> String {
        match self {
            ShapeKind::Think => {
                format!("<think>\nFirst I took it for {{\"answer\": \"no\"}}, but that is not it.\n</think>\n\n{text}")
            }
            ShapeKind::Fence => format!("```json\n{text}\n```"),
            ShapeKind::Prose => {
                format!("Here is what you asked for:\n\n{text}\n\nIt has all {{fields}}. Is there anything else?")
            }
            ShapeKind::TrailingComma => match text.strip_suffix(['}', ']']) {
                Some(inside) if text.starts_with(['{', '[']) && !inside.ends_with(['{', '[']) => {
                    let end = &text[inside.len()..];
                    format!("{inside},{end}")
                }
                _ => text,
            },
            ShapeKind::RawNewline => with_raw_newline(text),
        }
    }
}

/// Breaks the line at the first space within a string that is a value. A name would be another field then.
fn with_raw_newline(mut text: String) -> String {
    let (mut start, mut space, mut is_escaped) = (None, None, false);
    for (at, byte) in text.bytes().enumerate() {
        if start.is_none() {
            start = (byte == b'"').then_some(at);
            continue;
        }
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b' ' => space = space.or(Some(at)),
            b'"' => {
                let is_name = text[at + 1..].trim_start().starts_with(':');
                if let Some(space) = space.filter(|_| !is_name) {
                    text.replace_range(space..=space, "\n");
                    return text;
                }
                (start, space) = (None, None);
            }
            _ => {}
        }
    }
    text
}

impl fmt::Display for ShapeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_wrapped_and_says_the_same() {
        let check = |kind: ShapeKind, text: &str, expected: &str| {
            assert_eq!(kind.wrap(text.to_owned()), expected, "{kind} of {text}");
        };
        check(ShapeKind::Fence, "{}", "```json\n{}\n```");
        check(ShapeKind::TrailingComma, "{\"a\":[1]}", "{\"a\":[1],}");
        check(ShapeKind::TrailingComma, "[{}]", "[{},]");
        for text in ["{}", "[]", "words", "7", ""] {
            check(ShapeKind::TrailingComma, text, text);
        }
        check(ShapeKind::RawNewline, "{\"a b\":\"c d e\"}", "{\"a b\":\"c\nd e\"}");
        check(ShapeKind::RawNewline, "{\"a\":\"\\\" \", \"b\":1}", "{\"a\":\"\\\"\n\", \"b\":1}");
        for text in ["{\"a b\" : 1}", "{\"a\":\"bc\"}", "no string", ""] {
            check(ShapeKind::RawNewline, text, text);
        }
    }
}
