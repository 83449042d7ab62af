//! Opening a connection.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::OnceCell,
};
use tokio_rustls::TlsConnector;

use super::{endpoint::Origin, error, error::TransportError, stream::Stream};

/// What TLS trusts. The system's roots are read when the first `https` connection is opened, and never without one.
#[derive(Debug, Default)]
pub(super) struct Trust {
    pub(super) roots: Option<Vec<CertificateDer<'static>>>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Trust {
    pub(super) fn with_roots(roots: Vec<CertificateDer<'static>>) -> Self {
        Self { roots: Some(roots), config: OnceCell::new() }
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let config = self.config.get_or_try_init(|| async {
            let roots = self.roots.clone();
            // Reading some hundred certificates takes milliseconds, which other requests should not wait for.
            let made = tokio::task::spawn_blocking(move || config(roots)).await;
            made.map_err(|e| format!("reading the root certificates failed ({e})"))?.map(Arc::new)
        });
        config.await.cloned()
    }
}

fn config(given: Option<Vec<CertificateDer<'static>>>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let (found, errors) = match given {
        Some(certificates) => (certificates, Vec::new()),
        None => {
            let loaded = rustls_native_certs::load_native_certs();
            (loaded.certs, loaded.errors)
        }
    };
    // Systems carry certificates that are no longer well-formed; one of them must not take all the others away.
    let (n_taken, _) = roots.add_parsable_certificates(found);
    if n_taken == 0 {
        let why = errors.first().map_or(String::new(), |e| format!(" ({e})"));
        return Err(format!("no root certificates on this system{why}; install the package `ca-certificates`"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.map_err(|e| e.to_string())?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Opens a connection.
pub(super) async fn connect(origin: &Origin, trust: &Trust) -> Result<Stream, TransportError> {
    let refused = |cause: String| TransportError::Connect { to: format!("{}:{}", origin.host, origin.port), cause };
    let tcp = open(origin).await.map_err(refused)?;
    if !origin.is_tls {
        return Ok(Stream::Plain(tcp));
    }
    let config = trust.config().await.map_err(refused)?;
    let name = ServerName::try_from(origin.host.clone())
        .map_err(|_| refused("the host's name cannot stand in a certificate".to_owned()))?;
    let tls = TlsConnector::from(config).connect(name, tcp).await;
    let tls = tls.map_err(|e| refused(format!("TLS: {}", error::of_connecting(&e))))?;
    Ok(Stream::Tls(Box::new(tls)))
}

/// Tries the addresses of the host one after the other, within the one deadline of the request.
async fn open(origin: &Origin) -> Result<TcpStream, String> {
    let addresses = lookup_host((origin.host.as_str(), origin.port)).await;
    let addresses = addresses.map_err(|e| format!("the name cannot be resolved ({e})"))?;
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                // A request is written whole; waiting for more to send with it would only delay it.
                tcp.set_nodelay(true).map_err(|e| error::of_connecting(&e))?;
                return Ok(tcp);
            }
            Err(e) => last = error::of_connecting(&e),
        }
    }
    Err(last)
}
