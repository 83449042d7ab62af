//! Bytes into elements of an array.

use memchr::memchr2;

use crate::table::{Found, Last, Shape};

/// Cuts the elements of an array.
pub(crate) struct Items {
    state: State,
    /// The brackets that are open in the current element, each as what closes it.
    open: Vec<u8>,
    is_in_string: bool,
    /// Behind a backslash in a string.
    is_escaped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the array.
    Before,
    /// Before the first element.
    First,
    /// Before an element, a comma, or the end: where a reading goes on.
    Somewhere,
    /// Within an element.
    Within,
    /// Behind an element.
    Behind,
    /// Behind a comma.
    Comma,
    /// Behind the array.
    Over,
}

impl Items {
    /// Begins before the array.
    pub(super) fn new() -> Self {
        Self { state: State::Before, open: Vec::new(), is_in_string: false, is_escaped: false }
    }

    /// Begins within the array: where an element begins or ends.
    pub(super) fn within() -> Self {
        Self { state: State::Somewhere, ..Self::new() }
    }

    /// Passes over what stands between elements; returns the index of the next element's first byte.
    fn between(&mut self, bytes: &[u8]) -> Result<Option<usize>, (usize, String)> {
        for (at, &byte) in bytes.iter().enumerate() {
            if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                continue;
            }
            self.state = match (self.state, byte) {
                (State::Before, b'[') => State::First,
                (State::Before, _) => return Err((at, no_array(byte))),
                (State::Over, _) => return Err((at, "something stands behind the end of the array".to_owned())),
                (State::Within, _) => return Ok(Some(at)),
                (_, b']') => State::Over,
                (State::Behind | State::Somewhere, b',') => State::Comma,
                (State::Behind, _) => {
                    let found = char::from(byte).escape_default();
                    let what = format!("behind an element stands `{found}`, where `,` or `]` should");
                    return Err((at, what));
                }
                (_, b',') => return Err((at, "a comma stands where an element should".to_owned())),
                (_, b'}' | b':') => {
                    return Err((at, format!("`{}` stands where an element should", char::from(byte))));
                }
                _ => {
                    self.state = State::Within;
                    return Ok(Some(at));
                }
            };
        }
        Ok(None)
    }

    /// Looks for the end of the current element.
    fn element(&mut self, bytes: &[u8]) -> Result<Option<usize>, (usize, String)> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.is_in_string {
                if std::mem::take(&mut self.is_escaped) {
                    at += 1;
                    continue;
                }
                let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) else { return Ok(None) };
                at += found + 1;
                if bytes[at - 1] == b'\\' {
                    self.is_escaped = true;
                    continue;
                }
                self.is_in_string = false;
                if self.open.is_empty() {
                    return Ok(Some(at));
                }
                continue;
            }
            match byte {
                b'"' => self.is_in_string = true,
                b'{' => self.open.push(b'}'),
                b'[' => self.open.push(b']'),
                // A number or a word ends before what cannot belong to it.
                b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n' if self.open.is_empty() => return Ok(Some(at)),
                b'}' | b']' => {
                    if self.open.pop() != Some(byte) {
                        let what = format!("`{}` closes what it did not open", char::from(byte));
                        return Err((at, what));
                    }
                    if self.open.is_empty() {
                        return Ok(Some(at + 1));
                    }
                }
                _ => {}
            }
            at += 1;
        }
        Ok(None)
    }
}

impl Shape for Items {
    fn find(&mut self, bytes: &[u8]) -> Result<Found, (usize, String)> {
        if self.state != State::Within {
            match self.between(bytes)? {
                None => return Ok(Found::Pass(bytes.len())),
                Some(0) => {}
                Some(n) => return Ok(Found::Pass(n)),
            }
        }
        Ok(match self.element(bytes)? {
            None => Found::More,
            Some(end) => {
                self.state = State::Behind;
                Found::End { end, next: end }
            }
        })
    }

    fn end(&mut self, _n_held: u64) -> Result<Last, String> {
        match self.state {
            State::Over => Ok(Last::Nothing),
            State::Before => Err("is empty; it should hold an array of objects".to_owned()),
            _ => Err("ends before its array does: it was cut short, or is still being written".to_owned()),
        }
    }

    fn own(&self, bytes: &[u8], _has_end: bool) -> usize {
        bytes.len()
    }
}

/// Says what a file is that does not begin with an array.
pub(super) fn no_array(byte: u8) -> String {
    match byte {
        b'{' => {
            "it begins with an object, and should be an array of objects; if every line is an object, read it with \
                 `jsonl:` in place of `json:`"
                .to_owned()
        }
        _ => format!("it begins with `{}`, and should be an array of objects", char::from(byte).escape_default()),
    }
}
