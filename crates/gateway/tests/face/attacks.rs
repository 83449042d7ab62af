//! Requests that are meant to be read in two ways, or not at all.

use tokio::io::AsyncReadExt;

use super::*;

/// What comes back for bytes on a connection of their own, until it is closed or silent for half a second.
async fn said(address: SocketAddr, request: &[u8]) -> String {
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = tcp.split();
    let (mut got, mut some) = (Vec::new(), vec![0; 1 << 16]);
    let writes = async {
        // Who is refused in the middle need not say the rest.
        let _ = write.write_all(request).await;
        std::future::pending::<()>().await;
    };
    let reads = async {
        while let Ok(Ok(n @ 1..)) = tokio::time::timeout(Duration::from_millis(1_500), read.read(&mut some)).await {
            got.extend_from_slice(&some[..n]);
        }
    };
    tokio::select! { () = writes => {}, () = reads => {} }
    String::from_utf8_lossy(&got).into_owned()
}

fn statuses(said: &str) -> Vec<&str> {
    said.split("HTTP/1.1 ").skip(1).map(|rest| &rest[..3]).collect()
}

const BODY: &str = r#"{"model":"a"}"#;

fn post(headers: &str, body: &str) -> String {
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn a_request_whose_end_could_be_in_two_places_is_refused_and_nothing_behind_it_is_answered() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    let hidden = "GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = format!("d\r\n{BODY}\r\n0\r\n\r\n");
    for (name, request) in [
        ("two lengths", post("content-length: 13\r\ncontent-length: 14\r\n", &format!("{BODY}{hidden}"))),
        ("a list of lengths", post("content-length: 13, 14\r\n", &format!("{BODY}{hidden}"))),
        ("a signed length", post("content-length: +13\r\n", &format!("{BODY}{hidden}"))),
        ("a length that is none", post("content-length: 0x0d\r\n", &format!("{BODY}{hidden}"))),
        ("a length out of range", post("content-length: 18446744073709551629\r\n", &format!("{BODY}{hidden}"))),
        ("chunks that are not last", post("transfer-encoding: chunked, identity\r\n", &format!("{chunked}{hidden}"))),
        ("chunks spelt oddly", post("transfer-encoding: xchunked\r\n", &format!("{chunked}{hidden}"))),
        ("a folded line", post("x-a: 1\r\n content-length: 13\r\n", &format!("{BODY}{hidden}"))),
        ("white space before the colon", post("content-length : 13\r\n", &format!("{BODY}{hidden}"))),
        ("a size that is none", post("transfer-encoding: chunked\r\n", &format!("-d\r\n{BODY}\r\n0\r\n\r\n{hidden}"))),
        (
            "a size beyond all",
            post("transfer-encoding: chunked\r\n", &format!("ffffffffffffffffd\r\n{BODY}\r\n{hidden}")),
        ),
        (
            "a chunk longer than it says",
            post("transfer-encoding: chunked\r\n", &format!("c\r\n{BODY}\r\n0\r\n\r\n{hidden}")),
        ),
        ("NUL in a header", post("x-a: a\0b\r\ncontent-length: 13\r\n", &format!("{BODY}{hidden}"))),
    ] {
        let before = vendor.n_heard();
        let got = said(house.address, request.as_bytes()).await;
        let got = statuses(&got);
        assert!(got.len() <= 1 && !got.contains(&"200") && !got.contains(&"404"), "{name}: {got:?}");
        assert_eq!(vendor.n_heard(), before, "{name}");
    }
    // With both, the chunks count (RFC 9112 section 6.3), and only where nobody could have read it otherwise.
    for headers in
        ["content-length: 3\r\ntransfer-encoding: chunked\r\n", "transfer-encoding: chunked\r\ncontent-length: 3\r\n"]
    {
        let got = said(house.address, post(headers, &format!("{chunked}{hidden}")).as_bytes()).await;
        let got = statuses(&got);
        assert!(got.len() <= 1, "{headers}: {got:?}");
    }
    // What a chunk says beside its size is nobody's business.
    let extended = post(
        "transfer-encoding: chunked\r\nconnection: close\r\n",
        &format!("d;a=\"b\"\r\n{BODY}\r\n0\r\nx-late: 1\r\n\r\n"),
    );
    assert_eq!(statuses(&said(house.address, extended.as_bytes()).await), ["200"]);
    assert!(!vendor.last_heard().contains("x-late"));
}

