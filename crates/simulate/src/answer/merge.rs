//! Schemas that are described in parts: references and `allOf`.

use serde_json::{Map, Value};

/// Keywords that say nothing about values.
const ANNOTATIONS: [&str; 13] = [
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "discriminator",
];

/// Returns what a reference within the document points at.
pub(super) fn resolve<'a>(document: &'a Value, reference: &Value) -> Result<&'a Value, String> {
    let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#'));
    let target = pointer.and_then(|pointer| document.pointer(pointer));
    target.ok_or_else(|| format!("`$ref`: {reference} is not in the schema"))
}

/// Returns what the schema says about values besides this keyword.
pub(super) fn without(schema: &Map<String, Value>, keyword: &str) -> Map<String, Value> {
    let kept = schema.iter().filter(|(name, _)| *name != keyword && !ANNOTATIONS.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Merges the parts of an `allOf` and what stands beside it into one schema.
pub(super) fn all_of(document: &Value, schema: &Map<String, Value>) -> Result<Value, String> {
    let parts = schema.get("allOf").and_then(Value::as_array).ok_or("`allOf` is not a list")?;
    let mut merged = Value::Object(without(schema, "allOf"));
    for part in parts {
        let Value::Object(so_far) = &merged else { break };
        merged = both(document, so_far, part)?;
    }
    Ok(merged)
}

/// Merges two schemas into one whose values satisfy both. Where both limit the same thing, the second one's limit holds.
pub(super) fn both(document: &Value, first: &Map<String, Value>, second: &Value) -> Result<Value, String> {
    let mut second = second;
    for _ in 0..32 {
        let Some(reference) = second.get("$ref") else { break };
        second = resolve(document, reference)?;
    }
    let second = match second {
        Value::Bool(true) => return Ok(Value::Object(first.clone())),
        Value::Object(second) if !second.contains_key("$ref") => second,
        other => return Ok(other.clone()),
    };
    let mut merged = first.clone();
    for (keyword, value) in second {
        match (keyword.as_str(), merged.get_mut(keyword)) {
            ("properties", Some(Value::Object(properties))) => {
                for (name, property) in value.as_object().into_iter().flatten() {
                    let former = properties.remove(name);
                    let property = match former {
                        Some(former) => serde_json::json!({ "allOf": [former, property] }),
                        None => property.clone(),
                    };
                    properties.insert(name.clone(), property);
                }
            }
            ("required" | "allOf", Some(Value::Array(list))) => {
                list.extend(value.as_array().into_iter().flatten().cloned());
            }
            _ => {
                merged.insert(keyword.clone(), value.clone());
            }
        }
    }
    Ok(Value::Object(merged))
}
