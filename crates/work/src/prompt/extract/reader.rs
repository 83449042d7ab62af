//! Reads one JSON object or array from a place in a text, mending on the way what has only one reading.
//!
//! What is mended: commas before a closing bracket or missing behind an end of line, comments, white space that is not
//! JSON's, full-width `：` and `，`, keys without quotes, `True`, `None`, `+1`, `.5`, and what `strings` mends. What could
//! be read in two ways is not: `007`, `NaN`, `undefined`, `...`, a missing element, an end that is not there.

use std::borrow::Cow;

use super::strings::QUOTES;

/// Deepest nesting, which is what `serde_json` takes.
const DEEPEST: usize = 127;

/// Longest key without quotes, in bytes.
const LONGEST_BARE_KEY: usize = 128;

/// What stands at a place where a bracket opens.
#[derive(Debug)]
pub(super) enum Reading<'t> {
    /// A value.
    Whole(Value<'t>),
    /// A value that the text breaks off in.
    Cut(Attempt<'t>),
    /// No value.
    Broken(Attempt<'t>),
}

/// A value that was read.
#[derive(Debug)]
pub(super) struct Value<'t> {
    /// Strict JSON: as it stands in the text, or mended.
    pub(super) json: Cow<'t, str>,
    /// Where it ends in the text.
    pub(super) end: usize,
}

/// What was seen before a value turned out to be none.
#[derive(Debug)]
pub(super) struct Attempt<'t> {
    /// Whether it was meant as JSON: a key with its colon was seen, or the text broke off where one must stand.
    pub(super) is_meant: bool,
    /// The keys of the outermost object, as they stand in the text.
    pub(super) keys: Vec<Cow<'t, str>>,
    /// How many bytes were looked at.
    pub(super) looked_at: usize,
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The text is over.
    Cut,
    /// This is not JSON, or could be in two ways.
    Broken,
}

/// Where in a value a string stands, which decides what may follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A key.
    Key,
    /// The value of a member.
    Member,
    /// An element of an array.
    Element,
}

/// Reads the value whose bracket stands at `start`, looking at `most` bytes.
pub(super) fn read(text: &str, start: usize, most: usize) -> Reading<'_> {
    let mut reader = Reader::new(text, start, most);
    let stop = match reader.value(0, Place::Element) {
        Ok(()) => {
            return Reading::Whole(Value { json: reader.finished(), end: reader.at });
        }
        Err(stop) => stop,
    };
    // An open bracket, and perhaps half a key, is all that a cut answer may have left.
    let starts_object = text[start..].starts_with('{') && !reader.has_bare_key;
    let is_meant = reader.is_meant || (stop == Stop::Cut && starts_object);
    let attempt = Attempt { is_meant, keys: reader.keys(), looked_at: reader.looked_at() };
    if stop == Stop::Cut { Reading::Cut(attempt) } else { Reading::Broken(attempt) }
}

