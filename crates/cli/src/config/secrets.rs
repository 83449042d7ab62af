//! A key that was written into a file by mistake is not repeated, whatever the mistake that is told.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::{
    diagnostic::Diagnostic,
    document::{Document, Kind, Node, Span},
    scalar::Scalar,
};

/// What stands in place of a secret in a message.
const HIDDEN: &str = "[not shown]";

/// Messages quote so many characters of a longer text.
const QUOTED: usize = 40;

/// Keys of a file under which secrets stand, as a part of them or as a whole. A tokenizer is none.
static NAME: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)key|token(?:[^\Wi]|[.-]|i(?:[^\Wz]|\b)|\b)|secret|password|authorization|^headers$"));

/// The same in a line that is no part of a tree, up to the value.
static ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    regex(r#"(?i)(?:key|token(?:[^\Wi]|[.-]|i(?:[^\Wz]|\b)|\b)|secret|password|authorization)[\w.-]*["']?\s*[:=]\s*"#)
});

/// Such a line whose value stands in the next one.
static ENTRY_ABOVE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?i)(?:key|token(?:[^\Wi]|[.-]|i(?:[^\Wz]|\b)|\b)|secret|password|authorization)[\w.-]*["']?\s*:\s*(?:[|>][+-]?)?\s*$"#,
    )
});

