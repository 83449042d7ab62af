//! What their file says about rows, columns and prompts, as a pipeline of ours.
//!
//! Their defaults stand behind what is not said. What their tool documented is done as documented, also where it did
//! something else: `use_json_schema` sends the schema, the window of a pause follows the pause, and a retry limit is a
//! number of retries. Keys that have no use here are named in one remark.

mod asking;
mod cases;
mod flow;
mod tables;
mod unneeded;

use std::collections::BTreeMap;

use domain::Secret;
use serde_json::{Map, Value};

use super::{SECTIONS, entry::Entry, has_ours};
use crate::dialect::{Draft, Remark};
use unneeded::Unneeded;

/// The one step of the pipeline, called as their command is.
pub(crate) const STEP: &str = "process";

/// What the translation has to be told, because it looks at nothing itself.
pub(crate) struct Around<'a> {
    /// The pipeline's name.
    pub(crate) name: &'a str,
    /// The file that is read for models, as the pipeline names it.
    pub(crate) models: &'a str,
    /// Says how the pipeline names a file that theirs names.
    pub(crate) path: &'a dyn Fn(&str) -> String,
    /// Reads a profile that theirs names.
    pub(crate) profile: &'a dyn Fn(&str) -> Result<Value, String>,
}

/// The pipeline of a file of theirs. It can be used where no remark is a mistake.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) draft: Draft,
    pub(crate) remarks: Vec<Remark>,
    /// What stands openly in their file and in no pipeline, by the variables that the pipeline names for them.
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// Returns whether a file is one of theirs that says what to do with rows, by its shape.
pub(crate) fn is_one(file: &Value) -> bool {
    let Some(map) = file.as_object() else { return false };
    let has = |key: &&str| map.contains_key(*key);
    let is_ours = ["version", "steps", "routes", "names"].iter().any(has);
    // What their gateway reads, ours has too.
    let telling = SECTIONS.iter().filter(|section| !["models", "channels", "gateway"].contains(section));
    !is_ours && !has_ours(file) && telling.into_iter().any(has)
}

/// Returns whether a file of theirs has no models itself, and asks the gateway that it names.
pub(crate) fn asks_a_gateway(file: &Value) -> bool {
    let has = |key: &str| match file.get(key) {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        _ => false,
    };
    is_one(file) && !has("models") && !has("channels")
}

/// Makes a pipeline of a file of theirs.
pub(crate) fn pipeline(file: &Value, around: &Around<'_>) -> Work {
    let empty = Map::new();
    let top = Entry::new(Vec::new(), file.as_object().unwrap_or(&empty));
    let mut making = Making {
        top: &top,
        around,
        draft: Draft::default(),
        remarks: Vec::new(),
        secrets: BTreeMap::new(),
        unneeded: Unneeded::default(),
    };
    top.name_unknown(&SECTIONS, &mut making.remarks);
    making.draft.set(&["version"], 1, Vec::new());
    making.draft.set(&["name"], around.name, Vec::new());
    making.draft.set(&["models"], around.models, vec!["models".to_owned()]);
    let columns = making.columns();
    making.source(&columns);
    making.work(&columns);
    making.sink(&columns);
    making.flow();
    making.estimate();
    making.rest();
    let Making { mut draft, mut remarks, secrets, unneeded, .. } = making;
    draft.note(&[], "made of a configuration of AI-DataFlux's");
    for told in unneeded.told() {
        draft.note(&[], format!("not needed here: {told}"));
    }
    remarks.extend(unneeded.remark());
    Work { draft, remarks, secrets }
}

/// The columns that are read, and those that are written.
#[derive(Debug, Default)]
struct Columns {
    read: Vec<String>,
    /// By the names of the answer's keys, in the order of the file.
    written: Vec<(String, String)>,
}

/// A pipeline while it is made.
struct Making<'a> {
    top: &'a Entry<'a>,
    around: &'a Around<'a>,
    draft: Draft,
    remarks: Vec<Remark>,
    secrets: BTreeMap<String, Secret>,
    unneeded: Unneeded,
}

