//! The heads of requests and answers.

use bytes::{Buf, BufMut, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::{
    super::error::TransportError,
    framing::{Framing, announced},
};

/// More headers than anybody sends.
const N_HEADERS: usize = 256;

/// The longest word that an answer will come; what is longer is left to whoever reads heads.
const WORD_MOST: usize = 16 * 1024;

/// The head of an answer.
#[derive(Debug)]
pub(in super::super) struct Head {
    pub(in super::super) status: StatusCode,
    pub(in super::super) headers: HeaderMap,
    pub(super) body: Framing,
    pub(super) may_stay: bool,
}

/// Writes the beginning of a request: its line and its headers, without the blank line behind them.
pub(in super::super) fn write(method: &Method, target: &str, headers: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for part in [method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in headers {
        write_header(&mut out, name, value);
    }
    out
}

/// Returns whether the connection is to stay behind a message (RFC 9112 section 9.3).
#[must_use]
pub fn stays(headers: &HeaderMap, is_1_1: bool) -> bool {
    let says = |word: &str| {
        let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    if is_1_1 { !says("close") } else { says("keep-alive") && !says("close") }
}

/// Writes one header. Neither name nor value can hold the end of a line: their types forbid it.
pub fn write_header(out: &mut impl BufMut, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.put_slice(part);
    }
}

/// Takes a head out of what was read; nothing where it is not complete. Answers that only say that one will come (1xx)
/// are passed over.
pub(super) fn read(bytes: &mut BytesMut) -> Result<Option<Head>, TransportError> {
    loop {
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; N_HEADERS];
        let mut head = httparse::Response::new(&mut []);
        let parsed =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut head, bytes, &mut headers);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(e) => return Err(protocol(e)),
        };
        let status = StatusCode::from_u16(head.code.unwrap_or_default()).map_err(protocol)?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(protocol("it changes to another protocol, which nobody asked for"));
        }
        if status.is_informational() {
            bytes.advance(length);
            continue;
        }
        let is_1_1 = head.version == Some(1);
        let mut map = HeaderMap::with_capacity(head.headers.len());
        for header in &*head.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(protocol)?;
            map.append(name, HeaderValue::from_bytes(header.value).map_err(protocol)?);
        }
        let body = framing(status, &map)?;
        let may_stay = stays(&map, is_1_1);
        // Both at once are how answers are smuggled: what is behind this one is not believed.
        let is_plain = !(map.contains_key(TRANSFER_ENCODING) && map.contains_key(CONTENT_LENGTH));
        bytes.advance(length);
        return Ok(Some(Head { status, headers: map, body, may_stay: may_stay && is_plain }));
    }
}

/// Passes over what only says that an answer will come, and returns whether nothing else was read, or only a part of such
/// a word.
pub(super) fn is_only_word(bytes: &mut BytesMut) -> bool {
    let begins = |bytes: &[u8]| {
        let word = b"HTTP/1.1 1";
        bytes.starts_with(word) || word.starts_with(bytes)
    };
    while begins(bytes) {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return bytes.len() <= WORD_MOST };
        bytes.advance(end + 4);
    }
    bytes.is_empty()
}

/// Tells how the end of the body is found, as RFC 9112 section 6.3 says.
fn framing(status: StatusCode, headers: &HeaderMap) -> Result<Framing, TransportError> {
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok(Framing::Ended);
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        let last = headers.get_all(TRANSFER_ENCODING).iter().next_back();
        let last = last.and_then(|value| value.to_str().ok()).and_then(|value| value.rsplit(',').next());
        let is_chunked = last.is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"));
        return Ok(if is_chunked { Framing::chunked() } else { Framing::ToTheEnd });
    }
    Ok(match announced(headers).map_err(protocol)? {
        Some(0) => Framing::Ended,
        Some(length) => Framing::Length(length),
        None => Framing::ToTheEnd,
    })
}

pub(super) fn protocol(what: impl std::fmt::Display) -> TransportError {
    TransportError::Protocol(what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<Head>, TransportError> {
        read(&mut BytesMut::from(text))
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let check = |headers: &str, body: Framing, may_stay: bool| {
            let head = parsed(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n")).unwrap().unwrap();
            assert_eq!((head.body, head.may_stay), (body, may_stay), "{headers}");
        };
        check("content-length: 12\r\n", Framing::Length(12), true);
        check("content-length: 12\r\nContent-Length: 12\r\n", Framing::Length(12), true);
        check("content-length: 0\r\n", Framing::Ended, true);
        check("transfer-encoding: gzip, Chunked\r\n", Framing::chunked(), true);
        check("transfer-encoding: gzip\r\nconnection: close\r\n", Framing::ToTheEnd, false);
        check("connection: x, CLOSE\r\n", Framing::ToTheEnd, false);
        // The length of one who says both is a lie.
        check("transfer-encoding: chunked\r\ncontent-length: 5\r\n", Framing::chunked(), false);
        let old = parsed("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n").unwrap().unwrap();
        assert!(!old.may_stay);
        let kept = parsed("HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\n").unwrap().unwrap();
        assert!(kept.may_stay);
    }

    #[test]
    fn what_could_be_taken_for_another_answer_is_refused() {
        for headers in [
            "content-length: 1\r\ncontent-length: 2\r\n",
            "content-length: +1\r\n",
            "content-length: 1, 2\r\n",
            "content-length: \r\n",
        ] {
            let refused = parsed(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n"));
            assert!(matches!(refused, Err(TransportError::Protocol(_))), "{headers}");
        }
        for text in ["<html>\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 101 Now\r\nupgrade: x\r\n\r\n"] {
            assert!(matches!(parsed(text), Err(TransportError::Protocol(_))), "{text}");
        }
    }

    #[test]
    fn word_of_an_answer_to_come_does_not_end_a_request() {
        let word = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n";
        for cut in 1..=word.len() {
            assert!(is_only_word(&mut BytesMut::from(&word[..cut])), "{cut}");
        }
        let mut bytes = BytesMut::from(format!("{word}HTTP/1.1 413 No\r\n").as_str());
        assert!(!is_only_word(&mut bytes));
        assert_eq!(bytes, "HTTP/1.1 413 No\r\n");
    }

    #[test]
    fn word_of_an_answer_to_come_is_passed_over_and_half_a_head_is_waited_for() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno";
        for cut in 0..text.len() - 2 {
            let head = parsed(&text[..cut]).unwrap();
            assert!(head.is_none(), "{cut}");
        }
        let mut bytes = BytesMut::from(text);
        assert_eq!(read(&mut bytes).unwrap().unwrap().status, 503);
        assert_eq!(bytes, "no");
    }
}
