//! What a model said in the body of a chat completion: the text of its answer, or why it declined to give one.
//!
//! In journals that do not tell an answer's length every answer is looked at for it, so that takes no copy of the text.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_json::Value;

/// Returns the text; `None` where `raw` is no such body.
pub(super) fn text_of(raw: &[u8]) -> Option<String> {
    said(raw)
}

/// Returns how many characters the text has; `None` where `raw` is no such body.
pub(super) fn characters_of(raw: &[u8]) -> Option<u64> {
    // Embeddings are answers too, and long.
    memchr::memmem::find(raw, b"\"choices\"")?;
    said(raw).map(|Characters(n)| n)
}

/// What is wanted of a text.
trait OfText: Default + PartialEq {
    fn of(text: &str) -> Self;
}

impl OfText for String {
    fn of(text: &str) -> Self {
        text.to_owned()
    }
}

/// The number of characters of a text.
#[derive(Default, PartialEq)]
struct Characters(u64);

impl OfText for Characters {
    fn of(text: &str) -> Self {
        Self(text.chars().count() as u64)
    }
}

#[derive(Deserialize)]
#[serde(bound = "T: OfText")]
struct Completion<T> {
    choices: Vec<Choice<T>>,
}

#[derive(Deserialize)]
#[serde(bound = "T: OfText")]
struct Choice<T> {
    message: Message<T>,
}

#[derive(Deserialize)]
#[serde(bound = "T: OfText")]
struct Message<T> {
    #[serde(default, deserialize_with = "text")]
    content: T,
    #[serde(default, deserialize_with = "text")]
    refusal: T,
}

fn said<T: OfText>(raw: &[u8]) -> Option<T> {
    let completion: Completion<T> = serde_json::from_slice(raw).ok()?;
    let message = completion.choices.into_iter().next()?.message;
    Some(if message.content == T::default() { message.refusal } else { message.content })
}

/// Text, or parts of which some are text; anything else says nothing.
fn text<'de, T: OfText, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Text<T>(PhantomData<T>);
    impl<'de, T: OfText> Visitor<'de> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value")
        }
        fn visit_str<E>(self, text: &str) -> Result<T, E> {
            Ok(T::of(text))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<T, A::Error> {
            let parts = Vec::<Value>::deserialize(SeqAccessDeserializer::new(parts))?;
            let text: String = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            Ok(T::of(&text))
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            Value::deserialize(MapAccessDeserializer::new(map)).map(|_| T::default())
        }
        fn visit_unit<E>(self) -> Result<T, E> {
            Ok(T::default())
        }
        fn visit_bool<E>(self, _: bool) -> Result<T, E> {
            Ok(T::default())
        }
        fn visit_u64<E>(self, _: u64) -> Result<T, E> {
            Ok(T::default())
        }
        fn visit_i64<E>(self, _: i64) -> Result<T, E> {
            Ok(T::default())
        }
        fn visit_f64<E>(self, _: f64) -> Result<T, E> {
            Ok(T::default())
        }
    }
    deserializer.deserialize_any(Text(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_the_text_whatever_shape_the_body_has() {
        for (raw, said) in [
            (
                r#"{"choices":[{"message":{"content":"a \"b\"\n\u00e9\ud83d\ude00 中"}}]}"#,
                Some("a \"b\"\n\u{e9}\u{1f600} 中"),
            ),
            (
                r#"{"choices":[{"message":{"content":[{"text":"in "},{"image":1},{"text":"parts"}]}}]}"#,
                Some("in parts"),
            ),
            (r#"{"choices":[{"message":{"content":"","refusal":"no"}}]}"#, Some("no")),
            (r#"{"choices":[{"message":{"content":{"text":"x"},"refusal":7}}]}"#, Some("")),
            (r#"{"choices":[{"message":{"content":true,"refusal":-1.5}}]}"#, Some("")),
            (r#"{"choices":[{"message":{}},{"message":{"content":"second"}}]}"#, Some("")),
            (r#"{"choices":[]}"#, None),
            (r#"{"choices":[{"delta":{}}]}"#, None),
            (r#"{"choices":[{"message":{"content":"\ud800"}}]}"#, None),
            (r#"{"choices":[{"message":{"content":"cut"#, None),
            ("", None),
        ] {
            assert_eq!(text_of(raw.as_bytes()).as_deref(), said, "{raw}");
            assert_eq!(characters_of(raw.as_bytes()), said.map(|text| text.chars().count() as u64), "{raw}");
        }
    }
}
