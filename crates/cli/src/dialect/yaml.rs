//! A tree written as YAML, the way a person would.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Lists that are no longer than this stand on one line.
const LINE: usize = 100;

/// Writes a map, with notes above the parts that they are about.
pub(super) fn written(map: &Map<String, Value>, notes: &[(Vec<String>, String)]) -> String {
    let mut writer = Writer { out: String::new(), notes, path: Vec::new() };
    writer.note();
    writer.map(map);
    writer.out
}

struct Writer<'a> {
    out: String,
    notes: &'a [(Vec<String>, String)],
    path: Vec<String>,
}

impl Writer<'_> {
    fn indent(&mut self, depth: usize) {
        self.out.push_str(&"  ".repeat(depth));
    }

    /// Writes what is noted of the part at the path.
    fn note(&mut self) {
        let depth = self.path.len().saturating_sub(1);
        for (_, note) in self.notes.iter().filter(|(path, _)| *path == self.path) {
            for line in note.lines() {
                self.out.push_str(&"  ".repeat(depth));
                // A note carries words of others, and is one line whatever they are.
                let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                let _ = writeln!(self.out, "# {}", line.trim_end());
            }
        }
    }

    fn map(&mut self, map: &Map<String, Value>) {
        for (key, value) in map {
            self.path.push(key.clone());
            self.note();
            self.indent(self.path.len() - 1);
            self.out.push_str(&scalar_text(key));
            self.out.push(':');
            self.value(value);
            self.path.pop();
        }
    }

    /// Writes what stands behind a key and its colon.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.out.push('\n');
                self.map(map);
            }
            Value::String(text) if is_block(text) => self.block(text),
            Value::Array(items) if flow(value).len() > LINE => {
                self.out.push('\n');
                for item in items {
                    self.indent(self.path.len());
                    let _ = writeln!(self.out, "- {}", flow(item));
                }
            }
            value => {
                self.out.push(' ');
                self.out.push_str(&flow(value));
                self.out.push('\n');
            }
        }
    }

    fn block(&mut self, text: &str) {
        let body = text.trim_end_matches('\n');
        self.out.push_str(match text.len() - body.len() {
            0 => " |-\n",
            1 => " |\n",
            _ => " |+\n",
        });
        let depth = self.path.len();
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            if !line.is_empty() {
                self.indent(depth);
                self.out.push_str(line);
            }
            self.out.push('\n');
        }
    }
}

/// Writes a value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => scalar_text(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let members = map.iter().map(|(key, value)| format!("{}: {}", scalar_text(key), flow(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Returns whether a text can stand as lines of its own, and is easier to read so.
fn is_block(text: &str) -> bool {
    let is_plain = |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'));
    text.trim_end_matches('\n').contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(is_plain)
        // Such a line would be taken for one of the indentation.
        && text.split('\n').all(|line| line.is_empty() || !line.trim_matches(' ').is_empty())
}

/// Writes a text without quotes where it means itself so, in YAML old and new.
fn scalar_text(text: &str) -> String {
    const WORDS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "none"];
    let is_plain = text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !WORDS.contains(&text.to_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