#[tokio::test]
async fn requests_that_come_together_are_answered_one_after_the_other() {
    let vendor = Vendor::start(|n| answer(&format!("number {n}"))).await;
    let house = House::new(&[&vendor], settings());
    let one = post("content-length: 13\r\n", BODY);
    let got = said(house.address, format!("{one}{one}{one}GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await;
    assert_eq!(statuses(&got), ["200"; 4], "{got}");
    let at = ["number 1", "number 2", "number 3", "status"].map(|word| got.find(word).unwrap());
    assert!(at.is_sorted(), "{got}");
}

#[tokio::test]
async fn targets_and_methods_that_are_for_others_lead_nowhere() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let settings = FaceConfig { pass_through: vec!["files/*".to_owned()], ..settings() };
    let house = House::new(&[&vendor], settings);
    for (line, status) in [
        ("GET http://elsewhere.example/healthz HTTP/1.1", "200"),
        ("GET http://elsewhere.example/v1/secret HTTP/1.1", "404"),
        ("CONNECT elsewhere.example:443 HTTP/1.1", "404"),
        ("CONNECT /v1/chat/completions HTTP/1.1", "405"),
        ("OPTIONS * HTTP/1.1", "404"),
        ("OPTIONS /v1/chat/completions HTTP/1.1", "405"),
        ("TRACE /healthz HTTP/1.1", "405"),
        ("HEAD /healthz HTTP/1.1", "200"),
        ("HEAD /v1/chat/completions HTTP/1.1", "405"),
        ("GET /v1/../admin/models HTTP/1.1", "404"),
        ("GET //admin/models HTTP/1.1", "404"),
        ("GET /v1/none?api_key=sk-planted HTTP/1.1", "404"),
        ("GET /v1/chat/completions?api_key=sk-planted HTTP/1.1", "405"),
        ("GET /admin%2fmodels HTTP/1.1", "404"),
        ("GET /v1/files/..%2f..%2fadmin HTTP/1.1", "404"),
        ("GET /v1/files/%2e%2e/%2e%2e/x HTTP/1.1", "404"),
        ("GET /v1/files/a%00b HTTP/1.1", "404"),
        ("GET /v1/files/a%0d%0ax:y HTTP/1.1", "404"),
    ] {
        let before = vendor.n_heard();
        let got = said(house.address, format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(statuses(&got), [status], "{line}: {got}");
        assert_eq!(vendor.n_heard(), before, "{line}");
        assert!(!got.contains("sk-planted"), "{got}");
        let (_, body) = got.split_once("\r\n\r\n").unwrap();
        assert!(!line.starts_with("HEAD") || body.is_empty(), "{got}");
    }
}

#[tokio::test]
async fn an_upgrade_is_not_made_and_a_client_that_asks_first_is_told_to_go_on() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    for upgrade in ["websocket", "h2c"] {
        let headers = format!(
            "connection: upgrade, http2-settings\r\nupgrade: {upgrade}\r\nhttp2-settings: AAMAAABkAAQAAP__\r\ncontent-length: 13\r\n"
        );
        let got = said(house.address, post(&headers, BODY).as_bytes()).await;
        assert_eq!(statuses(&got), ["200"], "{got}");
        let heard = vendor.last_heard().to_lowercase();
        assert!(!heard.contains("upgrade") && !heard.contains("http2-settings"), "{heard}");
    }
    let mut tcp = tokio::net::TcpStream::connect(house.address).await.unwrap();
    tcp.write_all(post("content-length: 13\r\nexpect: 100-continue\r\n", "").as_bytes()).await.unwrap();
    let mut some = [0; 4096];
    let n = tcp.read(&mut some).await.unwrap();
    assert!(some[..n].starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&some[..n]));
    tcp.write_all(BODY.as_bytes()).await.unwrap();
    let n = tcp.read(&mut some).await.unwrap();
    assert!(some[..n].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&some[..n]));
    assert!(!vendor.last_heard().to_lowercase().contains("expect"));
    // One that is too long is refused before it is sent.
    let got = said(house.address, post("content-length: 999999999\r\nexpect: 100-continue\r\n", "").as_bytes()).await;
    assert_eq!(statuses(&got), ["413"], "{got}");
}

