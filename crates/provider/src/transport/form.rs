//! Requests.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE, USER_AGENT},
    uri::PathAndQuery,
};

use super::{Endpoint, EndpointError, Payload, http1};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("tidemill/", env!("CARGO_PKG_VERSION")));

/// How much of a whole answer is read at once: most are shorter.
const WHOLE: usize = 4 * 1024;
/// How much of a streamed answer is read at once.
const STREAM: usize = 16 * 1024;

/// What all requests of one kind to an endpoint begin with, written once.
#[derive(Clone)]
pub struct Form {
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    head: Bytes,
}

impl Form {
    /// Makes the form of requests to `path` below the base URL, which begins with a slash. Its headers win over those of
    /// the endpoint; values that are secret are marked so.
    ///
    /// # Errors
    /// Where the path would not be one.
    pub fn new(endpoint: &Endpoint, method: Method, path: &str, headers: HeaderMap) -> Result<Self, EndpointError> {
        let path = endpoint.path(path)?;
        let mut headers = headers;
        headers.insert(HOST, endpoint.host.clone());
        for (name, value) in &endpoint.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        headers.entry(USER_AGENT).or_insert(AGENT);
        let head = http1::write_head(&method, &endpoint.target(&path), &headers).into();
        Ok(Self { method, path, headers, head })
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }
}

// The head holds the key.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, headers, .. } = self;
        f.debug_struct("Form")
            .field("method", method)
            .field("path", path)
            .field("headers", headers)
            .finish_non_exhaustive()
    }
}

/// A message to an endpoint.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What it begins with.
    pub form: &'a Form,
    /// Headers of this message alone. Those of the form win over them.
    pub headers: Cow<'a, HeaderMap>,
    /// The body.
    pub body: Payload,
    /// Whether the answer will come in pieces that are wanted as they come.
    pub is_stream: bool,
}

impl Request<'_> {
    /// Returns what stands in the head behind what the form says.
    pub(super) fn behind(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(if self.headers.is_empty() { 32 } else { 256 });
        for (name, value) in &*self.headers {
            if *name != CONTENT_LENGTH && !self.form.headers.contains_key(name) {
                http1::write_header(&mut out, name, value);
            }
        }
        if self.has_length() {
            http1::write_header(&mut out, &CONTENT_LENGTH, &HeaderValue::from(self.body.len()));
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// Servers ask for a length where a body could be (RFC 9110 section 8.6), and are puzzled by one where none can.
    fn has_length(&self) -> bool {
        !self.body.is_empty() || self.form.method == Method::POST || self.form.method == Method::PUT
    }

    /// Returns all parts of the message, of which `behind` is one.
    pub(super) fn parts<'b>(&'b self, behind: &'b [u8]) -> Parts<'b> {
        let (head, pieces) = (self.form.head(), self.body.pieces());
        match pieces {
            [one] => Parts::Few([head, behind, one]),
            _ => Parts::Many([head, behind].into_iter().chain(pieces.iter().map(|piece| &**piece)).collect()),
        }
    }

    /// Returns the head as HTTP/2 has it: with the whole URL, and without what only concerns a connection.
    pub(super) fn message(&self, endpoint: &Endpoint) -> http::Request<()> {
        let Form { method, path, headers, .. } = self.form;
        let mut all = headers.clone();
        for (name, value) in &*self.headers {
            if !headers.contains_key(name) {
                all.append(name, value.clone());
            }
        }
        for name in [HOST, CONNECTION, TRANSFER_ENCODING, UPGRADE] {
            all.remove(name);
        }
        for name in ["keep-alive", "proxy-connection", "te"] {
            all.remove(name);
        }
        all.remove(CONTENT_LENGTH);
        if self.has_length() {
            all.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        let mut message = http::Request::new(());
        *message.method_mut() = method.clone();
        *message.uri_mut() = endpoint.url(path);
        *message.headers_mut() = all;
        message
    }

    pub(super) fn is_head(&self) -> bool {
        self.form.method == Method::HEAD
    }

    pub(super) fn at_once(&self) -> usize {
        if self.is_stream { STREAM } else { WHOLE }
    }
}

/// The parts of a message. Most have three, for which nothing need be allocated.
pub(super) enum Parts<'a> {
    Few([&'a [u8]; 3]),
    Many(Vec<&'a [u8]>),
}

impl<'a> Parts<'a> {
    pub(super) fn as_slice(&self) -> &[&'a [u8]] {
        match self {
            Self::Few(parts) => parts,
            Self::Many(parts) => parts,
        }
    }
}
