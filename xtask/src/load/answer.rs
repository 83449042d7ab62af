//! An answer as it comes: its head, its framing, its length and its events.

use memchr::{memchr, memmem};

/// The longest head or line of a chunk that is waited for.
const MOST_HEAD: usize = 64 * 1024;
/// So much of a line says what it is.
const LINE_START: usize = 12;

/// One answer, fed with bytes until it is complete.
#[derive(Debug, Default)]
pub(super) struct Answer {
    at: At,
    /// A head that came in pieces.
    head: Vec<u8>,
    pub(super) status: u16,
    /// Bytes of the body without its framing.
    pub(super) length: u64,
    /// Lines of the body that begin with `data:`.
    pub(super) events: u64,
    /// Whether the last of them was `[DONE]`.
    pub(super) is_done: bool,
    /// Whether the connection ends with it.
    pub(super) closes: bool,
    line: [u8; LINE_START],
    line_length: usize,
}

/// Where in the answer the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Head,
    Whole(u64),
    ChunkSize(u64),
    /// Behind the size, up to the line's end.
    ChunkLine(u64),
    Chunk(u64),
    /// The line's end behind a chunk.
    ChunkEnd,
    /// The lines behind the last chunk; whether the line so far is empty.
    Trailer(bool),
    End,
}

impl Answer {
    /// Takes the next bytes and returns whether the answer is complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<bool, String> {
        while !bytes.is_empty() {
            bytes = match self.at {
                At::Head => self.take_head(bytes)?,
                At::Whole(left) => {
                    let (body, rest) = split(bytes, left);
                    self.take_body(body);
                    self.at = after(left - body.len() as u64, At::Whole, At::End);
                    rest
                }
                At::Chunk(left) => {
                    let (body, rest) = split(bytes, left);
                    self.take_body(body);
                    self.at = after(left - body.len() as u64, At::Chunk, At::ChunkEnd);
                    rest
                }
                At::End => return Err(format!("{} bytes came behind the answer", bytes.len())),
                framing => {
                    self.at = framing_after(framing, bytes[0])?;
                    &bytes[1..]
                }
            };
        }
        Ok(self.at == At::End)
    }

    /// Makes it ready for the next answer, and keeps its memory.
    pub(super) fn clear(&mut self) {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        *self = Self { head, ..Self::default() };
    }

    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        if self.head.is_empty()
            && let Some(end) = memmem::find(bytes, b"\r\n\r\n")
        {
            // The usual case: nothing is copied.
            self.read_head(&bytes[..end])?;
            return Ok(&bytes[end + 4..]);
        }
        let had = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.head, b"\r\n\r\n") else {
            return if self.head.len() > MOST_HEAD { Err("the head does not end".to_owned()) } else { Ok(&[]) };
        };
        let head = std::mem::take(&mut self.head);
        self.read_head(&head[..end])?;
        self.head = head;
        Ok(&bytes[end + 4 - had..])
    }

    fn read_head(&mut self, head: &[u8]) -> Result<(), String> {
        let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| std::str::from_utf8(rest.get(2..5)?).ok());
        self.status = status.and_then(|status| status.parse().ok()).ok_or("the answer has no status")?;
        let mut framing = None;
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            let Some(colon) = memchr(b':', line) else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                framing = Some(after(length.ok_or("content-length is no number")?, At::Whole, At::End));
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") && value.eq_ignore_ascii_case(b"chunked") {
                framing = Some(At::ChunkSize(0));
            } else if name.eq_ignore_ascii_case(b"connection") {
                self.closes = value.eq_ignore_ascii_case(b"close");
            }
        }
        self.at = framing.ok_or("the answer has neither a length nor chunks")?;
        Ok(())
    }

    fn take_body(&mut self, mut body: &[u8]) {
        self.length += body.len() as u64;
        while let Some(end) = memchr(b'\n', body) {
            self.take_line(&body[..end]);
            let line = &self.line[..self.line_length];
            if let Some(data) = line.strip_prefix(b"data:") {
                self.events += 1;
                self.is_done = data.trim_ascii_start().starts_with(b"[DONE");
            }
            self.line_length = 0;
            body = &body[end + 1..];
        }
        self.take_line(body);
    }

    fn take_line(&mut self, piece: &[u8]) {
        let room = LINE_START - self.line_length;
        let kept = &piece[..piece.len().min(room)];
        self.line[self.line_length..self.line_length + kept.len()].copy_from_slice(kept);
        self.line_length += kept.len();
    }
}

