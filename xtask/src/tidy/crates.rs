//! The rooms of the house.

use std::collections::BTreeSet;

use super::tree::Tree;

/// Finds folders under `crates` whose package has another name or that do not say what they are.
pub(super) fn are_named_and_documented(tree: &Tree) -> Vec<String> {
    let folders: BTreeSet<&str> = tree
        .paths
        .iter()
        .filter_map(|path| path.strip_prefix("crates/")?.split_once('/'))
        .map(|(name, _)| name)
        .collect();
    let mut found = Vec::new();
    for folder in folders {
        let home = format!("crates/{folder}");
        let Some(manifest) = tree.file(&format!("{home}/Cargo.toml")) else {
            found.push(format!("{home}: no Cargo.toml"));
            continue;
        };
        let name = manifest.text.lines().find_map(|line| line.strip_prefix("name = "));
        if name.map(|name| name.trim_matches('"')) != Some(folder) {
            found.push(format!("{home}/Cargo.toml: the package must be called `{folder}`"));
        }
        let roots = ["lib.rs", "main.rs"].map(|root| tree.file(&format!("{home}/src/{root}")));
        for root in roots.into_iter().flatten() {
            if !root.text.starts_with("//! ") {
                found.push(format!("{}:1: must begin with a crate doc", root.path));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::are_named_and_documented;
    use crate::tidy::tree::Tree;

    #[test]
    fn a_wrong_name_and_a_missing_doc_are_found() {
        let right = [("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"), ("crates/a/src/lib.rs", "//! An a.\n")];
        assert!(are_named_and_documented(&Tree::of(&right)).is_empty());
        let wrong = [
            ("crates/a/Cargo.toml", "[package]\nname = \"tidemill-a\"\n"),
            ("crates/a/src/lib.rs", "fn undocumented() {}\n"),
            ("crates/b/src/lib.rs", "//! A b.\n"),
        ];
        assert_eq!(
            are_named_and_documented(&Tree::of(&wrong)),
            [
                "crates/a/Cargo.toml: the package must be called `a`",
                "crates/a/src/lib.rs:1: must begin with a crate doc",
                "crates/b: no Cargo.toml",
            ]
        );
    }
}
