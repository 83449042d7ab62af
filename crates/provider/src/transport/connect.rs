//! Opening a connection: where to, through what, and how it is sealed.

use std::{net::IpAddr, time::Duration};

use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{
    addresses::Addresses,
    endpoint::{self, Origin},
    error::{self, TransportError},
    proxy::Proxy,
    stream::Stream,
    tls::{Authorities, Settings, Tls},
};

/// How long opening a connection may take, unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The version of HTTP that is wished for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1: a connection for each request that is in flight.
    #[default]
    Http1,
    /// HTTP/2: many requests on one connection. Over TLS a server that does not speak it is spoken to in HTTP/1.1; over
    /// plain TCP it must.
    Http2,
}

/// How connections to an endpoint are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connecting {
    /// The proxy they go through.
    pub proxy: Option<Proxy>,
    /// Authorities that are trusted beside the system's.
    pub authorities: Option<Authorities>,
    /// Whether the server must show a certificate that is trusted and bears its name. Where it need not, anybody on the
    /// way can read and change everything; whoever turns this off says so to the user.
    pub is_verified: bool,
    /// Addresses of the host, instead of those that its name resolves to: each new connection takes the next one, and
    /// where nobody answers there, those that follow it. A proxy resolves names itself, so with one this is not used.
    pub addresses: Vec<IpAddr>,
    /// How long opening one may take, with everything from the name to the handshake of TLS. The deadline of a request
    /// ends it earlier.
    pub timeout: Duration,
    /// What is spoken on them.
    pub http: HttpVersion,
}

impl Default for Connecting {
    fn default() -> Self {
        Self {
            proxy: None,
            authorities: None,
            is_verified: true,
            addresses: Vec::new(),
            timeout: TIMEOUT,
            http: HttpVersion::default(),
        }
    }
}

/// An open connection, and what is spoken on it.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) stream: Stream,
    pub(super) http: HttpVersion,
}

/// Why there is no connection, in words.
#[derive(Debug)]
pub(super) enum Failed {
    /// Not at this address; another one of the host may do.
    Here(String),
    /// Nowhere: somebody answered, and it will not do.
    Finally(String),
}

/// What is kept between connections: addresses, and the sessions of TLS.
#[derive(Debug, Default)]
pub(super) struct Connector {
    tls: Tls,
    addresses: Addresses,
}

impl Connector {
    pub(super) fn with_roots(roots: Vec<CertificateDer<'static>>) -> Self {
        Self { tls: Tls::with_roots(roots), addresses: Addresses::default() }
    }

    /// Opens a connection on which at most `http` is spoken.
    pub(super) async fn open(&self, origin: &Origin, http: HttpVersion) -> Result<Connected, TransportError> {
        let opened = self.open_somewhere(origin, http).await;
        opened.map_err(|cause| {
            let cause = match &origin.way.proxy {
                Some(proxy) => format!("through the proxy {}: {cause}", proxy.address()),
                None => cause,
            };
            TransportError::Connect { to: endpoint::joined(&origin.host, origin.port), cause }
        })
    }

    /// Tries the addresses one after the other. A dead one gets its share of the time, so that those behind it have theirs.
    async fn open_somewhere(&self, origin: &Origin, http: HttpVersion) -> Result<Connected, String> {
        let limit = origin.way.timeout;
        let end = Instant::now() + limit;
        let addresses = match &origin.way.proxy {
            None if !origin.way.addresses.is_empty() => self.addresses.next_of(&origin.way.addresses, origin.port),
            proxy => {
                let (host, port) =
                    proxy.as_ref().map_or((&origin.host, origin.port), |proxy| (&proxy.host, proxy.port));
                let found = timeout_at(end, self.addresses.of(host, port)).await;
                found.map_err(|_| format!("the name was not resolved within {}", error::in_seconds(&limit)))??
            }
        };
        let mut last = "the name has no address".to_owned();
        for (n, address) in addresses.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let n_left = u32::try_from(addresses.len() - n).unwrap_or(u32::MAX);
            // Of many addresses none would get long enough to answer: some of them are left untried then.
            let share = (left / n_left).max(limit / 4).min(left);
            match timeout(share, self.open_at(origin, *address, http)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(Failed::Finally(why))) => return Err(why),
                Ok(Err(Failed::Here(why))) => last = why,
                Err(_) => last = format!("nothing answers there within {}", error::in_seconds(&limit)),
            }
            self.addresses.avoid(*address);
        }
        Err(last)
    }

    async fn open_at(
        &self,
        origin: &Origin,
        address: std::net::SocketAddr,
        http: HttpVersion,
    ) -> Result<Connected, Failed> {
        let here = |e| Failed::Here(error::of_connecting(&e));
        let tcp = TcpStream::connect(address).await.map_err(here)?;
        // A request is written whole; waiting for more to send with it would only delay it.
        tcp.set_nodelay(true).map_err(here)?;
        let Some(proxy) = &origin.way.proxy else {
            if !origin.is_tls {
                return Ok(Connected { stream: Stream::Plain(tcp), http });
            }
            return self.seal(origin, tcp, http, |tls| Stream::Tls(Box::new(tls))).await;
        };
        let needs_tunnel = !origin.is_absolute();
        let to = endpoint::joined(&origin.host, origin.port);
        if !proxy.is_tls {
            let mut tcp = tcp;
            if needs_tunnel {
                proxy.tunnel(&mut tcp, &to).await.map_err(Failed::Finally)?;
            }
            if !origin.is_tls {
                return Ok(Connected { stream: Stream::Plain(tcp), http });
            }
            return self.seal(origin, tcp, http, |tls| Stream::Tls(Box::new(tls))).await;
        }
        let mut outer = self.tls.wrap(&settings(origin, HttpVersion::Http1), &proxy.host, tcp).await?;
        if needs_tunnel {
            proxy.tunnel(&mut outer, &to).await.map_err(Failed::Finally)?;
        }
        if !origin.is_tls {
            return Ok(Connected { stream: Stream::Tls(Box::new(outer)), http });
        }
        self.seal(origin, outer, http, |tls| Stream::Tunnelled(Box::new(tls))).await
    }

    /// Shakes hands with the origin, which chooses what is spoken.
    async fn seal<S>(
        &self,
        origin: &Origin,
        stream: S,
        http: HttpVersion,
        sealed: impl FnOnce(tokio_rustls::client::TlsStream<S>) -> Stream,
    ) -> Result<Connected, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let tls = self.tls.wrap(&settings(origin, http), &origin.host, stream).await?;
        let http = match tls.get_ref().1.alpn_protocol() {
            Some(b"h2") => HttpVersion::Http2,
            _ => HttpVersion::Http1,
        };
        Ok(Connected { stream: sealed(tls), http })
    }
}

fn settings(origin: &Origin, http: HttpVersion) -> Settings {
    let Connecting { authorities, is_verified, .. } = &*origin.way;
    Settings { authorities: authorities.clone(), is_verified: *is_verified, http }
}
