//! Where the body of a message ends (RFC 9112 sections 6 and 7).

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, header::CONTENT_LENGTH};

/// A body that is not framed as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misframed(&'static str);

/// The longest line with the size of a chunk: sixteen digits, and extensions that nobody uses.
const SIZE_MOST: usize = 4 * 1024;
/// The most that may stand behind the last chunk.
const TRAILERS_MOST: usize = 64 * 1024;

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing.
    Ended,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// All until the connection ends.
    ToTheEnd,
}

/// A body in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    /// Whether a line may end without a carriage return, as some servers write it.
    is_lenient: bool,
}

/// Where in the chunks the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the line with a size.
    Size,
    /// In a chunk of which so much is left.
    Data(u64),
    /// Before the end of the line behind a chunk.
    Behind,
    /// Behind the last chunk, so many bytes of trailers in.
    Trailers(usize),
}

impl Framing {
    /// Chunks of a vendor, whose ends of lines are taken as they are.
    #[must_use]
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunked { at: At::Size, is_lenient: true })
    }

    /// Chunks of a client. Who stands between us and him may read another end of a line than we do, so there is only one.
    #[must_use]
    pub fn chunked_strictly() -> Self {
        Self::Chunked(Chunked { at: At::Size, is_lenient: false })
    }

    /// Takes all of the body that was read; nothing where more must be read first, or where it has ended.
    ///
    /// # Errors
    /// Where chunks are none.
    pub fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, Misframed> {
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
            Self::Chunked(chunked) => {
                let (piece, has_ended) = unframed(chunked, read)?;
                if has_ended {
                    *self = Self::Ended;
                }
                piece
            }
        };
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// Returns how long a message says that its body is.
///
/// # Errors
/// Where it says so in two ways, or it is no number.
pub fn announced(headers: &HeaderMap) -> Result<Option<u64>, Misframed> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for one in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            // A sign would parse.
            let is_number = !one.is_empty() && one.iter().all(u8::is_ascii_digit);
            let one = std::str::from_utf8(one).ok().filter(|_| is_number).and_then(|one| one.parse::<u64>().ok());
            let one = one.ok_or(Misframed("its length is no number"))?;
            if length.is_some_and(|earlier| earlier != one) {
                return Err(Misframed("it has two lengths"));
            }
            length = Some(one);
        }
    }
    Ok(length)
}

/// Takes the data of all chunks that were read, moved together over the marks between them: one piece, and no copy of
/// its own. Returns whether that was all.
fn unframed(chunked: &mut Chunked, read: &mut BytesMut) -> Result<(Bytes, bool), Misframed> {
    let Chunked { at: state, is_lenient } = chunked;
    // Before `out` stands data, from `at` on what is not looked at yet.
    let (mut out, mut at, mut has_ended) = (0, 0, false);
    while at < read.len() {
        match state {
            At::Data(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len() - at);
                if out != at {
                    read.copy_within(at..at + n, out);
                }
                (out, at) = (out + n, at + n);
                *left -= n as u64;
                if *left == 0 {
                    *state = At::Behind;
                }
            }
            At::Behind => {
                let end: &[u8] = if read[at] == b'\n' && *is_lenient { b"\n" } else { b"\r\n" };
                let rest = &read[at..];
                if rest.len() < end.len() && end.starts_with(rest) {
                    break;
                }
                if !rest.starts_with(end) {
                    return Err(Misframed("a chunk is longer than its size"));
                }
                at += end.len();
                *state = At::Size;
            }
            At::Size => {
                let Some(end) = memchr::memchr(b'\n', &read[at..]) else {
                    if read.len() - at > SIZE_MOST {
                        return Err(Misframed("the size of a chunk is too long"));
                    }
                    break;
                };
                let size = size(line(&read[at..at + end], *is_lenient)?)?;
                at += end + 1;
                *state = if size == 0 { At::Trailers(0) } else { At::Data(size) };
            }
            At::Trailers(n_before) => {
                let Some(end) = memchr::memchr(b'\n', &read[at..]) else {
                    if read.len() - at + *n_before > TRAILERS_MOST {
                        return Err(Misframed("there is too much behind the last chunk"));
                    }
                    break;
                };
                let is_blank = line(&read[at..at + end], *is_lenient)?.is_empty();
                at += end + 1;
                if is_blank {
                    has_ended = true;
                    break;
                }
                *n_before += end + 1;
                if *n_before > TRAILERS_MOST {
                    return Err(Misframed("there is too much behind the last chunk"));
                }
            }
        }
    }
    let piece = read.split_to(out).freeze();
    read.advance(at - out);
    Ok((piece, has_ended))
}

/// Returns a line without the carriage return at its end.
fn line(line: &[u8], is_lenient: bool) -> Result<&[u8], Misframed> {
    match line.strip_suffix(b"\r") {
        Some(line) => Ok(line),
        None if is_lenient => Ok(line),
        None => Err(Misframed("a line among the chunks ends without a carriage return")),
    }
}

fn size(line: &[u8]) -> Result<u64, Misframed> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    // A sign would parse.
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| is_number).ok_or(Misframed("the size of a chunk is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str, n_at_once: usize) -> Result<(String, bool, usize), Misframed> {
        let (mut body, mut read, mut out) = (Framing::chunked(), BytesMut::new(), Vec::new());
        for bytes in text.as_bytes().chunks(n_at_once) {
            read.extend_from_slice(bytes);
            while let Some(piece) = body.take(&mut read)? {
                out.extend_from_slice(&piece);
            }
        }
        Ok((String::from_utf8(out).unwrap(), body == Framing::Ended, read.len()))
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
                assert!(matches!(taken(text, n_at_once), Err(Misframed(_))), "{text:?}");
            }
        }
        assert!(taken(&"1".repeat(SIZE_MOST + 2), 100).is_err());
        assert!(taken(&format!("0\r\n{}", "a: b\r\n".repeat(TRAILERS_MOST / 6 + 2)), 100).is_err());
    }

    #[test]
    fn a_client_ends_each_line_as_it_must() {
        let taken = |text: &str| {
            let (mut body, mut read) = (Framing::chunked_strictly(), BytesMut::from(text));
            body.take(&mut read).map(|piece| (piece, body == Framing::Ended))
        };
        assert_eq!(taken("1\r\na\r\n0\r\nx: y\r\n\r\n"), Ok((Some(Bytes::from_static(b"a")), true)));
        for text in
            ["1\na\r\n0\r\n\r\n", "1\r\na\n0\r\n\r\n", "1\r\na\r\n0\n\r\n", "1\r\na\r\n0\r\n\n", "0\r\nx: y\n\r\n"]
        {
            assert!(taken(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let (mut body, mut read) = (Framing::Length(5), BytesMut::from("abc"));
        assert_eq!(body.take(&mut read).unwrap().unwrap(), "abc");
        assert_eq!(body.take(&mut read), Ok(None));
        read.extend_from_slice(b"defg");
        assert_eq!(body.take(&mut read).unwrap().unwrap(), "de");
        assert_eq!((body, read.as_ref()), (Framing::Ended, b"fg".as_ref()));
    }
}
