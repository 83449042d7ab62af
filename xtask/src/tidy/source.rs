//! Rust files: their length, their names, what they know and what they put off.

use super::{
    text::{bare_code, code},
    tree::Tree,
};

/// No file is longer.
const MOST_LINES: usize = 800;
/// A file that is longer probably holds a second idea.
const MANY_LINES: usize = 500;

/// Finds files that are too long.
pub(super) fn files_are_short(tree: &Tree) -> Vec<String> {
    longer_than(tree, MOST_LINES)
}

/// Lists files that are getting long.
pub(super) fn long_files(tree: &Tree) -> Vec<String> {
    longer_than(tree, MANY_LINES)
}

fn longer_than(tree: &Tree, most: usize) -> Vec<String> {
    let counted = tree.under("", ".rs").map(|file| (&file.path, file.text.lines().count()));
    counted.filter(|(_, n)| *n > most).map(|(path, n)| format!("{path}: {n} lines, more than {most}")).collect()
}

/// Finds types and modules named by words that fit everything.
pub(super) fn names_say_something(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree.under("", ".rs") {
        let text = bare_code(&file.text);
        let stem = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if let Some(word) = says_nothing(stem) {
            found.push(format!("{}: a module's name must not say `{word}`", file.path));
        }
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            while let Some(word) = words.next() {
                if !matches!(word, "struct" | "enum" | "trait" | "type" | "union" | "mod") {
                    continue;
                }
                let Some(name) = words.next() else { break };
                if let Some(word) = says_nothing(name) {
                    found.push(format!("{}:{}: the name `{name}` must not say `{word}`", file.path, index + 1));
                }
            }
        }
    }
    found
}

/// Returns the word of a name that says nothing, if it has one. `Base` does only at the end: a `BaseUrl` is one.
fn says_nothing(name: &str) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    let mut was_upper = true;
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        // `HTTPClient` is two words, `a_b` too.
        let begins = c.is_uppercase() && (!was_upper || chars.peek().is_some_and(|next| next.is_lowercase()));
        if c == '_' || begins || words.is_empty() {
            words.push(String::new());
        }
        was_upper = c.is_uppercase() || c == '_';
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.extend(c.to_lowercase());
        }
    }
    if words.last().is_some_and(|word| word == "base") {
        return words.pop();
    }
    let empty = ["manager", "managers", "helper", "helpers", "util", "utils", "common"];
    words.into_iter().find(|word| empty.contains(&word.as_str()))
}

/// Finds words in the engine's code that belong to the world outside of it.
pub(super) fn engine_knows_no_outside(tree: &Tree) -> Vec<String> {
    let outside = ["openai", "anthropic", "jsonl", "csv", "sqlite", "mysql", "http"];
    let mut found = Vec::new();
    for file in tree.under("crates/engine/", ".rs") {
        for (index, line) in code(&file.text).lines().enumerate() {
            let line = line.to_lowercase();
            let words = outside.iter().filter(|word| line.contains(**word));
            found.extend(words.map(|word| format!("{}:{}: the engine must not know `{word}`", file.path, index + 1)));
        }
    }
    found
}

/// Finds marks of work that was put off.
pub(super) fn nothing_is_postponed(tree: &Tree) -> Vec<String> {
    // Put together here, so that this file does not find itself.
    let mark = concat!("FIX", "ME");
    let macros = [concat!("to", "do!("), concat!("unimple", "mented!(")];
    let mut found = Vec::new();
    for file in &tree.files {
        let is_rust = file.path.ends_with(".rs");
        for (number, line) in file.lines() {
            if line.contains(mark) || (is_rust && macros.iter().any(|name| line.contains(name))) {
                found.push(format!("{}:{number}: put off", file.path));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found() {
        let tree = |n| Tree::of(&[("a.rs", "x\n".repeat(n).as_str()), ("a.md", "x\n".repeat(9999).as_str())]);
        assert!(files_are_short(&tree(800)).is_empty());
        assert_eq!(files_are_short(&tree(801)), ["a.rs: 801 lines, more than 800"]);
        assert!(long_files(&tree(500)).is_empty());
        assert_eq!(long_files(&tree(501)).len(), 1);
    }

    #[test]
    fn an_empty_name_is_found() {
        let right = "struct Journal; struct BaseUrl; enum Utility {} // struct Manager\nmod database; \"mod util\"; type Commons = u8;";
        assert!(names_say_something(&Tree::of(&[("a.rs", right)])).is_empty());
        let wrong = "pub(crate) struct TaskManager<T>;\nmod common;\ntrait SourceBase {}\nenum HTTPHelper {}";
        assert_eq!(
            names_say_something(&Tree::of(&[("src/utils.rs", wrong)])),
            [
                "src/utils.rs: a module's name must not say `utils`",
                "src/utils.rs:1: the name `TaskManager` must not say `manager`",
                "src/utils.rs:2: the name `common` must not say `common`",
                "src/utils.rs:3: the name `SourceBase` must not say `base`",
                "src/utils.rs:4: the name `HTTPHelper` must not say `helper`",
            ]
        );
    }

    #[test]
    fn an_engine_that_knows_a_format_is_found() {
        let right = "// CSV and HTTP are not ours.\n/* sqlite\n mysql */ fn settle() {}";
        assert!(engine_knows_no_outside(&Tree::of(&[("crates/engine/src/a.rs", right)])).is_empty());
        let wrong = "fn settle() {}\nstruct JsonlSink;\nlet url = \"https://x\";";
        assert!(engine_knows_no_outside(&Tree::of(&[("crates/work/src/a.rs", wrong)])).is_empty());
        assert_eq!(
            engine_knows_no_outside(&Tree::of(&[("crates/engine/src/a.rs", wrong)])),
            [
                "crates/engine/src/a.rs:2: the engine must not know `jsonl`",
                "crates/engine/src/a.rs:3: the engine must not know `http`"
            ]
        );
    }

    #[test]
    fn work_put_off_is_found() {
        let wrong =
            concat!("fn a() {\n    to", "do!()\n}\nfn b() {\n    unimple", "mented!(\"b\")\n}\n// FIX", "ME: c\n");
        assert_eq!(
            nothing_is_postponed(&Tree::of(&[("a.rs", wrong)])),
            ["a.rs:2: put off", "a.rs:5: put off", "a.rs:7: put off"]
        );
        assert_eq!(nothing_is_postponed(&Tree::of(&[("a.md", wrong)])), ["a.md:7: put off"]);
        assert!(nothing_is_postponed(&Tree::of(&[("a.rs", "fn todo() {}")])).is_empty());
    }
}