/// Where reading is, and what was mended so far.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    start: usize,
    /// The furthest byte that may be looked at.
    limit: usize,
    /// What was written, and up to where the text stands in it; none where nothing was mended.
    mended: Option<String>,
    copied: usize,
    /// Whether full-width punctuation was seen between tokens.
    pub(super) is_wide: bool,
    /// How many objects are open.
    pub(super) n_objects: usize,
    keys: Vec<(usize, usize)>,
    is_meant: bool,
    has_bare_key: bool,
    /// Bytes that were looked at ahead of `at`.
    pub(super) ahead: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, start: usize, most: usize) -> Self {
        Self {
            text,
            at: start,
            start,
            limit: start.saturating_add(most),
            mended: None,
            copied: start,
            is_wide: false,
            n_objects: 0,
            keys: Vec::new(),
            is_meant: false,
            has_bare_key: false,
            ahead: 0,
        }
    }

    /// Returns the byte at `at`; nothing counts that is out of reach.
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// Writes `with` where `from..to` stands.
    pub(super) fn replace(&mut self, from: usize, to: usize, with: &str) {
        let mended = self.mended.get_or_insert_default();
        mended.push_str(&self.text[self.copied..from]);
        mended.push_str(with);
        self.copied = to;
    }

    fn finished(&mut self) -> Cow<'t, str> {
        match self.mended.take() {
            None => Cow::Borrowed(&self.text[self.start..self.at]),
            Some(mut mended) => {
                mended.push_str(&self.text[self.copied..self.at]);
                Cow::Owned(mended)
            }
        }
    }

    fn keys(&self) -> Vec<Cow<'t, str>> {
        self.keys.iter().map(|&(from, to)| Cow::Borrowed(&self.text[from..to])).collect()
    }

    fn looked_at(&self) -> usize {
        self.at - self.start + self.ahead
    }

    fn value(&mut self, depth: usize, place: Place) -> Result<(), Stop> {
        if self.at.saturating_add(self.ahead) > self.limit {
            return Err(Stop::Broken);
        }
        match self.byte(self.at) {
            None => Err(Stop::Cut),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() => self.word(),
            Some(_) => self.string(place).map(drop),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Stop> {
        if depth > DEEPEST {
            return Err(Stop::Broken);
        }
        self.at += 1;
        self.n_objects += 1;
        loop {
            self.skip()?;
            if self.byte(self.at) == Some(b'}') {
                break;
            }
            let (key, is_bare) = self.key()?;
            self.skip()?;
            self.colon()?;
            if depth == 1 {
                self.keys.push(key);
            }
            // `{x: …` is also how people write sets; only a value behind it shows what is meant.
            self.is_meant |= !is_bare;
            self.skip()?;
            self.value(depth, Place::Member)?;
            self.is_meant = true;
            let is_closed = matches!(self.byte(self.at - 1), Some(b'}' | b']'));
            let has_line_end = self.skip()?;
            if self.comma()? {
                continue;
            }
            match self.byte(self.at) {
                Some(b'}') => break,
                // A comma forgotten at the end of a line can be nothing else.
                Some(_) if (has_line_end || is_closed) && self.is_key(self.at) => self.replace(self.at, self.at, ","),
                Some(_) => return Err(Stop::Broken),
                None => return Err(Stop::Cut),
            }
        }
        self.at += 1;
        self.n_objects -= 1;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Stop> {
        if depth > DEEPEST {
            return Err(Stop::Broken);
        }
        self.at += 1;
        self.skip()?;
        loop {
            if self.byte(self.at) == Some(b']') {
                break;
            }
            self.value(depth, Place::Element)?;
            let is_closed = matches!(self.byte(self.at - 1), Some(b'}' | b']'));
            self.skip()?;
            if self.comma()? {
                continue;
            }
            match self.byte(self.at) {
                Some(b']') => break,
                Some(b'{' | b'[') if is_closed => self.replace(self.at, self.at, ","),
                Some(_) => return Err(Stop::Broken),
                None => return Err(Stop::Cut),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Goes past a key and returns where its text stands, and whether it has no quotes.
    fn key(&mut self) -> Result<((usize, usize), bool), Stop> {
        let from = self.at;
        let Some(rest) = self.text.get(from..).filter(|rest| !rest.is_empty()) else { return Err(Stop::Cut) };
        let bare = rest.find(|c: char| !is_bare(c)).unwrap_or(rest.len());
        if bare == 0 {
            let is_quoted = rest.starts_with(QUOTES);
            let key = self.string(Place::Key);
            // A key that is broken in itself is meant as one; what stands behind it is no object of its own.
            self.is_meant |= is_quoted && key == Err(Stop::Broken);
            return key.map(|key| (key, false));
        }
        self.has_bare_key = true;
        self.ahead += bare;
        if bare > LONGEST_BARE_KEY || bare == rest.len() || rest.starts_with(['-', '.']) {
            return Err(Stop::Broken);
        }
        self.at += bare;
        let quoted = format!("\"{}\"", &rest[..bare]);
        self.replace(from, self.at, &quoted);
        Ok(((from, self.at), true))
    }

    fn colon(&mut self) -> Result<(), Stop> {
        match self.byte(self.at) {
            Some(b':') => self.at += 1,
            Some(_) if self.text[self.at..].starts_with('：') => {
                self.is_wide = true;
                self.replace(self.at, self.at + '：'.len_utf8(), ":");
                self.at += '：'.len_utf8();
            }
            Some(_) => return Err(Stop::Broken),
            None => return Err(Stop::Cut),
        }
        Ok(())
    }

    /// Goes past a comma and the white space behind it; false where there is none. One before a closing bracket goes.
    fn comma(&mut self) -> Result<bool, Stop> {
        let length = match self.byte(self.at) {
            Some(b',') => 1,
            Some(0xEF) if self.text[self.at..].starts_with('，') => '，'.len_utf8(),
            _ => return Ok(false),
        };
        self.is_wide |= length > 1;
        let next = self.behind_space(self.at + length)?;
        let is_last = matches!(self.byte(next), Some(b'}' | b']'));
        if is_last || length > 1 {
            self.replace(self.at, self.at + length, if is_last { "" } else { "," });
        }
        self.at += length;
        self.skip()?;
        Ok(true)
    }

    fn number(&mut self) -> Result<(), Stop> {
        let from = self.at;
        match self.byte(from) {
            Some(b'+') => {
                self.replace(from, from + 1, "");
                self.at += 1;
            }
            Some(b'-') => self.at += 1,
            _ => {}
        }
        let whole = self.digits();
        if whole > 1 && self.byte(self.at - whole) == Some(b'0') {
            // The number, or the text of an identifier?
            return Err(Stop::Broken);
        }
        if self.byte(self.at) == Some(b'.') {
            if whole == 0 {
                self.replace(self.at, self.at, "0");
            }
            self.at += 1;
            match self.digits() {
                0 if whole == 0 => return Err(Stop::Broken),
                0 => self.replace(self.at, self.at, "0"),
                _ => {}
            }
        } else if whole == 0 {
            return Err(if self.byte(self.at).is_none() { Stop::Cut } else { Stop::Broken });
        }
        if matches!(self.byte(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(if self.byte(self.at).is_none() { Stop::Cut } else { Stop::Broken });
            }
        }
        self.ends_token()
    }

    /// Goes past digits and returns how many.
    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.byte(self.at).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - from
    }

    fn word(&mut self) -> Result<(), Stop> {
        let from = self.at;
        while self.byte(self.at).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'))
        {
            self.at += 1;
        }
        let meant = match &self.text[from..self.at] {
            "true" | "false" | "null" => return self.ends_token(),
            "True" | "TRUE" => "true",
            "False" | "FALSE" => "false",
            "None" | "Null" | "NULL" => "null",
            _ if self.at == self.text.len() => return Err(Stop::Cut),
            _ => return Err(Stop::Broken),
        };
        self.replace(from, self.at, meant);
        self.ends_token()
    }

    /// Makes sure that a number or a word is over: `95%` is neither `95` nor anything else.
    fn ends_token(&self) -> Result<(), Stop> {
        match self.byte(self.at) {
            None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b'}' | b']' | b'/' | b'#') => Ok(()),
            Some(_) if self.text[self.at..].starts_with(|c: char| c == '，' || is_blank(c)) => Ok(()),
            Some(_) => Err(Stop::Broken),
        }
    }

    /// Goes past white space and comments; what JSON does not know of them goes. Returns whether a line ended.
    fn skip(&mut self) -> Result<bool, Stop> {
        let mut has_line_end = false;
        loop {
            let from = self.at;
            let Some(to) = blank_end(self.text, from)? else { return Ok(has_line_end) };
            let is_json = matches!(self.byte(from), Some(b' ' | b'\t' | b'\n' | b'\r'));
            // The end of the line that a comment runs to is not part of it.
            has_line_end |= self.byte(from) == Some(b'\n');
            if !is_json {
                self.replace(from, to, "");
            }
            self.at = to;
        }
    }

    /// Returns where what follows white space and comments begins.
    fn behind_space(&mut self, from: usize) -> Result<usize, Stop> {
        let mut at = from;
        while let Some(to) = blank_end(self.text, at)? {
            at = to;
        }
        self.ahead += at - from;
        Ok(at)
    }
}

/// Returns the end of the piece of white space, or of the comment, that stands at `at`.
fn blank_end(text: &str, at: usize) -> Result<Option<usize>, Stop> {
    let bytes = text.as_bytes();
    let line_end = |from: usize| memchr::memchr(b'\n', &bytes[from..]).map_or(text.len(), |length| from + length);
    Ok(match bytes.get(at) {
        Some(b' ' | b'\t' | b'\n' | b'\r') => Some(at + 1),
        Some(b'#') => Some(line_end(at)),
        Some(b'/') => match bytes.get(at + 1) {
            Some(b'/') => Some(line_end(at)),
            Some(b'*') => match memchr::memmem::find(&bytes[at + 2..], b"*/") {
                Some(length) => Some(at + 2 + length + 2),
                None => return Err(Stop::Cut),
            },
            _ => None,
        },
        Some(byte) if *byte >= 0x80 || matches!(byte, 0x0B | 0x0C) => {
            text[at..].chars().next().filter(|&c| is_blank(c)).map(|c| at + c.len_utf8())
        }
        _ => None,
    })
}

/// Whether a character between tokens is nothing: white space of any kind, and what has no width.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{180e}' | '\u{ad}')
}

/// Whether a character may stand in a key without quotes.
fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '.')
}
