//! The words: what was found, what is wanted, what to try.

use serde_json::Value;

use super::schema;
use crate::config::{
    document::{Kind, Node},
    scalar::Scalar,
    slips,
};

/// The types of a field, which people write in the place of the field.
const FIELD_TYPES: [&str; 6] = ["string", "integer", "number", "boolean", "array", "object"];

/// A text longer than this is cut in a message.
const QUOTED: usize = 40;

/// Names what stands in the file.
pub(super) fn found(node: &Node) -> String {
    match (&node.kind, node.scalar()) {
        (Kind::Map(_), _) => "a map".to_owned(),
        (Kind::Seq(_), _) => "a list".to_owned(),
        (_, Some(Scalar::Null)) if node.text() == Some("") => "nothing".to_owned(),
        (_, Some(Scalar::Integer(_) | Scalar::Float(_))) => format!("the number {}", node.text().unwrap_or_default()),
        (_, Some(Scalar::Text(""))) => "an empty text".to_owned(),
        (_, Some(Scalar::Text(text))) => {
            let line = text.lines().next().unwrap_or_default();
            let cut: String = line.chars().take(QUOTED).collect();
            let dots = if cut.len() < text.trim_end().len() { "…" } else { "" };
            format!("the text `{cut}{dots}`")
        }
        (_, Some(Scalar::Null | Scalar::Bool(_)) | None) => format!("`{}`", node.text().unwrap_or_default()),
    }
}

/// Names what the schemas take.
pub(super) fn wanted(schemas: &[&Value]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for schema in schemas {
        for name in schema::types(schema) {
            let name = match name {
                "object" => "a map",
                "array" => "a list",
                "string" => "a text",
                "integer" => "a whole number",
                "number" => "a number",
                "boolean" => "`true` or `false`",
                _ => continue,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    if names.is_empty() { "left out".to_owned() } else { names.join(" or ") }
}

/// Says what to write instead of a value of the wrong type.
pub(super) fn type_help(key: &str, node: &Node, schemas: &[&Value]) -> Option<String> {
    let takes = |name: &str| schemas.iter().any(|schema| schema::types(schema).contains(&name));
    let text = node.text().unwrap_or_default();
    let write = |value: &str| if key.is_empty() { value.to_owned() } else { format!("{key}: {value}") };
    if text.starts_with(['【', '［', '｛']) {
        return Some("full-width brackets are part of a text; write `[...]` or `{ ... }`".to_owned());
    }
    if let Kind::Seq(items) = &node.kind
        && let Some(first) = items.first().and_then(Node::text)
        && takes("object")
        && !key.is_empty()
    {
        return Some(format!("write what each one is: `{key}: {{ {first}: {{ ... }} }}`"));
    }
    match node.scalar() {
        // What has an example is more than any text: a length of time has its unit.
        Some(Scalar::Integer(_) | Scalar::Float(_)) if takes("string") && stated_example(key, schemas).is_some() => {}
        Some(Scalar::Text(text)) if takes("object") && FIELD_TYPES.contains(&text) && !key.is_empty() => {
            return Some(format!("write `{}`", write(&format!("{{ type: {text} }}"))));
        }
        Some(Scalar::Integer(_) | Scalar::Float(_) | Scalar::Bool(_)) if takes("string") => {
            return Some(format!("put it in quotes: `{}`", write(&format!("\"{text}\""))));
        }
        Some(Scalar::Text(text)) if takes("boolean") => {
            let value = match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "on" | "true" | "1" => "true",
                "no" | "n" | "off" | "false" | "0" => "false",
                _ => return example_help(key, schemas),
            };
            return Some(format!("write `{}`", write(value)));
        }
        Some(Scalar::Text(text)) if takes("integer") || takes("number") => {
            let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ' | '\'')).collect();
            if digits.parse::<i128>().is_ok() || (takes("number") && digits.parse::<f64>().is_ok_and(f64::is_finite)) {
                return Some(format!("write `{}`", write(&digits)));
            }
        }
        // `5.0` and `1e3` are whole, yet not whole numbers.
        Some(Scalar::Float(number)) if takes("integer") && number.fract() == 0.0 && number.abs() < 1e15 => {
            return Some(format!("write `{}`", write(&format!("{number:.0}"))));
        }
        Some(scalar) if takes("array") && scalar != Scalar::Null && !key.is_empty() => {
            return Some(format!("write a list: `{key}: [{text}]`"));
        }
        _ => {}
    }
    example_help(key, schemas)
}

