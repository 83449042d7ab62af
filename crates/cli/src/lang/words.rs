//! The words of a language: sentences of the catalogue, found in what is said.

use std::borrow::Cow;

use super::template::{self, Hole, Piece, Takes};

/// Sentences inside of sentences inside of sentences: deeper than any error is.
const MAX_DEPTH: usize = 12;
/// A text longer than this carries somebody's data, and is left alone.
const MAX_LENGTH: usize = 16 << 10;
/// A text of more parts than this is no sentence.
const MAX_PARTS: usize = 48;

/// Separators between parts of what is said, the strongest first, and what stands for them between Chinese words.
const SEPARATORS: [(&str, &str); 6] =
    [("\n", "\n"), (". ", "。"), ("; ", "；"), (": ", "："), (", ", "，"), (" · ", " · ")];

/// A sentence that begins with a hole and has fewer words than this says so little that other sentences may look like it.
const TELLING: usize = 24;

/// A sentence and its translation.
struct Sentence {
    from: Vec<Piece>,
    to: Vec<Piece>,
    /// Bytes of literal text: of all sentences that fit, the one that says most is meant.
    weight: usize,
}

/// All sentences of a language.
pub(super) struct Words {
    /// Sentences that begin with words, by their first byte.
    by_first: Vec<Vec<Sentence>>,
    /// Sentences that begin with a hole.
    open: Vec<Sentence>,
}

