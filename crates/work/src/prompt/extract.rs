//! What a model meant by what it said: its thought apart from its answer, and the JSON in the answer.

use std::borrow::Cow;

use domain::json;

/// A model's text in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// What stood in think blocks, trimmed; `None` where there was no mark of one, empty where a block was empty.
    pub(super) thought: Option<Cow<'a, str>>,
    /// The rest: the whole text, to the byte, where there was no thought. Empty where the text ended within the thought.
    pub(super) answer: Cow<'a, str>,
}

/// What kind of JSON was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Object,
    Array,
    /// An object or an array; any other value only where it is the whole answer.
    Any,
}

/// Takes the think block off the front of a model's text.
pub(super) fn said(content: &str) -> Said<'_> {
    Said { thought: None, answer: content.into() }
}

/// Returns the JSON that was meant by `answer`, as strict JSON text: borrowed as it stands, owned where it was repaired.
///
/// `fields` are the names that were asked for, where an object was; they help to choose where the answer holds several.
pub(super) fn json_in<'a>(answer: &'a str, wanted: Wanted, fields: &[&str]) -> Option<Cow<'a, str>> {
    let _ = fields;
    (wanted == Wanted::Object).then(|| object_in(answer).map(Cow::Borrowed)).flatten()
}

/// How many braces are tried before the text is taken to hold no object: a text of nothing but braces must not cost its
/// length squared.
const TRIED: usize = 64;

/// Returns the text of the object that was meant: the whole answer, else the first fenced block that is one, else the
/// first text in balanced braces that is one.
pub(super) fn object_in(text: &str) -> Option<&str> {
    let whole = text.trim();
    if is_object(whole) {
        return Some(whole);
    }
    fenced(whole).find(|block| is_object(block)).or_else(|| {
        let braces = whole.match_indices('{').map(|(at, _)| at).take(TRIED);
        braces.filter_map(|at| balanced(&whole[at..])).find(|block| is_object(block))
    })
}

fn is_object(text: &str) -> bool {
    text.starts_with('{') && json::members(text, |_, _| ()).is_ok()
}

/// Returns the contents of blocks between lines of three backticks, whether marked `json` or nothing.
fn fenced(text: &str) -> impl Iterator<Item = &str> {
    let marks: Vec<usize> = text.match_indices("```").map(|(at, _)| at).collect();
    (0..marks.len()).map(move |i| {
        let inside = &text[marks[i] + 3..marks.get(i + 1).copied().unwrap_or(text.len())];
        let is_marked = inside.get(..4).is_some_and(|mark| mark.eq_ignore_ascii_case("json"));
        inside[if is_marked { 4 } else { 0 }..].trim()
    })
}

/// Returns the text from its first brace to the one that closes it. Braces within strings do not count.
fn balanced(text: &str) -> Option<&str> {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return Some(&text[..=at]);
                }
            }
            _ => {}
        }
    }
    None
}
