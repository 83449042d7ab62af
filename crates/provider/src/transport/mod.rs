//! The one HTTP/1.1 client.
//!
//! It keeps connections alive, one pool per origin, and holds every exchange to one deadline over connecting, sending
//! and reading. It is deliberately less than a client library: no redirects, no cookies, no proxies from the
//! environment, no nested timeouts, and **no retries**. Two things look like one and are not:
//!
//! - A kept connection that the server closed meanwhile is thrown away before anything is written to it.
//! - Where it closes in the instant between, and not a byte of the request was written, the request was never sent; it
//!   goes out, for the first time, on a fresh connection.
//!
//! A request of which anything was written is never sent again here: the vendor may be working on it, and whether to ask
//! once more is the engine's decision.

mod answering;
mod connect;
mod endpoint;
mod error;
mod form;
mod http1;
mod payload;
mod pool;
mod stream;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
pub use rustls::pki_types::CertificateDer;

pub use answering::Answering;
use connect::Trust;
use endpoint::Origin;
pub use endpoint::{Endpoint, EndpointError};
pub use error::TransportError;
pub use form::{Form, Request};
use http1::{Connection, Lost};
pub use payload::Payload;
use pool::Pool;

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
        request: Request<'_>,
        deadline: Instant,
    ) -> Result<Reply, TransportError> {
        within(deadline, async { self.open(endpoint, request).await?.whole().await }).await
    }

    /// Sends a request and returns when the answer begins. It knows no deadline: whoever calls it holds it and all the
    /// reading to one.
    ///
    /// # Errors
    /// Where no answer begins.
    pub async fn open(&self, endpoint: &Endpoint, request: Request<'_>) -> Result<Answering, TransportError> {
        let pool = self.pool(&endpoint.origin);
        let limit = self.limits.answer_bytes;
        let behind = request.behind();
        let parts = request.parts(&behind);
        let parts = parts.as_slice();
        if let Some(mut connection) = pool.take() {
            match connection.exchange(parts, request.at_once()).await {
                Ok(head) => return Ok(Answering::new(head, connection, pool, limit)),
                Err(Lost::Unsent) => {}
                Err(Lost::Sent(error)) => return Err(error),
            }
        }
        let mut connection = Connection::new(connect::connect(&endpoint.origin, &self.trust).await?);
        match connection.exchange(parts, request.at_once()).await {
            Ok(head) => Ok(Answering::new(head, connection, pool, limit)),
            Err(Lost::Unsent) => Err(error::cut()),
            Err(Lost::Sent(error)) => Err(error),
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