impl Words {
    /// Compiles pairs of sentences.
    pub(super) fn new<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut words = Self { by_first: (0..256).map(|_| Vec::new()).collect(), open: Vec::new() };
        for (from, to) in pairs {
            let from = template::pieces(template::bare(from));
            let weight = from.iter().map(|piece| if let Piece::Literal(text) = piece { text.len() } else { 0 }).sum();
            let first = match from.first() {
                Some(Piece::Literal(text)) => text.bytes().next().map(usize::from),
                _ => None,
            };
            let sentence = Sentence { to: template::pieces(to), from, weight };
            match first {
                Some(first) => words.by_first[first].push(sentence),
                None => words.open.push(sentence),
            }
        }
        words
    }

    /// Translates a text as far as its sentences are known; the rest stays.
    pub(super) fn translate<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if text.len() > MAX_LENGTH {
            return Cow::Borrowed(text);
        }
        self.part(text, 0, true).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// Translates what may be a name: a single word stays.
    pub(super) fn translate_phrase<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.part(text, 0, false).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// Translates a text that is one sentence as a whole.
    pub(super) fn exact(&self, text: &str) -> Option<String> {
        let bare = template::bare(text);
        let candidates = self.by_first[usize::from(bare.bytes().next()?)].iter();
        let found = candidates.filter(|sentence| matches!(&*sentence.from, [Piece::Literal(whole)] if whole == bare));
        found.map(|sentence| self.fill(sentence, &[], 0)).next()
    }

    /// Translates a part of what is said. `is_phrase` tells whether a single word is one of ours, or somebody's name.
    fn part(&self, text: &str, depth: usize, is_phrase: bool) -> Option<String> {
        let core = text.trim();
        if depth > MAX_DEPTH || !core.contains(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        if !is_phrase && !core.contains(' ') {
            return None;
        }
        // A heading: sentences of the catalogue have no colon at their ends.
        let heading = || Some(format!("{}：", self.whole(core.strip_suffix(':')?, depth)?));
        let translated = self.whole(core, depth).or_else(heading).or_else(|| self.parts(core, depth))?;
        // Full-width punctuation brings its own space.
        let start = match translated.starts_with('（') {
            true => 0,
            false => text.len() - text.trim_start().len(),
        };
        Some(format!("{}{translated}{}", &text[..start], &text[text.trim_end().len()..]))
    }

    /// Translates a text that is one sentence. A sentence of one line is no sentence of several.
    fn whole(&self, text: &str, depth: usize) -> Option<String> {
        let has_lines = text.contains('\n');
        let begun = text.bytes().next().map(usize::from)?;
        let mut best: Option<(&Sentence, Vec<(&Hole, &str)>)> = None;
        for sentence in self.by_first[begun].iter().chain(&self.open) {
            let has_line_end = |piece: &Piece| matches!(piece, Piece::Literal(text) if text.contains('\n'));
            if has_lines && !sentence.from.iter().any(has_line_end) {
                continue;
            }
            if best.as_ref().is_some_and(|(found, _)| found.weight >= sentence.weight) {
                continue;
            }
            if let Some(captured) = template::captures(&sentence.from, text)
                && captured.iter().all(|(hole, value)| hole.takes != Takes::Word || self.knows(value, depth))
                && is_plausible(sentence, &captured)
            {
                best = Some((sentence, captured));
            }
        }
        let (sentence, captured) = best?;
        Some(self.fill(sentence, &captured, depth))
    }

    /// Returns whether a value is one of our words, or a name in backticks.
    fn knows(&self, value: &str, depth: usize) -> bool {
        let is_name = value.len() > 2 && value.starts_with('`') && value.ends_with('`');
        is_name || (depth < MAX_DEPTH && self.whole(value, depth + 1).is_some())
    }

    fn fill(&self, sentence: &Sentence, captured: &[(&Hole, &str)], depth: usize) -> String {
        let mut filled = String::new();
        let mut is_quoted = false;
        for piece in &sentence.to {
            match piece {
                Piece::Literal(literal) => {
                    if is_quoted {
                        filled.push_str(literal);
                    } else {
                        push(&mut filled, literal);
                    }
                    is_quoted ^= literal.matches('`').count() % 2 == 1;
                }
                Piece::Hole(hole) => {
                    let Some((from, value)) = captured.iter().find(|(from, _)| from.name == hole.name) else {
                        continue;
                    };
                    let translated = match (from.takes, hole.takes) {
                        _ if is_quoted => None,
                        (Takes::Foreign | Takes::Number, _) | (_, Takes::Foreign) => None,
                        (Takes::Word, _) | (_, Takes::Word) => self.part(value, depth + 1, true),
                        _ => self.part(value, depth + 1, false),
                    };
                    match translated {
                        Some(translated) => push(&mut filled, &padded(translated, value)),
                        None if is_quoted => filled.push_str(value),
                        // Names in a row are a list.
                        None if value.starts_with('`') => push(&mut filled, &value.replace("`, `", "`、`")),
                        None => push(&mut filled, value),
                    }
                }
            }
        }
        filled
    }

    /// Translates a text of several sentences, or of several parts.
    fn parts(&self, text: &str, depth: usize) -> Option<String> {
        // A label before a sentence is the label of all of it.
        if let [label, _, ..] = *split(text, ": ")
            && !label.contains(['\n', ';'])
            && let Some(rest) = self.whole(&text[label.len() + 2..], depth + 1)
        {
            let label = self.part(label, depth + 1, true).unwrap_or_else(|| label.to_owned());
            return Some(format!("{label}：{rest}"));
        }
        for (separator, chinese) in SEPARATORS {
            let parts = split(text, separator);
            if parts.len() < 2 || parts.len() > MAX_PARTS {
                continue;
            }
            if let Some(translated) = self.joined(&parts, (separator, chinese), depth) {
                return Some(translated);
            }
        }
        // What stands in brackets at the end is a remark of its own.
        let inner = text.strip_suffix(')')?;
        if let Some(inner) = inner.strip_prefix('(').filter(|inner| !inner.contains(['(', ')'])) {
            return Some(format!("（{}）", self.part(inner, depth + 1, true)?));
        }
        let (before, remark) = inner.rsplit_once(" (")?;
        let (first, second) = (self.part(before, depth + 1, false), self.part(remark, depth + 1, false));
        if first.is_none() && second.is_none() {
            return None;
        }
        let (open, close) = if second.is_some() { ("（", "）") } else { (" (", ")") };
        let second = second.as_deref().unwrap_or(remark);
        Some(format!("{}{open}{second}{close}", first.as_deref().unwrap_or(before)))
    }

    fn joined(&self, parts: &[&str], (separator, chinese): (&str, &str), depth: usize) -> Option<String> {
        let mut translated: Vec<Cow<'_, str>> = Vec::new();
        let mut is_changed = false;
        let mut start = 0;
        while start < parts.len() {
            // Several parts may be one sentence.
            let longest = (start + 2..=parts.len()).rev().filter(|end| end - start < parts.len()).find_map(|end| {
                let text = parts[start..end].join(separator);
                Some((self.whole(&text, depth + 1)?, end))
            });
            let (part, end) = match longest {
                Some((part, end)) => (Some(part), end),
                None => (self.part(parts[start], depth + 1, true), start + 1),
            };
            is_changed |= part.is_some();
            translated.push(part.map_or(Cow::Borrowed(parts[start]), Cow::Owned));
            start = end;
        }
        is_changed.then(|| {
            // Names in a row are a list.
            let is_list = separator == ", " && translated.iter().all(|part| part.starts_with('`'));
            let mut out = translated.join(if is_list { "、" } else { chinese });
            if separator == ". " && parts.last().is_some_and(|last| last.ends_with('.')) && out.ends_with('.') {
                out.truncate(out.len() - 1);
                out.push('。');
            }
            out
        })
    }
}

