//! Requests, as they come off a connection.

use std::{io, mem::MaybeUninit, ops::Range};

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;

/// No request's body is longer than this.
pub(crate) const LONGEST: usize = 64 << 20;

/// No request's head is longer than this, and none has more headers.
const LONGEST_HEAD: usize = 256 << 10;
const MOST_HEADERS: usize = 256;

/// Room for what is read at once.
const READ: usize = 8 << 10;

/// What a client may send ahead while its answer is on the way. Beyond it nobody looks whether it has left.
const MOST_AHEAD: usize = 1 << 20;

/// A connection, and what came over it that no request has taken.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) ahead: Ahead,
}

/// Bytes that came and were not taken.
#[derive(Default)]
pub(crate) struct Ahead(BytesMut);

/// A whole request.
pub(crate) struct Request {
    head: Bytes,
    method: Range<usize>,
    path: Range<usize>,
    authorization: Option<Range<usize>>,
    content_type: Option<Range<usize>>,
    pub(crate) body: Bytes,
    /// Whether the client wants the connection kept.
    pub(crate) keeps_alive: bool,
}

/// Why no request can be read any more.
#[derive(Debug)]
pub(crate) enum Malformed {
    /// The head is none.
    Head,
    /// The body is too long.
    Long,
}

/// What of a head says how to go on.
struct Head {
    length: usize,
    request: Request,
    body: usize,
    is_chunked: bool,
    expects: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Connection {
        Connection { stream, ahead: Ahead::default() }
    }

    /// Reads the next request; there is none where the client has left.
    pub(crate) async fn next(&mut self) -> Result<Option<Request>, Malformed> {
        let Head { length, mut request, body, is_chunked, expects } = loop {
            if let Some(head) = Head::read(&self.ahead.0)? {
                break head;
            }
            if self.ahead.0.len() > LONGEST_HEAD {
                return Err(Malformed::Head);
            }
            if !self.ahead.fill(&self.stream).await {
                return Ok(None);
            }
        };
        if body > LONGEST {
            return Err(Malformed::Long);
        }
        let is_here = !is_chunked && self.ahead.0.len() >= length + body;
        if expects && !is_here && super::write(&self.stream, b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return Ok(None);
        }
        request.head = self.ahead.0.split_to(length).freeze();
        if is_chunked {
            let Some(body) = self.chunks().await? else { return Ok(None) };
            request.body = body;
            return Ok(Some(request));
        }
        while self.ahead.0.len() < body {
            self.ahead.0.reserve(body - self.ahead.0.len());
            if !self.ahead.fill(&self.stream).await {
                return Ok(None);
            }
        }
        request.body = self.ahead.0.split_to(body).freeze();
        Ok(Some(request))
    }

    /// Reads a body that comes in chunks.
    async fn chunks(&mut self) -> Result<Option<Bytes>, Malformed> {
        let mut body = BytesMut::new();
        loop {
            let Some(line) = self.line().await? else { return Ok(None) };
            let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let digits = std::str::from_utf8(digits.trim_ascii()).map_err(|_| Malformed::Head)?;
            let size = usize::from_str_radix(digits, 16).map_err(|_| Malformed::Head)?;
            if size == 0 {
                break;
            }
            if size > LONGEST || body.len() + size > LONGEST {
                return Err(Malformed::Long);
            }
            while self.ahead.0.len() < size + 2 {
                if !self.ahead.fill(&self.stream).await {
                    return Ok(None);
                }
            }
            body.extend_from_slice(&self.ahead.0[..size]);
            self.ahead.0.advance(size + 2);
        }
        // Trailers, up to a blank line.
        loop {
            match self.line().await? {
                None => return Ok(None),
                Some(line) if line.is_empty() => return Ok(Some(body.freeze())),
                Some(_) => {}
            }
        }
    }

    async fn line(&mut self) -> Result<Option<Bytes>, Malformed> {
        loop {
            if let Some(end) = self.ahead.0.windows(2).position(|two| two == b"\r\n") {
                let line = self.ahead.0.split_to(end).freeze();
                self.ahead.0.advance(2);
                return Ok(Some(line));
            }
            if self.ahead.0.len() > LONGEST_HEAD {
                return Err(Malformed::Head);
            }
            if !self.ahead.fill(&self.stream).await {
                return Ok(None);
            }
        }
    }
}

impl Ahead {
    /// Reads what is there, or waits for something; returns whether the client is still there.
    pub(crate) async fn fill(&mut self, stream: &TcpStream) -> bool {
        loop {
            if stream.readable().await.is_err() {
                return false;
            }
            self.0.reserve(READ);
            match stream.try_read_buf(&mut self.0) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
    }

    /// Throws away what came.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// Returns when the client has left.
    pub(crate) async fn left(&mut self, stream: &TcpStream) {
        while self.0.len() < MOST_AHEAD {
            if !self.fill(stream).await {
                return;
            }
        }
        std::future::pending().await
    }
}

impl Head {
    /// Reads a head, if it is whole.
    fn read(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
        if bytes.is_empty() {
            return Ok(None);
        }
        // Filling them in first would cost as much as everything else here.
        let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut []);
        let status = parsed.parse_with_uninit_headers(bytes, &mut headers);
        let length = match status.map_err(|_| Malformed::Head)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let within = |part: &[u8]| {
            let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + part.len()
        };
        let request = Request {
            head: Bytes::new(),
            method: within(parsed.method.unwrap_or_default().as_bytes()),
            path: within(parsed.path.unwrap_or_default().as_bytes()),
            authorization: None,
            content_type: None,
            body: Bytes::new(),
            keeps_alive: parsed.version == Some(1),
        };
        let mut head = Head { length, request, body: 0, is_chunked: false, expects: false };
        for header in &*parsed.headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let says = |word: &str| {
                header
                    .value
                    .split(|byte| *byte == b',')
                    .any(|part| part.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
            };
            if is("content-length") {
                let digits = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
                head.body = digits.ok_or(Malformed::Head)?;
            } else if is("authorization") {
                head.request.authorization = Some(within(header.value));
            } else if is("content-type") {
                head.request.content_type = Some(within(header.value));
            } else if is("transfer-encoding") {
                head.is_chunked = says("chunked");
            } else if is("connection") {
                head.request.keeps_alive =
                    if says("close") { false } else { head.request.keeps_alive || says("keep-alive") };
            } else if is("expect") {
                head.expects = says("100-continue");
            }
        }
        Ok(Some(head))
    }
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        self.text(&self.method)
    }

    /// Returns the path, without a query.
    pub(crate) fn path(&self) -> &str {
        let target = self.text(&self.path);
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// Returns the value of a parameter of the query, as it stands there.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.text(&self.path).split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    pub(crate) fn authorization(&self) -> Option<&[u8]> {
        Some(&self.head[self.authorization.clone()?])
    }

    pub(crate) fn content_type(&self) -> &str {
        self.content_type.as_ref().map_or("", |range| self.text(range))
    }

    /// Returns the headers in their order, names in small letters.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        if parsed.parse(&self.head).is_err() {
            return Vec::new();
        }
        let read = |header: &httparse::Header<'_>| {
            (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
        };
        parsed.headers.iter().map(read).collect()
    }

    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.head[range.clone()]).unwrap_or_default()
    }
}
