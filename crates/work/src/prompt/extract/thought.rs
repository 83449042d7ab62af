//! What a model said, apart from what it thought before.
//!
//! A thought stands at the front: one block or several, opened or, where the prompt opened it, only closed. What is
//! never closed is a thought to its end. Marks that the text speaks of (in quotes, or in running prose) and marks within
//! complete JSON are none.

use std::borrow::Cow;

use super::{
    Said,
    candidates::reading,
    escaped, harmony,
    marks::{Does, Mark, Marks},
    reader::{Reading, is_blank},
    work::Work,
};

/// Takes the thought off the front of a model's text.
pub(super) fn said<'a>(content: &'a str, work: &mut Work) -> Said<'a> {
    let marks = Marks::of(content);
    let mut front = Front::new(content);
    // What stands within a thought may look like anything.
    let opens = marks.all.first().is_some_and(|mark| mark.does == Does::Open && front.reaches(mark.start));
    if !opens && let Some(said) = harmony::said(content, work) {
        return said;
    }
    let mut prose = Prose::new(content);
    let mut i = 0;
    while let Some(&mark) = marks.all.get(i) {
        i += 1;
        if mark.does == Does::Answer || prose.is_json(mark.start, work) {
            continue;
        }
        if mark.does == Does::Close {
            if !mark.is_heading && ends_alone(content, mark) {
                front.extend(mark);
                prose.go_to(mark.end);
            }
            continue;
        }
        let is_front = front.reaches(mark.start);
        match marks.closing(i - 1) {
            Some(closing) => {
                i = closing + 1;
                let close = marks.all[closing];
                let end = if close.does == Does::Answer { close.start } else { close.end };
                prose.go_to(end);
                if is_front {
                    front.take(mark.end, close.start, end);
                }
            }
            None if mark.is_heading => {}
            None => {
                if is_front {
                    front.take(mark.end, content.len(), content.len());
                }
                break;
            }
        }
    }
    front.said()
}

/// The thoughts at the front of a text, so far.
struct Front<'a> {
    content: &'a str,
    /// Where the thoughts stand.
    pieces: Vec<(usize, usize)>,
    /// Where the mark behind the last one ends, and where the next text begins.
    end: usize,
    text: usize,
}

impl<'a> Front<'a> {
    fn new(content: &'a str) -> Self {
        let mut front = Self { content, pieces: Vec::new(), end: 0, text: 0 };
        front.end_at(0);
        front
    }

    fn end_at(&mut self, end: usize) {
        let rest = &self.content[end..];
        (self.end, self.text) = (end, end + rest.find(|c| !is_blank(c)).unwrap_or(rest.len()));
    }

    /// Says whether nothing but thoughts stands before `at`.
    fn reaches(&self, at: usize) -> bool {
        self.text >= at
    }

    /// Adds the thought at `from..to`; its mark ends at `end`.
    fn take(&mut self, from: usize, to: usize, end: usize) {
        self.pieces.push((from, to));
        self.end_at(end);
    }

    /// Adds all that stands before `mark`: a mark within, which seemed to end the thought, was part of it.
    fn extend(&mut self, mark: Mark) {
        let from = self.pieces.pop().map_or(0, |(from, _)| from);
        self.take(from, mark.start, mark.end);
    }

    fn said(self) -> Said<'a> {
        if self.pieces.is_empty() {
            return Said { thought: None, answer: self.content.into() };
        }
        let pieces = self.pieces.iter().map(|&(from, to)| self.content[from..to].trim_matches(is_blank));
        let pieces: Vec<&str> = pieces.filter(|piece| !piece.is_empty()).collect();
        let thought = match pieces[..] {
            [] => Cow::Borrowed(""),
            [one] => Cow::Borrowed(one),
            _ => Cow::Owned(pieces.join("\n\n")),
        };
        Said { thought: Some(thought), answer: self.content[self.end..].trim_matches(is_blank).into() }
    }
}

/// Says whether a closing mark without an opening one ends a thought. It does not in the middle of a sentence, where a
/// text speaks of it.
fn ends_alone(content: &str, mark: Mark) -> bool {
    let (before, after) = (&content[..mark.start], &content[mark.end..]);
    let last = before.trim_end_matches([' ', '\t']).chars().next_back();
    let next = after.trim_start_matches([' ', '\t']).chars().next();
    if matches!(last, None | Some('\n')) || matches!(next, None | Some('\r' | '\n' | '{' | '[' | '`' | '~' | '<')) {
        return true;
    }
    let is_spaced = before.ends_with([' ', '\t']) && after.starts_with([' ', '\t']);
    !is_spaced && !after.starts_with([',', '.', ';', ':', ')', '，', '。', '；', '：', '、', '）'])
}

/// A walk over a text that knows where complete JSON stands.
pub(super) struct Prose<'a> {
    text: &'a str,
    /// Everything before was looked at.
    at: usize,
    /// The end of the last complete value.
    json_end: usize,
}

impl<'a> Prose<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, json_end: 0 }
    }

    /// Goes on at `at`.
    fn go_to(&mut self, at: usize) {
        self.at = self.at.max(at);
    }

    /// Says whether the byte at `at`, which is not before those that were asked about, is part of complete JSON.
    pub(super) fn is_json(&mut self, at: usize, work: &mut Work) -> bool {
        while self.at < at {
            let Some(length) = memchr::memchr2(b'{', b'[', &self.text.as_bytes()[self.at..at]) else {
                self.at = at;
                break;
            };
            let start = self.at + length;
            self.at = start + 1;
            if let Some(Reading::Whole(value)) = reading(&self.text[start..], escaped::MOST, work) {
                self.at = start + value.end;
                self.json_end = self.at;
            }
        }
        at < self.json_end
    }
}
