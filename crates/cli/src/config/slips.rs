//! Slips that people make in YAML, told in their own terms: full-width characters of a Chinese keyboard, a colon without
//! its space, an indentation that fits nowhere, names that other tools give to the same thing.

use super::document::Span;

/// What a slip is, and what to write instead.
pub(super) struct Slip {
    pub(super) span: Span,
    /// What is wrong, behind `not valid YAML: `; none where the parser's own words will do.
    pub(super) what: Option<String>,
    pub(super) help: String,
}

/// Full-width characters, and what YAML wants in their place.
const WIDE: [(char, &str); 14] = [
    ('：', "`:` and a space"),
    ('，', "`,`"),
    ('“', "`\"`"),
    ('”', "`\"`"),
    ('‘', "`'`"),
    ('’', "`'`"),
    ('【', "`[`"),
    ('】', "`]`"),
    ('［', "`[`"),
    ('］', "`]`"),
    ('｛', "`{`"),
    ('｝', "`}`"),
    ('＃', "`#`"),
    ('－', "`-`"),
];

/// Names that other tools give, and ours.
const SYNONYMS: [(&str, &str); 57] = [
    ("xlsx", "excel"),
    ("apikey", "key"),
    ("token", "key"),
    ("secret", "key"),
    ("baseurl", "url"),
    ("apibase", "url"),
    ("endpoint", "url"),
    ("uri", "url"),
    ("host", "url"),
    ("concurrency", "max_in_flight"),
    ("maxconcurrency", "max_in_flight"),
    ("parallelism", "max_in_flight"),
    ("parallel", "max_in_flight"),
    ("workers", "max_in_flight"),
    ("threads", "max_in_flight"),
    ("batchsize", "max_in_flight"),
    ("timeout", "deadline"),
    ("retry", "retries"),
    ("maxretries", "retries"),
    ("prompt", "template"),
    ("user", "template"),
    ("question", "template"),
    ("systemprompt", "system"),
    ("instructions", "system"),
    ("schema", "output"),
    ("responseformat", "output"),
    ("outputs", "output"),
    ("file", "path"),
    ("filename", "path"),
    ("filepath", "path"),
    ("primarykey", "key"),
    ("id", "key"),
    ("input", "source"),
    ("inputs", "source"),
    ("destination", "sink"),
    ("target", "sink"),
    ("output", "sink"),
    ("task", "work"),
    ("filter", "where"),
    ("condition", "where"),
    ("choices", "enum"),
    ("options", "enum"),
    ("values", "enum"),
    ("min", "minimum"),
    ("max", "maximum"),
    ("optional", "nullable"),
    ("separator", "delimiter"),
    ("sep", "delimiter"),
    ("int", "integer"),
    ("float", "number"),
    ("double", "number"),
    ("str", "string"),
    ("text", "string"),
    ("bool", "boolean"),
    ("list", "array"),
    ("dict", "object"),
    ("map", "object"),
];

/// Settings of a model that stand under `parameters`.
const PARAMETERS: [&str; 8] = [
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "reasoning_effort",
];

/// Returns the slip behind what the parser says of the line at `span`, if it is a usual one.
pub(super) fn syntax(lines: &[&str], span: Span, said: &str) -> Option<Slip> {
    let index = span.line - 1;
    let line = lines.get(index).copied().unwrap_or_default();
    let before = index.checked_sub(1).map(|before| (before, lines[before]));
    // What is wrong with a line is often noticed at the next one.
    let near = [Some((index, line)), before];
    if let Some(slip) = near.into_iter().flatten().find_map(|(index, line)| wide_space(index, line)) {
        return Some(slip);
    }
    let near = [Some((index, line)), before.filter(|_| said.contains("simple key"))];
    if let Some(slip) = near.into_iter().flatten().find_map(|(index, line)| wide_character(index, line)) {
        return Some(slip);
    }
    if said.contains("simple key")
        && let Some((index, line)) = before
        && let Some((key, value)) = line.trim_start().split_once(':').filter(|(_, value)| !value.starts_with(' '))
        && !value.is_empty()
        && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
    {
        let column = line.find(':').map_or(1, |at| line[..at].chars().count() + 1);
        let what = Some("a colon without a space behind it".to_owned());
        let help = "write a space behind the colon, as in `name: reviews`".to_owned();
        return Some(Slip { span: Span { line: index + 1, column, length: 1 }, what, help });
    }
    if said.contains("escape character") || said.contains("hexadecimal") {
        let what = Some("`\\` begins an escape in double quotes".to_owned());
        let help = "write a path with `/`, or put it in single quotes".to_owned();
        return Some(Slip { span, what, help });
    }
    if said.contains("document start") && lines.iter().any(|line| line.starts_with(['{', '['])) {
        let help = "this looks like data; name the pipeline file, which begins with `version: 1`".to_owned();
        return Some(Slip { span, what: None, help });
    }
    said.contains("did not find expected key").then(|| indentation(lines, index)).flatten()
}

