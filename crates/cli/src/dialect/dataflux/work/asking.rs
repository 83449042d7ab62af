//! Their prompt, and what they take for an answer.

use serde_json::{Map, Value, json};

use super::{Columns, Making, STEP, text_of};
use crate::dialect::{Remark, dataflux::entry::Entry};

pub(super) const PROMPT: [&str; 7] =
    ["required_fields", "use_json_schema", "model", "temperature", "temperature_override", "system_prompt", "template"];
pub(super) const VALIDATION: [&str; 2] = ["enabled", "field_rules"];

/// Names that mean any model.
const ANY: [&str; 4] = ["any", "default", "*", ""];

impl Making<'_> {
    pub(super) fn work(&mut self, columns: &Columns) {
        let empty = Map::new();
        let prompt = self.section("prompt", &PROMPT).unwrap_or_else(|| Entry::new(vec!["prompt".to_owned()], &empty));
        let validation = self.section("validation", &VALIDATION);
        let validation = validation.unwrap_or_else(|| Entry::new(vec!["validation".to_owned()], &empty));
        let asked = asked(&prompt, &validation, columns, &mut self.remarks);
        let work = ["steps", STEP, "work", "prompt"];
        for (key, value, place) in &asked {
            if !value.is_null() {
                self.draft.set(&[&work[..], &[key]].concat(), value.clone(), place.clone());
            }
        }
        let output = asked.iter().find(|(key, ..)| *key == "output").map(|(_, value, _)| value);
        for name in output.and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            let path = [&work[..], &["output", name]].concat();
            self.draft.comes_from(&path, place_of(name, columns, &prompt, &validation));
            self.draft.comes_from(&[&path[..], &["enum"]].concat(), field_rules(&validation, name));
        }
        self.by(&asked, &prompt, &validation, columns);
    }
}

