//! Which names a template looks up.

use minijinja::Environment;

/// Returns the names that a template may look up and that are not the language's own.
pub(crate) fn looked_up<'t>(environment: &Environment<'_>, text: &'t str) -> Vec<&'t str> {
    let mut names = names_in(text);
    names.retain(|name| environment.globals().all(|(global, _)| global != *name));
    names
}

/// Returns the names that a template may look up, those of its own variables and a few more included: the engine's own
/// analysis misses what is sliced (`{{ text[:10] }}`) and what is set from itself (`{% set text = text|trim %}`).
fn names_in(text: &str) -> Vec<&str> {
    const WORDS: [&str; 20] = [
        "and", "elif", "else", "endfor", "endif", "endraw", "endset", "false", "False", "for", "if", "in", "is",
        "none", "None", "not", "or", "set", "true", "True",
    ];
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let open = rest[at + 1..].chars().next();
        rest = &rest[at + 1..];
        let close = match open {
            Some('{') => '}',
            Some('%') => '%',
            Some('#') => {
                rest = rest.find("#}").map_or("", |end| &rest[end..]);
                continue;
            }
            _ => continue,
        };
        rest = &rest[1..];
        let (mut depth, mut before) = (0_u32, ' ');
        while let Some(c) = rest.chars().next() {
            let mut length = c.len_utf8();
            match c {
                '"' | '\'' => {
                    let mut is_escaped = false;
                    let end = rest[1..].find(|next| {
                        let is_end = next == c && !is_escaped;
                        is_escaped = next == '\\' && !is_escaped;
                        is_end
                    });
                    length = end.map_or(rest.len(), |end| end + 2);
                }
                '{' => depth += 1,
                _ if c == close && depth == 0 && rest[1..].starts_with('}') => break,
                '}' => depth = depth.saturating_sub(1),
                _ if begins_word(c) => {
                    length = rest.find(|c| !is_in_word(c)).unwrap_or(rest.len());
                    let word = &rest[..length];
                    // Attributes and filters are looked up elsewhere.
                    if !matches!(before, '.' | '|') && !WORDS.contains(&word) {
                        names.push(word);
                    }
                }
                _ => {}
            }
            if !c.is_whitespace() {
                before = c;
            }
            rest = &rest[length..];
        }
    }
    names
}

/// Returns whether a name may begin so: with a letter of any script.
pub(super) fn begins_word(c: char) -> bool {
    c == '_' || unicode_ident::is_xid_start(c)
}

/// Returns whether a name may go on so.
pub(super) fn is_in_word(c: char) -> bool {
    unicode_ident::is_xid_continue(c)
}

pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(begins_word) && text.chars().all(is_in_word)
}

pub(crate) fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
