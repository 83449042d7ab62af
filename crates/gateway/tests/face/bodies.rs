//! Bodies of requests: how many are held at a time, and how slowly one may come.

use std::time::Instant;

use tokio::{io::AsyncReadExt, net::TcpStream};

use super::*;

fn long(n: usize) -> String {
    json!({ "model": "a", "messages": [{ "role": "user", "content": "x".repeat(n) }] }).to_string()
}

fn head(headers: &str) -> String {
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{headers}\r\n")
}

async fn wrote(address: SocketAddr, text: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(text.as_bytes()).await.unwrap();
    tcp
}

/// What comes until the other side closes.
async fn to_the_end(mut tcp: TcpStream) -> String {
    let mut got = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), tcp.read_to_end(&mut got)).await;
    read.expect("it is closed in time").unwrap();
    String::from_utf8_lossy(&got).into_owned()
}

#[tokio::test]
async fn many_long_requests_take_turns_in_little_memory_and_short_ones_do_not_stand_behind_them() {
    // Nothing is answered before the test has seen who was read.
    let vendor = Vendor::start(|_| answer("hi")).await;
    // Three of them fit.
    let settings = FaceConfig { body_memory: 4_000_000, body_limit: 1_000_000, ..settings() };
    let house = House::with_models(&[&vendor], settings, |model| model["max_in_flight"] = json!(1_000));
    let body = long(900_000);
    let length = format!("content-length: {}\r\n", body.len());
    // Who announces much and sends nothing holds his share, until it is seen how slow he is.
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(wrote(house.address, &head(&length)).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let waiting = futures_util::future::join_all((0..20).map(|_| house.chat(&body)));
    let mut waiting = Box::pin(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut waiting).await.is_err());
    assert_eq!(vendor.n_heard(), 0);
    let began = Instant::now();
    let short = futures_util::future::join_all((0..50).map(|_| house.chat(r#"{"model":"a"}"#))).await;
    assert!(short.iter().all(|got| got.status == 200) && began.elapsed() < Duration::from_secs(5));
    // They go, and with them what they held.
    drop(idle);
    let got = tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("all have their turn");
    assert!(got.iter().all(|got| got.status == 200), "{:?}", got.iter().find(|got| got.status != 200));
}

#[tokio::test]
async fn who_waits_too_long_for_memory_is_told_when_to_come_back() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let settings = FaceConfig { body_memory: 1_000_000, queue_wait: Duration::from_millis(1_200), ..settings() };
    let house = House::new(&[&vendor], settings);
    let body = long(600_000);
    let holds = wrote(house.address, &head(&format!("content-length: {}\r\n", body.len()))).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let got = house.chat(&body).await;
    assert_eq!((got.status, got.header("retry-after"), got.header("retry-after-ms")), (429, Some("2"), Some("1200")));
    assert!(got.body.contains("body_memory_full"), "{got:?}");
    // One whose length nobody knows has what it needs at once, or is told so.
    let chunked = format!("{}{:x}\r\n{body}\r\n0\r\n\r\n", head("transfer-encoding: chunked\r\n"), body.len());
    let mut tcp = wrote(house.address, &chunked).await;
    let got = vendor::message(&mut tcp, &mut Vec::new()).await.unwrap();
    assert!(got.starts_with("HTTP/1.1 429"), "{got}");
    drop(holds);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut tcp = wrote(house.address, &chunked).await;
    let got = vendor::message(&mut tcp, &mut Vec::new()).await.unwrap();
    assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    // What is longer than all the memory for long ones need not wait for it.
    assert_eq!(house.chat(&long(800_000)).await.status, 413);
}

#[tokio::test]
async fn who_is_refused_while_he_still_sends_gets_to_read_why() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let key = FaceKey { name: "team".into(), key: Secret::new("sk-team"), class: Class::Normal, is_admin: false };
    let house = House::new(&[&vendor], FaceConfig { body_limit: 1_000, ..settings() });
    let closed = House::new(&[&vendor], FaceConfig { keys: vec![key], ..settings() });
    let body = "x".repeat(30 << 20);
    let long = head(&format!("content-length: {}\r\n", body.len()));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(4 << 20));
    for (address, request, status) in [
        (house.address, format!("{long}{body}"), "413"),
        (closed.address, format!("{long}{body}"), "401"),
        (house.address, many, "431"),
    ] {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let wrote = tokio::time::timeout(Duration::from_secs(10), tcp.write_all(request.as_bytes())).await;
        wrote.expect("it is taken").unwrap();
        let got = to_the_end(tcp).await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
    }
}

#[tokio::test]
async fn a_long_request_whose_answer_has_begun_holds_no_memory_any_more() {
    let vendor = Vendor::start(|n| match n {
        1 => Does::SaysAndHangs(format!("{STREAM}{}", chunk(&word("one")))),
        _ => answer("hi"),
    })
    .await;
    let settings = FaceConfig { body_memory: 1_000_000, queue_wait: Duration::from_millis(500), ..settings() };
    let house = House::new(&[&vendor], settings);
    let body = long(600_000).replace("\"model\"", "\"stream\":true,\"model\"");
    let mut tcp =
        wrote(house.address, &format!("{}{body}", head(&format!("content-length: {}\r\n", body.len())))).await;
    assert!(tcp.read(&mut [0; 4096]).await.unwrap() > 0);
    assert_eq!(house.chat(&long(600_000)).await.status, 200);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_not_waited_for_and_one_that_comes_steadily_is() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let settings = FaceConfig { body_timeout: Duration::from_millis(600), ..settings() };
    let house = House::new(&[&vendor], settings);
    for headers in ["content-length: 100\r\n", "transfer-encoding: chunked\r\n"] {
        let mut tcp = wrote(house.address, &head(headers)).await;
        let began = Instant::now();
        let (mut read, mut write) = tcp.split();
        let drips = async {
            while write.write_all(if headers.starts_with("content") { b"{" } else { b"1\r\n{\r\n" }).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut got = Vec::new();
        let closed = async {
            let mut some = [0; 4096];
            while let Ok(n @ 1..) = read.read(&mut some).await {
                got.extend_from_slice(&some[..n]);
            }
        };
        tokio::select! {
            () = drips => {}
            closed = tokio::time::timeout(Duration::from_secs(5), closed) => closed.expect("it is closed"),
        }
        let got = String::from_utf8_lossy(&got);
        assert!(got.starts_with("HTTP/1.1 408 ") && got.contains("request_timeout"), "{got}");
        assert!(got.contains("connection: close") && began.elapsed() >= Duration::from_millis(600), "{got}");
    }
    // More time than the limit, but more than enough in it.
    let body = long(400_000);
    let mut tcp =
        wrote(house.address, &head(&format!("content-length: {}\r\nconnection: close\r\n", body.len()))).await;
    for piece in body.as_bytes().chunks(50_000) {
        tokio::time::sleep(Duration::from_millis(150)).await;
        tcp.write_all(piece).await.unwrap();
    }
    assert!(to_the_end(tcp).await.starts_with("HTTP/1.1 200"));
}
