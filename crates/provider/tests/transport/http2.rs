//! HTTP/2: connections that are shared, and what happens to requests where one ends.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{self, SendResponse},
};
use provider::transport::{Connecting, Endpoint, HttpVersion, Limits, Reply, Request, Transport, TransportError};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Barrier, oneshot},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    http::chat,
    server::{Next, Server, answer},
    tls::acceptor,
};

type Asked = ::http::Request<RecvStream>;

/// What a connection does behind a request.
#[derive(Clone, Copy, PartialEq)]
enum Behind {
    GoOn,
    /// Takes no more requests, and ends when those that it has are answered.
    GoAway,
    /// Ends at once.
    Cut,
}

struct Streams {
    n_connections: Arc<AtomicUsize>,
    n_streams: Arc<AtomicUsize>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Streams {
    /// `script` is given the number of the request, from 1, and the request.
    async fn start<F>(
        n_allowed: u32,
        tls: Option<TlsAcceptor>,
        behind: Behind,
        script: impl Fn(usize, Asked, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (n_connections, n_streams) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (connections, streams, script) = (Arc::clone(&n_connections), Arc::clone(&n_streams), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (streams, script, tls) = (Arc::clone(&streams), Arc::clone(&script), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, n_allowed, behind, &streams, &*script).await,
                        Some(tls) => {
                            let stream = tls.accept(tcp).await.unwrap();
                            serve(stream, n_allowed, behind, &streams, &*script).await;
                        }
                    }
                });
            }
        });
        Self { n_connections, n_streams, address, task }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}/v1", self.address.port())
    }

    fn n(&self) -> (usize, usize) {
        (self.n_connections.load(Ordering::SeqCst), self.n_streams.load(Ordering::SeqCst))
    }
}

async fn serve<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    n_allowed: u32,
    behind: Behind,
    n_streams: &AtomicUsize,
    script: &(impl Fn(usize, Asked, SendResponse<Bytes>) -> F + ?Sized),
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connection = server::Builder::new().max_concurrent_streams(n_allowed).handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let n = n_streams.fetch_add(1, Ordering::SeqCst) + 1;
        let answering = tokio::spawn(script(n, request, respond));
        match behind {
            Behind::GoOn => {}
            Behind::GoAway => connection.graceful_shutdown(),
            // What was written goes out while the next request is waited for, which does not come.
            Behind::Cut => {
                let written = async {
                    answering.await.unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                };
                tokio::select! {
                    () = written => return,
                    _ = connection.accept() => return,
                }
            }
        }
    }
}

/// Reads a request's body, answers with status and body.
async fn reply(request: Asked, mut respond: SendResponse<Bytes>, body: impl Into<Bytes>) {
    read(request.into_body()).await;
    let body = body.into();
    let response = ::http::Response::builder().header("content-length", body.len()).body(()).unwrap();
    if let Ok(mut stream) = respond.send_response(response, false) {
        let _ = stream.send_data(body, true);
    }
}

