//! Holds a tree against a JSON Schema and collects every difference, worded for people.
//!
//! It understands what schemars derives for serde's types, not the whole of JSON Schema: structs, maps, lists, tuples,
//! enums in serde's four forms, `Option`, flattened enums, ranges, lengths and patterns. A general validator could tell
//! that a value matches none of an enum's branches; this one knows which branch was meant and goes into it.

mod choice;
mod map;
mod schema;
mod wording;

use regex::Regex;
use serde_json::Value;

use super::{
    diagnostic::Diagnostic,
    document::{Document, Kind, Node, Span},
    scalar::Scalar,
};
use schema::Schemas;
pub(crate) use wording::closest;

/// Returns all in which `document` differs from `schema`, the JSON Schema of a type.
pub(super) fn conform(document: &Document, schema: &Value) -> Vec<Diagnostic> {
    let mut walk = Walk { document, schemas: Schemas::new(schema), mistakes: Vec::new() };
    walk.value(&Place { node: document.root(), anchor: Span::START, path: String::new() }, schema);
    walk.mistakes
}

/// A node and how it is reached.
struct Place<'d> {
    node: &'d Node,
    /// Where to point when something is missing inside: at the key under which the node stands.
    anchor: Span,
    /// The way to it, such as `steps.label.fields[0]`; empty for the root.
    path: String,
}

impl<'d> Place<'d> {
    fn under_key(&self, key: &Node, node: &'d Node) -> Self {
        self.under_name(key.text().unwrap_or_default(), key, node)
    }

    /// Like `under_key`, where the key is misspelt and `name` is what it should be.
    fn under_name(&self, name: &str, key: &Node, node: &'d Node) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { node, anchor: key.span, path }
    }

    fn item(&self, index: usize, node: &'d Node) -> Self {
        Self { node, anchor: node.span, path: format!("{}[{index}]", self.path) }
    }

    /// Names the place inside of a message.
    fn name(&self) -> String {
        if self.path.is_empty() { "the file".to_owned() } else { format!("`{}`", self.path) }
    }

    /// Returns the last part of the path, as it stands in the file before a colon; the items of a list have none.
    fn key(&self) -> &str {
        if self.path.ends_with(']') { "" } else { self.path.rsplit('.').next().unwrap_or_default() }
    }
}

struct Walk<'w> {
    document: &'w Document,
    schemas: Schemas<'w>,
    mistakes: Vec<Diagnostic>,
}

