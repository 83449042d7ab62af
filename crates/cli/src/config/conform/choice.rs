//! Values that may be one of several things: enums and `Option`.

use serde_json::Value;

use super::{
    Place, Walk,
    schema::{self, Alternative, FORBIDDEN, Shape},
    wording,
};
use crate::config::{document::Kind, scalar::Scalar};

impl<'w> Walk<'w> {
    /// Collects what is wrong with a node that must be one of `alternatives`, in the words of the one that was meant.
    pub(super) fn choice(&mut self, place: &Place<'w>, alternatives: &[Alternative<'w>]) {
        match (&place.node.kind, place.node.scalar()) {
            (Kind::Map(entries), _) => {
                let maps: Vec<Alternative<'w>> =
                    alternatives.iter().copied().filter(|one| schema::accepts(one.schema, place.node)).collect();
                let is_external = maps.iter().all(|one| one.external_tag().is_some());
                let is_internal = maps.iter().all(|one| one.internal_tag().is_some());
                if !maps.is_empty() && (is_external || is_internal) {
                    let additional = is_external.then_some(&FORBIDDEN);
                    let shape = Shape { choices: vec![maps], additional, ..Shape::default() };
                    return self.map(place, entries, shape);
                }
            }
            (_, Some(Scalar::Text(text))) => {
                let constants: Vec<&str> = alternatives.iter().flat_map(|one| schema::constants(one.schema)).collect();
                let is_free = alternatives
                    .iter()
                    .any(|one| schema::constants(one.schema).is_empty() && schema::accepts(one.schema, place.node));
                if constants.contains(&text) {
                    return;
                }
                // `source: jsonl`: the branch is right, its content is missing.
                let mut tags = alternatives.iter().filter_map(|one| one.external_tag());
                if !is_free && tags.any(|(tag, _)| tag == text) {
                    let message = format!("{} says `{text}` but not what belongs to it", place.name());
                    let help = format!("write `{}: {{ {text}: ... }}`", place.key());
                    return self.mistake(place.node.span, message, Some(help));
                }
                let mut marks = alternatives.iter().filter_map(|one| one.internal_tag());
                if let Some((key, _)) = marks.find(|(_, mark)| !is_free && *mark == text) {
                    let message = format!("{} says `{text}` but not what belongs to it", place.name());
                    let help = format!("write `{}: {{ {key}: {text}, ... }}`", place.key());
                    return self.mistake(place.node.span, message, Some(help));
                }
                if !constants.is_empty() && !is_free {
                    return self.unknown_value(place, &constants);
                }
            }
            _ => {}
        }
        self.closest(place, alternatives);
    }

    /// Reports what the alternative would report that fits best.
    fn closest(&mut self, place: &Place<'w>, alternatives: &[Alternative<'w>]) {
        let attempts = alternatives
            .iter()
            .filter(|one| schema::accepts(one.schema, place.node))
            .map(|one| self.attempt(place, one.schema));
        match attempts.min_by_key(Vec::len) {
            Some(mistakes) => self.mistakes.extend(mistakes),
            None => self.wrong_choice(place, alternatives),
        }
    }

    /// None of the alternatives is of this type at all.
    fn wrong_choice(&mut self, place: &Place<'w>, alternatives: &[Alternative<'w>]) {
        if let (Kind::Scalar { .. }, Some(schema)) = (&place.node.kind, alternatives.iter().find_map(|one| one.secret))
        {
            return self.secret(place, schema);
        }
        let tags: Vec<&str> = alternatives.iter().filter_map(|one| one.external_tag()).map(|(tag, _)| tag).collect();
        if tags.is_empty() {
            let schemas: Vec<&Value> = alternatives.iter().map(|one| one.schema).collect();
            return self.wrong_type(place, &schemas);
        }
        let constants = alternatives.iter().flat_map(|one| schema::constants(one.schema));
        let all: Vec<&str> = tags.iter().copied().chain(constants).collect();
        let message = format!("{} needs exactly one of: {}", place.name(), wording::listed(&all, "or"));
        let help = tags.first().map(|tag| {
            let found = wording::found(place.node);
            format!("write `{}: {{ {tag}: ... }}`; here stands {found}", place.key())
        });
        self.mistake(place.node.span, message, help);
    }
}