/// Indentation with spaces that are none.
fn wide_space(index: usize, line: &str) -> Option<Slip> {
    let at = line.chars().take_while(|c| c.is_whitespace()).position(is_odd_space)?;
    Some(Slip {
        span: Span { line: index + 1, column: at + 1, length: 1 },
        what: Some("the indentation holds a full-width or non-breaking space".to_owned()),
        help: "indent with plain spaces".to_owned(),
    })
}

fn is_odd_space(c: char) -> bool {
    matches!(c, '\u{3000}' | '\u{a0}')
}

fn wide_character(index: usize, line: &str) -> Option<Slip> {
    let (at, c) = line.chars().enumerate().find(|(_, c)| WIDE.iter().any(|(wide, _)| wide == c))?;
    let (_, instead) = WIDE.iter().find(|(wide, _)| *wide == c)?;
    Some(Slip {
        span: Span { line: index + 1, column: at + 1, length: 1 },
        what: match c {
            '：' => Some("a full-width colon is none".to_owned()),
            '，' => Some("a full-width comma is none".to_owned()),
            _ => None,
        },
        help: format!("`{c}` is a full-width character; write {instead}, or put the text in quotes"),
    })
}

/// A line that begins in a column in which nothing above it does.
fn indentation(lines: &[&str], index: usize) -> Option<Slip> {
    let width = |line: &str| line.len() - line.trim_start().len();
    let own = width(lines.get(index)?);
    let mut levels: Vec<(usize, &str)> = Vec::new();
    for line in lines[..index].iter().rev().filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#')) {
        let width = width(line);
        if levels.last().is_none_or(|(last, _)| width < *last) {
            levels.push((width, line.trim_start().trim_start_matches("- ").split(':').next().unwrap_or_default()));
        }
        if width == 0 {
            break;
        }
    }
    if levels.iter().any(|(width, _)| *width == own) {
        return None;
    }
    let deeper = levels.iter().rev().find(|(width, _)| *width > own);
    let outer = levels.iter().find(|(width, _)| *width < own);
    let beside = |(width, key): &(usize, &str)| format!("beside `{key}` in column {}", width + 1);
    let choices: Vec<String> = [deeper, outer].into_iter().flatten().map(beside).collect();
    let help = format!("keys of one level begin in one column: {}", choices.join(", or "));
    Some(Slip {
        span: Span { line: index + 1, column: own + 1, length: 1 },
        what: Some(format!("the indentation fits nowhere: this line begins in column {}", own + 1)),
        help,
    })
}

/// Returns what to do about a key that is unknown because of how it was typed.
pub(super) fn typed_key(name: &str) -> Option<String> {
    if name.starts_with(is_odd_space) {
        return Some("a full-width or non-breaking space stands before it; indent with plain spaces".to_owned());
    }
    let wide = name.contains('：');
    wide.then(|| "`：` is a full-width character; write `:` and a space".to_owned())
}

/// Returns what to do about a key that belongs elsewhere.
pub(super) fn elsewhere(name: &str, names: &[&str]) -> Option<String> {
    if PARAMETERS.contains(&name) && names.contains(&"parameters") {
        return Some(format!("write `parameters: {{ {name}: ... }}`"));
    }
    if name == "xls" && names.contains(&"excel") {
        return Some("save the workbook as .xlsx, and write `excel: { path: ... }`".to_owned());
    }
    None
}

/// Returns our name for what `name` means elsewhere, if it is among `names`.
pub(super) fn synonym<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let plain = name.to_lowercase().replace(['-', '_', ' '], "");
    let ours = SYNONYMS.iter().filter(|(theirs, _)| *theirs == plain).map(|(_, ours)| *ours);
    ours.filter_map(|ours| names.iter().find(|name| **name == ours)).copied().next()
}

/// Returns whether a text that was written without quotes stands in full-width ones.
pub(super) fn is_in_wide_quotes(text: &str) -> bool {
    let (first, last) = (text.chars().next(), text.chars().next_back());
    matches!(first, Some('“' | '”' | '‘')) && matches!(last, Some('“' | '”' | '’')) && text.chars().count() > 1
}
