//! A record's values in a template, taken from its text when they are named.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use domain::json;
use minijinja::{
    Error, ErrorKind, Value,
    value::{Enumerator, Kwargs, Object, ObjectRepr},
};
use serde::Serialize as _;
use serde_json::{Serializer, ser::PrettyFormatter, value::RawValue};

/// The named fields of one record: what a template is rendered with.
#[derive(Debug, Default)]
pub(crate) struct Named(pub(crate) Vec<(Arc<str>, Value)>);

impl Object for Named {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.get(key).cloned()
    }
}

impl Named {
    /// Returns the field that is called so.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }
}

/// Text that JSON can spell and Unicode cannot: half of a character.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HalfCharacter;

/// Returns what a JSON string says.
pub(crate) fn text_of(string: &RawValue) -> Result<Cow<'_, str>, HalfCharacter> {
    let quoted = string.get();
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str(quoted).map(Cow::Owned).map_err(|_| HalfCharacter)
}

/// Returns a JSON value as templates see it: text as text, a number as a number where nothing of it is lost and as its
/// own text otherwise (`1.10`, forty digits), arrays and objects as they stand until someone looks into them.
pub(crate) fn value_of(raw: &RawValue) -> Result<Value, HalfCharacter> {
    Ok(match raw.get().as_bytes().first() {
        Some(b'"') => text_of(raw)?.into(),
        Some(b'[' | b'{') => Value::from_object(Container { text: raw.to_owned(), inside: OnceLock::new() }),
        Some(b't') => true.into(),
        Some(b'f') => false.into(),
        Some(b'n') => ().into(),
        _ => number(raw.get()),
    })
}

/// Returns a whole record as templates see it, which is read only when it is looked into.
pub(super) fn whole_of(text: &str) -> Value {
    let raw = serde_json::from_str::<&RawValue>(text);
    raw.map_or_else(|_| Value::default(), |raw| value_of(raw).unwrap_or_default())
}

fn number(text: &str) -> Value {
    // The standard library reads floats exactly, which serde_json does only with a feature that slows it down.
    let number = match text.parse::<i64>() {
        // JSON spells whole numbers in one way, but for this one.
        Ok(number) if text != "-0" => return Value::from(number),
        Ok(number) => Value::from(number),
        Err(_) => match (text.parse::<i128>(), text.parse::<f64>()) {
            (Ok(number), _) => Value::from(number),
            (_, Ok(number)) if number.is_finite() => Value::from(number),
            _ => return Value::from(text),
        },
    };
    if number.to_string() == text { number } else { Value::from(text) }
}

/// An array or an object, kept as its text: printed whole it is that text, and it is read only when looked into.
struct Container {
    text: Box<RawValue>,
    inside: OnceLock<Inside>,
}

enum Inside {
    Array(Vec<Value>),
    Object(Vec<(Value, Value)>),
}

impl Container {
    fn inside(&self) -> &Inside {
        // Half a character deep inside is shown as it is spelled: the record is good as far as it is used.
        let value = |raw: &RawValue| value_of(raw).unwrap_or_else(|HalfCharacter| raw.get().into());
        self.inside.get_or_init(|| {
            if self.text.get().starts_with('[') {
                let items: Vec<&RawValue> = serde_json::from_str(self.text.get()).unwrap_or_default();
                Inside::Array(items.into_iter().map(value).collect())
            } else {
                let mut members = Vec::new();
                // The text was parsed as a part of the record, so there is no error to report.
                let _ = json::members(self.text.get(), |name, raw| members.push((name.into(), value(raw))));
                Inside::Object(members)
            }
        })
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.get())
    }
}

impl Object for Container {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.text.get().starts_with('[') { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.inside() {
            Inside::Array(items) => items.get(key.as_usize()?).cloned(),
            Inside::Object(members) => members.iter().rev().find(|(name, _)| name == key).map(|(_, v)| v.clone()),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.inside() {
            Inside::Array(items) => Enumerator::Seq(items.len()),
            Inside::Object(members) => Enumerator::Values(members.iter().map(|(name, _)| name.clone()).collect()),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&compacted(self.text.get()))
    }
}

/// Returns a value as JSON: containers of the record as they stand. It replaces the engine's own filter `tojson`, which
/// escapes for HTML.
pub(super) fn to_json(value: &Value, indent: Option<usize>, named: Kwargs) -> Result<String, Error> {
    let indent = named.get::<Option<usize>>("indent")?.or(indent).unwrap_or(0);
    named.assert_all_used()?;
    match value.downcast_object_ref::<Container>() {
        Some(container) if indent == 0 => return Ok(compacted(container.text.get())),
        _ => {}
    }
    let mut out = Vec::new();
    let spaces = " ".repeat(indent);
    let written = if indent == 0 {
        value.serialize(&mut Serializer::new(&mut out))
    } else {
        value.serialize(&mut Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(spaces.as_bytes())))
    };
    written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    String::from_utf8(out).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

fn compacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    json::compact(text, &mut out);
    out
}
