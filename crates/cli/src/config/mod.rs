//! Reads a YAML file into a Rust type so that every mistake in it is told at once.
//!
//! The Rust types are the only place that says what a file may hold. schemars derives a JSON Schema from them, and a
//! file is walked against that schema *before* serde sees it, because serde stops at the first mistake and knows no
//! lines. The way of a file, and the modules in that order:
//!
//! 1. [`parse`]: YAML events become a tree in which every node knows its line and column ([`document`], [`scalar`]).
//! 2. [`conform`]: the tree is held against the schema; all that differs is collected.
//! 3. [`secrets`] sees to it that a key which stands in a file by mistake is not repeated in what is told.
//! 4. serde makes the value, only when nothing was wrong. What serde alone can tell (a hand-written `Deserialize`) still
//!    becomes a diagnostic with the best place that is known.
//!
//! ```ignore
//! let (pipeline, document, diagnostics) = config::read::<Pipeline>(path, &text);
//! for diagnostic in &diagnostics {
//!     eprint!("{}", diagnostic.render(colour));
//! }
//! // What only the whole pipeline can tell is pointed at through the document.
//! document.error(document.at(&["steps", "label", "work"]), "...").help("...")
//! ```

mod conform;
mod diagnostic;
mod document;
mod parse;
mod scalar;
mod secrets;
mod slips;
#[cfg(test)]
mod tests;

use std::path::Path;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

pub(crate) use conform::closest;
pub(crate) use diagnostic::{Diagnostic, Severity};
pub(crate) use document::{Document, Span};

/// Returns the JSON Schema of `T`, as it is checked here and as editors complete from it.
pub(crate) fn schema<T: JsonSchema>() -> serde_json::Value {
    SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<T>().to_value()
}

/// Reads `text`, the content of `file`, into a `T`.
///
/// There is a `T` exactly if no diagnostic is an error. The document is there in any case, so that checks that need
/// the whole can point into the file; where the YAML itself is broken it is an empty one.
pub(crate) fn read<T: DeserializeOwned + JsonSchema>(
    file: &Path,
    text: &str,
) -> (Option<T>, Document, Vec<Diagnostic>) {
    let (document, mut diagnostics, is_whole) = parse::parse(file, text);
    let schema = schema::<T>();
    if is_whole {
        diagnostics.extend(conform::conform(&document, &schema));
    }
    let value = conforming(&document, &schema, &mut diagnostics);
    (value, document, diagnostics)
}

/// Reads a document that was made of another one into a `T`, as [`read`] does.
pub(crate) fn read_made<T: DeserializeOwned + JsonSchema>(document: &Document) -> (Option<T>, Vec<Diagnostic>) {
    let schema = schema::<T>();
    let mut diagnostics = conform::conform(document, &schema);
    (conforming(document, &schema, &mut diagnostics), diagnostics)
}

fn conforming<T: DeserializeOwned>(
    document: &Document,
    schema: &serde_json::Value,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    // Merged or repeated parts are walked once per use; the reader needs each mistake once.
    diagnostics.dedup();
    secrets::hide(document, schema, diagnostics);
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return None;
    }
    match serde_path_to_error::deserialize(document.to_json()) {
        Ok(value) => Some(value),
        Err(error) => {
            diagnostics.push(from_serde(document, &error));
            secrets::hide(document, schema, diagnostics);
            None
        }
    }
}

/// Takes out of `diagnostics`, which are about a `document` that was read as a `T`, what may be a secret: keys are found
/// in a file by mistake, and must not be repeated. What [`read`] itself returns is free of them.
pub(crate) fn hide_secrets<T: JsonSchema>(document: &Document, diagnostics: &mut [Diagnostic]) {
    secrets::hide(document, &schema::<T>(), diagnostics);
}

/// Reads `bytes`, the content of `file`, as text, or says where the first byte stands that is not UTF-8.
pub(crate) fn decode<'b>(file: &Path, bytes: &'b [u8]) -> Result<&'b str, Box<Diagnostic>> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let readable = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
    let line = document::lines(&readable).last().unwrap_or_default();
    let span = Span { line: document::lines(&readable).count(), column: line.chars().count() + 1, length: 1 };
    let rest = &bytes[error.valid_up_to()..];
    let (message, help) = match rest {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] if error.valid_up_to() == 0 => {
            ("the file is in UTF-16".to_owned(), "save the file in UTF-8")
        }
        // Chinese editors and Excel still write this encoding.
        [0x81..=0xfe, 0x40..=0x7e | 0x80..=0xfe, ..] => {
            (format!("byte 0x{:02x} is not UTF-8", rest[0]), "save the file in UTF-8; now it may be in GBK (GB18030)")
        }
        _ => (format!("byte 0x{:02x} is not UTF-8", rest[0]), "save the file in UTF-8"),
    };
    Err(Box::new(Diagnostic::error(file, span, line, message).help(help)))
}

/// Tells what serde alone found, at the deepest place on its path that the file has.
fn from_serde(document: &Document, error: &serde_path_to_error::Error<serde_json::Error>) -> Diagnostic {
    let steps: Vec<String> = error
        .path()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect();
    let mut steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    while !steps.is_empty() && document.at(&steps).is_none() {
        steps.pop();
    }
    // serde_json adds a place of its own, in a text that the user never saw.
    let said = error.inner().to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    let message = match steps.as_slice() {
        [] => said.to_owned(),
        steps => format!("`{}`: {said}", steps.join(".")),
    };
    document.error(document.at(&steps), message)
}