/// What looks like a key wherever it stands, and a user with a password, as they stand before the host in a URL.
static KEY: LazyLock<Regex> = LazyLock::new(|| regex(r#"(?i)\b(?:sk-|bearer\s+)[\w.-]{8,}|[^\s/@:"']+:[^\s/@"']+@"#));

/// Where a key may be found, which is no secret.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| regex(r#"^\{?\s*(?:file\s*:|env\s*:\s*["']?([^\s,}"']*)|$)"#));

static QUOTES: LazyLock<Regex> = LazyLock::new(|| regex(r#"^"(?:[^"\\]|\\.)*""#));

fn regex(pattern: &str) -> Regex {
    #[expect(clippy::unwrap_used, reason = "the patterns stand above, and a test uses them all")]
    Regex::new(pattern).unwrap()
}

/// Takes out of `diagnostics`, which are about `document`, whatever may be a secret: words are replaced in what is said,
/// and blotted out in what is shown, so that places stay where they are. A file whose `schema` has no place for secrets
/// is left as it is.
pub(super) fn hide(document: &Document, schema: &Value, diagnostics: &mut [Diagnostic]) {
    if !has_secrets(schema) {
        return;
    }
    let mut secrets = Secrets::default();
    secrets.collect(document.root(), false);
    secrets.texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    secrets.texts.dedup();
    for diagnostic in diagnostics {
        let Span { line, .. } = diagnostic.span;
        // Where there is a tree, it knows what stands below what.
        let has_tree = !matches!(document.root().kind, Kind::Scalar { .. });
        let above = if has_tree || line < 2 { "" } else { document.line(line - 1) };
        diagnostic.hide(|said| secrets.replaced(said), |shown| secrets.blotted(shown, line, above));
    }
}

/// Returns whether a part of a schema says that it is written and never shown.
fn has_secrets(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.get("writeOnly") == Some(&Value::Bool(true)) || map.values().any(has_secrets),
        Value::Array(items) => items.iter().any(has_secrets),
        _ => false,
    }
}

#[derive(Default)]
struct Secrets {
    texts: Vec<String>,
    places: Vec<Span>,
}

impl Secrets {
    /// Collects what is below a key that says so; `is_below` says that there was one already.
    fn collect(&mut self, node: &Node, is_below: bool) {
        match &node.kind {
            Kind::Map(entries) => {
                for (key, value) in entries {
                    let name = key.text().unwrap_or_default();
                    if is_below {
                        let text = value.text();
                        if name == "file" || (name == "env" && text.is_some_and(is_variable)) {
                            continue;
                        }
                        // `key: { sk-... }` is a map with a key, and so is `headers: { x-title: ... }`.
                        if KEY.is_match(name) || (value.scalar() == Some(Scalar::Null) && !is_word(name)) {
                            self.add(key);
                        }
                    }
                    self.collect(value, is_below || NAME.is_match(name));
                }
            }
            Kind::Seq(items) => items.iter().for_each(|item| self.collect(item, is_below)),
            Kind::Scalar { .. } if is_below && node.scalar().is_some_and(is_telling) => self.add(node),
            Kind::Scalar { .. } => {}
        }
    }

    fn add(&mut self, node: &Node) {
        self.places.push(node.span);
        let text = node.text().unwrap_or_default();
        let lines = text.lines().map(str::trim);
        let words = text.split_whitespace().filter(|word| word.len() >= 8);
        for part in [text].into_iter().chain(lines).chain(words).filter(|part| part.trim().len() >= 4) {
            self.texts.push(part.to_owned());
            self.texts.push(part.escape_debug().to_string());
            self.texts.extend(part.char_indices().nth(QUOTED).map(|(end, _)| part[..end].to_owned()));
        }
    }

    fn replaced(&self, said: &str) -> String {
        let said = self.texts.iter().fold(said.to_owned(), |said, text| said.replace(text, HIDDEN));
        KEY.replace_all(&said, HIDDEN).into_owned()
    }

    fn blotted(&self, shown: &str, line: usize, above: &str) -> String {
        let mut blotted = shown.to_owned();
        for place in self.places.iter().filter(|place| place.line == line) {
            let start = place.column - 1;
            let in_place = |index: usize| (start..start + place.length).contains(&index);
            blotted = blotted.chars().enumerate().map(|(index, c)| if in_place(index) { '*' } else { c }).collect();
        }
        for text in &self.texts {
            blotted = blotted.replace(text, &stars(text));
        }
        blotted = KEY.replace_all(&blotted, |found: &regex::Captures<'_>| stars(&found[0])).into_owned();
        if ENTRY_ABOVE.is_match(above) && !ENTRY.is_match(&blotted) && !is_reference(blotted.trim_start()) {
            return blotted.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect();
        }
        let mut out = String::with_capacity(blotted.len());
        let mut rest = blotted.as_str();
        while let Some(entry) = ENTRY.find(rest) {
            let (before, value) = rest.split_at(entry.end());
            out.push_str(before);
            let value_length = if is_reference(value) { 0 } else { length_of_value(value) };
            let (hidden, after) = value.split_at(value_length);
            out.push_str(&stars(hidden));
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// Returns whether a value says where a key is found, or nothing.
fn is_reference(value: &str) -> bool {
    REFERENCE.captures(value).is_some_and(|found| found.get(1).is_none_or(|name| is_variable(name.as_str())))
}

fn stars(text: &str) -> String {
    "*".repeat(text.chars().count())
}

/// Returns how many bytes of a line are the value at its beginning.
fn length_of_value(line: &str) -> usize {
    let end = match line.chars().next() {
        Some('"') => QUOTES.find(line).map(|quoted| quoted.end()),
        Some('\'') => line[1..].find('\'').map(|end| end + 2),
        Some('[') => line.find(']'),
        Some('{') => line.find('}'),
        _ => line.find([',', '}', ']']).into_iter().chain(line.find(" #")).min(),
    };
    let value = line[..end.unwrap_or(line.len())].trim_end();
    let is_harmless = value.len() < 8 && (value.parse::<f64>().is_ok() || matches!(value, "true" | "false" | "null"));
    if is_harmless { 0 } else { value.len() }
}

/// Returns whether a scalar can tell a secret: a text, or a number that is as long as one.
fn is_telling(scalar: Scalar<'_>) -> bool {
    match scalar {
        Scalar::Text(_) => true,
        Scalar::Integer(number) => number.unsigned_abs() >= 10_000_000,
        Scalar::Null | Scalar::Bool(_) | Scalar::Float(_) => false,
    }
}

/// Returns whether a text may be the name of a variable, and not a key that somebody took for one.
fn is_variable(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    let is_name = !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_random = text.len() >= 20 && has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase);
    is_name && !is_random
}

/// Returns whether a text is a word, as keys of files are.
fn is_word(text: &str) -> bool {
    text.len() <= 16 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}
