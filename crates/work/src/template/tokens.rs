//! What an expression is written in.

use super::names::{begins_word, is_in_word};

/// The tokens of an expression, one after the other; white space is one.
#[derive(Debug)]
pub(super) struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, at: 0 }
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.at..];
        let first = rest.chars().next()?;
        let run = |is_part: &dyn Fn(char) -> bool| rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let length = match first {
            '"' | '\'' => {
                let mut is_escaped = false;
                let end = rest[1..].find(|c| {
                    let is_end = c == first && !is_escaped;
                    is_escaped = c == '\\' && !is_escaped;
                    is_end
                });
                end.map_or(rest.len(), |end| end + 2)
            }
            _ if first.is_whitespace() => run(&char::is_whitespace),
            _ if first.is_ascii_digit() || begins_word(first) => run(&is_in_word),
            _ if ["==", "!=", "<=", ">="].iter().any(|operator| rest.starts_with(operator)) => 2,
            _ => first.len_utf8(),
        };
        self.at += length;
        Some(&rest[..length])
    }
}