/// Returns whether a sentence of few words that begins with a hole is meant: what it begins with is not several parts.
fn is_plausible(sentence: &Sentence, captured: &[(&Hole, &str)]) -> bool {
    let begins_open = matches!(sentence.from.first(), Some(Piece::Hole(_)));
    if !begins_open || sentence.weight >= TELLING || captured.iter().any(|(hole, _)| hole.takes == Takes::Foreign) {
        return true;
    }
    let first = captured.first().map_or("", |(_, value)| value);
    SEPARATORS.iter().all(|(separator, _)| split(first, separator).len() < 2)
}

/// Splits a text at a separator that stands outside of backticks, quotes and brackets.
fn split<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let (mut is_quoted, mut n_open) = (false, 0_usize);
    let mut skip_to = 0;
    for (at, c) in text.char_indices() {
        if at < skip_to {
            continue;
        }
        match c {
            '`' => is_quoted = !is_quoted,
            '(' | '[' | '{' if !is_quoted => n_open += 1,
            ')' | ']' | '}' if !is_quoted => n_open = n_open.saturating_sub(1),
            _ => {}
        }
        // A line is a line, whatever stands open in it.
        let is_free = separator == "\n" || (!is_quoted && n_open == 0);
        if is_free && text[at..].starts_with(separator) {
            parts.push(&text[start..at]);
            start = at + separator.len();
            skip_to = start;
            if separator == "\n" {
                (is_quoted, n_open) = (false, 0);
            }
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Adds a piece of a sentence: Chinese and other words are parted by a space, Chinese words are not.
fn push(filled: &mut String, piece: &str) {
    let is_chinese = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    let is_other = |c: char| c.is_ascii_alphanumeric() || c == '`';
    let (before, after) = (filled.chars().next_back(), piece.chars().next());
    if let (Some(before), Some(after)) = (before, after) {
        if (is_chinese(before) && is_other(after)) || (is_other(before) && is_chinese(after)) {
            filled.push(' ');
        }
        let joined = piece.strip_prefix(' ').filter(|rest| rest.starts_with(is_chinese));
        if let Some(rest) = joined.filter(|_| is_chinese(before)) {
            return filled.push_str(rest);
        }
    }
    filled.push_str(piece);
}

/// Fills a translation up to the width that a column had.
fn padded(translated: String, was: &str) -> String {
    use unicode_width::UnicodeWidthStr as _;
    let is_padded = was.ends_with("  ") || was.starts_with("  ");
    let (now, before) = (translated.width(), was.width());
    if !is_padded || now == before {
        return translated;
    }
    let core = translated.trim();
    let room = before.saturating_sub(core.width());
    if was.starts_with("  ") { format!("{}{core}", " ".repeat(room)) } else { format!("{core}{}", " ".repeat(room)) }
}
