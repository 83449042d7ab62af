//! Strings in messy JSON, and where they end.
//!
//! A string ends at its quote, also where line ends and tabs stand in it as they are. Where models forget to escape the
//! quotes that they quote with, the end is the quote behind which the next token stands. That is a guess only where the
//! quotes inside do not pair up, and there the value is given up.

use super::reader::{Place, Reader, Stop, is_blank};

/// How far behind a quote the end of a key is looked for, in bytes.
const KEY_AHEAD: usize = 96;

/// Whatever a string may begin with.
pub(super) const QUOTES: [char; 7] = ['"', '\'', '“', '”', '‘', '’', '＂'];

/// What a string is opened with, and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    /// `"`
    Straight,
    /// `"""`, around text of several lines.
    Triple,
    /// `'`, as Python writes.
    Single,
    /// `‘` and `’`
    Curly,
    /// `“` and `”`, in either place.
    Smart,
}

/// What a quote within a string is.
enum Closing {
    Ends,
    Inside,
    Broken,
}

impl Quote {
    fn at(text: &str, at: usize, place: Place) -> Option<(Self, usize)> {
        let rest = text.get(at..)?;
        Some(match rest.chars().next()? {
            '"' if place != Place::Key && rest.starts_with("\"\"\"") => (Self::Triple, 3),
            '"' => (Self::Straight, 1),
            '\'' => (Self::Single, 1),
            c @ ('‘' | '’') => (Self::Curly, c.len_utf8()),
            c @ ('“' | '”' | '＂') => (Self::Smart, c.len_utf8()),
            _ => return None,
        })
    }

    /// Returns the length of the quote at `at`, if it is one that may close this string.
    fn closing_at(self, bytes: &[u8], at: usize) -> Option<usize> {
        let rest = bytes.get(at..)?;
        match (self, *rest.first()?) {
            (Self::Straight, b'"') | (Self::Single, b'\'') => Some(1),
            (Self::Triple, b'"') => rest.starts_with(b"\"\"\"").then_some(3),
            (Self::Curly, 0xE2) => ["‘", "’"].iter().any(|q| rest.starts_with(q.as_bytes())).then_some(3),
            (Self::Smart, 0xE2 | 0xEF) => ["“", "”", "＂"].iter().any(|q| rest.starts_with(q.as_bytes())).then_some(3),
            _ => None,
        }
    }
}

