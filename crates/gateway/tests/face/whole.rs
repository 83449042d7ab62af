//! Answers that come whole: to those who wait for events, of any length, and those that say no.

use super::*;

/// Takes its time, then says this, and then nothing.
async fn slow(says: String) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let says = says.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                while vendor::message(&mut tcp, &mut read).await.is_some() {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    tcp.write_all(says.as_bytes()).await.unwrap_or_default();
                }
            });
        }
    });
    (address, task)
}

fn said(status: &str, headers: &str, body: &str) -> String {
    let Does::Says(text) = json_answer(status, headers, body) else { unreachable!() };
    text
}

const CHAT: &str = r#"{
  "id": "c", "object": "chat.completion", "model": "vendors-a",
  "choices": [ { "index": 0, "message": { "role": "assistant", "content": "all at once" }, "finish_reason": "stop" } ],
  "usage": { "prompt_tokens": 7, "completion_tokens": 2 }
}"#;

async fn house_before(address: SocketAddr, keep_alive: Duration) -> House {
    let unused = Vendor::start(|_| answer("hi")).await;
    House::with_file(&[&unused], FaceConfig { keep_alive, ..settings() }, |file| {
        file["channels"]["a"] = json!({ "url": format!("http://{address}/v1") });
    })
}

#[tokio::test]
async fn who_waits_for_events_gets_a_whole_answer_in_events_whether_or_not_comments_went_before() {
    let (address, _task) = slow(said("200 OK", "", CHAT)).await;
    for keep_alive in [Duration::from_millis(50), Duration::from_secs(10)] {
        let house = house_before(address, keep_alive).await;
        let got = house.chat(r#"{"model":"a","stream":true}"#).await;
        assert_eq!(got.header("content-type"), Some("text/event-stream; charset=utf-8"), "{got:?}");
        let events: Vec<&str> = got.body.split("\n\n").filter(|event| event.starts_with("data: ")).collect();
        assert_eq!((events.len(), events[1]), (2, "data: [DONE]"), "{got:?}");
        let chunk: Value = serde_json::from_str(events[0].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&chunk["object"], &chunk["usage"]["prompt_tokens"]), (&json!("chat.completion.chunk"), &json!(7)));
        assert_eq!(chunk["choices"][0]["delta"], json!({ "role": "assistant", "content": "all at once" }));
        assert_eq!(got.body.contains(": keep-alive\n\n"), keep_alive < Duration::from_secs(1));
        // Who does not wait for events gets it as it came.
        assert_eq!(house.chat(r#"{"model":"a"}"#).await.body, CHAT);
    }
}

#[tokio::test]
async fn an_error_that_comes_behind_comments_is_told_as_the_upstream_told_it() {
    let error = "{\"error\":\n{\"message\":\"too hot\",\"type\":\"invalid_request_error\",\"code\":\"temperature\"}}";
    let (address, _task) = slow(said("400 Bad Request", "", error)).await;
    let house = house_before(address, Duration::from_millis(50)).await;
    let got = house.chat(r#"{"model":"a","stream":true}"#).await;
    let last = got.body.trim_end().rsplit("data: ").next().unwrap();
    assert_eq!(serde_json::from_str::<Value>(last).unwrap(), serde_json::from_str::<Value>(error).unwrap(), "{got:?}");
    assert!(!got.body.contains("[DONE]"));
    let got = ask(house.address, "/v1/responses", "", r#"{"model":"a","stream":true}"#).await;
    assert!(got.body.contains("event: error\ndata: ") && got.body.contains("\"message\":\"too hot\""), "{got:?}");
}

#[tokio::test]
async fn what_cannot_be_said_in_events_is_told_to_be_so_and_not_passed_over_in_silence() {
    let packed = said("200 OK", "content-encoding: br\r\n", "{packed}");
    let page = format!("{STREAM}{}0\r\n\r\n", chunk("packed")).replace("\r\n\r\n", "\r\ncontent-encoding: br\r\n\r\n");
    for says in [packed, page, said("200 OK", "", r#"{"choices":[]}"#)] {
        let (address, _task) = slow(says).await;
        let house = house_before(address, Duration::from_millis(50)).await;
        let got = house.chat(r#"{"model":"a","stream":true}"#).await;
        assert!(got.body.contains("upstream_does_not_stream") && !got.body.contains("[DONE]"), "{got:?}");
        assert!(!got.body.contains("packed"), "{got:?}");
    }
}

/// What comes until the connection is closed, as bytes without the marks of chunks counted.
async fn n_of(address: SocketAddr, n_most: usize) -> (usize, Vec<u8>) {
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = r#"{"model":"a"}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let (mut n, mut last, mut some) = (0, Vec::new(), vec![0; 1 << 20]);
    while let Ok(read @ 1..) = tokio::io::AsyncReadExt::read(&mut tcp, &mut some).await {
        n += read;
        last.extend_from_slice(&some[..read]);
        last.drain(..last.len().saturating_sub(64));
        assert!(n < n_most, "too much");
    }
    (n, last)
}

#[tokio::test]
async fn a_whole_answer_of_any_length_is_handed_on_and_a_cut_one_is_never_whole() {
    const N: usize = 80;
    for is_cut in [false, true] {
        let vendor = Vendor::start_raw(move |_| {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let mut all = vec![head.as_bytes().to_vec(), chunk("{\"choices\":\"").into_bytes()];
            let piece = chunk(&"x".repeat(1 << 20)).into_bytes();
            all.extend(std::iter::repeat_n(piece, N));
            if !is_cut {
                all.extend([chunk("\"}").into_bytes(), b"0\r\n\r\n".to_vec()]);
            }
            all
        })
        .await;
        let house = House::new(&[&vendor], settings());
        let (n, last) = n_of(house.address, (N + 1) << 20).await;
        // Of a cut one the last bytes may be lost with the connection.
        assert!(n > (N - 2) << 20, "{n}");
        assert_eq!(last.ends_with(b"0\r\n\r\n"), !is_cut, "{}", String::from_utf8_lossy(&last));
    }
}

#[tokio::test]
async fn several_prompts_are_answered_when_all_of_them_are() {
    let finish = |index: usize| {
        format!("data: {{\"choices\":[{{\"index\":{index},\"text\":\"x\",\"finish_reason\":\"stop\"}}]}}\n\n")
    };
    for (n_said, is_whole) in [(4, true), (3, false)] {
        let vendor = Vendor::start(move |_| {
            let events: String = (0..n_said).map(finish).collect();
            Does::Says(format!("{STREAM}{}0\r\n\r\n", chunk(&format!("{events}data: [DONE]\n\n"))))
        })
        .await;
        let house = House::new(&[&vendor], settings());
        let body = r#"{"model":"a","stream":true,"prompt":["one","two"],"n":2}"#;
        let got = ask(house.address, "/v1/completions", "", body).await;
        assert_eq!((got.body.contains("[DONE]"), got.body.contains("stream_cut")), (is_whole, !is_whole), "{got:?}");
    }
}

#[tokio::test]
async fn whoever_is_told_to_come_back_is_told_when_and_truly() {
    // About 2 s is what one rests that does not say for how long.
    let rows = [
        ("429 Slow", "", 1_600..=2_500),
        ("429 Slow", "retry-after: 7\r\n", 7_000..=7_000),
        ("429 Slow", "retry-after-ms: 1500\r\n", 1_500..=1_500),
        ("429 Slow", "retry-after: 0\r\n", 1..=100),
        ("503 Down", "", 1_000..=1_000),
        ("401 No", "", 1_000..=1_000),
    ];
    for (status, header, ms) in rows {
        let vendor = Vendor::start(move |_| json_answer(status, header, r#"{"error":{"message":"told"}}"#)).await;
        let house = House::new(&[&vendor], settings());
        let got = house.chat(r#"{"model":"a"}"#).await;
        let exactly: u64 = got.header("retry-after-ms").unwrap_or("0").parse().unwrap();
        assert!(ms.contains(&exactly), "{status} {header}: {got:?}");
        assert_eq!(
            got.header("retry-after"),
            Some(&*exactly.div_ceil(1_000).to_string()),
            "{status} {header}: {got:?}"
        );
        if status.starts_with("429") || status.starts_with("401") {
            let ready = ask(house.address, "/readyz", "", "").await;
            assert_eq!((ready.status, ready.header("retry-after").is_some()), (503, true), "{ready:?}");
        }
    }
}
