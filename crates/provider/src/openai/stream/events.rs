//! Server-sent events out of bytes that are cut anywhere.
//!
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>, and a little more
//! lenient: vendors leave out the blank line behind the last event, or behind each.

/// The byte order mark, which may stand before the first line.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// An event: its data, and whether it is called `error`.
pub(super) struct Event<'a> {
    pub(super) data: &'a [u8],
    pub(super) is_error: bool,
}

/// Reads events. It keeps no more than the line and the event that are not complete yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    n_lines: usize,
    is_error: bool,
    /// A line feed that comes next belongs to the line that ended.
    was_return: bool,
    has_begun: bool,
}

/// Returns whether bytes may be the beginning of a stream, and not a whole answer in JSON, or a page in HTML.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    let bytes = bytes.strip_prefix(MARK).unwrap_or(bytes);
    let names: [&[u8]; 4] = [b"data:", b"event:", b"id:", b"retry:"];
    // The first piece may end within the name.
    bytes.first() == Some(&b':') || names.iter().any(|name| bytes.starts_with(name) || name.starts_with(bytes))
}

impl Events {
    /// Returns how much is kept.
    pub(super) fn n_bytes(&self) -> usize {
        self.line.len() + self.data.len()
    }

    /// Takes bytes and hands over the events that they complete.
    pub(super) fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        each: &mut dyn FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(&byte) = bytes.first() {
            if std::mem::take(&mut self.was_return) && byte == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.line.extend_from_slice(bytes);
                break;
            };
            self.was_return = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.take(&bytes[..end], each)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&bytes[..end]);
                self.take(&line, each)?;
            }
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    /// Hands over what is left when the stream has ended.
    pub(super) fn end<E>(&mut self, each: &mut dyn FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let line = std::mem::take(&mut self.line);
        // Half an event tells nothing; whether something is missing is told by the finish reason.
        if is_json(line.strip_prefix(b"data:").unwrap_or_default()) {
            self.take(&line, each)?;
        }
        self.dispatch(each)
    }

    fn take<E>(&mut self, line: &[u8], each: &mut dyn FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let line = if is_first { line.strip_prefix(MARK).unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch(each);
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                // A second line of data is a line of the same event, or an event whose blank line was left out.
                if self.n_lines > 0 && is_json(&self.data) {
                    let is_error = self.is_error;
                    self.dispatch(each)?;
                    self.is_error = is_error;
                }
                if self.n_lines > 0 {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.n_lines += 1;
            }
            b"event" => self.is_error = value == b"error",
            // Comments keep the connection alive; ids and waits are for those who come back.
            _ => {}
        }
        Ok(())
    }

    fn dispatch<E>(&mut self, each: &mut dyn FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let is_error = std::mem::take(&mut self.is_error);
        if std::mem::take(&mut self.n_lines) == 0 {
            return Ok(());
        }
        let mut data = std::mem::take(&mut self.data);
        let handed = each(Event { data: data.trim_ascii(), is_error });
        data.clear();
        // The next event finds the room of this one.
        self.data = data;
        handed
    }
}

fn is_json(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    data == b"[DONE]" || serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
}
