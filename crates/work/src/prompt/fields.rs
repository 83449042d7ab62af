//! Fields into JSON Schema, and what can be wrong with them.
//!
//! OpenAI's strict mode wants every object closed and all its properties required, which is what fields mean anyway. It
//! takes bounds, lengths and patterns for all but fine-tuned models, so they are sent; whether an upstream enforces
//! them or not, every answer is checked here.

use serde_json::{Map, Value, json};

use super::{Field, Fields, Kind, ResponseFormat};
use crate::mistake::Mistake;

/// Returns the `response_format` of requests for `fields`, if they have one.
pub(super) fn response_format(fields: &Fields, told: ResponseFormat) -> Option<Value> {
    match told {
        ResponseFormat::Schema => Some(json!({
            "type": "json_schema",
            "json_schema": { "name": "answer", "strict": fields.is_closed(), "schema": object_schema(fields, true) },
        })),
        ResponseFormat::Json => Some(json!({ "type": "json_object" })),
        ResponseFormat::None => None,
    }
}

/// Returns the schema that answers are checked with. More members than asked for are no mistake at the top: many models
/// cannot be kept from explaining themselves, and what was not asked for is left out of the output.
pub(super) fn answer_schema(fields: &Fields) -> Value {
    object_schema(fields, false)
}

fn object_schema(fields: &Fields, is_closed: bool) -> Value {
    let properties: Map<String, Value> = fields.0.iter().map(|(name, field)| (name.clone(), schema(field))).collect();
    let required: Vec<&String> = fields.0.iter().filter(|(_, field)| !field.optional).map(|(name, _)| name).collect();
    let mut object = json!({ "type": "object", "properties": properties, "required": required });
    if is_closed {
        object["additionalProperties"] = false.into();
    }
    object
}

fn schema(field: &Field) -> Value {
    let mut schema = match &field.properties {
        Some(fields) => object_schema(fields, true),
        None => json!({}),
    };
    match (field.kind.filter(|kind| *kind != Kind::Any), field.nullable) {
        (Some(kind), false) => schema["type"] = kind.word().into(),
        (Some(kind), true) => schema["type"] = json!([kind.word(), "null"]),
        (None, _) => {}
    }
    if let Some(choices) = &field.choices {
        let mut choices = choices.clone();
        if field.nullable && !choices.contains(&Value::Null) {
            choices.push(Value::Null);
        }
        if field.kind.is_none() {
            let kinds = kinds_of(&choices);
            schema["type"] = if let [kind] = kinds.as_slice() { (*kind).into() } else { kinds.into() };
        }
        schema["enum"] = choices.into();
    }
    let more = [
        ("description", field.description.clone().map(Value::from)),
        ("minimum", field.minimum.clone().map(Value::Number)),
        ("maximum", field.maximum.clone().map(Value::Number)),
        ("minLength", field.min_length.map(Value::from)),
        ("maxLength", field.max_length.map(Value::from)),
        ("pattern", field.pattern.clone().map(Value::from)),
        ("items", field.items.as_deref().map(self::schema)),
        ("minItems", field.min_items.map(Value::from)),
        ("maxItems", field.max_items.map(Value::from)),
    ];
    for (keyword, value) in more {
        if let Some(value) = value {
            schema[keyword] = value;
        }
    }
    schema
}

