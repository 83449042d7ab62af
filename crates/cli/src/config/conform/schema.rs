//! What a JSON Schema says, as far as schemars derives it.

use std::fmt;

use serde_json::Value;

use crate::config::{
    document::{Kind, Node},
    scalar::Scalar,
};

/// Schemas refer to others through names; a name that leads to itself must not hang us.
const MAX_REFS: usize = 16;

/// A root schema, for following its references.
#[derive(Clone, Copy)]
pub(super) struct Schemas<'s> {
    root: &'s Value,
}

/// The schema of keys that are not allowed.
pub(super) static FORBIDDEN: Value = Value::Bool(false);

/// One of the things that a value may be.
#[derive(Clone, Copy)]
pub(super) struct Alternative<'s> {
    pub(super) schema: &'s Value,
    /// Whether it is the branch of a tagged enum (`oneOf`) and not of an `Option` or an untagged one (`anyOf`). A struct
    /// with a single key looks like a branch but must not be worded as one.
    is_branch: bool,
    /// The schema whose alternative it is, where what stands there by mistake must not be repeated.
    pub(super) secret: Option<&'s Value>,
}

impl<'s> Alternative<'s> {
    /// Returns the tag and the content of a branch of serde's usual, externally tagged enum: `{ jsonl: ... }`.
    pub(super) fn external_tag(self) -> Option<(&'s str, &'s Value)> {
        let (name, content) = only(self.schema.get("properties")?.as_object()?.iter())?;
        let required = only(self.schema.get("required")?.as_array()?.iter())?;
        let is_tag = self.is_branch && required.as_str() == Some(name) && content.get("const").is_none();
        is_tag.then_some((name.as_str(), content))
    }

    /// Returns the key and the value that mark a branch of an internally tagged enum: `kind: jsonl`.
    pub(super) fn internal_tag(self) -> Option<(&'s str, &'s str)> {
        let properties = self.schema.get("properties").filter(|_| self.is_branch)?.as_object()?;
        properties.iter().find_map(|(name, content)| Some((name.as_str(), content.get("const")?.as_str()?)))
    }
}

/// What a map may hold.
#[derive(Default)]
pub(super) struct Shape<'s> {
    /// The keys that are known by name.
    pub(super) properties: Vec<(&'s str, &'s Value)>,
    /// Those of them that must be there.
    pub(super) required: Vec<&'s str>,
    /// Patterns of keys, such as those of numbers.
    pub(super) patterns: Vec<(&'s str, &'s Value)>,
    /// What the values of other keys must be; `false` forbids them.
    pub(super) additional: Option<&'s Value>,
    /// Enums that are flattened into the map: of each one, exactly one alternative must be there.
    pub(super) choices: Vec<Vec<Alternative<'s>>>,
    /// How many keys it takes.
    pub(super) schema: Option<&'s Value>,
}

impl<'s> Schemas<'s> {
    pub(super) fn new(root: &'s Value) -> Self {
        Self { root }
    }

