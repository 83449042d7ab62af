//! The words in which people are spoken to, in their language.
//!
//! Every crate says what it has to say in English, once, where it happens. Here is the one place that translates: a
//! catalogue of sentences with holes (`zh/*.txt`), as the code has them. A text that is said is held against it: the
//! sentence that says most and fits is taken, and what stands in its holes is translated in turn, so that an error with
//! its causes comes out whole. A text that is no sentence of the catalogue is taken apart at its full stops, semicolons,
//! colons and commas. What is not in the catalogue stays in English: nothing is lost.
//!
//! Names in backticks, numbers, paths and keys stay as they are. Data on standard output is never translated.

mod catalogue;
mod command_line;
mod template;
#[cfg(test)]
mod tests;
mod words;

use std::{borrow::Cow, sync::OnceLock};

use crate::language::Language;
pub(crate) use crate::language::chosen as current;
pub(crate) use command_line::parse;
use words::Words;

/// The catalogue of Chinese, by the part of the program that speaks.
const CHINESE: [(&str, &str); 9] = [
    ("cli", include_str!("zh/cli.txt")),
    ("config", include_str!("zh/config.txt")),
    ("help", include_str!("zh/help.txt")),
    ("data", include_str!("zh/data.txt")),
    ("models", include_str!("zh/models.txt")),
    ("dataflux", include_str!("zh/dataflux.txt")),
    ("others", include_str!("zh/others.txt")),
    ("databases", include_str!("zh/databases.txt")),
    ("prompts", include_str!("zh/prompts.txt")),
];

/// Says a text in the language of the process.
pub(crate) fn tr(text: &str) -> Cow<'_, str> {
    match current() {
        Language::English => Cow::Borrowed(text),
        Language::Chinese => chinese().translate(text),
    }
}

/// Says a text in the language of the process; a single word is somebody's name, and stays.
pub(crate) fn phrase(text: &str) -> Cow<'_, str> {
    match current() {
        Language::English => Cow::Borrowed(text),
        Language::Chinese => chinese().translate_phrase(text),
    }
}

/// What stands between a label and what it labels.
pub(crate) fn colon() -> &'static str {
    match current() {
        Language::English => ": ",
        Language::Chinese => "：",
    }
}

/// Compiled once, and only where it is needed.
fn chinese() -> &'static Words {
    static WORDS: OnceLock<Words> = OnceLock::new();
    WORDS.get_or_init(|| {
        let pairs: Vec<(String, String)> = CHINESE.iter().flat_map(|(_, text)| catalogue::pairs(text)).collect();
        Words::new(pairs.iter().map(|(from, to)| (from.as_str(), to.as_str())))
    })
}
