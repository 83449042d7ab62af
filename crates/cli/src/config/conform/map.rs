//! Maps: keys that are unknown or missing, and enums whose branch is named by a key.

use regex::Regex;
use serde_json::Value;

use super::{
    Place, Walk,
    schema::{self, Alternative, Shape},
    wording,
};
use crate::config::{document::Node, slips};

/// An enum inside of a map, of which one branch must be named by its key.
struct Branches<'w> {
    tags: Vec<(&'w str, &'w Value)>,
    is_optional: bool,
    /// The keys in the file that name a branch.
    named: Vec<&'w Node>,
}

impl<'w> Walk<'w> {
    /// Collects what is wrong with a map.
    pub(super) fn map(&mut self, place: &Place<'w>, entries: &'w [(Node, Node)], mut shape: Shape<'w>) {
        let mut branches = self.branches(place, entries, &mut shape);
        let names: Vec<&str> = shape
            .properties
            .iter()
            .chain(branches.iter().flat_map(|branches| &branches.tags))
            .map(|(name, _)| *name)
            .collect();
        let mut unknown = Vec::new();
        for (key, node) in entries {
            let name = key.text().unwrap_or_default();
            let child = place.under_key(key, node);
            if let Some((_, schema)) = shape.properties.iter().find(|(known, _)| *known == name) {
                self.value(&child, schema);
            } else if let Some((branches, schema)) = branch(&mut branches, name) {
                branches.named.push(key);
                self.value(&child, schema);
            } else if let Some((_, schema)) = shape.patterns.iter().find(|(pattern, _)| matches(pattern, name)) {
                self.value(&child, schema);
            } else {
                match shape.additional {
                    Some(Value::Bool(false)) => unknown.push((key, node)),
                    Some(schema) => self.value(&child, schema),
                    None => {}
                }
            }
        }
        let mut meant = Vec::new();
        for &(key, node) in &unknown {
            let free: Vec<&str> = names
                .iter()
                .copied()
                .filter(|name| !meant.contains(name) && !entries.iter().any(|(key, _)| key.text() == Some(name)))
                .collect();
            let Some(name) = self.unknown_key(place, key, &free, &names, &shape) else { continue };
            // The key is misspelt, not absent, and what stands under it can be checked already.
            meant.push(name);
            let child = place.under_name(name, key, node);
            if let Some((_, schema)) = shape.properties.iter().find(|(known, _)| *known == name) {
                self.value(&child, schema);
            } else if let Some((branches, schema)) = branch(&mut branches, name) {
                branches.named.push(key);
                self.value(&child, schema);
            }
        }
        for name in &shape.required {
            if !meant.contains(name) && !entries.iter().any(|(key, _)| key.text() == Some(name)) {
                self.missing_key(place, name, &shape);
            }
        }
        for branches in &branches {
            self.one_branch(place, branches, !unknown.is_empty() && shape.properties.is_empty());
        }
        if let Some(schema) = shape.schema {
            self.amount(place, schema, entries.len(), ("minProperties", "maxProperties"), "key");
        }
    }

