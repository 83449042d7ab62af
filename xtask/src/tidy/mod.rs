//! Checks the repository itself: what no compiler and no linter looks at.
//!
//! Each check takes the tree as text and returns what it found, so that its tests can show on a few lines of text that
//! it can fail.

mod architecture;
mod crates;
mod documents;
mod machine;
mod source;
mod text;
mod tree;

use std::path::Path;

use anyhow::{Result, bail};

use tree::Tree;

/// Where nextest's profile `ci` reports which tests ran.
pub(crate) const REPORT: &str = "target/nextest/ci/junit.xml";

/// A check: what it holds, and the function that returns every breach as `path:line: what`.
type Check = (&'static str, fn(&Tree) -> Vec<String>);

const CHECKS: [Check; 13] = [
    ("a folder under crates is a package of that name with a crate doc", crates::are_named_and_documented),
    ("a file is read in one sitting", source::files_are_short),
    ("names say what a thing does", source::names_say_something),
    ("the engine knows no vendor, format, database or HTTP", source::engine_knows_no_outside),
    ("nothing is left to do later", source::nothing_is_postponed),
    ("each invariant names the tests that hold it", architecture::invariants_are_held),
    ("no file knows the machine it was written on", machine::no_paths_of_a_machine),
    ("no file names the host of a registry", machine::no_hosts_of_registries),
    ("both READMEs say the same", documents::readmes_agree),
    ("each guide shows a command on a file that exists", documents::guides_can_be_followed),
    ("each decision is dated", documents::decisions_are_dated),
    ("each term is explained once", documents::terms_are_unique),
    ("text is clean", text::lines_end_cleanly),
];

/// Runs all checks and fails if one found something.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    for warning in source::long_files(&tree) {
        println!("warning: {warning}");
    }
    let mut n_found = 0;
    for (claim, check) in CHECKS {
        let found = check(&tree);
        if !found.is_empty() {
            println!("not so: {claim}\n  {}", found.join("\n  "));
        }
        n_found += found.len();
    }
    if n_found > 0 {
        bail!("tidy found breaches: {n_found}");
    }
    Ok(())
}
