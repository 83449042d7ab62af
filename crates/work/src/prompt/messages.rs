//! A record's own conversation, passed on as it stands.

use std::borrow::Cow;

use domain::{SkipReason, json};
use serde_json::value::RawValue;

use crate::template::{Trouble, text_of};

/// Returns the messages of the field `name`, without the brackets around them; `None` where there are none and
/// something else is asked.
pub(super) fn conversation<'r>(
    name: &str,
    value: Option<&'r RawValue>,
    has_template: bool,
) -> Result<Option<Cow<'r, str>>, Trouble> {
    let text = array(name, value, "messages", |elements| {
        let odd = elements.iter().enumerate().find_map(|(i, element)| Some((i, not_a_message(element)?)));
        odd.map_or(Ok(()), |(i, what)| {
            let what = format!("the field `{name}` is not an array of messages: message {} is {what}", i + 1);
            Err(Trouble::skip(SkipReason::BadRecord, what))
        })
    })?;
    match text {
        Some(Cow::Borrowed(text)) => Ok(Some(Cow::Borrowed(without_brackets(text)))),
        Some(Cow::Owned(text)) => Ok(Some(Cow::Owned(without_brackets(&text).to_owned()))),
        None if has_template => Ok(None),
        None => {
            let what = format!("the field `{name}` holds no messages: there is nothing to ask");
            Err(Trouble::skip(SkipReason::MissingField, what))
        }
    }
}

/// Returns the tools of the field `name`, if it holds any.
pub(super) fn tools<'r>(name: &str, value: Option<&'r RawValue>) -> Result<Option<Cow<'r, str>>, Trouble> {
    array(name, value, "tools", |_| Ok(()))
}

/// Returns the array that a field holds: as it stands, or written as text, as in a cell of a CSV file. `None` where it
/// is empty, `null` or blank.
fn array<'r>(
    name: &str,
    value: Option<&'r RawValue>,
    of: &str,
    check: impl FnOnce(&[&RawValue]) -> Result<(), Trouble>,
) -> Result<Option<Cow<'r, str>>, Trouble> {
    let Some(value) = value else {
        return Err(Trouble::skip(SkipReason::MissingField, format!("the record has no field `{name}`")));
    };
    let no_array = |what: &str| {
        Err(Trouble::skip(SkipReason::BadRecord, format!("the field `{name}` is not an array of {of}: it is {what}")))
    };
    let text = match value.get().as_bytes().first() {
        Some(b'[') => Cow::Borrowed(value.get()),
        Some(b'n') => return Ok(None),
        Some(b'"') => match text_of(value) {
            Ok(text) if text.trim().is_empty() => return Ok(None),
            Ok(text) if text.trim_start().starts_with('[') => Cow::Owned(text.trim().to_owned()),
            Ok(_) => return no_array("a string"),
            Err(_) => return no_array("text with half of a character"),
        },
        _ => return no_array(json::kind_of(value)),
    };
    let elements: Vec<&RawValue> = match serde_json::from_str(&text) {
        Ok(elements) => elements,
        Err(error) => return no_array(&format!("text that is {}", json::in_words(&error))),
    };
    check(&elements)?;
    let is_empty = elements.is_empty();
    Ok((!is_empty).then_some(text))
}

/// Returns what a value is that is no message.
fn not_a_message(value: &RawValue) -> Option<String> {
    let mut role = None;
    let read = json::members(value.get(), |name, value| {
        if name == "role" {
            role = Some(value);
        }
    });
    match (read, role) {
        (Err(error), _) => Some(error.0),
        (Ok(()), None) => Some("without a `role`".to_owned()),
        (Ok(()), Some(role)) if role.get().starts_with('"') => None,
        (Ok(()), Some(role)) => Some(format!("with {} as its `role`", json::kind_of(role))),
    }
}

fn without_brackets(array: &str) -> &str {
    let inside = array.trim();
    let inside = inside.strip_prefix('[').unwrap_or(inside);
    inside.strip_suffix(']').unwrap_or(inside)
}