    /// Sorts the flattened enums: a branch that a value marks (`kind: jsonl`) becomes part of the map's own shape, those
    /// that a key marks are returned.
    fn branches(&mut self, place: &Place<'w>, entries: &'w [(Node, Node)], shape: &mut Shape<'w>) -> Vec<Branches<'w>> {
        let mut found = Vec::new();
        for alternatives in std::mem::take(&mut shape.choices) {
            let maps: Vec<Alternative<'w>> =
                alternatives.iter().copied().filter(|one| schema::types(one.schema) != ["null"]).collect();
            let is_optional = maps.len() < alternatives.len();
            let tags: Option<Vec<_>> = maps.iter().map(|one| one.external_tag()).collect();
            if let Some(tags) = tags {
                found.push(Branches { tags, is_optional, named: Vec::new() });
                continue;
            }
            let marks: Option<Vec<_>> = maps.iter().map(|one| one.internal_tag()).collect();
            match marks.as_deref() {
                Some(marks @ [(key, _), ..]) => match self.marked(place, entries, key, marks) {
                    Some(index) => self.schemas.gather(maps[index].schema, shape, 0),
                    // Which branch is meant is unknown, so that nothing can be said about the other keys.
                    None => shape.additional = None,
                },
                // Flattened branches without a mark are left to serde.
                _ => shape.additional = None,
            }
        }
        found
    }

    /// Returns which branch the value under `key` marks, or reports why none.
    fn marked(
        &mut self,
        place: &Place<'w>,
        entries: &'w [(Node, Node)],
        key: &str,
        marks: &[(&str, &str)],
    ) -> Option<usize> {
        let values: Vec<&str> = marks.iter().map(|(_, value)| *value).collect();
        let Some((found, node)) = entries.iter().find(|(found, _)| found.text() == Some(key)) else {
            let message = format!("missing key `{key}` in {}", place.name());
            self.mistake(place.anchor, message, Some(format!("it is {}", wording::one_of(&values))));
            return None;
        };
        let index = values.iter().position(|value| node.text() == Some(value));
        if index.is_none() {
            self.unknown_value(&place.under_key(found, node), &values);
        }
        index
    }

    /// Reports an unknown key and returns the one that was meant, if that is evident.
    fn unknown_key<'n>(
        &mut self,
        place: &Place<'w>,
        key: &Node,
        free: &[&'n str],
        names: &[&str],
        shape: &Shape<'w>,
    ) -> Option<&'n str> {
        let name = key.text().unwrap_or_default();
        let message = match place.path.as_str() {
            "" => format!("unknown key `{name}`"),
            path => format!("unknown key `{name}` in `{path}`"),
        };
        let meant = wording::closest(name, free);
        let help = match (meant, names, shape.patterns.as_slice()) {
            _ if let Some(help) = slips::typed_key(name).or_else(|| slips::elsewhere(name, names)) => help,
            (Some(meant), ..) => format!("did you mean `{meant}`?"),
            (None, [], []) => "no keys belong here".to_owned(),
            (None, [], [(pattern, _), ..]) => format!("the keys here match `{pattern}`"),
            (None, [only], _) => format!("the only key here is `{only}`"),
            (None, names, _) => format!("the keys here are {}", wording::listed(names, "and")),
        };
        self.mistake(key.span, message, Some(help));
        meant
    }

    fn missing_key(&mut self, place: &Place<'w>, name: &str, shape: &Shape<'w>) {
        let message = match place.path.as_str() {
            "" => format!("missing key `{name}`"),
            path => format!("missing key `{name}` in `{path}`"),
        };
        let schema = shape.properties.iter().find(|(known, _)| *known == name).map(|(_, schema)| *schema);
        let help = schema.map(|schema| {
            let target = self.schemas.follow(schema);
            let example = wording::example(name, &[schema, target]).unwrap_or_else(|| format!("{name}: ..."));
            match wording::description(schema).or_else(|| wording::description(target)) {
                Some(description) => format!("add `{example}`: {description}"),
                None => format!("add `{example}`"),
            }
        });
        self.mistake(place.anchor, message, help);
    }

    fn one_branch(&mut self, place: &Place<'w>, branches: &Branches<'w>, is_told: bool) {
        let tags: Vec<&str> = branches.tags.iter().map(|(tag, _)| *tag).collect();
        let all = wording::listed(&tags, "or");
        match branches.named.as_slice() {
            [] if branches.is_optional || is_told => {}
            [] => self.mistake(place.anchor, format!("{} needs exactly one of: {all}", place.name()), None),
            [_] => {}
            [first, others @ ..] => {
                for other in others {
                    let (a, b) = (first.text().unwrap_or_default(), other.text().unwrap_or_default());
                    let message = format!("{} has both `{a}` and `{b}`", place.name());
                    self.mistake(other.span, message, Some(format!("it needs exactly one of: {all}")));
                }
            }
        }
    }
}

fn branch<'b, 'w>(branches: &'b mut [Branches<'w>], name: &str) -> Option<(&'b mut Branches<'w>, &'w Value)> {
    branches.iter_mut().find_map(|branches| {
        let (_, schema) = *branches.tags.iter().find(|(tag, _)| *tag == name)?;
        Some((branches, schema))
    })
}

fn matches(pattern: &str, name: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(name))
}
