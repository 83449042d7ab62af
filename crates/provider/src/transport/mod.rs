//! The one HTTP/1.1 client.
//!
//! It keeps connections alive, one pool per origin, and holds every exchange to one deadline over connecting, sending
//! and reading. It is deliberately less than a client library: no redirects, no cookies, no proxies from the
//! environment, no nested timeouts, and **no retries**. Two things look like one and are not:
//!
//! - A kept connection that the server closed meanwhile is thrown away before anything is written to it.
//! - Where it closes in the instant between, hyper hands the request back with the word that not a byte of it was
//!   written. Such a request was never sent; it goes out, for the first time, on a fresh connection.
//!
//! A request of which anything was written is never sent again here: the vendor may be working on it, and whether to ask
//! once more is the engine's decision.

mod connect;
mod endpoint;
mod error;
mod pool;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{HOST, USER_AGENT},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
pub use rustls::pki_types::CertificateDer;

use connect::Trust;
use endpoint::Origin;
pub use endpoint::{Endpoint, EndpointError};
pub use error::TransportError;
use pool::{Pool, Sender};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("tidemill/", env!("CARGO_PKG_VERSION")));

/// How much is taken.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest answer in bytes. A longer one ends the exchange with [`TransportError::TooLarge`].
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { answer_bytes: 64 << 20 }
    }
}

/// A message to an endpoint. Its method is POST.
#[derive(Clone, Debug)]
pub struct Request {
    /// The whole path, from [`Endpoint::path`].
    pub path: PathAndQuery,
    /// The headers of this message; they win over those of the endpoint. Values that are secret are marked so.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The whole answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The client. One is enough for a process; it runs on whichever tokio runtime calls it.
#[derive(Debug, Default)]
pub struct Transport {
    limits: Limits,
    trust: Trust,
    pools: Mutex<HashMap<Origin, Arc<Pool>>>,
}

impl Transport {
    /// Makes a client that trusts the system's root certificates.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Makes a client that trusts `roots` and nothing else.
    #[must_use]
    pub fn with_roots(limits: Limits, roots: Vec<CertificateDer<'static>>) -> Self {
        Self { limits, trust: Trust::with_roots(roots), ..Self::default() }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// Where there is no whole answer before the deadline.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: Request,
        deadline: Instant,
    ) -> Result<Reply, TransportError> {
        let exchange = self.exchange(endpoint, request);
        match tokio::time::timeout_at(deadline.into(), exchange).await {
            Ok(result) => result,
            Err(_) => Err(TransportError::Deadline),
        }
    }

    async fn exchange(&self, endpoint: &Endpoint, request: Request) -> Result<Reply, TransportError> {
        let pool = self.pool(&endpoint.origin);
        let mut message = message(endpoint, request);
        if let Some(mut sender) = pool.take() {
            match sender.try_send_request(message).await {
                Ok(response) => return self.read(response, sender, pool).await,
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) => message = unsent,
                    None => return Err(error::of_exchange(&refused.into_error())),
                },
            }
        }
        let mut sender = connect::connect(&endpoint.origin, &self.trust).await?;
        match sender.send_request(message).await {
            Ok(response) => self.read(response, sender, pool).await,
            Err(error) => Err(error::of_exchange(&error)),
        }
    }

    /// Reads the body. The connection is kept only behind a body that was read to its end.
    async fn read(
        &self,
        response: http::Response<Incoming>,
        sender: Sender,
        pool: Arc<Pool>,
    ) -> Result<Reply, TransportError> {
        let limit = self.limits.answer_bytes;
        let (head, mut body) = response.into_parts();
        let announced = body.size_hint().lower();
        if announced > limit as u64 {
            return Err(TransportError::TooLarge { limit });
        }
        // Most answers come in one piece, which is taken as it is.
        let mut first = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| error::of_exchange(&e))?;
            let Ok(piece) = frame.into_data() else { continue };
            if first.len() + joined.len() + piece.len() > limit {
                return Err(TransportError::TooLarge { limit });
            }
            if first.is_empty() && joined.is_empty() {
                first = piece;
                continue;
            }
            if joined.is_empty() {
                let whole = usize::try_from(announced).unwrap_or(limit);
                joined.reserve(whole.max(first.len() + piece.len()));
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&piece);
        }
        pool.put(sender);
        let body = if joined.is_empty() { first } else { joined.freeze() };
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    fn pool(&self, origin: &Origin) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(origin) {
            return Arc::clone(pool);
        }
        Arc::clone(pools.entry(origin.clone()).or_default())
    }
}

fn message(endpoint: &Endpoint, request: Request) -> http::Request<Full<Bytes>> {
    let mut message = http::Request::new(Full::new(request.body));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = Uri::from(request.path);
    let mut headers = request.headers;
    headers.insert(HOST, endpoint.host.clone());
    for (name, value) in &endpoint.headers {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    headers.entry(USER_AGENT).or_insert(AGENT);
    *message.headers_mut() = headers;
    message
}
