//! The values in an answer, and the choice between them.

use std::borrow::Cow;

use super::{
    Wanted, escaped,
    marks::{Does, Marks},
    n_named,
    reader::{Attempt, Reading, Value, read},
    unwrapped,
    work::Work,
};

/// How likely a value is the one that was asked for. Of equals the last one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// In a line of prose, naming nothing that was asked for.
    Mentioned,
    /// At the end of a line, or of a code block.
    Alone,
    /// In a line of prose, naming some of the fields.
    PartMentioned,
    /// Naming all fields; or some, at the end of a line: an answer, even if not a good one.
    Answer,
}

/// Returns the JSON that was meant by an answer that is not JSON as a whole.
pub(super) fn best<'a>(text: &'a str, wanted: Wanted, fields: &[&str], work: &mut Work) -> Option<Cow<'a, str>> {
    let mut thoughts = Thoughts { all: Marks::of(text), next: 0 };
    // A broken value takes its place, so that what came before it is no answer.
    let mut best: Option<(Rank, Option<Cow<'a, str>>)> = None;
    let mut at = 0;
    while let Some(length) = memchr::memchr2(b'{', b'[', &text.as_bytes()[at..]) {
        let start = at + length;
        if let Some(end) = thoughts.end_around(at, start, text.len()) {
            at = end;
            continue;
        }
        let found = match reading(&text[start..], escaped::MOST, work)? {
            Reading::Whole(value) => {
                at = start + value.end;
                candidate(value, wanted, fields, is_alone(&text[at..]))
            }
            Reading::Cut(attempt) if attempt.is_meant => return None,
            Reading::Cut(attempt) | Reading::Broken(attempt) if attempt.is_meant => {
                let length = broken_length(&text[start..]);
                if !work.spend(length) {
                    return None;
                }
                at = start + length;
                let n_named = fields.iter().filter(|field| attempt.keys.iter().any(|key| key == *field)).count();
                Some((rank(n_named, fields, is_alone(&text[at..])), None))
            }
            Reading::Cut(_) | Reading::Broken(_) => {
                at = start + 1;
                None
            }
        };
        if let Some(found) = found
            && best.as_ref().is_none_or(|best| best.0 <= found.0)
        {
            best = Some(found);
        }
    }
    best?.1
}

/// Reads the value at the start of `text`, taking off up to `layers` layers of escapes; `None` where that would cost too
/// much.
pub(super) fn reading<'a>(text: &'a str, layers: usize, work: &mut Work) -> Option<Reading<'a>> {
    let plain = read(text, 0, work.left());
    let looked_at = match &plain {
        Reading::Whole(value) => value.end,
        Reading::Cut(attempt) | Reading::Broken(attempt) => attempt.looked_at,
    };
    if !work.spend(looked_at + 1) {
        return None;
    }
    if matches!(plain, Reading::Whole(_)) || layers == 0 || !escaped::is_escaped(text) {
        return Some(plain);
    }
    let below = escaped::unescaped(text);
    if !work.spend(below.looked_at) {
        return None;
    }
    let keys = |keys: Vec<Cow<'_, str>>| keys.into_iter().map(|key| Cow::Owned(key.into_owned())).collect();
    Some(match reading(&below.text, layers - 1, work)? {
        Reading::Whole(value) => Reading::Whole(Value {
            json: Cow::Owned(value.json.into_owned()),
            end: escaped::source_length(text, value.end),
        }),
        Reading::Cut(attempt) => {
            let attempt = Attempt { keys: keys(attempt.keys), ..attempt };
            // A quote without a backslash is an end, too, but not that of the answer.
            if below.looked_at == text.len() { Reading::Cut(attempt) } else { Reading::Broken(attempt) }
        }
        Reading::Broken(attempt) => Reading::Broken(Attempt { keys: keys(attempt.keys), ..attempt }),
    })
}

/// Returns what a value is worth, taken out of its wrapper; `None` where it is not of the kind that is wanted.
fn candidate<'a>(
    value: Value<'a>,
    wanted: Wanted,
    fields: &[&str],
    is_alone: bool,
) -> Option<(Rank, Option<Cow<'a, str>>)> {
    let rank = rank(n_named(&value.json, fields).unwrap_or(0), fields, is_alone);
    if rank < Rank::PartMentioned && wanted != Wanted::Array {
        let inner = match &value.json {
            Cow::Borrowed(json) => unwrapped(json, fields).map(Cow::Borrowed),
            Cow::Owned(json) => unwrapped(json, fields).map(|inner| Cow::Owned(inner.to_owned())),
        };
        if inner.is_some() {
            return Some((Rank::Answer, inner));
        }
    }
    wanted.has(&value.json).then_some((rank, Some(value.json)))
}

fn rank(n_named: usize, fields: &[&str], is_alone: bool) -> Rank {
    match (n_named, is_alone) {
        (0, true) => Rank::Alone,
        (0, false) => Rank::Mentioned,
        (n, false) if n < fields.len() => Rank::PartMentioned,
        _ => Rank::Answer,
    }
}

/// Says whether nothing but the end of a line, a code block or a tag comes behind a value.
fn is_alone(behind: &str) -> bool {
    let next = behind.trim_start_matches([' ', '\t', '`', '~', '*', ';']);
    next.is_empty() || next.starts_with(['\n', '\r', '<'])
}

/// Returns the length of a broken value at the start of `text`: to the bracket that closes it, or the end of its code
/// block, or else the end. What stands within is not looked at: it is part of something else.
fn broken_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut in_string, mut at) = (0_usize, false, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            b'\n' if bytes[at + 1..].starts_with(b"```") || bytes[at + 1..].starts_with(b"~~~") => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The thoughts within an answer: drafts, not answers.
struct Thoughts {
    all: Marks,
    next: usize,
}

impl Thoughts {
    /// Returns the end of the thought that `start` stands in; everything from `at` to there is prose. `length` is that
    /// of the text, and the end of a thought that is not closed.
    fn end_around(&mut self, at: usize, start: usize, length: usize) -> Option<usize> {
        while let Some(&mark) = self.all.all.get(self.next).filter(|mark| mark.start <= start) {
            let i = self.next;
            self.next += 1;
            if mark.does != Does::Open || mark.start < at {
                continue;
            }
            let end = match self.all.closing(i) {
                Some(closing) => {
                    self.next = closing + 1;
                    self.all.all[closing].end
                }
                None if mark.is_heading => continue,
                None => length,
            };
            if end > start {
                return Some(end);
            }
        }
        None
    }
}
