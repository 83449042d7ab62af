//! Their routing: another prompt for rows in which a column holds this or that.

use serde_json::{Map, Value};

use super::{
    Columns, Making, STEP,
    asking::{PROMPT, Said, VALIDATION, asked},
    text_of,
};
use crate::dialect::{Remark, dataflux::entry::Entry};

impl Making<'_> {
    /// Adds the cases: of each what is not as it is for all rows.
    pub(super) fn by(&mut self, usual: &[Said], prompt: &Entry<'_>, validation: &Entry<'_>, columns: &Columns) {
        let Some(routing) = self.section("routing", &["enabled", "field", "subtasks"]) else { return };
        if !routing.truth("enabled", &mut self.remarks).unwrap_or(false) {
            return;
        }
        let Some(field) = routing.text("field", &mut self.remarks) else {
            return self
                .mistake(&["routing"], "`routing: field:` is missing: it names the column that tells rows apart");
        };
        let Some(subtasks) = routing.get("subtasks").and_then(Value::as_array).filter(|list| !list.is_empty()) else {
            return self
                .remarks
                .push(routing.remark("", "routing has no `subtasks`: all rows are asked in one way".to_owned()));
        };
        let by = ["steps", STEP, "work", "prompt", "by"];
        self.draft.set(&[&by[..], &["field"]].concat(), field, routing.place("field"));
        let mut seen: Vec<String> = Vec::new();
        for (i, subtask) in subtasks.iter().enumerate() {
            let place = routing.place("subtasks").into_iter().chain([i.to_string()]).collect::<Vec<_>>();
            let at = |key: &str, message: String| {
                let path = place.iter().cloned().chain((!key.is_empty()).then(|| key.to_owned())).collect();
                Remark { path, message, help: None, is_mistake: true }
            };
            let Value::Object(subtask) = subtask else {
                self.remarks.push(at("", "a subtask is a map of `match` and `profile`".to_owned()));
                continue;
            };
            let entry = Entry::new(place.clone(), subtask);
            entry.name_unknown(&["match", "profile"], &mut self.remarks);
            let Some(value) = entry.get("match").and_then(text_of).filter(|value| !value.is_empty()) else {
                self.remarks.push(at("", "the subtask has no `match`: it says what the column holds".to_owned()));
                continue;
            };
            if seen.contains(&value) {
                let message = format!("there is a subtask for `{value}` already, and that one is taken");
                self.remarks.push(Remark { is_mistake: false, ..at("match", message) });
                continue;
            }
            seen.push(value.clone());
            let Some(profile) = entry.text("profile", &mut self.remarks) else {
                self.remarks.push(at("", "the subtask has no `profile`: it names the file with its prompt".to_owned()));
                continue;
            };
            let said = match (self.around.profile)(&profile) {
                Ok(said) => said,
                Err(message) => {
                    self.remarks.push(at("profile", message));
                    continue;
                }
            };
            let mut told = Vec::new();
            let case = case_of(&said, usual, prompt, validation, columns, &mut told);
            // Places within the profile are in another file.
            self.remarks.extend(told.into_iter().map(|remark| Remark {
                is_mistake: remark.is_mistake,
                help: remark.help.clone(),
                ..at("profile", format!("in `{profile}`: {}", remark.message))
            }));
            self.draft.set(&[&by[..], &["cases", &value]].concat(), Value::Object(case), entry.place("profile"));
        }
    }
}

/// Returns what a profile says otherwise.
fn case_of(
    profile: &Value,
    usual: &[Said],
    prompt: &Entry<'_>,
    validation: &Entry<'_>,
    columns: &Columns,
    remarks: &mut Vec<Remark>,
) -> Map<String, Value> {
    let empty = Map::new();
    let top = match profile {
        Value::Object(map) => map,
        Value::Null => &empty,
        _ => {
            let message = "a profile is a map with `prompt`, `validation` or both".to_owned();
            remarks.push(Remark { message, ..Remark::default() }.mistake());
            return Map::new();
        }
    };
    for key in top.keys().filter(|key| !["prompt", "validation"].contains(&key.as_str())) {
        let message = format!("a profile holds `prompt` and `validation` only, and not `{key}`");
        remarks.push(Remark { message, ..Remark::default() }.mistake());
    }
    let merged = |section: &Entry<'_>, key: &str| match top.get(key) {
        Some(over) => merge(&Value::Object(section.map().clone()), over),
        None => Value::Object(section.map().clone()),
    };
    let (merged_prompt, merged_validation) = (merged(prompt, "prompt"), merged(validation, "validation"));
    let sections = [(&merged_prompt, "prompt", &PROMPT[..]), (&merged_validation, "validation", &VALIDATION[..])];
    let [prompt, validation] = sections.map(|(section, key, known)| {
        let entry = Entry::new(vec![key.to_owned()], section.as_object().unwrap_or(&empty));
        if let Some(said) = top.get(key).and_then(Value::as_object) {
            Entry::new(vec![key.to_owned()], said).name_unknown(known, remarks);
        }
        entry
    });
    let said = asked(&prompt, &validation, columns, remarks);
    let mut case = Map::new();
    for ((key, value, _), (_, as_usual, _)) in said.into_iter().zip(usual) {
        if value == *as_usual {
            continue;
        }
        let value = match (key, value) {
            ("system", Value::Null) => "".into(),
            ("parameters", Value::Null) => Value::Object(Map::new()),
            ("response_format", Value::Null) => "schema".into(),
            (_, value) => value,
        };
        case.insert(key.to_owned(), value);
    }
    case
}

/// Merges maps key by key; anything else is replaced.
fn merge(under: &Value, over: &Value) -> Value {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            let mut merged = under.clone();
            for (key, value) in over {
                let value = match merged.get(key) {
                    Some(below) => merge(below, value),
                    None => value.clone(),
                };
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (_, over) => over.clone(),
    }
}