fn split(bytes: &[u8], left: u64) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)))
}

/// Returns where the next byte is: within what is left, or behind it.
fn after(left: u64, within: fn(u64) -> At, behind: At) -> At {
    if left == 0 { behind } else { within(left) }
}

/// Returns where the next byte is behind one that belongs to the framing of chunks.
fn framing_after(at: At, byte: u8) -> Result<At, String> {
    Ok(match (at, byte) {
        (At::ChunkSize(0) | At::ChunkLine(0), b'\n') => At::Trailer(true),
        (At::ChunkSize(size) | At::ChunkLine(size), b'\n') => At::Chunk(size),
        (At::ChunkSize(size), b'\r' | b';' | b' ') | (At::ChunkLine(size), _) => At::ChunkLine(size),
        (At::ChunkSize(size), digit) => {
            let digit = char::from(digit).to_digit(16).ok_or("the size of a chunk is no number")?;
            At::ChunkSize(size.checked_mul(16).ok_or("the size of a chunk is too great")? + u64::from(digit))
        }
        (At::ChunkEnd, b'\r') => At::ChunkEnd,
        (At::ChunkEnd, b'\n') => At::ChunkSize(0),
        (At::ChunkEnd, _) => return Err("a chunk is longer than its size".to_owned()),
        (At::Trailer(true), b'\n') => At::End,
        (At::Trailer(is_empty), b'\r') => At::Trailer(is_empty),
        (At::Trailer(_), byte) => At::Trailer(byte == b'\n'),
        (At::Head | At::Whole(_) | At::Chunk(_) | At::End, _) => at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n\
        13\r\ndata: {\"a\":1}\n\ndata\r\n6;x=1\r\n: 2\n\n:\r\n17\r\n comment\n\ndata: [DONE]\n\r\n1\r\n\n\r\n0\r\nt: 1\r\n\r\n";

    #[test]
    fn a_stream_is_counted_alike_however_it_is_cut() {
        for size in [1, 2, 3, 7, 50, STREAM.len()] {
            let mut answer = Answer::default();
            let pieces: Vec<bool> =
                STREAM.as_bytes().chunks(size).map(|piece| answer.feed(piece).expect("sound")).collect();
            assert_eq!(pieces.iter().filter(|is_complete| **is_complete).count(), 1, "in pieces of {size}");
            assert_eq!(pieces.last(), Some(&true));
            assert_eq!((answer.status, answer.length, answer.events, answer.is_done), (200, 49, 3, true));
            answer.clear();
            assert_eq!((answer.at, answer.events), (At::Head, 0));
        }
    }

    #[test]
    fn a_whole_answer_ends_with_its_length() {
        let mut answer = Answer::default();
        assert_eq!(answer.feed(b"HTTP/1.1 429 No\r\ncontent-length: 3\r\nconnection: close\r\n\r\nab"), Ok(false));
        assert_eq!(answer.feed(b"c"), Ok(true));
        assert_eq!((answer.status, answer.length, answer.closes), (429, 3, true));
        assert!(answer.feed(b"d").is_err());
        answer.clear();
        assert_eq!(answer.feed(b"HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n"), Ok(true));
    }

    #[test]
    fn framing_that_is_not_sound_is_told() {
        for broken in
            ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab", "no\r\n\r\n"]
        {
            assert!(Answer::default().feed(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
