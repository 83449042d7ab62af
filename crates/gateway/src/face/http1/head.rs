//! The head of a request, and where its body ends.
//!
//! Whoever stands between us and a client may read a request otherwise than we do: where there are two ways to read one,
//! there is none (RFC 9112 sections 6.3 and 11.2).

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{EXPECT, TRANSFER_ENCODING},
};
use provider::transport::{Framing, announced, stays};

use super::super::{exchange::Called, problem::Problem};

/// The most of a head that is read.
pub(super) const MOST: usize = 64 * 1024;
/// More headers than any client sends.
const N_HEADERS: usize = 128;

/// The head of a request.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) called: Called,
    pub(super) framing: Framing,
    pub(super) is_1_1: bool,
    /// Whether the client would ask again on this connection.
    pub(super) may_stay: bool,
    /// Whether the client wants to hear that its body is welcome before it sends it.
    pub(super) waits: bool,
}

/// Where a header stands in the head: begin and end of its name and of its value.
type Place = [usize; 4];

/// Takes a head out of what was read; nothing where it is not complete.
///
/// # Errors
/// With what the client is told, where it is none.
pub(super) fn read(bytes: &mut BytesMut) -> Result<Option<Head>, Problem> {
    let mut places = [Place::default(); N_HEADERS];
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; N_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(length)) if length <= MOST => length,
        Ok(httparse::Status::Partial) if bytes.len() <= MOST => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(e) => return Err(unreadable(&e)),
    };
    let begin = bytes.as_ptr().addr();
    let n_headers = parsed.headers.len();
    for (place, header) in places.iter_mut().zip(&*parsed.headers) {
        let (name, value) = (header.name.as_ptr().addr() - begin, header.value.as_ptr().addr() - begin);
        *place = [name, name + header.name.len(), value, value + header.value.len()];
    }
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes()).map_err(|e| unreadable(&e))?;
    let path = parsed.path.unwrap_or_default();
    let path = path.as_ptr().addr() - begin..path.as_ptr().addr() - begin + path.len();
    let is_1_1 = parsed.version == Some(1);
    let head = bytes.split_to(length).freeze();
    let uri = Uri::from_maybe_shared(head.slice(path)).map_err(|e| unreadable(&e))?;
    let headers = map(&head, &places[..n_headers])?;
    let framing = framing(&headers, is_1_1)?;
    let waits =
        is_1_1 && headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let may_stay = stays(&headers, is_1_1);
    Ok(Some(Head { called: Called { method, uri, headers }, framing, is_1_1, may_stay, waits }))
}

/// Puts the headers into a map, which holds on to the bytes that were read.
fn map(head: &Bytes, places: &[Place]) -> Result<HeaderMap, Problem> {
    let mut map = HeaderMap::with_capacity(places.len());
    for [name, name_end, value, value_end] in places.iter().copied() {
        let name = HeaderName::from_bytes(&head[name..name_end]).map_err(|e| unreadable(&e))?;
        let value = HeaderValue::from_maybe_shared(head.slice(value..value_end)).map_err(|e| unreadable(&e))?;
        map.append(name, value);
    }
    Ok(map)
}

fn framing(headers: &HeaderMap, is_1_1: bool) -> Result<Framing, Problem> {
    let length = announced(headers).map_err(|e| unreadable(&e))?;
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(length.filter(|length| *length > 0).map_or(Framing::Ended, Framing::Length));
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = codings.next().is_some_and(|one| one.as_bytes().eq_ignore_ascii_case(b"chunked"));
    match (is_chunked && codings.next().is_none(), length) {
        _ if !is_1_1 => Err(unreadable(&"HTTP/1.0 has no transfer-encoding")),
        (false, _) => Err(unreadable(&"the only transfer-encoding that is understood is chunked")),
        (true, Some(_)) => Err(unreadable(&"it has a length and comes in chunks, so that its end is in two places")),
        (true, None) => Ok(Framing::chunked_strictly()),
    }
}

/// Passes over the ends of lines that some old clients put behind a body.
pub(super) fn skip_blank(bytes: &mut BytesMut) {
    let n_blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    bytes.advance(n_blank);
}

