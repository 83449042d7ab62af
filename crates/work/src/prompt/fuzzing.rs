//! The parsers of what strangers write, for the fuzzer, with what must hold whatever they wrote.

use std::{borrow::Cow, hint::black_box};

use serde_json::{Value, value::RawValue};

use super::{
    extract::{Said, Wanted, json_in, said, work_on},
    parse::parse,
};

/// Fields that answers are asked for here.
const FIELDS: [&[&str]; 3] = [&[], &["a"], &["category", "score"]];

/// Takes `data` for what a model said.
///
/// # Panics
/// Where a promise is broken.
pub fn answer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Said { thought, answer } = said(&text);
    match thought {
        // Channels may hold an answer and no thought.
        None if !text.contains("<|message|>") => {
            assert_eq!(answer, text, "an answer without a thought is all there is")
        }
        None => assert!(text.contains(&*answer), "nothing is said that was not there"),
        Some(thought) => assert!(
            thought.len() + answer.len() <= text.len() && text.contains(&*answer),
            "nothing is said that was not there"
        ),
    }
    for fields in FIELDS {
        for wanted in [Wanted::Object, Wanted::Array, Wanted::Any] {
            one(&answer, wanted, fields);
            if answer != text {
                one(&text, wanted, fields);
            }
        }
    }
    thoughts_never_win(&text);
}

fn one(text: &str, wanted: Wanted, fields: &[&str]) {
    let most = 10 * text.len() + 128 * 1024;
    assert!(work_on(text, wanted, fields) <= most, "the work is a multiple of the length");
    let found = json_in(text, wanted, fields);
    let is_strict = |text: &str| serde_json::from_str::<&RawValue>(text).is_ok();
    let whole = text.trim_matches([' ', '\t', '\r', '\n']);
    let is_valid = serde_json::from_str::<Value>(whole).is_ok();
    if fields.is_empty() && is_valid && (wanted == Wanted::Any || whole.starts_with(first_byte(wanted))) {
        assert_eq!(found.as_deref(), Some(whole), "what is valid is handed on to the byte");
    }
    let Some(found) = found else { return };
    assert!(is_strict(&found), "what comes out is strict JSON: {found}");
    assert!(wanted == Wanted::Any || found.starts_with(first_byte(wanted)), "what comes out is what was wanted");
    if let Cow::Borrowed(found) = found {
        assert!(text.contains(found), "what is not mended stands in the text");
    }
    assert_eq!(json_in(&found, wanted, fields).as_deref(), Some(&*found), "what came out comes out of itself");
}

fn first_byte(wanted: Wanted) -> char {
    if wanted == Wanted::Array { '[' } else { '{' }
}

/// Puts `text` into a think block and an answer behind it.
fn thoughts_never_win(text: &str) {
    // Marks of an end would be what they look like.
    if text.contains("</") || text.contains("<|") {
        return;
    }
    let meant = r#"{"a": "meant", "category": 1}"#;
    for said_so in [format!("<think>{text}</think>{meant}"), format!("<think>\n{text}\n</think>\n\n{meant}\n")] {
        let Said { thought, answer } = said(&said_so);
        assert!(thought.is_some_and(|thought| text.contains(&*thought)), "a thought is thought");
        assert_eq!(answer, meant, "the answer is what comes behind the thought");
        for fields in FIELDS {
            assert_eq!(
                json_in(&answer, Wanted::Object, fields).as_deref(),
                Some(meant),
                "the thought is not the answer"
            );
        }
    }
}

/// Takes `data` for the body of a response.
pub fn envelope(data: &[u8]) {
    black_box(parse(data));
}
