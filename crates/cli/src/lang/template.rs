//! A sentence with holes, and how a text is held against it.

/// One piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Words that stand as they are.
    Literal(String),
    /// A place for a value.
    Hole(Hole),
}

/// A place for a value: `{name}`, or `{}`, which is named by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) name: String,
    pub(super) takes: Takes,
}

/// What a hole takes, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// `{name}`: anything; a phrase is translated in its turn, a single word is a name and stays.
    Anything,
    /// `{#name}`: a number, perhaps with a unit.
    Number,
    /// `{=name}`: anything, and it stays: what others said.
    Foreign,
    /// `{~name}`: one of our words. In a translation: a single word is translated, too.
    Word,
}

/// Splits a sentence at its holes. A brace that begins no hole is a brace.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut literal = String::new();
    let mut n_unnamed = 0;
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        let Some((hole, n)) = hole(from, &mut n_unnamed).filter(|_| !literal.ends_with('{')) else {
            literal.push('{');
            rest = &from[1..];
            continue;
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Hole(hole));
        rest = &from[n..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    pieces
}

/// Reads the hole that `text` begins with, and how long it is.
fn hole(text: &str, n_unnamed: &mut usize) -> Option<(Hole, usize)> {
    let inner = text.strip_prefix('{')?;
    let end = inner.find('}')?;
    let whole = &inner[..end];
    let (takes, named) = match whole.chars().next() {
        Some('#') => (Takes::Number, &whole[1..]),
        Some('=') => (Takes::Foreign, &whole[1..]),
        Some('~') => (Takes::Word, &whole[1..]),
        _ => (Takes::Anything, whole),
    };
    let name = named.split_once(':').map_or(named, |(name, _format)| name);
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name || named.contains(' ') {
        return None;
    }
    let name = if name.is_empty() {
        *n_unnamed += 1;
        (*n_unnamed - 1).to_string()
    } else {
        name.to_owned()
    };
    Some((Hole { name, takes }, end + 2))
}

/// Returns what the holes of a sentence hold where `text` is that sentence. Of holes that stand side by side the first
/// one holds all.
pub(super) fn captures<'p, 't>(pieces: &'p [Piece], text: &'t str) -> Option<Vec<(&'p Hole, &'t str)>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut open: Option<&Hole> = None;
    // A name in backticks holds no backtick, and whatever is not in backticks holds whole pairs of them.
    let mut is_quoted = false;
    let last = pieces.len().checked_sub(1)?;
    for (i, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Hole(hole) => match open {
                Some(_) => found.push((hole, "")),
                None => open = Some(hole),
            },
            Piece::Literal(literal) => {
                let at = match open.take() {
                    None => rest.starts_with(literal.as_str()).then_some(0)?,
                    Some(hole) => {
                        let at = if i == last {
                            rest.ends_with(literal.as_str()).then(|| rest.len() - literal.len())?
                        } else {
                            first(rest, literal, is_quoted, hole.takes)?
                        };
                        fits(hole, &rest[..at], is_quoted).then(|| found.push((hole, &rest[..at])))?;
                        at
                    }
                };
                is_quoted ^= literal.matches('`').count() % 2 == 1;
                rest = &rest[at + literal.len()..];
            }
        }
    }
    if let Some(hole) = open {
        fits(hole, rest, is_quoted).then(|| found.push((hole, rest)))?;
        rest = "";
    }
    rest.is_empty().then_some(found)
}

/// Finds the first place of a literal that leaves a sound value before it.
fn first(text: &str, literal: &str, is_quoted: bool, takes: Takes) -> Option<usize> {
    let hole = Hole { name: String::new(), takes };
    // Columns are parted by at least so much space; what fills a column up belongs to it.
    let is_gap = literal.trim().is_empty();
    let ends_column =
        |at: usize| !is_gap || !(text[..at].trim().is_empty() || text[at + literal.len()..].starts_with(' '));
    text.match_indices(literal).map(|(at, _)| at).find(|at| ends_column(*at) && fits(&hole, &text[..*at], is_quoted))
}

fn fits(hole: &Hole, value: &str, is_quoted: bool) -> bool {
    let n_backticks = value.matches('`').count();
    let is_sound = if is_quoted { n_backticks == 0 } else { n_backticks.is_multiple_of(2) };
    is_sound && (hole.takes != Takes::Number || is_amount(value))
}

/// Returns whether a text is a number, perhaps with a unit: `1,319`, `1.2M`, `12.3 GiB`, `1m 15s`, `660/s`.
fn is_amount(text: &str) -> bool {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "ms", "s"];
    let begins = |word: &str| word.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    let is_short = |word: &str| word.chars().filter(char::is_ascii_alphabetic).count() <= 3;
    let mut words = text.split_whitespace();
    words.next().is_some_and(|word| begins(word) && is_short(word))
        && words.all(|word| (begins(word) && is_short(word)) || UNITS.contains(&word))
}

/// Returns the sentence with every hole as `{}`: what two spellings of it have in common.
#[cfg(test)]
pub(super) fn shape(text: &str) -> String {
    let mut shape = String::new();
    for piece in pieces(bare(text)) {
        match piece {
            Piece::Literal(literal) => shape.push_str(&literal),
            Piece::Hole(_) => shape.push_str("{}"),
        }
    }
    shape
}

/// Returns a text without the space and the separators around it: parts of a sentence are joined with those.
pub(super) fn bare(text: &str) -> &str {
    let text = text.trim();
    let text = text.trim_start_matches([';', ',', ':']).trim_start();
    let text = text.trim_end_matches([';', ',', ':']).trim_end();
    // So is a remark in brackets.
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    inner.filter(|inner| !inner.contains(['(', ')'])).unwrap_or(text)
}
