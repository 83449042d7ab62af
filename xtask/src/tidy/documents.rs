//! Pages that must stay true.

use std::collections::HashMap;

use super::{
    text::markdown,
    tree::{File, Tree},
};

/// Finds where the two READMEs differ in headings, commands or configuration.
pub(super) fn readmes_agree(tree: &Tree) -> Vec<String> {
    let (english, chinese) = ("README.md", "README.zh-CN.md");
    let (Some(one), Some(other)) = (tree.file(english), tree.file(chinese)) else {
        return [english, chinese]
            .into_iter()
            .filter(|path| tree.file(path).is_none())
            .map(|path| format!("{path}: missing"))
            .collect();
    };
    let ((one_headings, one_fences), (other_headings, other_fences)) = (markdown(&one.text), markdown(&other.text));
    let mut found = Vec::new();
    if one_headings != other_headings {
        found.push(format!(
            "{chinese}: the levels of its headings are {other_headings:?}, those of {english} {one_headings:?}"
        ));
    }
    for language in ["sh", "yaml"] {
        let of = |fence: &&super::text::Fence<'_>| fence.language == language;
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (one_fences.iter().filter(of).collect(), other_fences.iter().filter(of).collect());
        if ours.len() != theirs.len() {
            found.push(format!("{chinese}: {} blocks of {language}, {english} has {}", theirs.len(), ours.len()));
        }
        for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            if ours != theirs {
                found.push(format!("{chinese}: its {language} block {} differs from that of {english}", number + 1));
            }
        }
    }
    found
}

/// Finds guides without a command that names a file of the repository.
pub(super) fn guides_can_be_followed(tree: &Tree) -> Vec<String> {
    let names_a_file = |file: &File| {
        let (_, fences) = markdown(&file.text);
        let mut words = fences.iter().flat_map(|fence| &fence.body).flat_map(|line| line.split_whitespace());
        words.any(|word| {
            let word = word.trim_matches(['"', '\'', '`']).trim_start_matches("./");
            word.contains('.') && tree.exists(word)
        })
    };
    let lost = tree.under("docs/guide/", ".md").filter(|file| !names_a_file(file));
    lost.map(|file| format!("{}: no command in it names a file that exists", file.path)).collect()
}

/// Finds design pages that are not called `YYYY-MM-DD-slug.md`.
pub(super) fn decisions_are_dated(tree: &Tree) -> Vec<String> {
    let is_dated = |name: &str| {
        let mut parts = name.splitn(4, '-');
        let mut number =
            |length| parts.next().is_some_and(|part| part.len() == length && part.bytes().all(|b| b.is_ascii_digit()));
        let is_date = number(4) && number(2) && number(2);
        let is_slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let slug = parts.next().and_then(|slug| slug.strip_suffix(".md"));
        is_date && slug.is_some_and(|slug| !slug.is_empty() && slug.chars().all(is_slug))
    };
    let names = tree.paths.iter().filter_map(|path| path.strip_prefix("docs/design/"));
    names
        .filter(|name| !is_dated(name))
        .map(|name| format!("docs/design/{name}: not called YYYY-MM-DD-slug.md"))
        .collect()
}

/// Finds terms that the glossary explains twice. A term is what a list item or table row begins with in bold.
pub(super) fn terms_are_unique(tree: &Tree) -> Vec<String> {
    let Some(glossary) = tree.file("GLOSSARY.md") else { return vec!["GLOSSARY.md: missing".to_owned()] };
    let mut found = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (number, line) in glossary.lines() {
        let line = line.trim_start_matches(['-', '*', '|', ' ']);
        let is_bold = glossary.text.lines().nth(number - 1).is_some_and(|whole| whole.contains("**"));
        let Some((term, _)) = line.split_once("**").filter(|_| is_bold) else { continue };
        if let Some(first) = seen.insert(term.trim().to_lowercase(), number) {
            found.push(format!("GLOSSARY.md:{number}: `{term}` is explained on line {first} already"));
        }
    }
    if seen.is_empty() {
        found.push("GLOSSARY.md: explains no term; a term begins its line in bold".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readmes(one: &str, other: &str) -> Vec<String> {
        readmes_agree(&Tree::of(&[("README.md", one), ("README.zh-CN.md", other)]))
    }

    #[test]
    fn readmes_that_drift_apart_are_found() {
        let english = "# T\n## Try\n```sh\ncargo run\n```\n```text\nout\n```\n";
        assert!(readmes(english, "# T\n## 试\n```sh\ncargo run\n```\n```text\n出\n```\n").is_empty());
        let found = readmes(english, "# T\n### 试\n```sh\ncargo build\n```\n```yaml\na: 1\n```\n");
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(readmes_agree(&Tree::of(&[("README.md", english)])), ["README.zh-CN.md: missing"]);
    }

    #[test]
    fn a_guide_that_leads_nowhere_is_found() {
        let guide = |text| {
            guides_can_be_followed(&Tree::of(&[
                ("docs/guide/a.md", text),
                ("examples/q/pipeline.yaml", "version: 1\n"),
            ]))
        };
        assert!(guide("```sh\ntidemill run ./examples/q/pipeline.yaml\n```\n").is_empty());
        assert_eq!(guide("```sh\ntidemill run examples/gone.yaml\n```\n").len(), 1);
        assert_eq!(guide("See examples/q/pipeline.yaml.\n").len(), 1);
    }

    #[test]
    fn an_undated_decision_is_found() {
        let pages = |name: &str| decisions_are_dated(&Tree::of(&[(&format!("docs/design/{name}"), "")]));
        assert!(pages("2026-11-21-one-journal.md").is_empty());
        for name in [
            "one-journal.md",
            "2026-11-21.md",
            "2026-11-21-.md",
            "2026-1-21-x.md",
            "2026-11-21-One.md",
            "2026-11-21-x.txt",
        ] {
            assert_eq!(pages(name).len(), 1, "{name}");
        }
    }

    #[test]
    fn a_term_explained_twice_is_found() {
        let glossary = |text| terms_are_unique(&Tree::of(&[("GLOSSARY.md", text)]));
        assert!(glossary("# G\n- **Record**: a row, see **run**.\n- **Run**: one execution.\n").is_empty());
        assert_eq!(
            glossary("- **Run**: a.\n| **run** | b |\n"),
            ["GLOSSARY.md:2: `run` is explained on line 1 already"]
        );
        assert_eq!(glossary("words\n").len(), 1);
        assert_eq!(terms_are_unique(&Tree::of(&[])), ["GLOSSARY.md: missing"]);
    }
}
