//! Where the body of an answer ends.

use bytes::{Buf, Bytes, BytesMut};

use super::{super::error::TransportError, head::protocol};

/// The longest line with the size of a chunk: sixteen digits, and extensions that nobody uses.
const SIZE_MOST: usize = 4 * 1024;
/// The most that may stand behind the last chunk.
const TRAILERS_MOST: usize = 64 * 1024;

/// What is left of the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing.
    Ended,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// All until the connection ends.
    ToTheEnd,
}

/// Where in the chunks the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// Before the line with a size.
    Size,
    /// In a chunk of which so much is left.
    Data(u64),
    /// Before the end of the line behind a chunk.
    Behind,
    /// Behind the last chunk, so many bytes of trailers in.
    Trailers(usize),
}

impl Body {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunked::Size)
    }

    /// Takes all of the body that was read; nothing where more must be read first, or where it has ended.
    pub(super) fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, TransportError> {
        let piece = match self {
            Self::Ended => return Ok(None),
            Self::ToTheEnd => read.split().freeze(),
            Self::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                *left -= n as u64;
                let piece = read.split_to(n).freeze();
                if *left == 0 {
                    *self = Self::Ended;
                }
                piece
            }
            Self::Chunked(state) => {
                let (piece, has_ended) = unframed(state, read)?;
                if has_ended {
                    *self = Self::Ended;
                }
                piece
            }
        };
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// Takes the data of all chunks that were read, moved together over the marks between them: one piece, and no copy of
/// its own. Returns whether that was all.
fn unframed(state: &mut Chunked, read: &mut BytesMut) -> Result<(Bytes, bool), TransportError> {
    // Before `out` stands data, from `at` on what is not looked at yet.
    let (mut out, mut at, mut has_ended) = (0, 0, false);
    while at < read.len() {
        match state {
            Chunked::Data(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len() - at);
                if out != at {
                    read.copy_within(at..at + n, out);
                }
                (out, at) = (out + n, at + n);
                *left -= n as u64;
                if *left == 0 {
                    *state = Chunked::Behind;
                }
            }
            Chunked::Behind => {
                // A line feed alone is what some servers write.
                let end: &[u8] = if read[at] == b'\n' { b"\n" } else { b"\r\n" };
                let rest = &read[at..];
                if rest.len() < end.len() && end.starts_with(rest) {
                    break;
                }
                if !rest.starts_with(end) {
                    return Err(protocol("a chunk is longer than its size"));
                }
                at += end.len();
                *state = Chunked::Size;
            }
            Chunked::Size => {
                let Some(end) = memchr::memchr(b'\n', &read[at..]) else {
                    if read.len() - at > SIZE_MOST {
                        return Err(protocol("the size of a chunk is too long"));
                    }
                    break;
                };
                let size = size(&read[at..at + end])?;
                at += end + 1;
                *state = if size == 0 { Chunked::Trailers(0) } else { Chunked::Data(size) };
            }
            Chunked::Trailers(n_before) => {
                let Some(end) = memchr::memchr(b'\n', &read[at..]) else {
                    if read.len() - at + *n_before > TRAILERS_MOST {
                        return Err(protocol("there is too much behind the last chunk"));
                    }
                    break;
                };
                let is_blank = read[at..at + end].iter().all(|byte| *byte == b'\r');
                at += end + 1;
                if is_blank {
                    has_ended = true;
                    break;
                }
                *n_before += end + 1;
                if *n_before > TRAILERS_MOST {
                    return Err(protocol("there is too much behind the last chunk"));
                }
            }
        }
    }
    let piece = read.split_to(out).freeze();
    read.advance(at - out);
    Ok((piece, has_ended))
}

fn size(line: &[u8]) -> Result<u64, TransportError> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    // A sign would parse.
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16)
        .ok()
        .filter(|_| is_number)
        .ok_or_else(|| protocol("the size of a chunk is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str, n_at_once: usize) -> Result<(String, bool, usize), TransportError> {
        let (mut body, mut read, mut out) = (Body::chunked(), BytesMut::new(), Vec::new());
        for bytes in text.as_bytes().chunks(n_at_once) {
            read.extend_from_slice(bytes);
            while let Some(piece) = body.take(&mut read)? {
                out.extend_from_slice(&piece);
            }
        }
        Ok((String::from_utf8(out).unwrap(), body == Body::Ended, read.len()))
    }

    #[test]
    fn chunks_are_joined_however_they_are_cut() {
        let text = "4\r\none \r\n6;x=y\r\ntwo th\r\n3\nree\n0\r\nx-sum: 1\r\n\r\n";
        for n_at_once in 1..=text.len() {
            assert_eq!(taken(text, n_at_once), Ok(("one two three".to_owned(), true, 0)), "{n_at_once} at once");
        }
        // What stands behind the end is left there, for whoever decides what it is.
        assert_eq!(taken("1\r\na\r\n0\r\n\r\nHTTP", 100), Ok(("a".to_owned(), true, 4)));
        assert_eq!(taken("5\r\nab", 100), Ok(("ab".to_owned(), false, 0)));
    }

    #[test]
    fn chunks_that_lie_about_their_size_are_refused() {
        for text in
            ["x\r\n", "\r\n", "-1\r\na\r\n", "+1\r\na\r\n", "1\r\nab\r\n", "fffffffffffffffff\r\n", "0x1\r\na\r\n"]
        {
            for n_at_once in [1, 100] {
                assert!(matches!(taken(text, n_at_once), Err(TransportError::Protocol(_))), "{text:?}");
            }
        }
        assert!(taken(&"1".repeat(SIZE_MOST + 2), 100).is_err());
        assert!(taken(&format!("0\r\n{}", "a: b\r\n".repeat(TRAILERS_MOST / 6 + 2)), 100).is_err());
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let (mut body, mut read) = (Body::Length(5), BytesMut::from("abc"));
        assert_eq!(body.take(&mut read).unwrap().unwrap(), "abc");
        assert_eq!(body.take(&mut read), Ok(None));
        read.extend_from_slice(b"defg");
        assert_eq!(body.take(&mut read).unwrap().unwrap(), "de");
        assert_eq!((body, read.as_ref()), (Body::Ended, b"fg".as_ref()));
    }
}
