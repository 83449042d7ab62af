//! Reading text: code without its comments, Markdown's headings and fences.

use super::tree::Tree;

/// Finds trailing blanks, tabs in Rust and a missing end of line. Markdown may end a line with two blanks.
pub(super) fn lines_end_cleanly(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let written = [".rs", ".toml", ".md", ".yaml", ".yml", ".py"];
    for file in tree.files.iter().filter(|file| written.iter().any(|end| file.path.ends_with(end))) {
        let is_markdown = file.path.ends_with(".md");
        for (number, line) in file.lines() {
            if line.ends_with([' ', '\t']) && !(is_markdown && line.ends_with("  ")) {
                found.push(format!("{}:{number}: ends with a blank", file.path));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            found.push(format!("{}: the last line has no end", file.path));
        }
    }
    found
}

/// Returns Rust code without comments, line for line.
pub(super) fn code(text: &str) -> String {
    strip(text, true)
}

/// Returns Rust code without comments and without what stands in strings, line for line.
pub(super) fn bare_code(text: &str) -> String {
    strip(text, false)
}

fn strip(text: &str, keep_strings: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let length = match rest {
            ['/', '/', ..] | ['/', '*', ..] => {
                let length = comment(rest);
                out.extend(rest[..length].iter().filter(|c| **c == '\n'));
                at += length;
                continue;
            }
            // A lifetime is a quote, too, but none that closes.
            ['\'', '\\', _, tail @ ..] => tail.iter().position(|c| *c == '\'').map_or(1, |end| end + 4),
            ['\'', _, '\'', ..] => 3,
            ['"', ..] => string(rest, 0),
            ['r', tail @ ..] if !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                let n_hashes = tail.iter().take_while(|c| **c == '#').count();
                let is_raw = tail.get(n_hashes) == Some(&'"');
                if is_raw { 1 + n_hashes + string(&tail[n_hashes..], n_hashes + 1) } else { 1 }
            }
            _ => 1,
        };
        let token = &rest[..length.min(rest.len())];
        if token.len() == 1 || keep_strings {
            out.extend(token);
        } else {
            out.push('"');
            out.extend(token.iter().filter(|c| **c == '\n'));
            out.push('"');
        }
        at += token.len();
    }
    out
}

/// Returns the length of the comment that the text begins with. Blocks nest.
fn comment(text: &[char]) -> usize {
    if text[1] == '/' {
        return text.iter().position(|c| *c == '\n').unwrap_or(text.len());
    }
    let mut n_open = 0;
    let mut at = 0;
    while at + 1 < text.len() {
        match text[at..at + 2] {
            ['/', '*'] => n_open += 1,
            ['*', '/'] => n_open -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if n_open == 0 {
            return at;
        }
    }
    text.len()
}

/// Returns the length of the string that the text begins with. A raw one has no escapes and ends at a quote and as many
/// hashes as it began with; `raw` is one more than that, and 0 for an ordinary one.
fn string(text: &[char], raw: usize) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            '\\' if raw == 0 => at += 1,
            '"' if raw < 2 => return at + 1,
            '"' if text[at + 1..].iter().take_while(|c| **c == '#').count() >= raw - 1 => return at + raw,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// A fenced block of a Markdown file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fence<'t> {
    /// What follows the opening fence.
    pub(super) language: &'t str,
    /// The lines between the fences.
    pub(super) body: Vec<&'t str>,
}

/// Returns the levels of the headings and the fenced blocks of a Markdown text.
pub(super) fn markdown(text: &str) -> (Vec<usize>, Vec<Fence<'_>>) {
    let mut headings = Vec::new();
    let mut fences: Vec<Fence<'_>> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            is_open = !is_open;
            if is_open {
                fences.push(Fence { language: language.trim(), body: Vec::new() });
            }
        } else if is_open {
            if let Some(fence) = fences.last_mut() {
                fence.body.push(line);
            }
        } else {
            let level = line.bytes().take_while(|b| *b == b'#').count();
            if level > 0 && line[level..].starts_with(' ') {
                headings.push(level);
            }
        }
    }
    (headings, fences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_at_the_end_are_found() {
        assert!(lines_end_cleanly(&Tree::of(&[("a.md", "a  \nb\n"), ("a.rs", "a\n"), ("a.jsonl", "a ")])).is_empty());
        let wrong = [("a.md", "a \n"), ("a.rs", "a\nb  \n"), ("a.toml", "a")];
        assert_eq!(
            lines_end_cleanly(&Tree::of(&wrong)),
            ["a.md:1: ends with a blank", "a.rs:2: ends with a blank", "a.toml: the last line has no end"]
        );
    }

    #[test]
    fn comments_are_not_code_and_strings_are() {
        let text = "a // b\n/* c /* d */ e\n f */ g \"// h \\\" i\" '\"' // j\n/// k\nl";
        assert_eq!(code(text), "a \n\n g \"// h \\\" i\" '\"' \n\nl");
        let raw = "r#\"a \" // b\"# + r\"c\" + for_r\"d\" + &'a x + '\\'' // e";
        assert_eq!(code(raw), "r#\"a \" // b\"# + r\"c\" + for_r\"d\" + &'a x + '\\'' ");
        assert_eq!(bare_code("f(\"g\n\\\"h\", r#\"i\"j\"#, 'k') // l"), "f(\"\n\", \"\", \"\") ");
        for broken in ["\"a", "r#\"a\"", "/* a", "/", "r", "'", "'\\"] {
            code(broken);
        }
    }

    #[test]
    fn headings_in_fences_are_none() {
        let (headings, fences) = markdown("# a\n```sh\n# b\n```\n## c\n#d\n```\n```\n");
        assert_eq!(headings, [1, 2]);
        assert_eq!(fences, [Fence { language: "sh", body: vec!["# b"] }, Fence { language: "", body: vec![] }]);
    }
}