async fn read(mut body: RecvStream) -> usize {
    let mut n_bytes = 0;
    while let Some(Ok(piece)) = body.data().await {
        n_bytes += piece.len();
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    n_bytes
}

fn endpoint(url: &str) -> Endpoint {
    let connecting = Connecting { http: HttpVersion::Http2, ..Connecting::default() };
    Endpoint::parse(url).unwrap().with_connecting(connecting).unwrap()
}

async fn ask(transport: &Transport, url: &str, body: impl Into<Bytes>) -> Result<Reply, TransportError> {
    let endpoint = endpoint(url);
    let form = chat(&endpoint);
    let body = body.into().into();
    let request = Request { form: &form, headers: std::borrow::Cow::default(), body, is_stream: false };
    transport.send(&endpoint, request, Instant::now() + Duration::from_secs(20)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_hundred_at_once_are_in_flight_together_on_connections_that_take_a_hundred_each() {
    let all_here = Arc::new(Barrier::new(400));
    let server = Streams::start(100, None, Behind::GoOn, move |_, request, respond| {
        let all_here = Arc::clone(&all_here);
        async move {
            all_here.wait().await;
            reply(request, respond, "together").await;
        }
    })
    .await;
    let transport = Arc::new(Transport::default());
    for round in 1..=2 {
        let mut all = JoinSet::new();
        for _ in 0..400 {
            let (transport, url) = (Arc::clone(&transport), server.url("http"));
            all.spawn(async move { ask(&transport, &url, "{}").await.unwrap().body });
        }
        while let Some(body) = all.join_next().await {
            assert_eq!(body.unwrap(), "together");
        }
        // 90 on each, the next time as well.
        assert_eq!(server.n(), (5, round * 400));
    }
}

#[tokio::test]
async fn over_tls_the_server_chooses_what_is_spoken() {
    let (tls, root) = acceptor("localhost", &["h2", "http/1.1"]);
    let server = Streams::start(100, Some(tls), Behind::GoOn, |_, request, respond| async move {
        assert_eq!(request.uri().to_string(), format!("https://{}/v1/chat", request.uri().authority().unwrap()));
        let headers = request.headers();
        assert_eq!((headers.get("host"), &headers["content-length"]), (None, &"4".parse().unwrap()));
        reply(request, respond, "two").await;
    })
    .await;
    let transport = Transport::with_roots(Limits::default(), vec![root]);
    for _ in 0..3 {
        assert_eq!(ask(&transport, &server.url("https"), "ping").await.unwrap().body, "two");
    }
    assert_eq!(server.n(), (1, 3));

    let (tls, root) = acceptor("localhost", &["http/1.1"]);
    let server = Server::start_tls(Some(tls), |_, request| {
        assert!(request.starts_with("POST /v1/chat HTTP/1.1\r\nhost: localhost:"), "{request}");
        Next::Write(answer("one"))
    })
    .await;
    let transport = Transport::with_roots(Limits::default(), vec![root]);
    for _ in 0..3 {
        assert_eq!(ask(&transport, &server.url("https"), "ping").await.unwrap().body, "one");
    }
    assert_eq!(server.n_connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn only_a_request_that_was_surely_not_processed_is_sent_again() {
    for (reason, n) in [(Reason::REFUSED_STREAM, (2, 2)), (Reason::INTERNAL_ERROR, (1, 1)), (Reason::NO_ERROR, (1, 1))]
    {
        let server = Streams::start(100, None, Behind::GoOn, move |n, request, mut respond| async move {
            if n == 1 { respond.send_reset(reason) } else { reply(request, respond, "again").await }
        })
        .await;
        let asked = ask(&Transport::default(), &server.url("http"), "{}").await;
        match asked {
            Ok(reply) => assert_eq!((reason, reply.body.as_ref()), (Reason::REFUSED_STREAM, b"again".as_ref())),
            Err(error) => assert!(matches!(error, TransportError::Cut(_)), "{error}"),
        }
        assert_eq!(server.n(), n, "{reason}");
    }
}

#[tokio::test]
async fn a_server_that_always_refuses_is_believed_after_a_while() {
    let refuse = |_, _, mut respond: SendResponse<Bytes>| async move { respond.send_reset(Reason::REFUSED_STREAM) };
    let server = Streams::start(100, None, Behind::GoOn, refuse).await;
    let error = ask(&Transport::default(), &server.url("http"), "{}").await.unwrap_err();
    assert!(matches!(&error, TransportError::Cut(why) if why.contains("refused")), "{error}");
    assert_eq!(server.n(), (3, 3));
}

#[tokio::test]
async fn a_server_that_goes_away_after_each_request_loses_none() {
    let server =
        Streams::start(100, None, Behind::GoAway, |_, request, respond| reply(request, respond, "farewell")).await;
    let transport = Transport::default();
    for _ in 0..20 {
        assert_eq!(ask(&transport, &server.url("http"), "{}").await.unwrap().body, "farewell");
    }
    assert_eq!(server.n_streams.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn an_answer_that_is_cut_is_never_taken_for_a_whole_one() {
    // Polite resets as well: by them alone, half an answer would look like a whole one.
    for (reason, behind) in [
        (Some(Reason::NO_ERROR), Behind::GoOn),
        (Some(Reason::CANCEL), Behind::GoOn),
        (Some(Reason::INTERNAL_ERROR), Behind::GoOn),
        (None, Behind::Cut),
    ] {
        let server = Streams::start(100, None, behind, move |_, request, mut respond| async move {
            read(request.into_body()).await;
            let mut stream = respond.send_response(::http::Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"half"), false).unwrap();
            if let Some(reason) = reason {
                tokio::time::sleep(Duration::from_millis(5)).await;
                stream.send_reset(reason);
            }
            // Kept open until the connection ends.
            std::mem::forget(stream);
        })
        .await;
        let error = ask(&Transport::default(), &server.url("http"), "{}").await.unwrap_err();
        assert!(matches!(error, TransportError::Cut(_)), "{reason:?}: {error}");
        assert_eq!(server.n().1, 1);
    }
}

#[tokio::test]
async fn long_bodies_pass_both_ways_and_one_beyond_the_limit_is_refused() {
    let server = Streams::start(100, None, Behind::GoOn, |_, request, mut respond| async move {
        let n_bytes = read(request.into_body()).await;
        let mut stream = respond.send_response(::http::Response::new(()), false).unwrap();
        let _ = stream.send_data(vec![b'x'; n_bytes].into(), true);
    })
    .await;
    let long = vec![b'x'; 3_000_000];
    let transport = Transport::default();
    assert_eq!(ask(&transport, &server.url("http"), long.clone()).await.unwrap().body.len(), long.len());
    let limit = 1_000_000;
    let transport = Transport::new(Limits { answer_bytes: limit });
    let error = ask(&transport, &server.url("http"), long).await.unwrap_err();
    assert_eq!(error, TransportError::TooLarge { limit });
}

#[tokio::test]
async fn an_answer_that_comes_before_all_was_sent_counts() {
    let server = Streams::start(100, None, Behind::GoOn, |_, request, mut respond| async move {
        let response = ::http::Response::builder().status(413).body(()).unwrap();
        let mut stream = respond.send_response(response, false).unwrap();
        stream.send_data(Bytes::from_static(b"too much"), true).unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        respond.send_reset(Reason::NO_ERROR);
        drop(request);
    })
    .await;
    let reply = ask(&Transport::default(), &server.url("http"), vec![b'x'; 3_000_000]).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.body.as_ref()), (413, b"too much".as_ref()));
}

#[tokio::test]
async fn pieces_come_as_they_are_sent_and_whoever_stops_reading_calls_the_request_off() {
    let (tell, told) = oneshot::channel();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    let server = Streams::start(100, None, Behind::GoOn, move |_, request, mut respond| {
        let tell = tell.lock().unwrap().take().unwrap();
        async move {
            read(request.into_body()).await;
            let mut stream = respond.send_response(::http::Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"data: 1\n\n"), false).unwrap();
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            tell.send(reason.unwrap()).unwrap();
        }
    })
    .await;
    let (transport, endpoint) = (Transport::default(), endpoint(&server.url("http")));
    let form = chat(&endpoint);
    let request = Request { form: &form, headers: std::borrow::Cow::default(), body: "{}".into(), is_stream: true };
    let mut answering = transport.open(&endpoint, request).await.unwrap();
    assert_eq!(answering.piece().await.unwrap().unwrap(), "data: 1\n\n");
    drop(answering);
    assert_eq!(told.await.unwrap(), Reason::CANCEL);
}

#[tokio::test]
async fn a_connection_that_broke_without_a_word_is_noticed_by_its_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}/v1", listener.local_addr().unwrap().port());
    let (tell, told) = oneshot::channel();
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut connection = server::handshake(tcp).await.unwrap();
        let _request = connection.accept().await.unwrap().unwrap();
        tell.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    let asking = tokio::spawn(async move {
        let (transport, endpoint) = (Transport::default(), endpoint(&url));
        let form = chat(&endpoint);
        let request =
            Request { form: &form, headers: std::borrow::Cow::default(), body: "{}".into(), is_stream: false };
        transport.send(&endpoint, request, Instant::now() + Duration::from_secs(3_600)).await
    });
    told.await.unwrap();
    // From here on nothing happens any more but that time passes.
    tokio::time::pause();
    let error = asking.await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Cut(_)), "{error}");
    server.abort();
}

