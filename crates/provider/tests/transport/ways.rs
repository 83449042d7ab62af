//! The ways to an endpoint: proxies, certificates, lists of addresses, and what hangs on the way.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use provider::transport::{
    Authorities, CertificateDer, Connecting, Endpoint, Limits, Proxy, Reply, Request, Transport, TransportError,
};
use rustls::HandshakeKind;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    http::chat,
    server::{Next, Server, answer},
    tls::{acceptor, start},
};

/// A proxy that makes tunnels to one place, or says what it is told to.
struct Tunnels {
    address: SocketAddr,
    /// The heads of what it was asked.
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tunnels {
    async fn start(to: Option<SocketAddr>, says: &'static str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (heads, tls) = (Arc::clone(&heads), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => tunnel(tcp, to, says, &heads).await,
                        Some(tls) => tunnel(tls.accept(tcp).await.unwrap(), to, says, &heads).await,
                    }
                });
            }
        });
        Self { address, asked, task }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn tunnel(
    mut from: impl AsyncRead + AsyncWrite + Unpin,
    to: Option<SocketAddr>,
    says: &str,
    heads: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match from.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    heads.lock().unwrap_or_else(PoisonError::into_inner).push(String::from_utf8(head).unwrap());
    from.write_all(says.as_bytes()).await.unwrap();
    from.flush().await.unwrap();
    if let Some(to) = to {
        let mut to = TcpStream::connect(to).await.unwrap();
        let _ = copy_bidirectional(&mut from, &mut to).await;
    }
}

const YES: &str = "HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n";

async fn ask(transport: &Transport, url: &str, connecting: Connecting) -> Result<Reply, TransportError> {
    ask_within(transport, url, connecting, Duration::from_secs(10)).await
}

async fn ask_within(
    transport: &Transport,
    url: &str,
    connecting: Connecting,
    limit: Duration,
) -> Result<Reply, TransportError> {
    let endpoint = Endpoint::parse(url).unwrap().with_connecting(connecting).unwrap();
    let form = chat(&endpoint);
    let request = Request { form: &form, headers: std::borrow::Cow::default(), body: "{}".into(), is_stream: false };
    transport.send(&endpoint, request, Instant::now() + limit).await
}

fn through(proxy: &str) -> Connecting {
    Connecting { proxy: Some(Proxy::parse(proxy).unwrap()), ..Connecting::default() }
}

fn cause(failed: Result<Reply, TransportError>) -> String {
    match failed {
        Err(TransportError::Connect { cause, .. }) => cause,
        other => panic!("no trouble with connecting: {other:?}"),
    }
}

#[tokio::test]
async fn a_sealed_request_goes_through_a_tunnel_and_only_the_proxy_hears_its_password() {
    let (proxy_tls, proxy_root) = acceptor("localhost", &[]);
    let server = Server::start_tls(Some(proxy_tls.clone()), |_, request| {
        assert!(request.starts_with("POST /v1/chat HTTP/1.1\r\n"), "{request}");
        assert!(!request.contains("proxy-authorization"), "{request}");
        Next::Write(answer("sealed"))
    })
    .await;
    for (scheme, tls) in [("http", None), ("https", Some(proxy_tls))] {
        let proxy = Tunnels::start(Some(server.address), YES, tls).await;
        let transport = Transport::with_roots(Limits::default(), vec![proxy_root.clone()]);
        let way = through(&format!("{scheme}://me:p%40ss@localhost:{}", proxy.address.port()));
        for _ in 0..3 {
            assert_eq!(ask(&transport, &server.url("https"), way.clone()).await.unwrap().body, "sealed");
        }
        let place = format!("localhost:{}", server.address.port());
        // `me:p@ss` in Base64.
        let head =
            format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\nproxy-authorization: Basic bWU6cEBzcw==\r\n\r\n");
        assert_eq!(proxy.asked(), [head]);
    }
}

