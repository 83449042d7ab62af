//! What TLS trusts, and what it offers to speak.
//!
//! One configuration serves all connections that are opened in the same way, so that a later one takes up the session of
//! an earlier one.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OnceCell,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    connect::{Failed, HttpVersion},
    endpoint::EndpointError,
    error,
};

/// Certificates of authorities that are trusted beside the system's.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities(Arc<[CertificateDer<'static>]>);

impl Authorities {
    /// Reads certificates in PEM, as they stand in a file `ca.pem`.
    ///
    /// # Errors
    /// Where there is none, or one of them cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, EndpointError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let found = found.map_err(|e| EndpointError(format!("not a certificate in PEM ({e})")))?;
        if found.is_empty() {
            let what = "there is no certificate; it stands between `-----BEGIN CERTIFICATE-----` and its end";
            return Err(EndpointError(what.to_owned()));
        }
        let mut store = RootCertStore::empty();
        for (n, certificate) in found.iter().enumerate() {
            let taken = store.add(certificate.clone());
            taken.map_err(|e| EndpointError(format!("certificate {} cannot be read ({e})", n + 1)))?;
        }
        Ok(Self(found.into()))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

/// What makes the TLS of two connections different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) authorities: Option<Authorities>,
    pub(super) is_verified: bool,
    pub(super) http: HttpVersion,
}

/// The configurations that are in use. The system's roots are read when the first `https` connection is opened, and never
/// without one.
#[derive(Debug, Default)]
pub(super) struct Tls {
    /// What is trusted instead of the system's roots.
    roots: Option<Vec<CertificateDer<'static>>>,
    configs: Mutex<Vec<(Settings, Arc<Made>)>>,
}

type Made = OnceCell<Arc<ClientConfig>>;

impl Tls {
    pub(super) fn with_roots(roots: Vec<CertificateDer<'static>>) -> Self {
        Self { roots: Some(roots), ..Self::default() }
    }

    /// Shakes hands with `host` over an open stream.
    pub(super) async fn wrap<S>(&self, settings: &Settings, host: &str, stream: S) -> Result<TlsStream<S>, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config(settings).await.map_err(Failed::Finally)?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failed::Finally("the host's name cannot stand in a certificate".to_owned()))?;
        TlsConnector::from(config).connect(name, stream).await.map_err(|e| {
            let words = format!("TLS: {}", error::of_connecting(&e));
            // What was said wrongly will be said wrongly elsewhere; who hung up may do better at another address.
            if e.get_ref().is_some_and(|cause| cause.is::<Error>()) {
                Failed::Finally(words)
            } else {
                Failed::Here(words)
            }
        })
    }

    async fn config(&self, settings: &Settings) -> Result<Arc<ClientConfig>, String> {
        let cell = {
            // A list of configurations is whole after any panic.
            let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
            match configs.iter().find(|(known, _)| known == settings) {
                Some((_, cell)) => Arc::clone(cell),
                None => {
                    let cell = Arc::default();
                    configs.push((settings.clone(), Arc::clone(&cell)));
                    cell
                }
            }
        };
        let config = cell.get_or_try_init(|| async {
            let (roots, settings) = (self.roots.clone(), settings.clone());
            // Reading some hundred certificates takes milliseconds, which other requests should not wait for.
            let made = tokio::task::spawn_blocking(move || config(roots, &settings)).await;
            made.map_err(|e| format!("reading the root certificates failed ({e})"))?.map(Arc::new)
        });
        config.await.cloned()
    }
}

fn config(given: Option<Vec<CertificateDer<'static>>>, settings: &Settings) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| e.to_string())?;
    let mut config = if settings.is_verified {
        builder.with_root_certificates(roots(given, settings.authorities.as_ref())?).with_no_client_auth()
    } else {
        let verifier = Arc::new(AcceptsAnything(provider));
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    };
    config.alpn_protocols = match settings.http {
        HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
        HttpVersion::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

fn roots(
    given: Option<Vec<CertificateDer<'static>>>,
    authorities: Option<&Authorities>,
) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (found, errors) = match given {
        Some(certificates) => (certificates, Vec::new()),
        None => {
            let loaded = rustls_native_certs::load_native_certs();
            (loaded.certs, loaded.errors)
        }
    };
    let own = authorities.map_or(&[][..], |authorities| &authorities.0).iter().cloned();
    // Systems carry certificates that are no longer well-formed; one of them must not take all the others away.
    let (n_taken, _) = roots.add_parsable_certificates(found.into_iter().chain(own));
    if n_taken == 0 {
        let why = errors.first().map_or(String::new(), |e| format!(" ({e})"));
        return Err(format!("no root certificates on this system{why}; install the package `ca-certificates`"));
    }
    Ok(roots)
}

/// Takes any certificate, where the user said so: the connection is encrypted, and nobody knows to whom.
#[derive(Debug)]
struct AcceptsAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptsAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    #[test]
    fn authorities_are_read_from_pem_or_refused_with_a_word() {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert;
        let own = BASE64.encode(own.der());
        let own = format!("-----BEGIN CERTIFICATE-----\n{own}\n-----END CERTIFICATE-----\n");
        let two = Authorities::from_pem(format!("# ours\n{own}\n{own}").as_bytes()).unwrap();
        assert_eq!(format!("{two:?}"), "Authorities(2)");
        let garbled = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for (pem, word) in [("", "no certificate"), ("hello", "no certificate"), (garbled, "certificate 1")] {
            let error = Authorities::from_pem(pem.as_bytes()).unwrap_err().0;
            assert!(error.contains(word), "{error}");
        }
    }

    #[tokio::test]
    async fn connections_opened_in_the_same_way_share_a_configuration() {
        let root = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.der().clone();
        let tls = Tls::with_roots(vec![root]);
        let one = Settings { authorities: None, is_verified: true, http: HttpVersion::Http1 };
        let first = tls.config(&one).await.unwrap();
        assert!(Arc::ptr_eq(&first, &tls.config(&one.clone()).await.unwrap()));
        for other in [Settings { is_verified: false, ..one.clone() }, Settings { http: HttpVersion::Http2, ..one }] {
            assert!(!Arc::ptr_eq(&first, &tls.config(&other).await.unwrap()));
        }
    }
}
