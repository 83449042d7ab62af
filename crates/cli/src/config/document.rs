//! A file as a tree in which every node knows where it stands.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Number, Value};

use super::{
    diagnostic::Diagnostic,
    scalar::{Scalar, Style, resolve},
};

/// A place in a file, in characters, the way editors count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Span {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column, from 1.
    pub(crate) column: usize,
    /// How many characters of that line.
    pub(crate) length: usize,
}

impl Span {
    /// The start of the file, for what stands nowhere.
    pub(crate) const START: Self = Self { line: 1, column: 1, length: 1 };
}

/// One node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where it was written; for a part that came through an alias, where the anchor stands.
    pub(crate) span: Span,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Keys and values, in the order of the file. Keys are scalars and unique.
    Map(Vec<(Node, Node)>),
    /// A list.
    Seq(Vec<Node>),
    /// A scalar as written.
    Scalar {
        /// Its text, unquoted and unescaped.
        text: String,
        /// How it was written.
        style: Style,
    },
}

impl Node {
    /// Returns the text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Map(_) | Kind::Seq(_) => None,
        }
    }

    /// Returns what a scalar means.
    pub(crate) fn scalar(&self) -> Option<Scalar<'_>> {
        match &self.kind {
            Kind::Scalar { text, style } => Some(resolve(text, *style)),
            Kind::Map(_) | Kind::Seq(_) => None,
        }
    }

    /// Returns the key and the value that stand under `name`, in a map or, by index, in a list. A list has no keys.
    fn child(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value),
            Kind::Seq(items) => items.get(name.parse::<usize>().ok()?),
            Kind::Scalar { .. } => None,
        }
    }

    fn made(tree: &Value, path: &mut Vec<String>, at: &dyn Fn(&[String]) -> Span) -> Self {
        let scalar = |text: String, style| Kind::Scalar { text, style };
        let span = at(path);
        let mut below = |key: String, value: &Value| {
            path.push(key);
            let made = Self::made(value, path, at);
            path.pop();
            made
        };
        let kind = match tree {
            Value::Object(map) => Kind::Map(
                map.iter()
                    .map(|(key, value)| {
                        let value = below(key.clone(), value);
                        (Self { span: value.span, kind: scalar(key.clone(), Style::Text) }, value)
                    })
                    .collect(),
            ),
            Value::Array(items) => {
                Kind::Seq(items.iter().enumerate().map(|(i, item)| below(i.to_string(), item)).collect())
            }
            Value::String(text) => scalar(text.clone(), Style::Text),
            other => scalar(other.to_string(), Style::Plain),
        };
        Self { span, kind }
    }

    fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.text().unwrap_or_default().to_owned(), value.to_json()))
                    .collect::<Map<_, _>>(),
            ),
            Kind::Seq(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Scalar { text, style } => match resolve(text, *style) {
                Scalar::Null => Value::Null,
                Scalar::Bool(value) => Value::Bool(value),
                Scalar::Integer(number) => Number::from_i128(number)
                    .map_or_else(|| Number::from_f64(number as f64).map_or(Value::Null, Value::Number), Value::Number),
                Scalar::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
                Scalar::Text(text) => Value::String(text.to_owned()),
            },
        }
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    file: PathBuf,
    text: String,
    root: Node,
}

impl Document {
    /// Creates a document from the tree that `text` was parsed into.
    pub(super) fn new(file: &Path, text: &str, root: Node) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), root }
    }

    /// Creates a document that was made of this one: another tree, whose parts stand where `place` says that what they
    /// come from stands here.
    pub(crate) fn made_into(&self, tree: &Value, place: &dyn Fn(&[String]) -> Vec<String>) -> Self {
        let at = |path: &[String]| {
            let place = place(path);
            let place: Vec<&str> = place.iter().map(String::as_str).collect();
            // The nearest part above it that is there.
            (0..=place.len()).rev().find_map(|n| self.at(&place[..n])).unwrap_or(Span::START)
        };
        Self { file: self.file.clone(), text: self.text.clone(), root: Node::made(tree, &mut Vec::new(), &at) }
    }

    /// Returns the root of the tree.
    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Returns where the value at `path` stands. An item of a list is named by its index from 0.
    pub(crate) fn at(&self, path: &[&str]) -> Option<Span> {
        self.find(path).map(|value| value.span)
    }

    /// Returns whether the value at `path` is a block (`|` or `>`), whose first line is the line below its place.
    pub(crate) fn is_block(&self, path: &[&str]) -> bool {
        let Some(span) = self.at(path) else { return false };
        self.line(span.line).chars().nth(span.column - 1).is_some_and(|c| matches!(c, '|' | '>'))
    }

    /// Returns the whole as JSON, keys in the order of the file.
    pub(crate) fn to_json(&self) -> Value {
        self.root.to_json()
    }

    /// Creates an error at `span`; without one it points at the start of the file.
    pub(crate) fn error(&self, span: impl Into<Option<Span>>, message: impl Into<String>) -> Diagnostic {
        let span = span.into().unwrap_or(Span::START);
        Diagnostic::error(&self.file, span, self.line(span.line), message)
    }

    /// Creates a warning at `span`; without one it points at the start of the file.
    pub(crate) fn warning(&self, span: impl Into<Option<Span>>, message: impl Into<String>) -> Diagnostic {
        self.error(span, message).into_warning()
    }

    /// Returns a line, from 1.
    pub(super) fn line(&self, line: usize) -> &str {
        lines(&self.text).nth(line - 1).unwrap_or_default()
    }

    fn find(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(&self.root, |node, name| node.child(name))
    }
}

/// Splits text into lines as YAML does: at `\n`, `\r\n` and a lone `\r`.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let after = &text[end..];
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        Some(&text[..end])
    })
}
