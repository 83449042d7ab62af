//! The transport and the certificates of servers.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::server::{Next, Server, answer};
use provider::transport::{CertificateDer, Endpoint, Limits, Reply, Request, Transport, TransportError};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_rustls::TlsAcceptor;

/// A server's TLS with a certificate of its own for `name`, that speaks `protocols`.
pub(crate) fn acceptor(name: &str, protocols: &[&str]) -> (TlsAcceptor, CertificateDer<'static>) {
    let own = rcgen::generate_simple_self_signed([name.to_owned()]).expect("the test's own input");
    let certificate = own.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the test's own input")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("the test's own input");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

pub(crate) async fn start() -> (Server, CertificateDer<'static>) {
    let (acceptor, certificate) = acceptor("localhost", &[]);
    (Server::start_tls(Some(acceptor), |_, _| Next::Write(answer("sealed"))).await, certificate)
}

async fn ask(transport: &Transport, url: &str) -> Result<Reply, TransportError> {
    let endpoint = Endpoint::parse(url).expect("the test's own input");
    let form = crate::http::chat(&endpoint);
    let request = Request { form: &form, headers: std::borrow::Cow::default(), body: "{}".into(), is_stream: false };
    transport.send(&endpoint, request, Instant::now() + Duration::from_secs(10)).await
}

#[tokio::test]
async fn a_server_whose_root_is_trusted_is_asked_over_one_connection() {
    let (server, root) = start().await;
    let transport = Transport::with_roots(Limits::default(), vec![root]);
    for _ in 0..3 {
        assert_eq!(ask(&transport, &server.url("https")).await.unwrap().body, "sealed");
    }
    assert_eq!(server.n_connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_not_asked() {
    let (server, root) = start().await;
    let (_, other) = start().await;
    let wrong_name = server.url("https").replace("localhost", "127.0.0.1");
    for (roots, url, word) in [
        (vec![other], server.url("https"), "certificate"),
        (vec![root], wrong_name, "certificate"),
        (vec![], server.url("https"), "root certificates"),
    ] {
        let transport = Transport::with_roots(Limits::default(), roots);
        let error = ask(&transport, &url).await.unwrap_err();
        assert!(matches!(&error, TransportError::Connect { cause, .. } if cause.contains(word)), "{error}");
    }
    assert_eq!(server.n_requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_with() {
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/v1", plain.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut tcp, _) = plain.accept().await.unwrap();
        let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let (_, root) = start().await;
    let transport = Transport::with_roots(Limits::default(), vec![root]);
    let error = ask(&transport, &url).await;
    assert!(matches!(&error, Err(TransportError::Connect { cause, .. }) if cause.starts_with("TLS: ")), "{error:?}");
}