impl<'a> Making<'a> {
    /// Returns a section of their file, whose keys are held against those that their tool has.
    fn section(&mut self, key: &str, known: &[&str]) -> Option<Entry<'a>> {
        let section = self.top.section(key)?;
        section.name_unknown(known, &mut self.remarks);
        Some(section)
    }

    fn mistake(&mut self, path: &[&str], message: impl Into<String>) {
        self.tell_mistake(path, message, None);
    }

    fn tell_mistake(&mut self, path: &[&str], message: impl Into<String>, help: Option<&str>) {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        let help = help.map(str::to_owned);
        self.remarks.push(Remark { path, message: message.into(), help, is_mistake: true });
    }

    fn columns(&mut self) -> Columns {
        let mut columns = Columns::default();
        let read = self.top.get("columns_to_extract").map(|value| (value, value.as_array()));
        match read {
            Some((_, Some(list))) if !list.is_empty() => {
                for (i, name) in list.iter().enumerate() {
                    match text_of(name) {
                        Some(name) if columns.read.contains(&name) => {}
                        Some(name) => columns.read.push(name),
                        None => self.mistake(&["columns_to_extract", &i.to_string()], "a column is named by a text"),
                    }
                }
            }
            _ => self.tell_mistake(
                &["columns_to_extract"],
                "`columns_to_extract` names no column: it says which columns the model is shown",
                Some("for example `columns_to_extract: [question, context]`"),
            ),
        }
        let written = self.top.get("columns_to_write").map(|value| value.as_object());
        match written {
            Some(Some(map)) if !map.is_empty() => {
                for (alias, column) in map {
                    match text_of(column) {
                        Some(column) => columns.written.push((alias.clone(), column)),
                        None => self.mistake(&["columns_to_write", alias], "a column is named by a text"),
                    }
                }
            }
            _ => self.tell_mistake(
                &["columns_to_write"],
                "`columns_to_write` names no column: it says which key of the answer goes into which column",
                Some("for example `columns_to_write: { answer: ai_answer }`"),
            ),
        }
        columns
    }

    /// What `tidemill estimate` does unless it is told otherwise.
    fn estimate(&mut self) {
        let Some(entry) = self.section("token_estimation", &["mode", "sample_size", "encoding", "tiktoken_model"])
        else {
            return;
        };
        let mode = match entry.text("mode", &mut self.remarks).as_deref() {
            None | Some("io" | "input_output") => "both",
            Some("out") => "out",
            Some("in" | "input") => "in",
            Some(other) => {
                let message = format!("`{other}` is no mode, and counts as `in`, as in AI-DataFlux");
                self.remarks.push(entry.remark("mode", message));
                "in"
            }
        };
        self.draft.set(&["estimate", "mode"], mode, entry.place("mode"));
        if let Some(size) = entry.number("sample_size", &mut self.remarks) {
            // Far below what a float holds exactly; -1 is all of them.
            let sample = if size >= 1.0 { Value::from(size as u64) } else { "all".into() };
            self.draft.set(&["estimate", "sample"], sample, entry.place("sample_size"));
        }
        if let Some(encoding) = entry.text("encoding", &mut self.remarks) {
            if ["o200k_base", "cl100k_base"].contains(&encoding.as_str()) {
                self.draft.set(&["estimate", "encoding"], encoding, entry.place("encoding"));
            } else {
                self.unneeded.add(entry.place("encoding"), "encoding", unneeded::ENCODING);
            }
        }
        if entry.get("tiktoken_model").is_some() {
            self.unneeded.add(entry.place("tiktoken_model"), "tiktoken_model", unneeded::NEVER_READ);
        }
    }

    /// What is not about the rows.
    fn rest(&mut self) {
        let Some(entry) = self.section("global", &["log", "flux_api_url"]) else { return };
        if let Some(log) = entry.section("log") {
            let known = ["level", "format", "output", "file_path", "date_format"];
            log.name_unknown(&known, &mut self.remarks);
            self.unneeded.add(entry.place("log"), "log", unneeded::LOG);
        }
        let has_models = self.top.get("models").and_then(Value::as_array).is_some_and(|models| !models.is_empty());
        if entry.get("flux_api_url").is_some() && has_models {
            self.unneeded.add(entry.place("flux_api_url"), "flux_api_url", unneeded::IN_PROCESS);
        }
    }
}

/// Returns the text that a scalar is in their tool.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
