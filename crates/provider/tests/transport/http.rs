//! Connections, answers and their ends.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::server::{Next, Server, answer};
use provider::transport::{Endpoint, Form, Limits, Reply, Request, Transport, TransportError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

pub(crate) fn chat(endpoint: &Endpoint) -> Form {
    Form::new(endpoint, ::http::Method::POST, "/chat", ::http::HeaderMap::new()).expect("a path")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn ask(transport: &Transport, server: &Server, body: &str) -> Result<Reply, TransportError> {
    ask_until(transport, server, body, soon()).await
}

async fn ask_until(
    transport: &Transport,
    server: &Server,
    body: &str,
    deadline: Instant,
) -> Result<Reply, TransportError> {
    let endpoint = Endpoint::parse(&server.url("http")).and_then(|e| e.with_header("x-title", "mill")).expect("a URL");
    let form = chat(&endpoint);
    let request =
        Request { form: &form, headers: std::borrow::Cow::default(), body: body.to_owned().into(), is_stream: false };
    transport.send(&endpoint, request, deadline).await
}

#[tokio::test]
async fn a_request_says_what_it_must_and_its_connection_is_used_again() {
    let server = Server::start(|_, request| {
        assert!(request.starts_with("POST /v1/chat HTTP/1.1\r\n"), "{request}");
        for line in ["host: 127.0.0.1:", "content-length: 4\r\n", "x-title: mill\r\n", "user-agent: tidemill/"] {
            assert!(request.contains(line), "{line} in {request}");
        }
        Next::Write(answer("pong"))
    })
    .await;
    let transport = Transport::new(Limits::default());
    for _ in 0..5 {
        let reply = ask(&transport, &server, "ping").await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.body.as_ref()), (200, b"pong".as_ref()));
        assert_eq!(reply.headers["x-request-id"], "req-1");
    }
    assert_eq!(server.n_connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_cut_connection_is_told_and_the_request_is_not_sent_again() {
    for cut in [String::new(), "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_owned()] {
        let server =
            Server::start(
                move |n, _| {
                    if n == 1 { Next::Write(answer("first")) } else { Next::WriteAndClose(cut.clone()) }
                },
            )
            .await;
        let transport = Transport::new(Limits::default());
        ask(&transport, &server, "{}").await.unwrap();
        // On the connection that was kept, and on a fresh one.
        for _ in 0..2 {
            let error = ask(&transport, &server, "{}").await.unwrap_err();
            assert!(matches!(error, TransportError::Cut(_)), "{error}");
        }
        assert_eq!(server.n_requests.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn the_deadline_ends_an_exchange_wherever_it_hangs() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"] {
        let server = Server::start(move |_, _| Next::WriteAndHang(head.to_owned())).await;
        let transport = Transport::new(Limits::default());
        let before = Instant::now();
        let deadline = before + Duration::from_millis(150);
        let error = ask_until(&transport, &server, "{}", deadline).await.unwrap_err();
        assert_eq!(error, TransportError::Deadline);
        assert!(before.elapsed() >= Duration::from_millis(150) && before.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_chunked_answer_is_joined() {
    let server = Server::start(|_, _| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        Next::Write(format!("{head}4\r\none \r\n6;x=y\r\ntwo th\r\n3\r\nree\r\n0\r\n\r\n"))
    })
    .await;
    let transport = Transport::new(Limits::default());
    for _ in 0..2 {
        assert_eq!(ask(&transport, &server, "{}").await.unwrap().body, "one two three");
    }
    assert_eq!(server.n_connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_long_answer_comes_whole_and_one_beyond_the_limit_is_refused() {
    let long = "x".repeat(3_000_000);
    let copy = long.clone();
    let server = Server::start(move |_, _| Next::Write(answer(&copy))).await;
    let transport = Transport::new(Limits::default());
    assert_eq!(ask(&transport, &server, &long).await.unwrap().body.len(), long.len());

    let limit = 1_000_000;
    let transport = Transport::new(Limits { answer_bytes: limit });
    assert_eq!(ask(&transport, &server, "{}").await.unwrap_err(), TransportError::TooLarge { limit });
    // Without an announced length it is noticed on the way.
    let server = Server::start(move |_, _| Next::WriteAndClose(format!("HTTP/1.1 200 OK\r\n\r\n{long}"))).await;
    assert_eq!(ask(&transport, &server, "{}").await.unwrap_err(), TransportError::TooLarge { limit });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_share_the_connections_that_are_free() {
    let server = Server::start(|_, request| {
        let body = request.rsplit("\r\n\r\n").next().unwrap_or_default();
        Next::Write(answer(body))
    })
    .await;
    let server = Arc::new(server);
    let transport = Arc::new(Transport::new(Limits::default()));
    for _ in 0..5 {
        let mut all = JoinSet::new();
        for n in 0..100 {
            let (transport, server) = (Arc::clone(&transport), Arc::clone(&server));
            all.spawn(async move {
                let reply = ask(&transport, &server, &format!("{{\"n\":{n}}}")).await.unwrap();
                assert_eq!(reply.body, format!("{{\"n\":{n}}}"));
            });
        }
        while let Some(one) = all.join_next().await {
            one.unwrap();
        }
    }
    assert_eq!(server.n_requests.load(Ordering::SeqCst), 500);
    assert!(server.n_connections.load(Ordering::SeqCst) <= 100);
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_costs_no_request() {
    let server = Server::start(|_, _| Next::WriteAndClose(answer("once"))).await;
    let transport = Transport::new(Limits::default());
    for _ in 0..20 {
        ask(&transport, &server, "{}").await.unwrap();
        // The end of the connection is on its way; the next request comes when it is here.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.n_requests.load(Ordering::SeqCst), 20);
    assert_eq!(server.n_connections.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn an_announced_close_is_believed() {
    let server = Server::start(|_, _| {
        Next::WriteAndClose("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok".to_owned())
    })
    .await;
    let transport = Transport::new(Limits::default());
    for _ in 0..20 {
        ask(&transport, &server, "{}").await.unwrap();
    }
    assert_eq!(server.n_connections.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_any_more_is_let_go() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 64 * 1024];
        for _ in 0..2 {
            assert!(tcp.read(&mut request).await.unwrap() > 0);
            tcp.write_all(answer("here").as_bytes()).await.unwrap();
        }
        // The end.
        assert_eq!(tcp.read(&mut request).await.unwrap(), 0);
        tell.send(()).unwrap();
    });
    let (transport, endpoint) = (Transport::default(), Endpoint::parse(&url).unwrap());
    let form = chat(&endpoint);
    for _ in 0..2 {
        let request =
            Request { form: &form, headers: std::borrow::Cow::default(), body: "{}".into(), is_stream: false };
        assert_eq!(transport.send(&endpoint, request, soon()).await.unwrap().body, "here");
        // What may still be used stays.
        transport.tidy();
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(51)).await;
    transport.tidy();
    tokio::time::resume();
    told.await.unwrap();
}

#[tokio::test]
async fn what_is_not_http_is_told() {
    let server = Server::start(|_, _| Next::WriteAndClose("SSH-2.0-OpenSSH_9.7\r\n\r\n".to_owned())).await;
    let transport = Transport::new(Limits::default());
    let error = ask(&transport, &server, "{}").await.unwrap_err();
    assert!(matches!(error, TransportError::Protocol(_)), "{error}");
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", taken.local_addr().unwrap());
    drop(taken);
    let transport = Transport::new(Limits::default());
    for (url, word) in [(url.as_str(), "refused"), ("http://tidemill.invalid/v1", "cannot be resolved")] {
        let endpoint = Endpoint::parse(url).unwrap();
        let form = chat(&endpoint);
        let request =
            Request { form: &form, headers: std::borrow::Cow::default(), body: "{}".into(), is_stream: false };
        let error = transport.send(&endpoint, request, soon()).await.unwrap_err();
        assert!(matches!(&error, TransportError::Connect { cause, .. } if cause.contains(word)), "{error}");
    }
}

#[tokio::test]
async fn bytes_behind_an_answer_are_not_taken_for_the_next_one() {
    let server = Server::start(|n, _| {
        let behind = if n == 1 { "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil" } else { "" };
        Next::Write(format!("{}{behind}", answer("mine")))
    })
    .await;
    let transport = Transport::new(Limits::default());
    for _ in 0..3 {
        assert_eq!(ask(&transport, &server, "{}").await.unwrap().body, "mine");
    }
    assert_eq!(server.n_connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_refusal_that_comes_before_the_whole_request_is_sent_is_heard() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut some = [0; 1024];
        tcp.read_exact(&mut some).await.unwrap();
        tcp.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig").await.unwrap();
        // It hears out what is still sent until the other side gives up.
        let mut n_heard = some.len();
        while let Ok(1..) = tcp.read(&mut some).await.inspect(|n| n_heard += n) {}
        n_heard
    });
    let transport = Transport::new(Limits::default());
    let endpoint = Endpoint::parse(&format!("http://{address}/v1")).unwrap();
    let form = chat(&endpoint);
    let body = vec![b'x'; 64 << 20].into();
    let request = Request { form: &form, headers: std::borrow::Cow::default(), body, is_stream: false };
    let reply = transport.send(&endpoint, request, soon()).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.body.as_ref()), (413, b"big".as_ref()));
    assert!(server.await.unwrap() < 64 << 20, "no more is sent once it is refused");
}

#[tokio::test]
async fn who_drops_an_answer_calls_the_request_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut some = [0; 4096];
        assert!(tcp.read(&mut some).await.unwrap() > 0);
        tcp.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nword\r\n").await.unwrap();
        tcp.read(&mut some).await.unwrap_or(0)
    });
    let transport = Transport::new(Limits::default());
    let endpoint = Endpoint::parse(&format!("http://{address}/v1")).unwrap();
    let form = chat(&endpoint);
    let request = Request { form: &form, headers: std::borrow::Cow::default(), body: "{}".into(), is_stream: true };
    let mut answering = transport.open(&endpoint, request).await.unwrap();
    assert_eq!(answering.piece().await.unwrap().unwrap(), "word");
    drop(answering);
    assert_eq!(server.await.unwrap(), 0, "the vendor hears that nobody listens");
}

#[tokio::test]
async fn word_of_an_answer_to_come_does_not_stop_a_long_request() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}/v1", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        // Meanwhile the client can write no more.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (mut n, mut some) = (0, vec![0; 1 << 20]);
        while n < 32 << 20 {
            n += tcp.read(&mut some).await.unwrap();
        }
        tcp.write_all(answer("all of it").as_bytes()).await.unwrap();
    });
    let form = chat(&endpoint);
    let body = "x".repeat(32 << 20);
    let request = Request { form: &form, headers: std::borrow::Cow::default(), body: body.into(), is_stream: false };
    let reply = Transport::default().send(&endpoint, request, soon()).await.unwrap();
    assert_eq!(reply.body, "all of it");
    server.await.unwrap();
}
