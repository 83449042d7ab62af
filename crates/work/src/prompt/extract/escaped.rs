//! JSON that was put into a string once too often: `{\"a\": \"b\"}`, with or without quotes around it.

/// How often it may have been.
pub(super) const MOST: usize = 3;

/// How far behind a bracket the first escaped quote is looked for, in bytes.
const AHEAD: usize = 256;

/// A text without one layer of escapes.
#[derive(Debug)]
pub(super) struct Unescaped {
    pub(super) text: String,
    /// How many bytes of the escaped text were looked at.
    pub(super) looked_at: usize,
}

/// Says whether the bracket at the start of `text` is that of escaped JSON: the next quote is escaped, which the first
/// one of a value never is.
pub(super) fn is_escaped(text: &str) -> bool {
    let near = &text.as_bytes()[..text.len().min(AHEAD)];
    memchr::memchr(b'"', near).is_some_and(|quote| near[..quote].ends_with(b"\\"))
}

/// Takes one layer of escapes off `text`, up to a quote that is not escaped.
pub(super) fn unescaped(text: &str) -> Unescaped {
    let mut out = String::with_capacity(text.len());
    let end = walk(text, |piece| {
        out.push_str(piece);
        true
    });
    Unescaped { text: out, looked_at: end }
}

/// Returns how many bytes of `text` became the first `length` bytes of the unescaped text.
pub(super) fn source_length(text: &str, length: usize) -> usize {
    let mut left = length;
    walk(text, |piece| {
        let is_within = left >= piece.len() && left > 0;
        left = left.saturating_sub(piece.len());
        is_within
    })
}

/// Calls `each` with what every piece of an escaped text means, until it returns false; returns where it stopped.
fn walk(text: &str, mut each: impl FnMut(&str) -> bool) -> usize {
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let mut buffer = [0; 4];
        let (piece, length): (&str, usize) = match c {
            '"' => break,
            '\\' => match text.as_bytes().get(at + 1) {
                Some(b'"') => ("\"", 2),
                Some(b'\\') => ("\\", 2),
                Some(b'/') => ("/", 2),
                Some(b'n') => ("\n", 2),
                Some(b'r') => ("\r", 2),
                Some(b't') => ("\t", 2),
                // `\u0041` means the same one layer further down, where a value keeps what it stands for.
                _ => ("\\", 1),
            },
            c => (&*c.encode_utf8(&mut buffer), c.len_utf8()),
        };
        if !each(piece) {
            break;
        }
        at += length;
    }
    at
}
