//! Finds what is said to people in the sources: every text in them that reads like words.
//!
//! This is a reader of Rust's tokens, no more: comments, attributes, tests, asserts and expectations are left out. What
//! remains is too much rather than too little.

use std::path::{Path, PathBuf};

/// A text in a source file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    /// The text, holes as `{}`.
    pub(super) text: String,
}

/// Macros whose text has holes, and which of their arguments that is.
const FORMATS: [(&str, usize); 13] = [
    ("format", 0),
    ("write", 1),
    ("writeln", 1),
    ("bail", 0),
    ("anyhow", 0),
    ("ensure", 1),
    ("format_args", 0),
    ("print", 0),
    ("println", 0),
    ("eprint", 0),
    ("eprintln", 0),
    ("error", 0),
    ("say", 0),
];
/// Calls whose texts are for developers.
const INTERNAL: [&str; 9] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "debug_assert",
    "debug_assert_eq",
    "unreachable",
    "panic",
    "expect",
    "include_str",
];

#[derive(Debug, PartialEq)]
enum Token {
    Ident(String),
    Text(String),
    Punct(char),
}

/// Returns the texts of all sources under `folder`.
pub(super) fn folder(folder: &Path, found: &mut Vec<Found>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            self::folder(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            found.extend(texts(&text).into_iter().map(|(line, text)| Found { file: path.clone(), line, text }));
        }
    }
}

/// Returns the texts of a source with the lines they stand in.
pub(super) fn texts(source: &str) -> Vec<(usize, String)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut i = 0;
    // What is open: the name before the bracket, whether it is a macro, and the number of the argument.
    let mut open: Vec<(String, bool, usize)> = Vec::new();
    while i < tokens.len() {
        let at = |n: usize| tokens.get(n).map(|(_, token)| token);
        match &tokens[i].1 {
            Token::Punct('#') => {
                let n = usize::from(at(i + 1) == Some(&Token::Punct('!')));
                if at(i + 1 + n) == Some(&Token::Punct('[')) {
                    let end = closing(&tokens, i + 1 + n);
                    let inner = &tokens[i + 2 + n..end];
                    let is_error = matches!(inner.first(), Some((_, Token::Ident(name))) if name == "error");
                    if is_error {
                        let text = inner.iter().find_map(|(line, token)| match token {
                            Token::Text(text) => Some((*line, text)),
                            _ => None,
                        });
                        found.extend(text.map(|(line, text)| (line, unbraced(text))));
                    }
                    let is_test = matches!(inner, [(_, Token::Ident(cfg)), _, (_, Token::Ident(test)), ..] if cfg == "cfg" && test == "test");
                    i = end + 1;
                    if is_test && n == 0 {
                        i = after_item(&tokens, i);
                    }
                    continue;
                }
            }
            Token::Punct('(' | '[' | '{') => {
                let is_macro = i > 0 && at(i - 1) == Some(&Token::Punct('!'));
                let name = match i.checked_sub(if is_macro { 2 } else { 1 }).and_then(at) {
                    Some(Token::Ident(name)) => name.clone(),
                    _ => String::new(),
                };
                if INTERNAL.contains(&name.as_str()) && tokens[i].1 == Token::Punct('(') {
                    i = closing(&tokens, i) + 1;
                    continue;
                }
                open.push((name, is_macro, 0));
            }
            Token::Punct(')' | ']' | '}') => {
                open.pop();
            }
            Token::Punct(',') => {
                if let Some(open) = open.last_mut() {
                    open.2 += 1;
                }
            }
            // The description of a schema is for editors; what is told of it is checked by the schema.
            Token::Text(_)
                if at(i.wrapping_sub(1)) == Some(&Token::Punct(':'))
                    && at(i.wrapping_sub(2)) == Some(&Token::Text("description".to_owned())) => {}
            Token::Text(text) => {
                let is_format = matches!(open.last(), Some((name, true, argument))
                    if FORMATS.iter().any(|(format, n)| format == name && n == argument));
                found.push((tokens[i].0, if is_format { unbraced(text) } else { text.clone() }));
            }
            Token::Ident(_) | Token::Punct(_) => {}
        }
        i += 1;
    }
    found
}

/// Doubled braces of a format are braces.
fn unbraced(text: &str) -> String {
    text.replace("{{", "{").replace("}}", "}")
}