fn example_help(key: &str, schemas: &[&Value]) -> Option<String> {
    example(key, schemas).map(|example| format!("for example `{example}`"))
}

/// Shows a key with a value that the schemas take: their own example, else their default, else the simplest there is.
pub(super) fn example(key: &str, schemas: &[&Value]) -> Option<String> {
    if key.is_empty() {
        return None;
    }
    stated_example(key, schemas)
        .or_else(|| Some(format!("{key}: {}", schemas.iter().find_map(|schema| simplest(schema))?)))
}

/// Shows a key with the value that the schemas give as an example or default.
pub(super) fn stated_example(key: &str, schemas: &[&Value]) -> Option<String> {
    if key.is_empty() {
        return None;
    }
    let stated = schemas.iter().find_map(|schema| {
        let example = schema.get("examples").and_then(Value::as_array).and_then(|examples| examples.first());
        example.or_else(|| schema.get("default").filter(|default| !default.is_null()))
    });
    match stated? {
        Value::String(text) => Some(format!("{key}: {text}")),
        value => Some(format!("{key}: {value}")),
    }
}

fn simplest(schema: &Value) -> Option<String> {
    if let Some(constant) = schema::constants(schema).first() {
        return Some((*constant).to_owned());
    }
    match *schema::types(schema).first()? {
        "boolean" => Some("true".to_owned()),
        "integer" => {
            let (low, high) = schema::bounds(schema);
            let is_one_allowed =
                low.as_ref().is_none_or(|low| low.number <= 1.0) && high.is_none_or(|high| high.number >= 1.0);
            if is_one_allowed { Some("1".to_owned()) } else { low.map(|low| low.to_string()) }
        }
        "number" => schema::bounds(schema).0.map(|low| low.to_string()).or_else(|| Some("0.5".to_owned())),
        "array" => Some("[...]".to_owned()),
        "object" => Some("{ ... }".to_owned()),
        _ => None,
    }
}

/// Returns the first sentence of a schema's description.
pub(super) fn description(schema: &Value) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    let first = text.split("\n\n").next()?.replace('\n', " ");
    let first = first.split(". ").next()?.trim_end_matches('.');
    (!first.is_empty()).then(|| first.to_owned())
}

/// Lists names in backticks.
pub(super) fn listed(names: &[&str], last: &str) -> String {
    match names {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [start @ .., end] => format!("`{}` {last} `{end}`", start.join("`, `")),
    }
}

/// Says that it is one of several.
pub(super) fn one_of(names: &[&str]) -> String {
    match names {
        [_] => listed(names, "or"),
        names => format!("one of {}", listed(names, "or")),
    }
}

/// Suggests the name that was probably meant.
pub(super) fn did_you_mean(name: &str, names: &[&str]) -> Option<String> {
    closest(name, names).map(|name| format!("did you mean `{name}`?"))
}

/// Returns the name that differs least from `name`, if by no more than slips of the fingers.
pub(crate) fn closest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(name);
    let n_slips = match wanted.chars().count() {
        0..5 => 1,
        // Two neighbours may be swapped and one letter lost, as in `feild`.
        5 => 2,
        n => n / 3,
    };
    let distance = |candidate: &str| strsim::damerau_levenshtein(&wanted, &plain(candidate));
    names
        .iter()
        .map(|candidate| (distance(candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= n_slips && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
        .or_else(|| slips::synonym(name, names))
}