/// Returns the types of `values`, each once, in the order in which they first stand.
fn kinds_of(values: &[Value]) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for value in values {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

impl Fields {
    /// Returns whether the fields say all about their values, as strict mode demands.
    pub(super) fn is_closed(&self) -> bool {
        self.0.iter().all(|(_, field)| !field.optional && field.is_closed())
    }
}

impl Field {
    fn is_closed(&self) -> bool {
        match self.kind {
            Some(Kind::Object) => self.properties.as_ref().is_some_and(Fields::is_closed),
            Some(Kind::Array) => self.items.as_deref().is_some_and(Field::is_closed),
            Some(Kind::Any) => false,
            _ => true,
        }
    }
}

/// Adds what is wrong with `fields`, which stand at `path`.
pub(super) fn mistakes(fields: &Fields, path: &mut Vec<String>, mistakes: &mut Vec<Mistake>) {
    if fields.0.is_empty() {
        mistakes.push(Mistake { path: path.clone(), line: None, message: "names no field".to_owned() });
    }
    for (name, field) in &fields.0 {
        path.push(name.clone());
        if name.trim().is_empty() {
            mistakes.push(Mistake { path: path.clone(), line: None, message: "a field needs a name".to_owned() });
        }
        field_mistakes(field, path, mistakes);
        path.pop();
    }
}

fn field_mistakes(field: &Field, path: &mut Vec<String>, all: &mut Vec<Mistake>) {
    let mut add = |key: &str, message: &str| {
        let path = path.iter().map(String::as_str).chain((!key.is_empty()).then_some(key)).map(str::to_owned).collect();
        all.push(Mistake { path, line: None, message: message.to_owned() });
    };
    match (&field.kind, &field.choices) {
        (None, None) => add("", "needs a `type` or an `enum`"),
        (_, Some(choices)) if choices.is_empty() => add("enum", "allows no value"),
        (Some(Kind::Any), Some(_)) => add("type", "is not needed beside `enum`, which says which values there are"),
        (Some(kind), Some(choices)) => {
            let fits = |found: &str| found == kind.word() || (found == "integer" && *kind == Kind::Number);
            for found in kinds_of(choices).into_iter().filter(|found| !fits(found) && *found != "null") {
                add("enum", &format!("has a value of type {found}, and `type` is {}", kind.word()));
            }
        }
        _ => {}
    }
    let is = |kinds: &[Kind]| field.kind.is_some_and(|kind| kinds.contains(&kind));
    let numeric = "only a `number` or an `integer` has bounds";
    let textual = "only a `string` has a length";
    for (key, is_set, fits, message) in [
        ("minimum", field.minimum.is_some(), is(&[Kind::Number, Kind::Integer]), numeric),
        ("maximum", field.maximum.is_some(), is(&[Kind::Number, Kind::Integer]), numeric),
        ("min_length", field.min_length.is_some(), is(&[Kind::String]), textual),
        ("max_length", field.max_length.is_some(), is(&[Kind::String]), textual),
        ("pattern", field.pattern.is_some(), is(&[Kind::String]), "only a `string` has a pattern"),
        ("items", field.items.is_some(), is(&[Kind::Array]), "only an `array` has elements"),
        ("min_items", field.min_items.is_some(), is(&[Kind::Array]), "only an `array` has elements"),
        ("max_items", field.max_items.is_some(), is(&[Kind::Array]), "only an `array` has elements"),
        ("properties", field.properties.is_some(), is(&[Kind::Object]), "only an `object` has properties"),
    ] {
        if is_set && !fits {
            add(key, message);
        }
    }
    let bound = |number: &Option<serde_json::Number>| number.as_ref().and_then(serde_json::Number::as_f64);
    for (low, high, is_crossed) in [
        (
            "minimum",
            "maximum",
            matches!((bound(&field.minimum), bound(&field.maximum)), (Some(low), Some(high)) if low > high),
        ),
        (
            "min_length",
            "max_length",
            matches!((field.min_length, field.max_length), (Some(low), Some(high)) if low > high),
        ),
        ("min_items", "max_items", matches!((field.min_items, field.max_items), (Some(low), Some(high)) if low > high)),
    ] {
        if is_crossed {
            add(low, &format!("`{low}` is greater than `{high}`"));
        }
    }
    if let Some(pattern) = &field.pattern
        && let Err(error) = jsonschema::validator_for(&json!({ "pattern": pattern }))
    {
        add("pattern", &format!("is not a regular expression: {error}"));
    }
    let inside = field.properties.iter().flat_map(|fields| fields.0.iter());
    for (name, _) in inside.filter(|(_, field)| field.drop) {
        add("properties", &format!("cannot drop a part of a value: `{name}`; only a whole field is dropped"));
    }
    if let Some(items) = &field.items {
        path.push("items".to_owned());
        field_mistakes(items, path, all);
        path.pop();
    }
    if let Some(properties) = &field.properties {
        path.push("properties".to_owned());
        mistakes(properties, path, all);
        path.pop();
    }
}