/// A key of our prompt, its value (`null` where it is left out), and where it comes from.
pub(super) type Said = (&'static str, Value, Vec<String>);

/// Returns what a prompt and its validation come to.
pub(super) fn asked(
    prompt: &Entry<'_>,
    validation: &Entry<'_>,
    columns: &Columns,
    remarks: &mut Vec<Remark>,
) -> Vec<Said> {
    let model = prompt.text("model", remarks).filter(|name| !ANY.contains(&name.as_str()));
    let system = prompt.get("system_prompt").and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let text = prompt.get("template").and_then(Value::as_str).unwrap_or_default();
    if text.trim().is_empty() {
        let message = "`prompt: template:` is missing or empty: there is nothing to ask";
        let remark = prompt.remark("template", message.to_owned()).mistake();
        remarks.push(remark.help("`{record_json}` in it stands for the columns of a row"));
    } else if !text.contains(PLACEHOLDER) {
        let message = "the template has no `{record_json}`: every row is asked about with the same words";
        remarks.push(prompt.remark("template", message.to_owned()));
    }
    let has_schema = prompt.truth("use_json_schema", remarks).unwrap_or(false);
    let is_sent = prompt.truth("temperature_override", remarks).unwrap_or(true);
    let temperature = prompt.number("temperature", remarks).unwrap_or(0.7);
    vec![
        ("model", json!(model.unwrap_or_else(|| "auto".to_owned())), prompt.place("model")),
        ("system", system.map_or(Value::Null, |text| escaped(text).into()), prompt.place("system_prompt")),
        ("template", template(text).into(), prompt.place("template")),
        ("output", output(prompt, validation, columns, remarks), vec!["columns_to_write".to_owned()]),
        (
            "response_format",
            // What they promise and never send.
            if has_schema { Value::Null } else { "none".into() },
            prompt.place("use_json_schema"),
        ),
        (
            "parameters",
            if is_sent { json!({ "temperature": temperature }) } else { Value::Null },
            prompt.place("temperature"),
        ),
    ]
}

/// Returns the fields of the answer: those that are written, those that must be there, and those that have rules.
fn output(prompt: &Entry<'_>, validation: &Entry<'_>, columns: &Columns, remarks: &mut Vec<Remark>) -> Value {
    let mut required = Vec::new();
    match prompt.get("required_fields") {
        None => {}
        Some(Value::Array(names)) => required.extend(names.iter().filter_map(text_of)),
        Some(_) => {
            let message = "`required_fields` must be a list of keys that the answer has; it is not used";
            remarks.push(prompt.remark("required_fields", message.to_owned()));
        }
    }
    let is_checked = validation.truth("enabled", remarks).unwrap_or(false);
    let rules = validation.section("field_rules").filter(|_| is_checked);
    let rule_of = |name: &str| {
        let values = rules.as_ref()?.get(name)?;
        let values = values.as_array().cloned().unwrap_or_else(|| vec![values.clone()]);
        // No value at all is no rule.
        (!values.is_empty()).then_some(values)
    };
    let mut names: Vec<&str> = Vec::new();
    let written = columns.written.iter().map(|(alias, _)| alias.as_str());
    for name in written.chain(required.iter().map(String::as_str)).chain(rules.iter().flat_map(Entry::keys)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut fields = Map::new();
    for name in names {
        let mut field = Map::new();
        match rule_of(name) {
            Some(values) => field.insert("enum".to_owned(), values.into()),
            None => field.insert("type".to_owned(), "any".into()),
        };
        if !required.iter().any(|known| known == name) {
            field.insert("optional".to_owned(), true.into());
        }
        if !columns.written.iter().any(|(alias, _)| alias == name) {
            field.insert("drop".to_owned(), true.into());
        }
        fields.insert(name.to_owned(), Value::Object(field));
    }
    Value::Object(fields)
}

/// Returns where a field of the answer is named.
fn place_of(name: &str, columns: &Columns, prompt: &Entry<'_>, validation: &Entry<'_>) -> Vec<String> {
    if columns.written.iter().any(|(alias, _)| alias == name) {
        return vec!["columns_to_write".to_owned(), name.to_owned()];
    }
    let required = prompt.get("required_fields").and_then(Value::as_array);
    match required.and_then(|list| list.iter().position(|known| text_of(known).as_deref() == Some(name))) {
        Some(i) => prompt.place("required_fields").into_iter().chain([i.to_string()]).collect(),
        None => field_rules(validation, name),
    }
}

fn field_rules(validation: &Entry<'_>, name: &str) -> Vec<String> {
    validation.place("field_rules").into_iter().chain([name.to_owned()]).collect()
}

const PLACEHOLDER: &str = "{record_json}";

/// Makes a template of theirs one of ours: the placeholder becomes an expression, and everything else stays what it is.
fn template(text: &str) -> String {
    let parts: Vec<&str> = text.split(PLACEHOLDER).collect();
    let mut out = String::with_capacity(text.len() + 16);
    for (i, part) in parts.iter().enumerate() {
        let is_last = i + 1 == parts.len();
        push_escaped(part, !is_last, &mut out);
        if !is_last {
            out.push_str("{{ record_json }}");
        }
    }
    out
}

/// Makes a text one of ours in which nothing is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    push_escaped(text, false, &mut out);
    out
}

/// Appends a text so that no brace in it begins anything. `is_before_braces` says that an expression follows.
fn push_escaped(text: &str, is_before_braces: bool, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let behind = from.trim_start_matches('{');
        let braces = &from[..from.len() - behind.len()];
        let begins_something = behind.starts_with(['%', '#']) || (behind.is_empty() && is_before_braces);
        // In a system message the placeholder is plain text, with them.
        if braces.len() > 1 || begins_something || behind.starts_with(&PLACEHOLDER[1..]) {
            out.push_str("{{ '");
            out.push_str(braces);
            out.push_str("' }}");
        } else {
            out.push_str(braces);
        }
        rest = behind;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::{escaped, template};

    #[test]
    fn a_brace_of_their_template_is_a_brace_in_ours() {
        for (theirs, ours) in [
            ("{record_json}", "{{ record_json }}"),
            ("a {record_json} b {record_json}", "a {{ record_json }} b {{ record_json }}"),
            ("{\"a\": {\"b\": 1}}", "{\"a\": {\"b\": 1}}"),
            ("{{x}}", "{{ '{{' }}x}}"),
            ("{% if %}{# no #}", "{{ '{' }}% if %}{{ '{' }}# no #}"),
            ("{{record_json}}", "{{ '{' }}{{ record_json }}}"),
            ("{{{record_json}", "{{ '{{' }}{{ record_json }}"),
            ("end {", "end {"),
        ] {
            assert_eq!(template(theirs), ours, "{theirs}");
            work::prompt::Template::check(&template(theirs)).unwrap();
        }
        assert_eq!(escaped("say {record_json} {a} {{b}}"), "say {{ '{' }}record_json} {a} {{ '{{' }}b}}");
    }
}
