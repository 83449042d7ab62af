//! The JSON object in what a model said.

use domain::json;

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