/// Returns the place of the bracket that closes the one at `from`.
fn closing(tokens: &[(usize, Token)], from: usize) -> usize {
    let mut depth = 0_usize;
    for (i, (_, token)) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::Punct('(' | '[' | '{') => depth += 1,
            Token::Punct(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    tokens.len()
}

/// Returns the place behind the item that begins at `from`.
fn after_item(tokens: &[(usize, Token)], from: usize) -> usize {
    for (i, (_, token)) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::Punct(';') => return i + 1,
            Token::Punct('{') => return closing(tokens, i) + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn tokens(source: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let (mut i, mut line) = (0, 1);
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    while i < chars.len() {
        let c = chars[i];
        match c {
            '\n' => {
                line += 1;
                i += 1;
            }
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && chars[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        ('\n', _) => (line, i) = (line + 1, i + 1),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            '"' => {
                let begun = line;
                let (text, end, n_lines) = quoted(&chars, i + 1);
                line += n_lines;
                i = end;
                tokens.push((begun, Token::Text(text)));
            }
            'r' | 'b' | 'c' if is_literal(&chars, i) => {
                let is_bytes = c == 'b';
                while matches!(at(i), 'b' | 'c') {
                    i += 1;
                }
                let begun = line;
                let (text, end, n_lines) = if at(i) == 'r' {
                    raw(&chars, i + 1)
                } else if at(i) == '\'' {
                    (String::new(), character(&chars, i), 0)
                } else {
                    quoted(&chars, i + 1)
                };
                line += n_lines;
                i = end;
                if !is_bytes {
                    tokens.push((begun, Token::Text(text)));
                }
            }
            '\'' => i = character(&chars, i),
            c if c.is_alphanumeric() || c == '_' => {
                let from = i;
                while i < chars.len() && (chars[i].is_alphanumeric() || chars[i] == '_') {
                    i += 1;
                }
                tokens.push((line, Token::Ident(chars[from..i].iter().collect())));
            }
            c if c.is_whitespace() => i += 1,
            c => {
                tokens.push((line, Token::Punct(c)));
                i += 1;
            }
        }
    }
    tokens
}

fn is_literal(chars: &[char], from: usize) -> bool {
    if from > 0 && (chars[from - 1].is_alphanumeric() || chars[from - 1] == '_') {
        return false;
    }
    let rest: String = chars[from..].iter().take(6).collect();
    let rest = rest.trim_start_matches(['b', 'c']);
    match rest.strip_prefix('r') {
        Some(raw) => raw.trim_start_matches('#').starts_with('"'),
        None => rest.starts_with('"') || (chars[from] == 'b' && rest.starts_with('\'')),
    }
}

/// Reads to the end of a character, or over a lifetime's mark.
fn character(chars: &[char], from: usize) -> usize {
    if chars.get(from + 1) == Some(&'\\') {
        let end = chars[from + 3..].iter().position(|c| *c == '\'');
        return end.map_or(chars.len(), |end| from + 3 + end + 1);
    }
    if chars.get(from + 2) == Some(&'\'') { from + 3 } else { from + 1 }
}

fn quoted(chars: &[char], mut i: usize) -> (String, usize, usize) {
    let (mut text, mut n_lines) = (String::new(), 0);
    while i < chars.len() && chars[i] != '"' {
        if chars[i] == '\\' {
            i += 1;
            match chars[i] {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' | '0' => {}
                'x' => {
                    text.push('?');
                    i += 2;
                }
                'u' => {
                    let end = chars[i..].iter().position(|c| *c == '}').unwrap_or_default();
                    let code: String = chars[i + 2..i + end].iter().collect();
                    text.push(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).unwrap_or('?'));
                    i += end;
                }
                '\n' => {
                    n_lines += 1;
                    while chars.get(i + 1).is_some_and(|c| c.is_whitespace()) {
                        i += 1;
                        n_lines += usize::from(chars[i] == '\n');
                    }
                }
                c => text.push(c),
            }
        } else {
            n_lines += usize::from(chars[i] == '\n');
            text.push(chars[i]);
        }
        i += 1;
    }
    (text, i + 1, n_lines)
}

fn raw(chars: &[char], mut i: usize) -> (String, usize, usize) {
    let mut n_hashes = 0;
    while chars[i] == '#' {
        n_hashes += 1;
        i += 1;
    }
    i += 1;
    let from = i;
    loop {
        let is_end = chars[i] == '"' && chars[i + 1..].iter().take(n_hashes).filter(|c| **c == '#').count() == n_hashes;
        if is_end {
            break;
        }
        i += 1;
    }
    let text: String = chars[from..i].iter().collect();
    let n_lines = text.matches('\n').count();
    (text, i + 1 + n_hashes, n_lines)
}

/// Returns whether a text reads like words: a small word, and a space beside another one or beside a value. Names in
/// backticks are none.
pub(super) fn is_prose(text: &str) -> bool {
    let unquoted: String = text.split('`').step_by(2).collect::<Vec<_>>().join("X");
    let unquoted = unquoted.replace("{}", "X");
    let words: Vec<&str> = unquoted.split_whitespace().collect();
    let has_word = words.iter().any(|word| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.len() >= 2
            && word.chars().all(|c| c.is_ascii_alphabetic() || c == '\'' || c == '-')
            && word.contains(|c: char| c.is_ascii_lowercase())
    });
    has_word && text.trim().contains(' ')
}
