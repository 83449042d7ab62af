//! Text that reads like a sentence and says nothing. None of it needs escaping in JSON.

use crate::draw::Draws;

const WORDS: [&str; 32] = [
    "the", "tide", "turns", "a", "wheel", "and", "grain", "becomes", "flour", "before", "evening", "comes", "over",
    "quiet", "water", "while", "stones", "grind", "slowly", "under", "old", "beams", "where", "light", "falls", "on",
    "every", "sack", "of", "white", "meal", "again",
];

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes a sentence of a few words.
pub(super) fn sentence(draws: &mut Draws, text: &mut String) {
    let start = text.len();
    for n in 0..5 + draws.index(4) {
        word(draws, n == 0, text);
    }
    text.push('.');
    capitalise(text, start);
}

/// Writes a sentence whose length is within the bounds.
pub(super) fn text_of(draws: &mut Draws, least: usize, most: usize, text: &mut String) {
    let start = text.len();
    sentence(draws, text);
    while text.len() - start < least {
        word(draws, false, text);
    }
    if text.len() - start > most {
        text.truncate(start + most);
        // A space at the end would be lost to a client that trims.
        if text.ends_with(' ') {
            text.pop();
            text.push('.');
        }
    }
}

/// Writes a string of the format, if it is one that JSON Schema names.
pub(super) fn formatted(draws: &mut Draws, format: &str, text: &mut String) -> bool {
    let start = text.len();
    // `#` stands for a hexadecimal digit, `%` for a decimal digit from 1 up.
    text.push_str(match format {
        "date-time" => "202%-0%-1%T1%:3%:4%Z",
        "date" => "202%-0%-1%",
        "time" => "1%:3%:4%Z",
        "duration" => "PT%M",
        "email" => "miller%%@example.com",
        "hostname" => "mill%%.example.com",
        "ipv4" => "192.0.2.1%",
        "ipv6" => "2001:db8::%##",
        "uri" | "iri" | "uri-reference" => "https://example.com/%##",
        "uuid" => "########-####-4###-8###-############",
        _ => return false,
    });
    let template = text.split_off(start);
    text.extend(template.chars().map(|c| match c {
        '#' => char::from(HEX[draws.index(16)]),
        '%' => char::from(HEX[1 + draws.index(9)]),
        other => other,
    }));
    true
}

fn word(draws: &mut Draws, is_first: bool, text: &mut String) {
    if !is_first {
        text.push(' ');
    }
    text.push_str(WORDS[draws.index(WORDS.len())]);
}

fn capitalise(text: &mut str, start: usize) {
    if let Some(first) = text.get_mut(start..start + 1) {
        first.make_ascii_uppercase();
    }
}