#[tokio::test]
async fn heads_beyond_all_measure_are_refused_and_cost_nobody_else_anything() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    let many: String = (0..10_000).map(|n| format!("x-{n}: 1\r\n")).collect();
    for head in [
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 20)),
    ] {
        let got = said(house.address, head.as_bytes()).await;
        assert!(matches!(statuses(&got)[..], [] | ["400" | "414" | "431"]), "{got}");
    }
    assert_eq!(house.chat(BODY).await.status, 200);
}

#[tokio::test]
async fn json_that_is_meant_to_hurt_does_not() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    let deep = format!(r#"{{"model":"a","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let tools = deep.replace("\"x\"", "\"tools\"");
    let prompt = deep.replace("\"x\"", "\"prompt\"");
    let names: String = (0..50_000).map(|n| format!(r#""k{n}":0,"#)).collect();
    for (body, status) in [
        (&*deep, 200),
        (&tools, 200),
        (&prompt, 200),
        (&format!(r#"{{{names}"model":"a"}}"#), 200),
        (r#"{"model":"a","x":"\u0000"}"#, 200),
        ("{\"model\":\"a\",\"x\":\"\0\"}", 400),
        (r#"{"model":"a\u0000"}"#, 404),
        (r#"{"model":"a","x":"\ud800"}"#, 200),
        (r#"{"model":"\ud800"}"#, 400),
        (r#"{"model":5}"#, 400),
        (r#"{"model":["a"]}"#, 400),
        (r#"{"model":null}"#, 200),
        (r#"{"model":""}"#, 200),
        (r#"{"model":"a","stream":"yes"}"#, 400),
        (r#"{"model":"a","stream":false,"stream":true}"#, 400),
        (r#"{"model":"a","n":1e99}"#, 200),
        ("\u{feff}{\"model\":\"a\"}", 400),
        (r#"{"model":"a"}{"model":"b"}"#, 400),
        ("{\"model\":\"a\",}", 400),
    ] {
        let got = house.chat(body).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(got.status, status, "{shown}: {}", got.body);
        if status == 400 {
            let error: Value = serde_json::from_str(&got.body).unwrap();
            assert_eq!(error["error"]["type"], "invalid_request_error", "{got:?}");
        }
    }
    // What has to be looked into more closely is as deep.
    let plain = House::with_models(&[&vendor], super::settings(), |model| model["json"] = json!("object"));
    let form = deep.replace("\"x\"", "\"response_format\"");
    let schema = format!(
        r#"{{"model":"a","response_format":{{"type":"json_schema","json_schema":{}1{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for body in [form, schema] {
        assert!(matches!(plain.chat(&body).await.status, 200 | 400));
    }
    // The member at fault is named, as OpenAI does.
    let error: Value = serde_json::from_str(&house.chat(r#"{"model":5}"#).await.body).unwrap();
    assert_eq!(error["error"]["param"], "model");
    // Of two names the last one counts, and the vendor sees no other, whichever it reads.
    assert_eq!(house.chat(r#"{"model":"nobody","model":"a","mod\u0065l":"a"}"#).await.status, 200);
    assert_eq!(vendor.last_heard().matches("vendors-a").count(), 3);
    assert_eq!(house.chat(r#"{"model":"a","model":"nobody"}"#).await.status, 404);
}

#[tokio::test]
async fn nobody_asks_with_our_key_for_a_model_that_is_not_ours() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let settings = FaceConfig { pass_through: vec!["audio/*".to_owned()], ..settings() };
    let house = House::new(&[&vendor], settings);
    let part = |name: &str, model: &str| format!("--b\r\nContent-Disposition: form-data; {name}\r\n\r\n{model}\r\n");
    let file = part("name=\"file\"; filename=\"model\"", "sound");
    let forms = [
        (format!("{file}{}--b--\r\n", part("name=\"model\"", "a")), 200),
        (format!("{file}{}--b--\r\n", part("name=model", "a")), 200),
        (format!("{file}{}--b--\r\n", part("name=\"model\"", "dear")), 404),
        (format!("{file}{}--b--\r\n", part("name=model", "dear")), 404),
        (format!("{}{file}{}--b--\r\n", part("name=\"model\"", "a"), part("name=\"model\"", "dear")), 400),
    ];
    let form = "multipart/form-data; boundary=b";
    let forms = forms.iter().map(|(body, status)| (form, &**body, *status));
    let texts = ["application/vnd.api+json", "text/plain", "application/x-www-form-urlencoded"];
    let texts = texts.iter().flat_map(|kind| {
        [(*kind, r#" {"model":"a"}"#, "200"), (*kind, r#"{"model":"dear"}"#, "404")]
            .map(|(k, b, s)| (k, b, s.parse().unwrap()))
    });
    for (kind, body, status) in forms.chain(texts).chain([("text/plain", "{sounds like JSON", 200)]) {
        let n_before = vendor.n_heard();
        let length = body.len();
        let request = format!(
            "POST /v1/audio/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let got = said(house.address, request.as_bytes()).await;
        assert_eq!(statuses(&got), [status.to_string()], "{kind} {body}: {got}");
        let heard = vendor.last_heard();
        assert_eq!(vendor.n_heard() > n_before, status == 200, "{body}");
        assert!(
            !heard.contains("dear") && (status != 200 || body.contains("sounds") || heard.contains("vendors-a")),
            "{heard}"
        );
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn http_2_that_is_meant_to_hurt_ends_its_own_connection_and_no_other() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::new(&[&vendor], settings());
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat();
    // `POST /v1/chat/completions`, as literals that nobody remembers.
    let mut head = vec![0x83, 0x86, 0x04, 20];
    head.extend_from_slice(b"/v1/chat/completions");
    let resets: Vec<u8> = (0..5_000_u32)
        .flat_map(|n| [frame(1, 4, 2 * n + 1, &head), frame(3, 0, 2 * n + 1, &[0, 0, 0, 8])].concat())
        .collect();
    let settings: Vec<u8> = [0, 3, 0, 0, 0, 100].repeat(2_700);
    let attacks = [
        ("rapid reset", resets),
        ("settings without end", frame(4, 0, 0, &settings).repeat(500)),
        ("a settings frame that is too long", frame(4, 0, 0, &[0, 3, 0, 0, 0, 100].repeat(5_000))),
        ("pings without end", frame(6, 0, 0, &[1; 8]).repeat(50_000)),
        (
            "a head without end",
            [frame(1, 0, 1, &head), frame(9, 0, 1, &[0x40, 1, b'a', 1, b'b']).repeat(20_000)].concat(),
        ),
        ("a window beyond all", frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2)),
        ("empty data without end", [frame(1, 4, 1, &head), frame(0, 0, 1, &[]).repeat(50_000)].concat()),
    ];
    for (name, attack) in attacks {
        let attack = [&preface[..], &attack].concat();
        let ended = tokio::time::timeout(Duration::from_secs(20), said(house.address, &attack)).await;
        assert!(ended.is_ok(), "{name}");
        let well = tokio::time::timeout(Duration::from_secs(5), house.chat(BODY)).await;
        assert_eq!(well.expect(name).status, 200, "{name}");
    }
    // None of them reached the vendor: a request without its body is none.
    assert_eq!(vendor.n_heard(), 7);
}