#[tokio::test]
async fn a_plain_request_is_handed_to_the_proxy_which_finds_the_host() {
    let proxy = Server::start(|_, request| {
        assert!(request.starts_with("POST http://upstream.invalid:81/v1/chat HTTP/1.1\r\n"), "{request}");
        for line in ["host: upstream.invalid:81\r\n", "proxy-authorization: Basic bWU6\r\n"] {
            assert!(request.contains(line), "{request}");
        }
        Next::Write(answer("found"))
    })
    .await;
    let way = through(&proxy.url("http").replace("http://", "http://me@").replace("/v1", ""));
    let transport = Transport::default();
    for _ in 0..3 {
        assert_eq!(ask(&transport, "http://upstream.invalid:81/v1", way.clone()).await.unwrap().body, "found");
    }
    assert_eq!(proxy.n_connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_proxy_that_makes_no_tunnel_says_why_and_the_password_stays_secret() {
    for (says, user, word) in [
        ("HTTP/1.1 407 No\r\n\r\n", "me:planted@", "takes neither user nor password"),
        ("HTTP/1.1 407 No\r\n\r\n", "", "wants a user and a password"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "me:planted@", "no tunnel to upstream.invalid:443 (status 502)"),
        ("SSH-2.0-OpenSSH_9.7\r\n\r\n", "", "is no HTTP proxy"),
        ("HTTP/1.1 200 OK\r\n", "", "hung up while connecting"),
    ] {
        let proxy = Tunnels::start(None, says, None).await;
        let way = through(&format!("http://{user}{}", proxy.address));
        let failed = ask(&Transport::default(), "https://upstream.invalid/v1", way).await;
        let told = failed.as_ref().unwrap_err().to_string();
        let cause = cause(failed);
        assert!(
            cause.starts_with(&format!("through the proxy {}: ", proxy.address)) && cause.contains(word),
            "{cause}"
        );
        assert!(told.starts_with("cannot connect to upstream.invalid:443: ") && !told.contains("planted"), "{told}");
    }
}

#[tokio::test]
async fn an_authority_of_the_users_own_is_trusted_beside_the_others() {
    let (server, own) = start().await;
    let (_, other) = acceptor("localhost", &[]);
    let transport = Transport::with_roots(Limits::default(), vec![other.clone()]);
    let with = |root: &CertificateDer<'_>| {
        let authorities = Some(Authorities::from_pem(pem(root).as_bytes()).unwrap());
        Connecting { authorities, ..Connecting::default() }
    };
    let failed = ask(&transport, &server.url("https"), with(&other)).await;
    assert!(cause(failed).starts_with("TLS: "));
    assert_eq!(ask(&transport, &server.url("https"), with(&own)).await.unwrap().body, "sealed");
    // Whoever does not name it does not use the connection that is open now.
    let failed = ask(&transport, &server.url("https"), Connecting::default()).await;
    assert!(cause(failed).contains("certificate"));
}

#[tokio::test]
async fn a_second_connection_takes_up_the_session_of_the_first() {
    let (tls, root) = acceptor("localhost", &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/v1", listener.local_addr().unwrap().port());
    let server = tokio::spawn(async move {
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut stream = tls.accept(tcp).await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            let mut request = vec![0; 64 * 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 204 No\r\nconnection: close\r\n\r\n").await.unwrap();
            stream.shutdown().await.unwrap();
        }
        kinds
    });
    let transport = Transport::with_roots(Limits::default(), vec![root]);
    for _ in 0..2 {
        assert_eq!(ask(&transport, &url, Connecting::default()).await.unwrap().status, 204);
    }
    assert_eq!(server.await.unwrap(), [HandshakeKind::Full, HandshakeKind::Resumed]);
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let base64 = data_encoding::BASE64.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_asked_where_the_user_said_so() {
    let (server, _) = start().await;
    let transport = Transport::with_roots(Limits::default(), Vec::new());
    let url = server.url("https").replace("localhost", "127.0.0.1");
    let blind = Connecting { is_verified: false, ..Connecting::default() };
    assert_eq!(ask(&transport, &url, blind).await.unwrap().body, "sealed");
    assert!(ask(&transport, &url, Connecting::default()).await.is_err());
    assert_eq!(server.n_requests.load(Ordering::SeqCst), 1);
}

fn pool(addresses: &[&str], timeout: Duration) -> Connecting {
    let addresses = addresses.iter().map(|address| address.parse::<IpAddr>().unwrap()).collect();
    Connecting { addresses, timeout, ..Connecting::default() }
}

fn closing(body: &str) -> Next {
    Next::WriteAndClose(format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

#[tokio::test]
async fn new_connections_take_the_addresses_of_a_list_in_turn_and_pass_over_dead_ones() {
    let one = Server::start(|_, request| {
        assert!(request.contains("host: upstream.invalid:"), "{request}");
        closing("one")
    })
    .await;
    let port = one.address.port();
    let listener = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let _two = Server::on(listener, None, |_, _| closing("two"));
    let url = format!("http://upstream.invalid:{port}/v1");
    let bodies = async |addresses: &[&str]| {
        let (transport, mut bodies) = (Transport::default(), Vec::new());
        for _ in 0..4 {
            let reply = ask(&transport, &url, pool(addresses, Duration::from_secs(10))).await.unwrap();
            bodies.push(String::from_utf8(reply.body.to_vec()).unwrap());
        }
        bodies
    };
    assert_eq!(bodies(&["127.0.0.1", "127.0.0.2"]).await, ["one", "two", "one", "two"]);
    // Nothing listens at the third.
    assert_eq!(bodies(&["127.0.0.3", "127.0.0.2"]).await, ["two"; 4]);
    assert_eq!(bodies(&["127.0.0.1", "127.0.0.3", "127.0.0.2"]).await, ["one", "two", "two", "one"]);
}

/// An address at which nobody answers: its queue of connections that wait to be accepted is full.
async fn dead(ip: &str, port: u16) -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(ip.parse().unwrap(), port)).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(tcp) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        waiting.push(tcp.unwrap());
        assert!(waiting.len() < 100, "the queue has no end");
    }
    (address, waiting, listener)
}

#[tokio::test]
async fn an_address_that_never_answers_takes_its_share_of_the_time_and_no_more() {
    let server = Server::start(|_, _| closing("alive")).await;
    let (address, _waiting, _listener) = dead("127.0.0.2", server.address.port()).await;
    let url = format!("http://upstream.invalid:{}/v1", address.port());
    let transport = Transport::default();
    let (limit, begin) = (Duration::from_secs(2), Instant::now());
    assert_eq!(ask(&transport, &url, pool(&["127.0.0.2", "127.0.0.1"], limit)).await.unwrap().body, "alive");
    assert!(begin.elapsed() >= limit / 2 && begin.elapsed() < limit, "{:?}", begin.elapsed());

    let limit = Duration::from_millis(400);
    let failed = ask(&transport, &url, pool(&["127.0.0.2"], limit)).await;
    assert_eq!(cause(failed), "nothing answers there within 0.4 s");
    // The deadline of the request is not put off by it.
    let way = pool(&["127.0.0.2"], Duration::from_secs(60));
    let failed = ask_within(&transport, &url, way, Duration::from_millis(200)).await;
    assert_eq!(failed.unwrap_err(), TransportError::Deadline);
}

#[tokio::test]
async fn a_handshake_that_is_cut_or_hangs_ends_with_a_word() {
    for hangs in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut hello = [0; 5];
            tcp.read_exact(&mut hello).await.unwrap();
            // Until the other side has given up.
            while hangs && tcp.read_u8().await.is_ok() {}
            listener
        });
        let (_, root) = acceptor("localhost", &[]);
        let transport = Transport::with_roots(Limits::default(), vec![root]);
        let way = pool(&["127.0.0.1"], if hangs { Duration::from_millis(200) } else { Duration::from_secs(10) });
        let cause = cause(ask(&transport, &format!("https://localhost:{port}/v1"), way).await);
        let hung_up = "TLS: the other side hung up while connecting";
        assert_eq!(cause, if hangs { "nothing answers there within 0.2 s" } else { hung_up });
        server.await.unwrap();
    }
}
