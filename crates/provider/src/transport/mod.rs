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

mod answering;
mod connect;
mod endpoint;
mod error;
mod pool;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{HOST, USER_AGENT},
    uri::PathAndQuery,
};
use http_body_util::Full;
pub use rustls::pki_types::CertificateDer;

pub(crate) use answering::Answering;
use connect::Trust;
use endpoint::Origin;
pub use endpoint::{Endpoint, EndpointError};
pub use error::TransportError;
use pool::Pool;

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
        within(deadline, async { self.open(endpoint, request).await?.whole().await }).await
    }

    /// Sends a request and returns when the answer begins. It knows no deadline: whoever calls it holds it and all the
    /// reading to one, with [`within`].
    pub(crate) async fn open(&self, endpoint: &Endpoint, request: Request) -> Result<Answering, TransportError> {
        let pool = self.pool(&endpoint.origin);
        let limit = self.limits.answer_bytes;
        let mut message = message(endpoint, request);
        if let Some(mut sender) = pool.take() {
            match sender.try_send_request(message).await {
                Ok(response) => return Ok(Answering::new(response, sender, pool, limit)),
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) => message = unsent,
                    None => return Err(error::of_exchange(&refused.into_error())),
                },
            }
        }
        let mut sender = connect::connect(&endpoint.origin, &self.trust).await?;
        match sender.send_request(message).await {
            Ok(response) => Ok(Answering::new(response, sender, pool, limit)),
            Err(error) => Err(error::of_exchange(&error)),
        }
    }

    fn pool(&self, origin: &Origin) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(origin) {
            return Arc::clone(pool);
        }
        Arc::clone(pools.entry(origin.clone()).or_default())
    }
}

/// Ends `exchange` at the deadline.
pub(crate) async fn within<T>(
    deadline: Instant,
    exchange: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    tokio::time::timeout_at(deadline.into(), exchange).await.unwrap_or(Err(TransportError::Deadline))
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
