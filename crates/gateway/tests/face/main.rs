//! The HTTP face, before vendors on loopback that are written byte by byte.

#![expect(clippy::unwrap_used, reason = "the houses of tests are built as tests are")]

mod attacks;
mod bodies;
mod choosing;
mod hostile;
mod seeing;
mod vendor;
mod waiting;
mod whole;
mod wire;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::{Clock, Secret, Timestamp, ports::Class};
use gateway::{
    FaceConfig, FaceKey, Gateway, ModelsFile,
    face::{self, AccessLog, Face, Live, Serving},
    resolve, resolve_face,
};
use provider::transport::Transport;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use vendor::{Does, FAREWELL, STREAM, Vendor, ask, chunk, json_answer, word};

/// What nobody has set.
fn settings() -> FaceConfig {
    let file = json!({ "channels": {}, "models": [] });
    resolve_face(&serde_json::from_value(file).unwrap(), &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()))
        .unwrap()
}

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000)
    }
}

/// A face before vendors, whose models are named `a`, `b`, ...; the first is asked first.
struct House {
    face: Option<Face>,
    address: SocketAddr,
}

impl House {
    fn new(vendors: &[&Vendor], settings: FaceConfig) -> Self {
        Self::with_models(vendors, settings, |_| {})
    }

    /// `change` is given what the models file says about each model.
    fn with_models(vendors: &[&Vendor], settings: FaceConfig, change: impl Fn(&mut Value)) -> Self {
        Self::with_file(vendors, settings, |file| file["models"].as_array_mut().unwrap().iter_mut().for_each(&change))
    }

    /// `change` is given the models file.
    fn with_file(vendors: &[&Vendor], settings: FaceConfig, change: impl Fn(&mut Value)) -> Self {
        Self::seen_by(None, vendors, settings, change)
    }

