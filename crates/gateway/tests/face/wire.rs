//! HTTP/1.1 and its predecessor, as clients speak them.

use tokio::{io::AsyncReadExt, net::TcpStream};

use super::*;

async fn heard(tcp: &mut TcpStream, until: &str) -> String {
    let (mut got, mut some) = (Vec::new(), vec![0; 1 << 16]);
    let hear = async {
        while until.is_empty() || !String::from_utf8_lossy(&got).contains(until) {
            match tcp.read(&mut some).await {
                Ok(n @ 1..) => got.extend_from_slice(&some[..n]),
                _ => break,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), hear).await.expect("it ends");
    String::from_utf8(got).unwrap()
}

async fn to(house: &House, text: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(house.address).await.unwrap();
    tcp.write_all(text.as_bytes()).await.unwrap();
    tcp
}

fn post(version: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /v1/chat/completions HTTP/{version}\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

const BODY: &str = r#"{"model":"a"}"#;

#[tokio::test]
async fn a_client_of_http_1_0_gets_what_it_can_read() {
    let event = |text: &str| {
        let finish = if text == "two" { "\"stop\"" } else { "null" };
        chunk(&format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{finish}}}]}}\n\n"
        ))
    };
    let streams = format!("{STREAM}{}{}{}0\r\n\r\n", event("one"), event("two"), chunk("data: [DONE]\n\n"));
    let vendor = Vendor::start(move |n| if n < 4 { answer("hi") } else { Does::Says(streams.clone()) }).await;
    let house = House::new(&[&vendor], settings());
    // It closes unless it is asked to stay.
    let got = heard(&mut to(&house, &post("1.0", "", BODY)).await, "").await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.contains("connection: close\r\n"), "{got}");
    let mut kept = to(&house, &post("1.0", "connection: keep-alive\r\n", BODY)).await;
    for _ in 0..2 {
        let got = heard(&mut kept, "}}]}").await;
        assert!(got.contains("connection: keep-alive\r\n") && got.contains("content-length: "), "{got}");
        kept.write_all(post("1.0", "connection: keep-alive\r\n", BODY).as_bytes()).await.unwrap();
    }
    // Chunks it could not read: the end of the connection is the end of a stream.
    let streaming = r#"{"model":"a","stream":true}"#;
    let got = heard(&mut to(&house, &post("1.0", "connection: keep-alive\r\n", streaming)).await, "").await;
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("transfer-encoding") && head.contains("connection: close"), "{head}");
    assert!(body.starts_with("data: {") && body.ends_with("data: [DONE]\n\n"), "{body}");
}

#[tokio::test]
async fn who_is_turned_away_before_his_body_is_here_is_told_that_this_is_the_end() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    // All of it is here: nothing stands in the way of another request.
    let unknown = post("1.1", "", BODY).replace("chat/completions", "nothing");
    let mut tcp = to(&house, &unknown).await;
    for _ in 0..2 {
        let got = heard(&mut tcp, "}}").await;
        assert!(got.starts_with("HTTP/1.1 404 ") && !got.contains("connection:"), "{got}");
        tcp.write_all(unknown.as_bytes()).await.unwrap();
    }
    // Whoever waits for the rest would take it for the next request.
    let got = heard(&mut to(&house, &unknown[..unknown.len() - 1]).await, "").await;
    assert!(got.starts_with("HTTP/1.1 404 ") && got.contains("connection: close\r\n"), "{got}");
    let waits = post("1.1", "expect: 100-continue\r\n", BODY).replace("chat/completions", "nothing");
    let got = heard(&mut to(&house, &waits[..waits.len() - BODY.len()]).await, "").await;
    assert!(got.starts_with("HTTP/1.1 404 ") && got.contains("connection: close\r\n"), "{got}");
    assert_eq!(vendor.n_heard(), 0);
}

#[tokio::test]
async fn what_is_no_request_is_answered_in_the_shape_of_all_errors() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    for (text, status, code) in [
        ("hello\r\n\r\n", "400", "invalid_http"),
        ("GET / HTTP/3.0\r\n\r\n", "400", "invalid_http"),
        (&format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(70_000)), "431", "request_head_too_large"),
    ] {
        let got = heard(&mut to(&house, text).await, "").await;
        let (head, body) = got.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && head.contains("connection: close"), "{head}");
        let error: Value = serde_json::from_str(body).unwrap();
        assert_eq!(error["error"]["code"], code, "{body}");
    }
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte_and_behind_blank_lines() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    let mut tcp = to(&house, "\r\n\r\n").await;
    tcp.set_nodelay(true).unwrap();
    let chunked = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{{\r\nc;x=y\r\n{}\r\n0\r\nx: y\r\n\r\n",
        &BODY[1..]
    );
    for text in [post("1.1", "", BODY), chunked] {
        for byte in text.as_bytes() {
            tcp.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let got = heard(&mut tcp, "}}]}").await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    }
    assert!(vendor.last_heard().ends_with(r#"{"model":"vendors-a"}"#), "{}", vendor.last_heard());
}

#[tokio::test]
async fn an_answer_to_head_is_a_head() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    let mut tcp = to(&house, "HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let got = heard(&mut tcp, "}").await;
    let (head, rest) = got.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 15") && rest.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
}