/// Returns whether the end of a head may be among what was read behind the first `n_before` bytes.
pub(super) fn may_end(bytes: &[u8], n_before: usize) -> bool {
    let new = &bytes[n_before.saturating_sub(3)..];
    memchr::memchr_iter(b'\n', new).any(|at| matches!(new[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

fn unreadable(what: &impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_http", format!("the request is not valid HTTP/1.1: {what}"))
}

fn too_large() -> Problem {
    let message = format!("the head of the request is larger than {MOST} bytes or has more than {N_HEADERS} headers");
    Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "request_head_too_large", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What heads are made of, and what they are not.
    const WORDS: [&str; 14] = [
        "GET /x HTTP/1.1\r\n",
        "POST ",
        "/ HTTP/1.0\r\n",
        "a: b\r\n",
        "\r\n",
        "\n",
        "\r",
        ":",
        " ",
        "\0",
        "\u{e9}",
        "content-length: 1\r\n",
        "transfer-encoding: chunked\r\n",
        "connection: close\r\n",
    ];

    proptest! {
        #[test]
        fn a_head_means_the_same_however_it_is_cut(
            words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..12),
            at in 0.0..1.0,
        ) {
            let text = words.concat();
            let told = |bytes: &mut BytesMut| match read(bytes) {
                Ok(Some(head)) => Ok(Some((format!("{head:?}"), bytes.len()))),
                Ok(None) => Ok(None),
                Err(problem) => Err(problem.status),
            };
            let whole = told(&mut BytesMut::from(&*text));
            let cut = (text.len() as f64 * at) as usize;
            let mut bytes = BytesMut::from(&text.as_bytes()[..cut]);
            match told(&mut bytes) {
                Ok(None) => {
                    bytes.extend_from_slice(&text.as_bytes()[cut..]);
                    prop_assert!(may_end(&bytes, cut) || !matches!(whole, Ok(Some(_))));
                    prop_assert_eq!(told(&mut bytes), whole);
                }
                Ok(Some((head, _))) => prop_assert!(whole.is_ok_and(|whole| whole.is_some_and(|whole| whole.0 == head))),
                Err(_) => prop_assert!(whole.is_err()),
            }
        }
    }

    fn parsed(headers: &str) -> Result<Head, Problem> {
        read(&mut BytesMut::from(&*format!("POST /v1/x?a=b HTTP/1.1\r\n{headers}\r\n"))).map(Option::unwrap)
    }

    #[test]
    fn a_head_is_read_however_it_comes() {
        let text = "POST /v1/x?a=b HTTP/1.1\r\nHost: x\r\nX-A:  one two \r\nx-a:\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 0..text.len() - 4 {
            let mut bytes = BytesMut::from(&text[..cut]);
            assert!(read(&mut bytes).unwrap().is_none(), "{cut}");
            assert_eq!(bytes.len(), cut);
            bytes.extend_from_slice(&text.as_bytes()[cut..]);
            assert!(may_end(&bytes, cut), "{cut}");
            let Head { called: Called { method, uri, headers }, framing, is_1_1, may_stay, waits } =
                read(&mut bytes).unwrap().unwrap();
            assert_eq!((method, uri.path(), uri.query()), (Method::POST, "/v1/x", Some("a=b")));
            let values: Vec<_> = headers.get_all("x-a").iter().map(HeaderValue::as_bytes).collect();
            assert_eq!((headers.len(), values), (4, vec![&b"one two"[..], b""]));
            assert_eq!((framing, is_1_1, may_stay, waits), (Framing::Length(3), true, true, false));
            assert_eq!(bytes, "abc");
        }
    }

    #[test]
    fn it_is_seen_where_a_head_cannot_have_ended() {
        for (text, n_before) in
            [("GET / HTTP/1.1\r\nhost: x\r\n", 0), ("a\r\n\r", 3), ("a: b\r\n\r\nc\r\n", 9), ("", 0)]
        {
            assert!(!may_end(text.as_bytes(), n_before), "{text:?}");
        }
        for text in ["a\r\n\r\n", "a\n\n", "a\n\r\n"] {
            assert!(may_end(text.as_bytes(), text.len() - 1), "{text:?}");
        }
    }

    #[test]
    fn where_a_body_ends_is_told_in_one_way_or_not_at_all() {
        let framing = |headers: &str| parsed(headers).map(|head| head.framing);
        for (headers, expected) in [
            ("", Framing::Ended),
            ("content-length: 0\r\n", Framing::Ended),
            ("content-length: 12\r\ncontent-length: 12\r\n", Framing::Length(12)),
            ("transfer-encoding: Chunked\r\n", Framing::chunked_strictly()),
        ] {
            assert_eq!(framing(headers).unwrap(), expected, "{headers}");
        }
        for headers in [
            "content-length: 1\r\ncontent-length: 2\r\n",
            "content-length: 1, 2\r\n",
            "content-length: -1\r\n",
            "content-length:\r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked, identity\r\n",
            "transfer-encoding: identity\r\n",
            "transfer-encoding:\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
            "content-length: 0\r\ntransfer-encoding: chunked\r\n",
            "content-length : 1\r\n",
            "x: y\r\n content-length: 1\r\n",
            "x\r\n",
            "x: a\0b\r\n",
        ] {
            assert_eq!(framing(headers).unwrap_err().status, StatusCode::BAD_REQUEST, "{headers}");
        }
        let old = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(read(&mut BytesMut::from(old)).is_err());
    }

    #[test]
    fn a_client_says_whether_it_will_ask_again() {
        let stays = |version: &str, headers: &str| {
            let head = read(&mut BytesMut::from(&*format!("GET / HTTP/1.{version}\r\n{headers}\r\n")));
            head.unwrap().unwrap().may_stay
        };
        assert!(stays("1", "") && stays("0", "connection: Keep-Alive\r\n"));
        assert!(!stays("1", "connection: x, CLOSE\r\n") && !stays("0", "") && !stays("0", "connection: close\r\n"));
        assert!(parsed("expect: 100-Continue\r\ncontent-length: 1\r\n").unwrap().waits);
    }

    #[test]
    fn heads_without_measure_are_refused() {
        let many: String = (0..=N_HEADERS).map(|n| format!("x-{n}: 1\r\n")).collect();
        assert_eq!(parsed(&many).unwrap_err().status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let long = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(MOST));
        let refused = read(&mut BytesMut::from(&*long)).unwrap_err();
        assert_eq!(refused.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        for line in ["GET", "G T / HTTP/1.1", "GET / HTTP/2.0", "GET / HTTP/1.1 x", "\u{1}\u{3}", "GET /a b HTTP/1.1"] {
            let bytes = format!("{line}\r\nhost: x\r\n\r\n");
            assert_eq!(read(&mut BytesMut::from(&*bytes)).unwrap_err().status, StatusCode::BAD_REQUEST, "{line}");
        }
    }
}
