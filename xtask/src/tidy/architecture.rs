//! ARCHITECTURE.md's claims: each invariant names the tests that hold it and the break that makes them fail.
//!
//! ```text
//! **2. The journal is the truth.** Prose about it.
//! Held by: `store::a_torn_tail_is_cut`, `cli::a_killed_run_asks_nothing_twice`
//! Break: acknowledge before the sync in `journal/writer.rs`.
//! ```
//!
//! An invariant that no test holds yet, because what it is about is not built, says so instead (`Not held yet: `).

use std::collections::HashMap;

use super::{
    text::bare_code,
    tree::{File, Tree},
};

const PAGE: &str = "ARCHITECTURE.md";

/// How a test ended in the last run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Passed,
    Failed,
    Skipped,
}

/// Finds invariants without tests or break, and tests that do not exist, did not run or did not pass.
pub(super) fn invariants_are_held(tree: &Tree) -> Vec<String> {
    let Some(page) = tree.file(PAGE) else { return vec![format!("{PAGE}: missing")] };
    let invariants = invariants(page);
    if invariants.is_empty() {
        return vec![format!("{PAGE}: no invariant begins a line as `**1. Title.**`")];
    }
    let ended = tree.report.as_deref().map(ended);
    let mut found = Vec::new();
    for (number, title, lines) in invariants {
        let after = |label| lines.iter().find_map(|line: &&str| line.trim_start().strip_prefix(label));
        let tests: Vec<&str> =
            after("Held by: ").map(|list| list.split('`').skip(1).step_by(2).collect()).unwrap_or_default();
        if tests.is_empty() && after("Not held yet: ").is_some_and(|why| !why.trim().is_empty()) {
            continue;
        }
        if tests.is_empty() {
            found.push(format!("{PAGE}:{number}: `{title}` names no test (`Held by: `)"));
        }
        if after("Break: ").is_none_or(|text| text.trim().is_empty()) {
            found.push(format!("{PAGE}:{number}: `{title}` does not say what breaks it (`Break: `)"));
        }
        for test in tests {
            if let Some(fault) = fault(tree, test, ended.as_ref()) {
                found.push(format!("{PAGE}:{number}: `{test}`, which holds `{title}`, {fault}"));
            }
        }
    }
    found
}

/// Returns each invariant's line, title and the lines up to the next one or the next heading.
fn invariants(page: &File) -> Vec<(usize, &str, Vec<&str>)> {
    let mut found: Vec<(usize, &str, Vec<&str>)> = Vec::new();
    let mut is_inside = false;
    for (number, line) in page.lines() {
        let bold = line.trim_start_matches(['-', ' ']).strip_prefix("**").and_then(|rest| rest.split("**").next());
        let title = bold.filter(|bold| {
            let digits = bold.bytes().take_while(u8::is_ascii_digit).count();
            digits > 0 && bold[digits..].starts_with(". ")
        });
        if let Some(title) = title {
            found.push((number, title, Vec::new()));
            is_inside = true;
        } else if line.starts_with('#') {
            is_inside = false;
        } else if let Some((_, _, lines)) = found.last_mut().filter(|_| is_inside) {
            lines.push(line);
        }
    }
    found
}

/// Returns what is wrong with a test, named `crate::test` or `crate::module::test`.
fn fault(tree: &Tree, test: &str, ended: Option<&HashMap<(String, String), Ended>>) -> Option<String> {
    let (Some((package, _)), Some((_, name))) = (test.split_once("::"), test.rsplit_once("::")) else {
        return Some("must be named as `crate::test`".to_owned());
    };
    let home = if package == "xtask" { "xtask/".to_owned() } else { format!("crates/{package}/") };
    let declared = format!("fn {name}(");
    // Inside of `proptest!` and the like it is declared just the same.
    if !tree.under(&home, ".rs").any(|file| bare_code(&file.text).contains(&declared)) {
        return Some(format!("does not exist in {home}"));
    }
    match ended?.get(&(package.to_owned(), name.to_owned())) {
        Some(Ended::Passed) => None,
        Some(Ended::Failed) => Some("failed".to_owned()),
        Some(Ended::Skipped) => Some("was skipped".to_owned()),
        None => Some("did not run".to_owned()),
    }
}