    /// Follows references to the schema itself.
    pub(super) fn follow(self, mut schema: &'s Value) -> &'s Value {
        for _ in 0..MAX_REFS {
            let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
            let Some(target) = target.and_then(|pointer| self.root.pointer(pointer)) else { break };
            schema = target;
        }
        schema
    }

    /// Returns the alternatives of a schema that is nothing but a choice, nested choices dissolved.
    pub(super) fn alternatives(self, schema: &'s Value) -> Vec<Alternative<'s>> {
        // A struct with a flattened enum is a map first.
        if schema.get("properties").is_some() || schema.get("type").is_some() {
            return Vec::new();
        }
        let mut found = Vec::new();
        self.dissolve(schema, &mut found, 0);
        found
    }

    fn dissolve(self, schema: &'s Value, found: &mut Vec<Alternative<'s>>, depth: usize) {
        let is_branch = schema.get("oneOf").is_some();
        let secret = (schema.get("writeOnly").and_then(Value::as_bool) == Some(true)).then_some(schema);
        for alternative in choice(schema) {
            let alternative = self.follow(alternative);
            let is_choice = alternative.get("type").is_none() && !choice(alternative).is_empty();
            match is_choice && depth < MAX_REFS {
                true => self.dissolve(alternative, found, depth + 1),
                false => found.push(Alternative { schema: alternative, is_branch, secret }),
            }
        }
    }

    /// Returns what a map under `schema` may hold.
    pub(super) fn shape(self, schema: &'s Value) -> Shape<'s> {
        let mut shape = Shape { schema: Some(schema), ..Shape::default() };
        self.gather(schema, &mut shape, 0);
        shape
    }

    /// Adds what `schema` says to `shape`.
    pub(super) fn gather(self, schema: &'s Value, shape: &mut Shape<'s>, depth: usize) {
        let schema = self.follow(schema);
        let members = |key| schema.get(key).and_then(Value::as_object).into_iter().flatten();
        shape.properties.extend(members("properties").map(|(name, schema)| (name.as_str(), schema)));
        shape.patterns.extend(members("patternProperties").map(|(name, schema)| (name.as_str(), schema)));
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        shape.required.extend(required.filter_map(Value::as_str));
        if let Some(additional) = schema.get("additionalProperties").or_else(|| schema.get("unevaluatedProperties")) {
            shape.additional.get_or_insert(additional);
        }
        if !choice(schema).is_empty() {
            let mut found = Vec::new();
            self.dissolve(schema, &mut found, 0);
            shape.choices.push(found);
        }
        if depth < MAX_REFS {
            for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                self.gather(part, shape, depth + 1);
            }
        }
    }
}

/// Returns the alternatives that a schema lists itself.
fn choice(schema: &Value) -> &[Value] {
    schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

/// Returns the names of the types that a schema takes; none means that it takes all.
pub(super) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ if !constants(schema).is_empty() => vec!["string"],
        _ if schema.get("properties").is_some() => vec!["object"],
        _ => Vec::new(),
    }
}

/// Returns the texts that a schema is limited to, if it is.
pub(super) fn constants(schema: &Value) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    listed.chain(schema.get("const")).filter_map(Value::as_str).collect()
}

/// Returns whether a node is of a type that a schema takes. Nothing is said about what it holds.
pub(super) fn accepts(schema: &Value, node: &Node) -> bool {
    if schema == &Value::Bool(false) {
        return false;
    }
    let types = types(schema);
    let name = match (&node.kind, node.scalar()) {
        (Kind::Map(_), _) => "object",
        (Kind::Seq(_), _) => "array",
        (_, Some(Scalar::Null)) => "null",
        (_, Some(Scalar::Bool(_))) => "boolean",
        (_, Some(Scalar::Integer(_))) => "integer",
        (_, Some(Scalar::Float(_))) => "number",
        (_, Some(Scalar::Text(_)) | None) => "string",
    };
    // JSON Schema takes 5.0 for a whole number; serde does not, and it decides in the end.
    types.is_empty() || types.contains(&name) || (name == "integer" && types.contains(&"number"))
}

/// One end of a range.
pub(super) struct Bound {
    pub(super) number: f64,
    /// The same as a whole number, if it is one.
    pub(super) whole: Option<i128>,
    /// Whether the schema says so, or only the width of the Rust type.
    pub(super) is_stated: bool,
}

impl Bound {
    fn of_type(number: i128) -> Self {
        Self { number: number as f64, whole: Some(number), is_stated: false }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.whole {
            Some(number) => number.fmt(f),
            None => self.number.fmt(f),
        }
    }
}

/// Returns the bounds of a number: those the schema states, else those of the Rust type it names as its format.
pub(super) fn bounds(schema: &Value) -> (Option<Bound>, Option<Bound>) {
    let stated = |key| match schema.get(key)? {
        Value::Number(number) => match number.as_i128() {
            Some(number) => Some(Bound { is_stated: true, ..Bound::of_type(number) }),
            None => number.as_f64().map(|number| Bound { number, whole: None, is_stated: true }),
        },
        _ => None,
    };
    let (low, high) = match schema.get("format").and_then(Value::as_str) {
        Some("uint64" | "uint") => (Some(0), Some(i128::from(u64::MAX))),
        Some("uint32") => (Some(0), Some(i128::from(u32::MAX))),
        Some("int64" | "int") => (Some(i128::from(i64::MIN)), Some(i128::from(i64::MAX))),
        Some("int32") => (Some(i128::from(i32::MIN)), Some(i128::from(i32::MAX))),
        _ => (None, None),
    };
    (stated("minimum").or(low.map(Bound::of_type)), stated("maximum").or(high.map(Bound::of_type)))
}
