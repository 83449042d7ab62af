//! A map of their file, read as leniently as the old tool reads it.

use serde_json::{Map, Value};

use crate::{config::closest, dialect::Remark};

/// A map, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    path: Vec<String>,
    map: &'a Map<String, Value>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(path: Vec<String>, map: &'a Map<String, Value>) -> Self {
        Self { path, map }
    }

    /// Returns where the value of `key` stands; the map itself for a key that is empty.
    pub(super) fn place(&self, key: &str) -> Vec<String> {
        let key = (!key.is_empty()).then(|| key.to_owned());
        self.path.iter().cloned().chain(key).collect()
    }

    pub(super) fn remark(&self, key: &str, message: String) -> Remark {
        Remark { path: self.place(key), message, ..Remark::default() }
    }

    /// Returns a value; nothing where there is none or it is null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn section(&self, key: &str) -> Option<Entry<'a>> {
        self.get(key).and_then(Value::as_object).map(|map| Entry::new(self.place(key), map))
    }

    pub(super) fn map(&self) -> &'a Map<String, Value> {
        self.map
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.map.keys().map(String::as_str)
    }

    /// Names the keys that the old tool does not know.
    pub(super) fn name_unknown(&self, known: &[&str], remarks: &mut Vec<Remark>) {
        for key in self.map.keys().filter(|key| !known.contains(&key.as_str())) {
            let remark = self.remark(key, format!("`{key}` is no key of AI-DataFlux here, and is not used"));
            remarks.push(match closest(key, known) {
                Some(near) => remark.help(format!("did you mean `{near}`?")),
                None => remark,
            });
        }
    }

    /// Returns a text that says something. A number is one too: ids and keys are written so.
    pub(super) fn text(&self, key: &str, remarks: &mut Vec<Remark>) -> Option<String> {
        let text = match self.get(key)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => {
                remarks.push(self.remark(key, format!("`{key}` must be a text; it is not used")));
                return None;
            }
        };
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn number(&self, key: &str, remarks: &mut Vec<Remark>) -> Option<f64> {
        let value = self.get(key)?;
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| number.is_finite());
        if number.is_none() {
            remarks.push(self.remark(key, format!("`{key}` must be a number; the usual one is taken")));
        }
        number
    }

    /// Returns a number above 0.
    pub(super) fn amount(&self, key: &str, remarks: &mut Vec<Remark>) -> Option<f64> {
        let number = self.number(key, remarks)?;
        if number <= 0.0 {
            remarks.push(self.remark(key, format!("`{key}` must be more than 0; the usual number is taken")));
        }
        (number > 0.0).then_some(number)
    }

    pub(super) fn truth(&self, key: &str, remarks: &mut Vec<Remark>) -> Option<bool> {
        let value = self.get(key)?;
        // Words that were truth values in the YAML that the old tool reads.
        let word = value.as_str().map(str::to_ascii_lowercase);
        let truth = match word.as_deref() {
            Some("yes" | "on" | "true") => Some(true),
            Some("no" | "off" | "false") => Some(false),
            _ => value.as_bool(),
        };
        if truth.is_none() {
            remarks.push(self.remark(key, format!("`{key}` must be `true` or `false`; the usual one is taken")));
        }
        truth
    }
}