/// Reads nextest's report into how each test ended, by package and function. It is nextest's own XML, in which `<` in
/// text is always escaped, so that looking for tags needs no parser.
fn ended(report: &str) -> HashMap<(String, String), Ended> {
    let mut ended = HashMap::new();
    for case in report.split("<testcase ").skip(1) {
        let (head, body) = case.split_once('>').unwrap_or((case, ""));
        let attribute = |name: &str| {
            let (_, rest) = head.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        // `classname` holds `name` too, hence the blank.
        let head_first = head.strip_prefix("name=\"").and_then(|rest| rest.split('"').next());
        let (Some(name), Some(binary)) = (head_first.or_else(|| attribute(" name")), attribute("classname")) else {
            continue;
        };
        let body = if head.ends_with('/') { "" } else { body.split("</testcase>").next().unwrap_or_default() };
        let end = match body {
            body if body.contains("<failure") || body.contains("<error") => Ended::Failed,
            body if body.contains("<skipped") => Ended::Skipped,
            _ => Ended::Passed,
        };
        let package = binary.split("::").next().unwrap_or_default().to_owned();
        let name = name.rsplit("::").next().unwrap_or_default().to_owned();
        // Where two modules have a test of one name, both must pass.
        let known = ended.entry((package, name)).or_insert(end);
        if end != Ended::Passed {
            *known = end;
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str =
        "# A\n**1. One.** Prose.\nMore.\nHeld by: `store::a_holds`, `cli::run::b_holds`\nBreak: remove it.\n\n## B\n";

    fn check(page: &str, report: Option<&str>) -> Vec<String> {
        let mut tree = Tree::of(&[
            (PAGE, page),
            ("crates/store/src/lib.rs", "#[test]\nfn a_holds() {}\n// fn only_said() {}\n"),
            ("crates/cli/tests/run.rs", "#[tokio::test]\nasync fn b_holds() {}\n"),
        ]);
        tree.report = report.map(str::to_owned);
        invariants_are_held(&tree)
    }

    #[test]
    fn an_invariant_needs_tests_and_a_break() {
        assert!(check(RIGHT, None).is_empty());
        let page =
            "**1. One.** Prose.\n**2. Two.**\nHeld by: nothing\nBreak: \n## B\nHeld by: `store::a_holds`\nBreak: x\n";
        assert_eq!(check(page, None).len(), 4);
        assert!(check("**1. One.** Prose.\nNot held yet: there is no sandbox.\n", None).is_empty());
        assert_eq!(check("**1. One.** Prose.\nNot held yet: \n", None).len(), 2);
        assert_eq!(check("# A\n", None).len(), 1);
        assert_eq!(invariants_are_held(&Tree::of(&[])), ["ARCHITECTURE.md: missing"]);
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        for test in ["store::gone", "store::only_said", "store::b_holds", "engine::a_holds", "a_holds", "store::a_hold"]
        {
            let found = check(&format!("**1. One.**\nHeld by: `{test}`\nBreak: x\n"), None);
            assert_eq!(found.len(), 1, "{test}: {found:?}");
        }
    }

    #[test]
    fn a_test_that_did_not_run_or_pass_is_found() {
        let case = |binary: &str, name: &str, body: &str| {
            format!("<testcase name=\"{name}\" classname=\"{binary}\" timestamp=\"t\" time=\"0.0\">{body}</testcase>")
        };
        let a = case("store", "journal::tests::a_holds", "<system-out>&lt;failure</system-out>");
        let b = "<testcase name=\"b_holds\" classname=\"cli::it\" time=\"0.1\"/>";
        assert!(check(RIGHT, Some(&(a.clone() + b))).is_empty());
        assert_eq!(check(RIGHT, Some(&a))[0].rsplit(", ").next(), Some("did not run"));
        let failed = case("cli::bin/tidemill", "b_holds", "<failure type=\"test failure\"/>");
        assert_eq!(check(RIGHT, Some(&(a.clone() + &failed)))[0].rsplit(", ").next(), Some("failed"));
        let skipped = case("cli::it", "b_holds", "<skipped/>");
        assert_eq!(check(RIGHT, Some(&(a.clone() + &skipped)))[0].rsplit(", ").next(), Some("was skipped"));
        let other = case("cli::it", "other::b_holds", "<error/>");
        assert_eq!(check(RIGHT, Some(&(a + b + &other))).len(), 1);
    }
}
