//! Answers that come in pieces, over a real socket.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{Clock, FailureKind, Secret, Timestamp, ports::Ask};
use provider::{
    Abilities, Failed, OpenAi, Question, Replied,
    transport::{Endpoint, Limits, Transport},
};
use serde_json::{Value, json};

use crate::server::{Next, Server, Then, answer};

pub(crate) struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

const BODY: &str = r#"{"model":"auto","messages":[{"role":"user","content":"hi"}]}"#;

fn model(server: &Server) -> OpenAi {
    let endpoint = Endpoint::parse(&server.url("http")).expect("the test's own input");
    OpenAi::new(endpoint, "m", Some(Secret::new("sk-planted-4711"))).expect("the test's own input")
}

async fn ask(transport: &Transport, model: &OpenAi, ask: Ask) -> Result<Replied, Failed> {
    let body = Bytes::from_static(BODY.as_bytes());
    let deadline = Instant::now() + Duration::from_secs(10);
    model.ask(transport, Question { ask, body: &body, abilities: Abilities::default(), deadline }, &Epoch).await
}

/// A chunked answer, in chunks as they are given.
fn chunked(chunks: &[&str]) -> Vec<Vec<u8>> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req-9\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()).into_bytes());
    std::iter::once(head.as_bytes().to_vec()).chain(chunks).collect()
}

fn piece(text: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({ "id": "c-1", "model": "m-1", "choices": [{ "index": 0, "delta": { "content": text } }] })
    )
}

const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const END: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn a_stream_is_asked_for_read_and_its_connection_used_again() {
    let server = Server::start(|_, request| {
        assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
        let wish = r#","stream":true,"stream_options":{"include_usage":true}}"#;
        assert!(request.ends_with(wish) && request.contains("\r\naccept: text/event-stream"), "{request}");
        let (one, two) = (piece("水"), piece("车 sk-planted-4711"));
        let mut pieces = chunked(&[&one, ": alive\n\n", &two, STOP, END]);
        pieces.push(b"0\r\n\r\n".to_vec());
        // Byte by byte, whatever stands there.
        Next::Pieces(pieces.concat().chunks(23).map(<[u8]>::to_vec).collect(), Then::GoOn)
    })
    .await;
    let (transport, model) = (Transport::new(Limits::default()), model(&server));
    for _ in 0..3 {
        let replied = ask(&transport, &model, Ask::ChatStream).await.unwrap();
        let body: Value = serde_json::from_slice(&replied.body).unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], "水车 [key]");
        assert_eq!(
            (&body["usage"]["prompt_tokens"], &body["id"], &body["model"]),
            (&json!(3), &json!("c-1"), &json!("m-1"))
        );
        assert_eq!(replied.request_id.as_deref(), Some("req-9"));
    }
    assert_eq!(server.n_connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_answers_whole_or_in_pieces_against_the_wish_is_read_as_it_answers() {
    let whole = r#" {"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}]}"#;
    let server = Server::start(move |_, request| {
        let is_stream = request.contains("\"stream\":true");
        Next::Write(if is_stream { answer(whole) } else { answer(&format!("{}{STOP}{END}", piece("pieces"))) })
    })
    .await;
    let (transport, model) = (Transport::new(Limits::default()), model(&server));
    let replied = ask(&transport, &model, Ask::ChatStream).await.unwrap();
    assert_eq!(replied.body, whole.trim_start());
    let replied = ask(&transport, &model, Ask::Chat).await.unwrap();
    let body: Value = serde_json::from_slice(&replied.body).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "pieces");
}

#[tokio::test]
async fn a_stream_that_is_cut_is_no_answer_however_it_is_cut() {
    for (then, is_ended) in [(Then::Close, false), (Then::Close, true), (Then::GoOn, true)] {
        let server = Server::start(move |_, _| {
            let mut pieces = chunked(&[&piece("half"), &piece(" of it")]);
            pieces.extend(is_ended.then(|| b"0\r\n\r\n".to_vec()));
            Next::Pieces(pieces, then)
        })
        .await;
        let failed = ask(&Transport::default(), &model(&server), Ask::ChatStream).await.unwrap_err();
        assert_eq!((failed.failure.kind, failed.is_reached), (FailureKind::Unavailable, true));
        assert!(failed.failure.message.contains("cut"), "{}", failed.failure.message);
    }
}