impl<'w> Walk<'w> {
    fn mistake(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        let diagnostic = self.document.error(span, message);
        self.mistakes.push(match help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }

    /// A secret stands in the file itself, where only a reference to it may stand. It is not repeated to anybody.
    fn secret(&mut self, place: &Place<'w>, schema: &Value) {
        let example = schema.pointer("/examples/0").and_then(Value::as_object).and_then(|map| map.iter().next());
        let message = format!("{} never stands in the file itself, where everybody can read it", place.name());
        let mut diagnostic = self.document.error(place.node.span, message);
        if let Some((name, value)) = example {
            let value = value.as_str().unwrap_or_default();
            diagnostic = diagnostic.help(format!(
                "put it into the environment, and write the name of the variable: `{}: {{ {name}: {value} }}`",
                place.key()
            ));
        }
        self.mistakes.push(diagnostic);
    }

    /// Collects what is wrong with the node at `place`.
    fn value(&mut self, place: &Place<'w>, schema: &'w Value) {
        let schema = self.schemas.follow(schema);
        let alternatives = self.schemas.alternatives(schema);
        if !alternatives.is_empty() {
            return self.choice(place, &alternatives);
        }
        if !schema::accepts(schema, place.node) {
            return match self.schemas.shape(schema).choices.first() {
                Some(branches) => self.choice(place, branches),
                None => self.wrong_type(place, &[schema]),
            };
        }
        match &place.node.kind {
            Kind::Map(entries) => {
                let shape = self.schemas.shape(schema);
                self.map(place, entries, shape);
            }
            Kind::Seq(items) => self.seq(place, items, schema),
            Kind::Scalar { .. } => self.scalar(place, schema),
        }
    }

    /// Runs `value` aside and returns what it would report.
    fn attempt(&self, place: &Place<'w>, schema: &'w Value) -> Vec<Diagnostic> {
        let mut aside = Walk { document: self.document, schemas: self.schemas, mistakes: Vec::new() };
        aside.value(place, schema);
        aside.mistakes
    }

    fn wrong_type(&mut self, place: &Place<'w>, schemas: &[&Value]) {
        let wanted = wording::wanted(schemas);
        let found = wording::found(place.node);
        let help = wording::type_help(place.key(), place.node, schemas);
        let message = match found.as_str() {
            "nothing" => format!("{} must be {wanted}, but is empty", place.name()),
            found => format!("{} must be {wanted}, not {found}", place.name()),
        };
        self.mistake(place.node.span, message, help);
    }

    fn seq(&mut self, place: &Place<'w>, items: &'w [Node], schema: &'w Value) {
        let first = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let rest = schema.get("items");
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or(rest) {
                self.value(&place.item(index, item), schema);
            }
        }
        self.amount(place, schema, items.len(), ("minItems", "maxItems"), "item");
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            for (index, item) in items.iter().enumerate() {
                if items[..index].iter().any(|earlier| earlier.kind == item.kind) {
                    let message = format!("{} holds {} twice", place.name(), wording::found(item));
                    self.mistake(item.span, message, None);
                }
            }
        }
    }

    fn scalar(&mut self, place: &Place<'w>, schema: &'w Value) {
        let allowed = schema::constants(schema);
        match place.node.scalar() {
            Some(Scalar::Text(text)) if !allowed.is_empty() => {
                if !allowed.contains(&text) {
                    self.unknown_value(place, &allowed);
                }
            }
            Some(Scalar::Text(text)) => {
                self.amount(place, schema, text.chars().count(), ("minLength", "maxLength"), "character");
                self.pattern(place, schema, text);
            }
            Some(Scalar::Integer(number)) => self.range(place, schema, number as f64, Some(number)),
            Some(Scalar::Float(number)) => self.range(place, schema, number, None),
            Some(Scalar::Null | Scalar::Bool(_)) | None => {}
        }
    }

    fn unknown_value(&mut self, place: &Place<'w>, allowed: &[&str]) {
        let message = format!("{} cannot be {}", place.name(), wording::found(place.node));
        let help = wording::did_you_mean(place.node.text().unwrap_or_default(), allowed)
            .unwrap_or_else(|| format!("it is {}", wording::one_of(allowed)));
        self.mistake(place.node.span, message, Some(help));
    }

    /// Checks a number against its bounds. Whole numbers are compared as such: 2^64 and 2^64 - 1 are one `f64`.
    fn range(&mut self, place: &Place<'w>, schema: &'w Value, number: f64, whole: Option<i128>) {
        let (low, high) = schema::bounds(schema);
        let is_below = |bound: &schema::Bound| match (whole, bound.whole) {
            (Some(number), Some(bound)) => number < bound,
            _ => number < bound.number,
        };
        let is_above = |bound: &schema::Bound| match (whole, bound.whole) {
            (Some(number), Some(bound)) => number > bound,
            _ => number > bound.number,
        };
        let exclusive =
            |key, is_out: &dyn Fn(f64) -> bool| schema.get(key).and_then(Value::as_f64).filter(|b| is_out(*b));
        let above = exclusive("exclusiveMinimum", &|bound| number <= bound);
        let below = exclusive("exclusiveMaximum", &|bound| number >= bound);
        let wanted = match (&low, &high) {
            _ if let Some(bound) = above => format!("more than {bound}"),
            _ if let Some(bound) = below => format!("less than {bound}"),
            (Some(low), Some(high)) if low.number == high.number && (is_below(low) || is_above(high)) => {
                low.to_string()
            }
            (Some(low), Some(high)) if low.is_stated && high.is_stated && (is_below(low) || is_above(high)) => {
                format!("from {low} to {high}")
            }
            (Some(low), _) if is_below(low) => format!("{low} or more"),
            (_, Some(high)) if is_above(high) => format!("{high} or less"),
            _ => return,
        };
        let found = place.node.text().unwrap_or_default();
        self.mistake(place.node.span, format!("{} must be {wanted}, not {found}", place.name()), None);
    }

    /// Checks how many characters, items or keys there are.
    fn amount(&mut self, place: &Place<'w>, schema: &'w Value, n: usize, keys: (&str, &str), unit: &str) {
        let bound = |key| schema.get(key).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
        let (low, high) = (bound(keys.0), bound(keys.1));
        let many = |n: usize| if n == 1 { format!("{n} {unit}") } else { format!("{n} {unit}s") };
        let name = place.name();
        let message = match (low, high) {
            (Some(1), _) if n == 0 => format!("{name} must not be empty"),
            (Some(low), Some(high)) if low == high && n != low => format!("{name} must have {}, not {n}", many(low)),
            (Some(low), _) if n < low => format!("{name} must have at least {}, not {n}", many(low)),
            (_, Some(high)) if n > high => format!("{name} must have at most {}, not {n}", many(high)),
            _ => return,
        };
        let help = wording::stated_example(place.key(), &[schema]).map(|example| format!("for example `{example}`"));
        self.mistake(place.node.span, message, help);
    }

    fn pattern(&mut self, place: &Place<'w>, schema: &'w Value, text: &str) {
        let Some(pattern) = schema.get("pattern").and_then(Value::as_str) else { return };
        // A pattern in a dialect that this engine does not read is left to serde.
        if !Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text)) {
            return;
        }
        let message = format!("{} cannot be {}", place.name(), wording::found(place.node));
        let help = match wording::stated_example(place.key(), &[schema]) {
            Some(example) => format!("for example `{example}`"),
            None => format!("it must match `{pattern}`"),
        };
        self.mistake(place.node.span, message, Some(help));
    }
}