impl Reader<'_> {
    /// Goes past a string and returns where its text stands.
    pub(super) fn string(&mut self, place: Place) -> Result<(usize, usize), Stop> {
        let Some((quote, length)) = Quote::at(self.text, self.at, place) else {
            return Err(if self.at == self.text.len() { Stop::Cut } else { Stop::Broken });
        };
        if quote != Quote::Straight {
            self.replace(self.at, self.at + length, "\"");
        }
        self.at += length;
        let from = self.at;
        let (mut n_inside, mut n_open) = (0_usize, 0_usize);
        loop {
            let Some(byte) = self.byte(self.at) else { return Err(Stop::Cut) };
            if let Some(length) = quote.closing_at(self.text.as_bytes(), self.at) {
                match self.closing(quote, place, self.at + length, n_inside % 2 == 1) {
                    Closing::Ends if n_inside % 2 == 0 => {
                        let to = self.at;
                        if quote != Quote::Straight {
                            self.replace(to, to + length, "\"");
                        }
                        self.at += length;
                        return Ok((from, to));
                    }
                    Closing::Ends | Closing::Broken => return Err(Stop::Broken),
                    Closing::Inside => {}
                }
                if quote == Quote::Straight {
                    let is_inch = self.byte(self.at - 1).is_some_and(|byte| byte.is_ascii_digit());
                    if n_open > 0 {
                        n_open -= 1; // It closes what `„` opened.
                    } else if !(is_inch && n_inside % 2 == 0) {
                        n_inside += 1;
                    }
                    self.replace(self.at, self.at + 1, "\\\"");
                }
                self.at += length;
                continue;
            }
            match byte {
                b'"' => {
                    self.replace(self.at, self.at + 1, "\\\"");
                    self.at += 1;
                }
                b'\\' => self.escape(quote)?,
                0..0x20 if place == Place::Key => return Err(Stop::Broken),
                0..0x20 => {
                    let escaped = match byte {
                        b'\n' => "\\n".into(),
                        b'\r' => "\\r".into(),
                        b'\t' => "\\t".into(),
                        _ => format!("\\u{byte:04x}"),
                    };
                    self.replace(self.at, self.at + 1, &escaped);
                    self.at += 1;
                }
                0xE2 => {
                    let rest = &self.text[self.at..];
                    n_open = if rest.starts_with(['“', '„']) {
                        n_open + 1
                    } else {
                        n_open.saturating_sub(usize::from(rest.starts_with('”')))
                    };
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Says whether the quote that ends at `after` closes its string; `is_odd` is whether a quote inside is open.
    fn closing(&mut self, quote: Quote, place: Place, after: usize, is_odd: bool) -> Closing {
        // Between square brackets in prose, `["a" b]` is no string with quotes inside.
        if quote == Quote::Triple || (quote == Quote::Straight && (place == Place::Key || self.n_objects == 0)) {
            return Closing::Ends;
        }
        let (next, has_line_end) = self.next_token(after);
        let Some(c) = self.text[next..].chars().next() else { return Closing::Ends };
        match (place, c) {
            (Place::Key, ':' | '：') => Closing::Ends,
            (Place::Key, _) => Closing::Inside,
            (_, '}' | ']' | '#') => Closing::Ends,
            (_, '/') if matches!(self.byte(next + 1), Some(b'/' | b'*')) => Closing::Ends,
            // A key stands here, so the string has lost its end somewhere before.
            (_, ':') => Closing::Broken,
            (_, '：') if self.is_wide => Closing::Broken,
            (_, ',' | '，') => self.closing_before_comma(place, next + c.len_utf8()),
            (_, c) if QUOTES.contains(&c) => {
                if place == Place::Member && has_line_end && self.is_key(next) {
                    Closing::Ends // The comma is missing.
                } else if is_odd {
                    Closing::Inside // `"hi""`: the quote of the quotation, then that of the string.
                } else {
                    Closing::Broken
                }
            }
            _ => Closing::Inside,
        }
    }

    /// Says whether a quote closes its string when a comma follows that ends at `after`.
    fn closing_before_comma(&mut self, place: Place, after: usize) -> Closing {
        let (next, _) = self.next_token(after);
        let Some(byte) = self.byte(next) else { return Closing::Ends };
        let ends = match place {
            _ if matches!(byte, b'}' | b']' | b'/' | b'#') => true,
            Place::Element => {
                let is_word = ["true", "false", "null", "True", "False", "None"];
                let rest = &self.text[next..];
                matches!(byte, b'{' | b'[' | b'-' | b'+' | b'.' | b'0'..=b'9')
                    || Quote::at(self.text, next, place).is_some()
                    || is_word.iter().any(|word| rest.starts_with(word))
            }
            _ => self.is_key(next),
        };
        if ends { Closing::Ends } else { Closing::Inside }
    }

    /// Says whether a key stands at `at`: something that ends soon, on this line, and before a colon.
    pub(super) fn is_key(&mut self, at: usize) -> bool {
        let rest = &self.text[at..];
        let mut end = None;
        if let Some((quote, length)) = Quote::at(self.text, at, Place::Key) {
            let mut i = at + length;
            while i < self.text.len() && i - at < KEY_AHEAD && self.byte(i) != Some(b'\n') {
                if let Some(length) = quote.closing_at(self.text.as_bytes(), i) {
                    end = Some(i + length);
                    break;
                }
                i += if self.byte(i) == Some(b'\\') { 2 } else { 1 };
            }
            self.ahead += i.min(self.text.len()) - at;
        } else {
            let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
            end = word.filter(|&length| (1..KEY_AHEAD).contains(&length)).map(|length| at + length);
            self.ahead += word.unwrap_or(rest.len());
        }
        let Some(end) = end.filter(|&end| self.text.is_char_boundary(end)) else { return false };
        let (next, _) = self.next_token(end);
        self.text[next..].starts_with([':', '：'])
    }

    /// Returns where what follows white space begins, and whether a line ended before.
    fn next_token(&mut self, from: usize) -> (usize, bool) {
        let rest = &self.text[from..];
        let length = rest.find(|c| !is_blank(c)).unwrap_or(rest.len());
        self.ahead += length;
        (from + length, rest[..length].contains('\n'))
    }

    /// Goes past a backslash and what it escapes. An escape that JSON does not know is kept as the two characters that
    /// it is: models write formulas and paths without doubling their backslashes.
    fn escape(&mut self, quote: Quote) -> Result<(), Stop> {
        let at = self.at;
        let Some(byte) = self.byte(at + 1) else { return Err(Stop::Cut) };
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => return self.unicode_escape(),
            // Neither Markdown nor Python nor TeX mean a backslash here.
            b'\'' | b'_' => {
                self.replace(at, at + 1, "");
                self.at += 2;
            }
            b'x' if self.hex(at + 2, 2).is_some() => {
                if !matches!(quote, Quote::Single | Quote::Triple) {
                    return Err(Stop::Broken);
                }
                self.replace(at, at + 2, "\\u00");
                self.at += 4;
            }
            // The end of a line that goes on, or a backslash at the end of a line?
            b'\n' | b'\r' => return Err(Stop::Broken),
            _ => {
                self.replace(at, at + 1, "\\\\");
                self.at += 1;
            }
        }
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), Stop> {
        let at = self.at;
        if !self.byte(at + 2).is_some_and(|byte| byte.is_ascii_hexdigit()) {
            if at + 2 >= self.text.len() {
                return Err(Stop::Cut);
            }
            self.replace(at, at + 1, "\\\\"); // `\underline`, `C:\users`
            self.at += 1;
            return Ok(());
        }
        match self.hex(at + 2, 4) {
            Some(0xD800..=0xDBFF) => {
                let has_second = self.byte(at + 6) == Some(b'\\') && self.byte(at + 7) == Some(b'u');
                match self.hex(at + 8, 4) {
                    Some(0xDC00..=0xDFFF) if has_second => self.at += 12,
                    _ if at + 12 > self.text.len() => return Err(Stop::Cut),
                    _ => return Err(Stop::Broken),
                }
            }
            Some(0xDC00..=0xDFFF) => return Err(Stop::Broken),
            Some(_) => self.at += 6,
            None if at + 6 > self.text.len() => return Err(Stop::Cut),
            None => return Err(Stop::Broken),
        }
        Ok(())
    }

    /// Returns the number that `n` hexadecimal digits at `at` are.
    fn hex(&self, at: usize, n: usize) -> Option<u32> {
        let digits = self.text.as_bytes().get(at..at + n)?;
        digits.iter().try_fold(0, |sum, &byte| Some(sum * 16 + char::from(byte).to_digit(16)?))
    }
}