#[tokio::test]
async fn a_stream_that_came_to_its_end_is_whole_even_if_the_connection_is_not() {
    let server = Server::start(|_, _| Next::Pieces(chunked(&[&piece("all"), STOP]), Then::Close)).await;
    let replied = ask(&Transport::default(), &model(&server), Ask::ChatStream).await.unwrap();
    let body: Value = serde_json::from_slice(&replied.body).unwrap();
    assert_eq!((&body["choices"][0]["message"]["content"], &body["usage"]), (&json!("all"), &Value::Null));
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up_after_its_own_limit() {
    let server = Server::start(|n, _| match n {
        1 => Next::Pieces(chunked(&[&piece("and then")]), Then::Hang),
        2 => Next::Pieces(chunked(&[&piece("all"), STOP]), Then::Hang),
        _ => Next::Pieces(chunked(&[]), Then::Hang),
    })
    .await;
    let model = model(&server).with_idle_limit(Duration::from_millis(100));
    let failed = ask(&Transport::default(), &model, Ask::ChatStream).await.unwrap_err();
    assert_eq!(failed.failure.kind, FailureKind::Timeout);
    assert_eq!(failed.failure.message, "the answer fell silent: nothing came for 0.1 s");
    // Silence behind the last word is none.
    ask(&Transport::default(), &model, Ask::ChatStream).await.unwrap();
    // Before the first word, a model may think for as long as the deadline lets it.
    let body = Bytes::from_static(BODY.as_bytes());
    let begin = Instant::now();
    let deadline = begin + Duration::from_millis(400);
    let question = Question { ask: Ask::ChatStream, body: &body, abilities: Abilities::default(), deadline };
    let failed = model.ask(&Transport::default(), question, &Epoch).await.unwrap_err();
    assert_eq!(failed.failure.message, "no answer within the deadline");
    assert!(begin.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn what_keeps_a_connection_alive_does_not_keep_it_past_the_deadline() {
    let server = Server::start(|_, _| {
        let mut pieces = chunked(&[&piece("a")]);
        pieces.extend((0..2_000).map(|_| b"3\r\n:\n\n\r\n".to_vec()));
        Next::Pieces(pieces, Then::Hang)
    })
    .await;
    let model = model(&server).with_idle_limit(Duration::from_secs(5));
    let body = Bytes::from_static(BODY.as_bytes());
    let deadline = Instant::now() + Duration::from_millis(300);
    let question = Question { ask: Ask::ChatStream, body: &body, abilities: Abilities::default(), deadline };
    let failed = model.ask(&Transport::default(), question, &Epoch).await.unwrap_err();
    assert_eq!(
        (failed.failure.kind, failed.failure.message.as_str()),
        (FailureKind::Timeout, "no answer within the deadline")
    );
}

#[tokio::test]
async fn an_error_instead_of_a_stream_or_within_it_is_told_without_the_key() {
    let server = Server::start(|n, _| {
        let said = r#"{"error":{"message":"sk-planted-4711 is down","code":"server_error"}}"#;
        if n == 1 {
            let length = said.len();
            return Next::Write(format!("HTTP/1.1 503 No\r\nretry-after: 2\r\ncontent-length: {length}\r\n\r\n{said}"));
        }
        Next::Pieces(chunked(&[&piece("a"), &format!("data: {said}\n\n")]), Then::Hang)
    })
    .await;
    let (transport, model) = (Transport::new(Limits::default()), model(&server));
    let failed = ask(&transport, &model, Ask::ChatStream).await.unwrap_err();
    assert_eq!(failed.failure.message, "status 503: [key] is down (server_error)");
    assert_eq!(failed.failure.retry_after_ms, Some(2_000));
    let failed = ask(&transport, &model, Ask::ChatStream).await.unwrap_err();
    assert_eq!(failed.failure.message, "in the middle of the answer: [key] is down (server_error)");
    assert_eq!(failed.body, r#"{"error":{"message":"[key] is down","code":"server_error"}}"#);
}

#[tokio::test]
async fn a_limit_that_is_told_within_a_stream_tells_its_wait() {
    let server = Server::start(|_, _| {
        let said = r#"{"error":{"message":"Please try again in 1.2s","code":"rate_limit_exceeded"}}"#;
        Next::Pieces(chunked(&[&piece("retry after 9 seconds"), &format!("data: {said}\n\n")]), Then::Hang)
    })
    .await;
    let failed = ask(&Transport::new(Limits::default()), &model(&server), Ask::ChatStream).await.unwrap_err();
    assert_eq!((failed.failure.kind, failed.failure.retry_after_ms), (FailureKind::Throttled, Some(1_200)));
    assert_eq!(failed.hints.and_then(|hints| hints.retry_after), Some(Duration::from_millis(1_200)));
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused_by_what_it_says_and_not_by_how() {
    let server = Server::start(|n, _| {
        let many = vec![piece("x"); 100];
        let texts: Vec<&str> = match n {
            1 => many.iter().map(String::as_str).chain([STOP]).collect(),
            _ => many.iter().map(String::as_str).cycle().take(1_000).chain([STOP]).collect(),
        };
        let mut pieces = chunked(&texts);
        pieces.push(b"0\r\n\r\n".to_vec());
        Next::Pieces(vec![pieces.concat()], Then::GoOn)
    })
    .await;
    // A hundred letters in twelve thousand bytes.
    let transport = Transport::new(Limits { answer_bytes: 500 });
    assert!(ask(&transport, &model(&server), Ask::ChatStream).await.is_ok());
    let failed = ask(&transport, &model(&server), Ask::ChatStream).await.unwrap_err();
    assert!(failed.failure.message.contains("limit of 500 bytes"), "{}", failed.failure.message);
}
