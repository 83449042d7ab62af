//! The one HTTP client.
//!
//! It keeps connections alive, one pool per origin, and holds every exchange to one deadline over connecting, sending
//! and reading. It is deliberately less than a client library: no redirects, no cookies, no proxies from the
//! environment, no nested timeouts, and **no retries**. Three things look like one and are not:
//!
//! - A kept connection that the server closed meanwhile is thrown away before anything is written to it.
//! - Where it closes in the instant between, and not a byte of the request was written, the request was never sent; it
//!   goes out, for the first time, on a fresh connection.
//! - In HTTP/2 a server says for certain which requests it has not looked at when it refuses them or goes away.
//!
//! Any other request of which anything was written is never sent again here: the vendor may be working on it, and whether to ask
//! once more is the engine's decision.

mod addresses;
mod answering;
mod connect;
mod endpoint;
mod error;
mod form;
mod http1;
mod http2;
mod payload;
mod pool;
mod proxy;
mod stream;
mod tls;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
pub use rustls::pki_types::CertificateDer;

pub use answering::{Answering, Read};
use connect::Connector;
pub use connect::{Connecting, HttpVersion};
use endpoint::Origin;
pub use endpoint::{Endpoint, EndpointError};
pub use error::TransportError;
pub use form::{Form, Request};
pub use http1::{Chunked, Framing, Misframed, announced, stays, write_header};
use http1::{Connection, Lost};
use http2::{Connections, Opened};
pub use payload::Payload;
use pool::Pool;
pub use proxy::Proxy;
pub use tls::Authorities;

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
    connector: Connector,
    pools: ByOrigin<Pool>,
    /// Of those that are spoken to in HTTP/2.
    http2: ByOrigin<Connections>,
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
        Self { limits, connector: Connector::with_roots(roots), ..Self::default() }
    }

    /// Lets go of connections that have waited too long. Those to an endpoint that is used are let go as others take their
    /// turn; whoever lives for long calls this now and then for those that are used no more.
    pub fn tidy(&self) {
        tidied(&self.pools, Pool::tidy);
        tidied(&self.http2, Connections::tidy);
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
        let limit = self.limits.answer_bytes;
        let mut fresh = None;
        if endpoint.origin.way.http == HttpVersion::Http2 {
            let connections = of(&self.http2, &endpoint.origin);
            // Its future is larger than that of HTTP/1.1, and most endpoints have none.
            match Box::pin(connections.open(&self.connector, endpoint, &request)).await? {
                Opened::Answering(head, body) => return Ok(Answering::over_http2(*head, body, limit)),
                Opened::SpeaksHttp1(stream) => fresh = stream,
            }
        }
        let pool = of(&self.pools, &endpoint.origin);
        let behind = request.behind();
        let parts = request.parts(&behind);
        let parts = parts.as_slice();
        let answering = |head, mut connection: Connection| {
            if request.is_head() {
                connection.has_no_body();
            }
            Answering::new(head, connection, Arc::clone(&pool), limit)
        };
        if fresh.is_none()
            && let Some(mut connection) = pool.take()
        {
            match connection.exchange(parts, request.at_once()).await {
                Ok(head) => return Ok(answering(head, connection)),
                Err(Lost::Unsent) => {}
                Err(Lost::Sent(error)) => return Err(error),
            }
        }
        let stream = match fresh {
            Some(stream) => stream,
            // In a box for the same reason.
            None => Box::pin(self.connector.open(&endpoint.origin, HttpVersion::Http1)).await?.stream,
        };
        let mut connection = Connection::new(stream);
        match connection.exchange(parts, request.at_once()).await {
            Ok(head) => Ok(answering(head, connection)),
            Err(Lost::Unsent) => Err(error::cut()),
            Err(Lost::Sent(error)) => Err(error),
        }
    }
}

type ByOrigin<T> = Mutex<HashMap<Origin, Arc<T>>>;

/// Drops what is kept for origins where `tidy` leaves nothing and nobody is at work.
fn tidied<T>(all: &ByOrigin<T>, tidy: impl Fn(&T) -> bool) {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, one| !tidy(one) || Arc::strong_count(one) > 1);
}

/// Returns what is kept for an origin.
fn of<T: Default>(all: &ByOrigin<T>, origin: &Origin) -> Arc<T> {
    // A map of pools is whole after any panic.
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(one) = all.get(origin) {
        return Arc::clone(one);
    }
    Arc::clone(all.entry(origin.clone()).or_default())
}

/// Ends `exchange` at the deadline.
pub(crate) async fn within<T>(
    deadline: Instant,
    exchange: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    tokio::time::timeout_at(deadline.into(), exchange).await.unwrap_or(Err(TransportError::Deadline))
}