    /// The same, with a log of requests.
    fn seen_by(log: Option<AccessLog>, vendors: &[&Vendor], settings: FaceConfig, change: impl Fn(&mut Value)) -> Self {
        let names: Vec<String> = ('a'..).take(vendors.len()).map(String::from).collect();
        let channels: serde_json::Map<_, _> = names
            .iter()
            .zip(vendors)
            .map(|(name, vendor)| (name.clone(), json!({ "url": format!("http://{}/v1", vendor.address) })))
            .collect();
        let model = |name: &String| json!({ "name": name, "channel": name, "model": format!("vendors-{name}") });
        let models: Vec<_> = names.iter().map(model).collect();
        let mut file = json!({ "channels": channels, "models": models });
        change(&mut file);
        let file: ModelsFile = serde_json::from_value(file).unwrap();
        let resolved = resolve(&file, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Epoch);
        let gateway = Arc::new(Gateway::new(&resolved, Arc::new(Transport::default()), Arc::clone(&clock)));
        let serving = Serving::new(&resolved, gateway, settings, clock.now());
        let serving = serving.seen_by(Arc::default(), log.map(Arc::new));
        let live = Arc::new(Live::new(Arc::new(serving)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let face = face::serve(listener, &live, 2, &clock).unwrap();
        Self { address: face.address(), face: Some(face) }
    }

    async fn chat(&self, body: &str) -> vendor::Got {
        ask(self.address, "/v1/chat/completions", "", body).await
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.face.take().unwrap().stop();
    }
}

fn answer(text: &str) -> Does {
    let body = json!({ "id": "c", "model": "vendors-a", "choices": [{ "message": { "content": text } }] });
    json_answer("200 OK", "x-request-id: theirs\r\n", &body.to_string())
}

#[tokio::test]
async fn a_request_passes_with_its_bytes_but_for_the_models_name() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    let body = r#"{"messages":[ ], "zeta":1.10,"model":"a",  "tools":[{"x":1e400}], "n":1}"#;
    let got = ask(
        house.address,
        "/v1/chat/completions",
        "x-custom: 7\r\nx-request-id: mine-1\r\nauthorization: Bearer client\r\n",
        body,
    )
    .await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(serde_json::from_str::<Value>(&got.body).unwrap()["choices"][0]["message"]["content"], "hi");
    assert_eq!((got.header("x-request-id"), got.header("x-upstream-request-id")), (Some("mine-1"), Some("theirs")));
    assert_eq!((got.header("x-tidemill-model"), got.header("x-tidemill-attempts")), (Some("a"), Some("1")));
    assert!(got.header("x-tidemill-overhead-us").unwrap().parse::<u64>().unwrap() < 1_000_000);
    let heard = vendor.last_heard();
    assert!(heard.ends_with(&body.replace(r#""a""#, r#""vendors-a""#)), "{heard}");
    let head = heard.to_lowercase();
    assert!(head.contains("x-custom: 7\r\n") && head.contains("x-request-id: mine-1\r\n"), "{heard}");
    assert!(!head.contains("bearer client"), "{heard}");
}

#[tokio::test]
async fn another_upstream_is_asked_before_the_first_byte_and_never_for_what_is_the_requests_own_fault() {
    for (status, is_passed_over) in [
        ("500 Oops", true),
        ("429 Slow", true),
        ("408 Late", true),
        ("401 No", true),
        ("400 Bad", false),
        ("404 What", false),
        ("422 No", false),
    ] {
        let ill = Vendor::start(move |_| json_answer(status, "", r#"{"error":{"message":"told"}}"#)).await;
        let well = Vendor::start(|_| answer("well")).await;
        let house = House::new(&[&ill, &well], settings());
        let got = house.chat(r#"{"model":"auto"}"#).await;
        if is_passed_over {
            assert_eq!((got.status, got.header("x-tidemill-attempts")), (200, Some("2")), "{status}: {got:?}");
        } else {
            assert_eq!(got.status.to_string(), status[..3], "{got:?}");
            assert_eq!(got.body, r#"{"error":{"message":"told"}}"#);
            assert_eq!(well.n_heard(), 0);
        }
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_word_is_another_upstreams() {
    let opening = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
    let error = "data: {\"error\":{\"message\":\"overloaded\"}}\n\n";
    let ills = [
        Does::SaysAndCloses(vec![format!("{STREAM}{}", chunk(opening))]),
        Does::SaysAndCloses(vec![format!("{STREAM}{}", chunk(error))]),
        Does::Says(format!("{STREAM}{}{}0\r\n\r\n", chunk(opening), chunk("data: [DONE]\n\n"))),
        Does::Says(format!("{STREAM}0\r\n\r\n")),
        Does::SaysAndCloses(vec![]),
    ];
    for (number, ill) in ills.into_iter().enumerate() {
        let ill = Vendor::start(move |_| ill.clone()).await;
        let well = Vendor::start(|_| {
            Does::Says(format!("{STREAM}{}{}{}0\r\n\r\n", chunk(&word("one")), chunk(": ping\n\n"), chunk(FAREWELL)))
        })
        .await;
        let house = House::new(&[&ill, &well], settings());
        let got = house.chat(r#"{"model":"auto","stream":true}"#).await;
        assert_eq!((got.status, got.header("x-tidemill-attempts")), (200, Some("2")), "{number}: {got:?}");
        assert_eq!(got.body, format!("{}: ping\n\n{FAREWELL}", word("one")), "{number}");
        assert_eq!(got.header("content-type"), Some("text/event-stream"));
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_with_an_error_and_never_with_done() {
    let cuts = [
        vec![format!("{STREAM}{}", chunk(&word("one")))],
        // Politely, as if all had been said.
        vec![format!("{STREAM}{}0\r\n\r\n", chunk(&word("one")))],
        vec![format!("{STREAM}{}", chunk(&word("one"))), format!("{}0\r\n\r\n", chunk("data: [DONE]\n\n"))],
        vec![format!("{STREAM}{}", chunk(&word("one"))), chunk("data: [DO"), format!("{}0\r\n\r\n", chunk("NE]\n\n"))],
        vec![format!("{STREAM}{}", chunk(&word("one"))), chunk("data: {\"choices\":[{\"del")],
    ];
    for (number, cut) in cuts.into_iter().enumerate() {
        let vendor = Vendor::start(move |_| Does::SaysAndCloses(cut.clone())).await;
        let house = House::new(&[&vendor], settings());
        let got = house.chat(r#"{"model":"auto","stream":true}"#).await;
        assert_eq!(got.status, 200);
        assert!(got.body.starts_with(&word("one")), "{number}: {}", got.body);
        assert!(!got.body.contains("[DONE]") && !got.body.contains("[DO"), "{number}: {}", got.body);
        let last = got.body.trim_end().rsplit("data: ").next().unwrap();
        let error: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{number}: {e} in {}", got.body));
        assert_eq!(error["error"]["code"], "stream_cut", "{number}");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_request_and_harms_nobody() {
    let vendor = Vendor::start(|n| {
        if n == 1 { Does::SaysAndHangs(format!("{STREAM}{}", chunk(&word("one")))) } else { answer("still here") }
    })
    .await;
    let house = House::new(&[&vendor], settings());
    let mut tcp = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let body = r#"{"model":"a","stream":true}"#;
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut some = [0; 4096];
    assert!(tokio::io::AsyncReadExt::read(&mut tcp, &mut some).await.unwrap() > 0);
    drop(tcp);
    let hung_up = async {
        while vendor.n_hung_up.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), hung_up).await.expect("the vendor hears of it");
    for _ in 0..3 {
        assert_eq!(house.chat(r#"{"model":"a"}"#).await.status, 200);
    }
}

#[tokio::test]
async fn who_has_no_key_and_what_is_none_of_ours_is_told_so_in_openais_shape() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let key = FaceKey { name: "team".into(), key: Secret::new("sk-planted-1"), class: Class::Normal, is_admin: false };
    let settings = FaceConfig { keys: vec![key], body_limit: 1_000, ..settings() };
    let house = House::new(&[&vendor], settings);
    let check = async |path: &str, headers: &str, body: &str, status: u16, code: &str| {
        let got = ask(house.address, path, headers, body).await;
        let error: Value = serde_json::from_str(&got.body).unwrap_or_default();
        assert_eq!((got.status, error["error"]["code"].as_str().unwrap_or("")), (status, code), "{path}: {got:?}");
        assert!(got.header("x-request-id").is_some());
    };
    let key = "authorization: Bearer sk-planted-1\r\n";
    let chat = "/v1/chat/completions";
    check(chat, "", r#"{"model":"a"}"#, 401, "missing_api_key").await;
    check(chat, "authorization: Bearer sk-other\r\n", r#"{"model":"a"}"#, 401, "invalid_api_key").await;
    check(chat, key, r#"{"model":"a"}"#, 200, "").await;
    check(chat, key, r#"{"model":"a""#, 400, "invalid_json").await;
    check(chat, key, &"x".repeat(1_001), 413, "request_too_large").await;
    check(chat, key, "", 405, "wrong_method").await;
    check("/v1/audio/speech", key, "{}", 404, "unknown_path").await;
    check("/v1/models", "", "", 401, "missing_api_key").await;
    check("/v1/models", key, "", 200, "").await;
    check("/v1/models/b", key, "", 404, "model_not_found").await;
    check("/healthz", "", "", 200, "").await;
    assert_eq!(vendor.n_heard(), 1);
}

#[tokio::test]
async fn a_stream_whose_first_word_takes_long_is_kept_alive_by_comments() {
    let vendor = Vendor::start(|n| if n == 1 { Does::SaysAndHangs(String::new()) } else { answer("hi") }).await;
    let slow = Vendor::start(|_| Does::SaysAndCloses(vec![format!("{STREAM}{}0\r\n\r\n", chunk(&word("late")))])).await;
    let settings = FaceConfig { keep_alive: Duration::from_millis(50), ..settings() };
    let house = House::new(&[&vendor, &slow], settings);
    let mut tcp = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let body = r#"{"model":"a","stream":true}"#;
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    tcp.write_all(request.as_bytes()).await.unwrap();
    let (mut got, mut some) = (String::new(), [0; 4096]);
    while got.matches(": keep-alive\n\n").count() < 3 {
        let n = tokio::io::AsyncReadExt::read(&mut tcp, &mut some).await.unwrap();
        assert!(n > 0, "{got}");
        got.push_str(&String::from_utf8_lossy(&some[..n]));
    }
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.contains("text/event-stream"), "{got}");
}

#[tokio::test]
async fn another_upstream_goes_on_with_an_answer_that_was_cut_where_that_is_wanted_and_possible() {
    let begun = Vendor::start(|_| {
        Does::SaysAndCloses(vec![
            format!("{STREAM}{}", chunk(&word("one "))),
            chunk(&word("two ")),
            chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo"),
        ])
    })
    .await;
    let other =
        Vendor::start(|_| Does::Says(format!("{STREAM}{}{}0\r\n\r\n", chunk(&word("three")), chunk(FAREWELL)))).await;
    let house =
        House::with_models(&[&begun, &other], settings(), |model| model["abilities"] = json!({ "prefill": true }));
    let body = r#"{"model":"auto","stream":true,"messages":[{"role":"user","content":"count"}]}"#;
    let got = ask(house.address, "/v1/chat/completions", "x-tidemill-continue: prefill\r\n", body).await;
    let expected = format!("{}{}\n\n: continued by b\n\n{}{FAREWELL}", word("one "), word("two "), word("three"));
    assert_eq!(got.body.replace("\n\n\n\n", "\n\n"), expected.replace("\n\n\n\n", "\n\n"));
    let heard = other.last_heard();
    let asked: Value = serde_json::from_str(heard.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(asked["messages"][1], json!({ "role": "assistant", "content": "one two " }), "{heard}");
    // Who does not ask for it is told of the cut.
    let got = house.chat(&body.replace("auto", "a")).await;
    assert!(got.body.contains("stream_cut"), "{got:?}");
}

#[tokio::test]
async fn who_finds_no_place_waits_in_line_and_beyond_it_is_told_when_to_come_back() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let rate = |model: &mut Value| model["limits"] = json!({ "requests_per_second": 10 });
    let settings = FaceConfig { queue_length: 10, ..settings() };
    let house = House::with_models(&[&vendor], settings, rate);
    // Twenty at once is what the rate allows; ten more wait for it, and the others are told.
    let all = futures_util::future::join_all((0..60).map(|_| house.chat(r#"{"model":"a"}"#))).await;
    let answered = all.iter().filter(|got| got.status == 200).count();
    assert!((29..=33).contains(&answered), "{answered}");
    for refused in all.iter().filter(|got| got.status != 200) {
        assert_eq!(refused.status, 429, "{refused:?}");
        let error: Value = serde_json::from_str(&refused.body).unwrap();
        assert_eq!(
            (error["error"]["type"].as_str(), error["error"]["code"].as_str()),
            (Some("rate_limit_error"), Some("queue_full"))
        );
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3).contains(&wait), "{wait}");
    }
    assert_eq!(vendor.n_heard(), answered);
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_not_found() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    let got = house.chat(r#"{"model":"gpt-9"}"#).await;
    assert_eq!(got.status, 404, "{got:?}");
    assert!(got.body.contains("model_not_found") && got.body.contains("gpt-9"), "{got:?}");
    for name in ["auto", "any", "default", "*", ""] {
        assert_eq!(house.chat(&json!({ "model": name }).to_string()).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn a_connection_may_be_idle_for_long_and_half_a_head_may_not() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let settings = FaceConfig { header_timeout: Duration::from_millis(300), ..settings() };
    let house = House::new(&[&vendor], settings);
    let mut tcp = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let body = r#"{"model":"a"}"#;
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut read = Vec::new();
    for pause in [0, 100, 2_500, 0] {
        // Longer than a head may take, and longer than a server keeps its buffers for.
        tokio::time::sleep(Duration::from_millis(pause)).await;
        tcp.write_all(request.as_bytes()).await.unwrap();
        assert!(vendor::message(&mut tcp, &mut read).await.unwrap().starts_with("HTTP/1.1 200 OK\r\n"), "{pause}");
    }
    tcp.write_all(&request.as_bytes()[..30]).await.unwrap();
    let mut some = [0; 64];
    let closed = tokio::io::AsyncReadExt::read(&mut tcp, &mut some);
    let n = tokio::time::timeout(Duration::from_secs(5), closed).await.expect("it is closed in time");
    assert_eq!(n.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_second_upstream_is_asked_while_the_first_is_slow_and_the_first_is_called_off() {
    let slow = Vendor::start(|_| Does::SaysAndHangs(String::new())).await;
    let quick = Vendor::start(|_| answer("quick")).await;
    let house = House::with_file(&[&slow, &quick], settings(), |file| {
        file["models"][0]["weight"] = json!(1_000);
        file["routes"] = json!({ "good": { "models": ["a", "b"], "hedge": { "after": "50ms", "at_most": "50%" } } });
    });
    let got = house.chat(r#"{"model":"good"}"#).await;
    assert_eq!(
        (got.status, got.header("x-tidemill-model"), got.header("x-tidemill-attempts")),
        (200, Some("b"), Some("2"))
    );
    let hung_up = async {
        while slow.n_hung_up.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), hung_up).await.expect("the slow one hears of it");
    // What may have effects is asked once.
    let asked = tokio::time::timeout(
        Duration::from_millis(500),
        house.chat(r#"{"model":"good","tools":[{"type":"function"}]}"#),
    );
    assert!(asked.await.is_err());
}

#[tokio::test]
async fn four_hundred_requests_at_once_share_a_few_http_2_connections() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let wide = |file: &mut Value| file["models"][0]["max_in_flight"] = json!(1_000);
    let inner = House::with_file(&[&vendor], settings(), wide);
    // The outer one speaks HTTP/2 to the inner one, as any client may.
    let outer = House::with_file(&[&vendor], settings(), |file| {
        wide(file);
        file["channels"]["a"] = json!({ "url": format!("http://{}/v1", inner.address), "http": 2 });
        file["models"][0]["model"] = json!("a");
    });
    let all = futures_util::future::join_all((0..400).map(|_| outer.chat(r#"{"model":"a"}"#))).await;
    assert!(all.iter().all(|got| got.status == 200), "{:?}", all.iter().find(|got| got.status != 200));
    assert_eq!(vendor.n_heard(), 400);
    let n = inner.face.as_ref().unwrap().n_connections();
    assert!((1..=20).contains(&n), "{n} connections");
    // A stream goes the same way.
    let streaming =
        Vendor::start(|_| Does::Says(format!("{STREAM}{}{}0\r\n\r\n", chunk(&word("one")), chunk(FAREWELL)))).await;
    let inner = House::with_file(&[&streaming], settings(), |_| {});
    let outer = House::with_file(&[&vendor], settings(), |file| {
        file["channels"]["a"] = json!({ "url": format!("http://{}/v1", inner.address), "http": 2 });
        file["models"][0]["model"] = json!("a");
    });
    let got = outer.chat(r#"{"model":"a","stream":true}"#).await;
    assert_eq!(got.body, format!("{}{FAREWELL}", word("one")));
}

#[tokio::test]
async fn a_stream_that_is_cut_anywhere_arrives_as_it_was_sent() {
    let text = format!("{}{}: 世界\n\n{FAREWELL}", word("世界"), word("ça 🎈"));
    let bytes = text.as_bytes().to_vec();
    for n_at_once in [1, 3, 7, 50] {
        let pieces: Vec<Vec<u8>> = bytes.chunks(n_at_once).map(<[u8]>::to_vec).collect();
        let vendor = Vendor::start_raw(move |_| {
            let mut out = vec![STREAM.as_bytes().to_vec()];
            out.extend(
                pieces.iter().map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()),
            );
            out.push(b"0\r\n\r\n".to_vec());
            out
        })
        .await;
        let house = House::new(&[&vendor], settings());
        assert_eq!(house.chat(r#"{"model":"a","stream":true}"#).await.body, text, "{n_at_once} at once");
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_the_vendor_back_and_not_the_answer() {
    // More than any buffer between the two takes.
    let event = word(&"x".repeat(60_000));
    let n_events = 400;
    let written = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (written_there, one) = (Arc::clone(&written), chunk(&event));
    let vendor = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        vendor::message(&mut tcp, &mut Vec::new()).await.unwrap();
        tcp.write_all(STREAM.as_bytes()).await.unwrap();
        for _ in 0..n_events {
            tcp.write_all(one.as_bytes()).await.unwrap();
            written_there.fetch_add(one.len(), Ordering::SeqCst);
        }
        tcp.write_all(format!("{}0\r\n\r\n", chunk(FAREWELL)).as_bytes()).await.unwrap();
    });
    let unused = Vendor::start(|_| answer("hi")).await;
    let house = House::with_file(&[&unused], settings(), |file| {
        file["channels"]["a"] = json!({ "url": format!("http://{address}/v1") });
    });
    let mut tcp = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let body = r#"{"model":"a","stream":true}"#;
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    tcp.write_all(request.as_bytes()).await.unwrap();
    // Nobody reads, so after a while nobody can write.
    let mut before = usize::MAX;
    while written.load(Ordering::SeqCst) != before || before == 0 {
        before = written.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(before < n_events * event.len() / 2, "{before} bytes are under way");
    let (mut n_read, mut last, mut some) = (0, Vec::new(), vec![0; 1 << 20]);
    while !last.ends_with(b"0\r\n\r\n") {
        let n = tokio::io::AsyncReadExt::read(&mut tcp, &mut some).await.unwrap();
        assert!(n > 0, "the answer ends after {n_read} bytes");
        n_read += n;
        last.extend_from_slice(&some[..n]);
        last.drain(..last.len().saturating_sub(64));
    }
    assert!(n_read > n_events * event.len() && String::from_utf8_lossy(&last).contains("[DONE]"), "{n_read}");
    vendor.await.unwrap();
}
