//! What clients and vendors do that nobody hopes for.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// What a client writes on a connection of its own, and what comes back until it is closed or silent for a while.
async fn said(address: SocketAddr, request: &str, pause: Duration) -> String {
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(pause).await;
    let (mut got, mut some) = (Vec::new(), vec![0; 1 << 20]);
    while let Ok(Ok(n @ 1..)) = tokio::time::timeout(Duration::from_secs(2), tcp.read(&mut some)).await {
        got.extend_from_slice(&some[..n]);
    }
    String::from_utf8_lossy(&got).into_owned()
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_a_long_answer() {
    let long = "x".repeat(24 << 20);
    let body = json!({ "choices": [{ "message": { "content": long } }] }).to_string();
    let n_body = body.len();
    let vendor = Vendor::start(move |_| json_answer("200 OK", "", &body)).await;
    let house = House::new(&[&vendor], settings());
    // Longer than a connection is kept up on which nothing seems to happen.
    let got = said(house.address, &post("/v1/chat/completions", "", r#"{"model":"a"}"#), Duration::from_secs(4)).await;
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert_eq!(body.len(), n_body);
}

#[tokio::test]
async fn an_answer_that_is_there_at_once_leaves_the_connection_as_patient_as_any_other() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let settings = FaceConfig { header_timeout: Duration::from_millis(200), ..settings() };
    let house = House::new(&[&vendor], settings);
    let mut tcp = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let mut read = Vec::new();
    for pause in [0, 600, 2_500] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        tcp.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let got = vendor::message(&mut tcp, &mut read).await;
        assert!(got.is_some_and(|got| got.starts_with("HTTP/1.1 200 OK\r\n")), "after {pause} ms");
    }
}

#[tokio::test]
async fn headers_that_belong_to_a_connection_stay_there() {
    let vendor =
        Vendor::start(|_| json_answer("200 OK", "connection: x-theirs\r\nx-theirs: 1\r\nx-kept: 1\r\n", "{}")).await;
    let house = House::new(&[&vendor], settings());
    let headers = "connection: keep-alive, X-Hop\r\nx-hop: planted\r\nproxy-connection: x\r\nx-passed: 1\r\n";
    let got = ask(house.address, "/v1/chat/completions", headers, r#"{"model":"a"}"#).await;
    let heard = vendor.last_heard();
    assert!(heard.contains("x-passed: 1") && !heard.contains("planted") && !heard.contains("proxy-connection"));
    assert_eq!((got.header("x-theirs"), got.header("x-kept")), (None, Some("1")), "{got:?}");
}

#[tokio::test]
async fn what_is_passed_through_needs_no_body_and_heads_have_none() {
    let vendor = Vendor::start(|_| Does::Says("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_owned())).await;
    let settings = FaceConfig { pass_through: vec!["files/*".to_owned()], ..settings() };
    let house = House::new(&[&vendor], settings);
    let begun = std::time::Instant::now();
    let got = said(house.address, "HEAD /v1/files/a HTTP/1.1\r\nhost: x\r\n\r\n", Duration::ZERO).await;
    assert!(got.starts_with("HTTP/1.1 200 OK") && begun.elapsed() < Duration::from_secs(4), "{got}");
    drop(house);
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], FaceConfig { pass_through: vec!["files/*".to_owned()], ..super::settings() });
    // OpenAI's clients say of every request that it is JSON, also of those without a body.
    assert_eq!(ask(house.address, "/v1/files/a", "", "").await.status, 200);
}

#[tokio::test]
async fn a_word_that_only_sounds_like_an_image_is_none() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::with_models(&[&vendor], settings(), |model| model["abilities"] = json!({ "vision": false }));
    let tool = r#"{"model":"a","tools":[{"type":"function","function":{"parameters":{"properties":{"image_url":{"type":"string"}}}}}]}"#;
    assert_eq!(house.chat(tool).await.status, 200);
    let image = r#"{"model":"a","messages":[{"content":[{"type" : "image_url","image_url":{"url":"https://x/y"}}]}]}"#;
    assert_eq!(house.chat(image).await.status, 400);
}

#[tokio::test]
async fn a_request_that_promises_too_much_takes_the_tokens_of_nobody_else() {
    let vendor = Vendor::start(|n| match n {
        1 => json_answer("400 Bad", "", r#"{"error":{"message":"max_tokens is too large"}}"#),
        _ => answer("hi"),
    })
    .await;
    let limits = |model: &mut Value| model["limits"] = json!({ "tokens_per_minute": 10_000 });
    let house = House::with_models(&[&vendor], settings(), limits);
    assert_eq!(house.chat(r#"{"model":"a","max_tokens":1000000000000000}"#).await.status, 400);
    let next = tokio::time::timeout(Duration::from_secs(5), house.chat(r#"{"model":"a"}"#)).await;
    assert_eq!(next.expect("at once").status, 200);
    let huge = house.chat(r#"{"model":"a","max_tokens":18446744073709551615}"#);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), huge).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_second_upstream_that_may_not_be_asked_is_not_kept_busy() {
    let slow = Vendor::start(|_| Does::SaysAndHangs(String::new())).await;
    let quick = Vendor::start(|_| answer("quick")).await;
    let house = House::with_file(&[&slow, &quick], settings(), |file| {
        file["models"][0]["weight"] = json!(1_000);
        file["models"][1]["max_in_flight"] = json!(1);
        file["routes"] = json!({ "good": { "models": ["a", "b"], "hedge": { "after": "50ms", "at_most": "5%" } } });
    });
    // The one that may be asked twice.
    assert_eq!(house.chat(r#"{"model":"good"}"#).await.status, 200);
    let waits = house.chat(r#"{"model":"good"}"#);
    let other = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        house.chat(r#"{"model":"b"}"#).await
    };
    tokio::select! {
        got = waits => panic!("{got:?}"),
        got = tokio::time::timeout(Duration::from_secs(5), other) => assert_eq!(got.expect("at once").status, 200),
    }
}

#[tokio::test]
async fn the_word_that_all_is_done_is_kept_back_however_it_comes() {
    let opening = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}]}\n\n";
    // Some vendors have an empty finish reason in every event.
    let word = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"},\"finish_reason\":\"\"}]}\n\n";
    for (cut, told) in [
        // Nothing was said before it, so there is no stream to cut.
        (
            vec![format!("{STREAM}{}", chunk(opening)), chunk("data: [DO"), format!("{}0\r\n\r\n", chunk("NE]\n\n"))],
            "upstream_unavailable",
        ),
        (
            vec![format!("{STREAM}{}", chunk(word)), chunk("data: [DO"), format!("{}0\r\n\r\n", chunk("NE]\n\n"))],
            "stream_cut",
        ),
        (vec![format!("{STREAM}{}", chunk(word)), "0\r\n\r\n".to_owned()], "stream_cut"),
    ] {
        let vendor = Vendor::start(move |_| Does::SaysAndCloses(cut.clone())).await;
        let house = House::new(&[&vendor], settings());
        let got = house.chat(r#"{"model":"a","stream":true}"#).await;
        assert!(!got.body.contains("[DO") && !got.body.contains("NE]"), "{got:?}");
        assert!(got.body.contains(told), "{got:?}");
    }
}

#[tokio::test]
async fn whoever_comes_through_a_proxy_is_not_on_this_machine() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    assert_eq!(ask(house.address, "/admin/models", "", "").await.status, 200);
    for header in ["x-forwarded-for: 203.0.113.7", "forwarded: for=203.0.113.7", "x-real-ip: 203.0.113.7", "via: 1.1 x"]
    {
        assert_eq!(ask(house.address, "/admin/models", &format!("{header}\r\n"), "").await.status, 403, "{header}");
    }
}

#[tokio::test]
async fn where_there_is_an_admin_key_nobody_gets_behind_the_scenes_without_it() {
    // A proxy on this machine that says nothing of its clients makes all of them seem to be here.
    let vendor = Vendor::start(|_| answer("hi")).await;
    let key = |name: &str, key: &str, is_admin| FaceKey {
        name: name.into(),
        key: Secret::new(key),
        class: Class::Normal,
        is_admin,
    };
    let settings = FaceConfig { keys: vec![key("a", "sk-a", false), key("b", "sk-b", true)], ..settings() };
    let house = House::new(&[&vendor], settings);
    for (headers, status) in
        [("", 403), ("authorization: Bearer sk-a\r\n", 403), ("authorization: Bearer sk-b\r\n", 200)]
    {
        for path in ["/admin/models", "/admin/health", "/metrics"] {
            assert_eq!(ask(house.address, path, headers, "").await.status, status, "{path} {headers}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_not_good_for_everything_is_no_bad_key() {
    let vendor = Vendor::start(|n| match n {
        1 => json_answer("403 No", "", r#"{"error":{"message":"missing scopes: api.files.read"}}"#),
        _ => answer("hi"),
    })
    .await;
    let settings = FaceConfig { pass_through: vec!["files/*".to_owned()], ..settings() };
    let house = House::new(&[&vendor], settings);
    assert_eq!(ask(house.address, "/v1/files/a", "", "{}").await.status, 503);
    assert_eq!(house.chat(r#"{"model":"a"}"#).await.status, 200);
}
