//! A file of ours while it is made of another tool's.

use serde_json::{Map, Value};

use super::yaml;

/// A file of ours, with the places in their file that its parts come from, and with notes for those who read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Draft {
    tree: Map<String, Value>,
    /// Paths of ours with theirs.
    places: Vec<(Vec<String>, Vec<String>)>,
    notes: Vec<(Vec<String>, String)>,
}

impl Draft {
    /// Puts a value at a path, behind what is there already. It comes from `theirs`.
    pub(crate) fn set(&mut self, path: &[&str], value: impl Into<Value>, theirs: Vec<String>) {
        self.places.push((owned(path), theirs));
        let Some((last, above)) = path.split_last() else { return };
        let mut map = &mut self.tree;
        for key in above {
            let inner = map.entry(*key).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            let Value::Object(inner) = inner else { return };
            map = inner;
        }
        map.insert((*last).to_owned(), value.into());
    }

    /// Says where a part that was put there as a whole comes from.
    pub(crate) fn comes_from(&mut self, path: &[&str], theirs: Vec<String>) {
        self.places.push((owned(path), theirs));
    }

    /// Notes something for those who read the file; it stands above the part at `path`.
    pub(crate) fn note(&mut self, path: &[&str], note: impl Into<String>) {
        self.notes.push((owned(path), note.into()));
    }

    /// Returns the file as a tree.
    pub(crate) fn tree(&self) -> Value {
        Value::Object(self.tree.clone())
    }

    /// Returns the file as text.
    pub(crate) fn text(&self) -> String {
        yaml::written(&self.tree, &self.notes)
    }

    /// Returns where in their file stands what is at `path` in ours: the place of the nearest part, and below it what is
    /// called the same.
    pub(crate) fn place(&self, path: &[String]) -> Vec<String> {
        let known = self.places.iter().filter(|(ours, _)| path.starts_with(ours));
        match known.max_by_key(|(ours, _)| ours.len()) {
            Some((ours, theirs)) => theirs.iter().chain(&path[ours.len()..]).cloned().collect(),
            None => Vec::new(),
        }
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|key| (*key).to_owned()).collect()
}