#[tokio::test]
async fn a_server_that_speaks_something_else_or_nothing_is_not_connected_to() {
    let server = Server::start(|_, _| Next::WriteAndClose(answer("one"))).await;
    let error = ask(&Transport::default(), &server.url("http"), "{}").await.unwrap_err();
    assert!(matches!(&error, TransportError::Connect { cause, .. } if cause.starts_with("HTTP/2: ")), "{error}");

    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}/v1", mute.local_addr().unwrap().port());
    let timeout = Duration::from_millis(200);
    let connecting = Connecting { http: HttpVersion::Http2, timeout, ..Connecting::default() };
    let endpoint = Endpoint::parse(&url).unwrap().with_connecting(connecting).unwrap();
    let form = chat(&endpoint);
    // Those who wait for a connection are told with whoever opens it, and do not try for themselves one by one.
    let (transport, begin) = (Transport::default(), Instant::now());
    let asked = (0..50).map(|_| {
        let request =
            Request { form: &form, headers: std::borrow::Cow::default(), body: "{}".into(), is_stream: false };
        transport.send(&endpoint, request, begin + Duration::from_secs(20))
    });
    for error in futures_util::future::join_all(asked).await.into_iter().map(Result::unwrap_err) {
        assert!(error.to_string().ends_with("HTTP/2: no greeting within 0.2 s"), "{error}");
    }
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_that_takes_few_streams_gets_no_more_on_a_connection() {
    let all_here = Arc::new(Barrier::new(5));
    let server = Streams::start(2, None, Behind::GoOn, move |_, request, respond| {
        let all_here = Arc::clone(&all_here);
        async move {
            all_here.wait().await;
            reply(request, respond, "few").await;
        }
    })
    .await;
    let (transport, url) = (Transport::default(), server.url("http"));
    let bodies = futures_util::future::join_all((0..5).map(|_| ask(&transport, &url, "{}"))).await;
    assert!(bodies.into_iter().all(|reply| reply.unwrap().body == "few"));
    // Of two streams one is left for the end of the last answer.
    assert_eq!(server.n(), (5, 5));
}
