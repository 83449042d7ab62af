//! What the gateway tells about itself and its requests.

use std::sync::Mutex;

use gateway::{LogFormat, face::LogTarget};

use super::*;

/// What cannot be in any log.
const SECRET: &str = "the-planted-content";

/// A sheet that a log is written on.
#[derive(Clone, Default)]
struct Sheet(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sheet {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn seen(house: &House, path: &str) -> (u16, Value) {
    let got = ask(house.address, path, "", "").await;
    (got.status, serde_json::from_str(&got.body).unwrap_or_else(|e| panic!("{path}: {e}: {got:?}")))
}

/// Asks until the samples of `/metrics` hold one: a request is counted when its body is gone, a moment after the client
/// has it.
async fn counted(house: &House, sample: &str) -> String {
    let mut text = String::new();
    for _ in 0..500 {
        text = ask(house.address, "/metrics", "", "").await.body;
        if text.lines().any(|line| line == sample) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{sample} is not in\n{text}");
}

fn ill(status: &'static str) -> Does {
    json_answer(status, "", &json!({ "error": { "message": SECRET } }).to_string())
}

#[tokio::test]
async fn the_admin_pages_have_ai_dataflux_s_shapes_with_values_that_are_true_now() {
    let well = Vendor::start(|_| answer("hi")).await;
    let throttled = Vendor::start(|_| json_answer("429 Slow", "retry-after: 30\r\n", "{}")).await;
    let locked = Vendor::start(|_| ill("401 No")).await;
    let house = House::with_models(&[&well, &throttled, &locked], settings(), |model| {
        if model["name"] == "c" {
            model["weight"] = 0.into();
        }
    });
    assert_eq!(seen(&house, "/admin/health").await.1["status"], "healthy");
    let (_, before) = seen(&house, "/admin/models").await;
    assert_eq!(before["models"][0]["success_rate"], 1.0);
    assert_eq!(before["models"][0]["avg_response_time"], 0.0);
    for name in ["a", "b", "c"] {
        house.chat(&json!({ "model": name }).to_string()).await;
    }
    let (status, after) = seen(&house, "/admin/models").await;
    assert_eq!((status, &after["total"], &after["available"]), (200, &json!(3), &json!(1)));
    let model = &after["models"][0];
    let theirs = ["id", "name", "model", "weight", "success_rate", "avg_response_time", "available", "channel"];
    let names: Vec<&str> = model.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names[..8], theirs);
    assert_eq!(
        (&model["id"], &model["model"], &model["weight"], &model["available"], &model["channel"], &model["state"]),
        (&json!("a"), &json!("vendors-a"), &json!(1), &json!(true), &json!("a"), &json!("well"))
    );
    assert!(model["avg_response_time"].as_f64().unwrap() > 0.0);
    let cooling = &after["models"][1];
    assert_eq!((&cooling["available"], &cooling["state"]), (&json!(false), &json!("cooling")));
    assert_eq!(cooling["success_rate"], 0.0);
    assert!((20.0..=60.0).contains(&cooling["rest_seconds"].as_f64().unwrap()), "{cooling}");
    let disabled = &after["models"][2];
    assert_eq!((&disabled["available"], &disabled["state"]), (&json!(false), &json!("disabled")));
    assert!(disabled["trouble"].as_str().unwrap().contains("key not accepted"), "{disabled}");
    let (_, health) = seen(&house, "/admin/health").await;
    let theirs = ["status", "available_models", "total_models", "uptime"].map(|name| &health[name]);
    assert_eq!(theirs, [&json!("degraded"), &json!(1), &json!(3), &json!(0.0)]);
    let unavailable: Vec<_> =
        health["unavailable"].as_array().unwrap().iter().map(|one| (&one["id"], &one["state"])).collect();
    assert_eq!(unavailable, [(&json!("b"), &json!("cooling")), (&json!("c"), &json!("disabled"))]);
    assert_eq!(health["unavailable"][1]["trouble"], disabled["trouble"]);
    assert_eq!(seen(&house, "/readyz").await.0, 200);
    let (_, root) = seen(&house, "/").await;
    assert_eq!((&root["name"], &root["status"]), (&json!("Tidemill"), &json!("running")));
}

#[tokio::test]
async fn a_gateway_without_anybody_to_ask_says_that_it_is_not_ready() {
    let locked = Vendor::start(|_| ill("401 No")).await;
    let house = House::new(&[&locked], settings());
    assert_eq!(seen(&house, "/readyz").await.0, 200);
    house.chat(r#"{"model":"a"}"#).await;
    let (status, ready) = seen(&house, "/readyz").await;
    assert_eq!((status, &ready["ready"]), (503, &json!(false)));
    assert_eq!(seen(&house, "/admin/health").await.1["status"], "unhealthy");
    assert_eq!(seen(&house, "/healthz").await.0, 200);
}

#[tokio::test]
async fn models_are_listed_under_the_names_by_which_they_can_be_asked_for() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let change = |model: &mut Value| {
        model["aliases"] = json!(["shared", format!("only-{}", model["name"].as_str().unwrap())]);
        if model["name"] == "b" {
            model["weight"] = 0.into();
        }
    };
    let house = House::with_models(&[&vendor, &vendor], settings(), change);
    let names = |list: Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    let (_, list) = seen(&house, "/v1/models").await;
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0], json!({ "id": "a", "object": "model", "created": 1000, "owned_by": "tidemill" }));
    assert_eq!(names(list), ["a", "shared", "only-a", "auto"]);
    // Whoever knows the name of one without weight may ask for it.
    assert_eq!(seen(&house, "/v1/models/only%2Db").await.1["id"], "only-b");
    assert_eq!(seen(&house, "/v1/models/other").await.0, 404);
    let echoing = FaceConfig { echo_model: true, ..settings() };
    let house = House::new(&[&vendor], echoing);
    assert_eq!(seen(&house, "/v1/models").await.1["data"][0]["owned_by"], "flux-api");
}

#[tokio::test]
async fn metrics_tell_what_became_of_requests() {
    let broken = Vendor::start(|_| ill("500 Oops")).await;
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 } });
    let well = Vendor::start(move |n| match n {
        1 => json_answer("200 OK", "", &usage.to_string()),
        2 => Does::SaysAndCloses(vec![format!("{STREAM}{}", chunk(&word("one")))]),
        _ => json_answer("400 Bad", "", r#"{"error":{"message":"wrong"}}"#),
    })
    .await;
    let house = House::new(&[&broken, &well], settings());
    house.chat(r#"{"model":"auto"}"#).await;
    house.chat(r#"{"model":"b","stream":true}"#).await;
    house.chat(r#"{"model":"b"}"#).await;
    house.chat(r#"{"model":"#).await;
    ask(house.address, &format!("/{SECRET}"), "", "").await;
    let text = counted(&house, r#"tidemill_requests_total{upstream="b",call="chat",status="4xx"} 1"#).await;
    for sample in [
        r#"tidemill_requests_total{upstream="b",call="chat",status="2xx"} 2"#,
        r#"tidemill_requests_total{upstream="",call="chat",status="4xx"} 1"#,
        r#"tidemill_requests_total{upstream="",call="unknown",status="4xx"} 1"#,
        r#"tidemill_attempts_total{upstream="a",result="unavailable"} 1"#,
        r#"tidemill_attempts_total{upstream="b",result="answered"} 1"#,
        r#"tidemill_attempts_total{upstream="b",result="cut"} 1"#,
        r#"tidemill_attempts_total{upstream="b",result="rejected"} 1"#,
        r#"tidemill_failovers_total{upstream="a"} 1"#,
        r#"tidemill_streams_cut_total{upstream="b"} 1"#,
        r#"tidemill_tokens_total{upstream="b",kind="prompt"} 7"#,
        r#"tidemill_tokens_total{upstream="b",kind="completion"} 5"#,
        r#"tidemill_upstream_available{upstream="b"} 1"#,
        r#"tidemill_upstream_in_flight{upstream="b"} 0"#,
        "tidemill_requests_in_flight 0",
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample} is not in\n{text}");
    }
    assert!(!text.contains(SECRET), "{text}");
    assert!(
        ask(house.address, "/metrics", "", "")
            .await
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
}

#[tokio::test]
async fn the_log_tells_of_every_request_and_nothing_of_what_was_said() {
    let sheet = Sheet::default();
    let target = LogTarget::Writer(Box::new(sheet.clone()));
    let log = AccessLog::open(LogFormat::Json, target, Arc::new(Epoch), Box::new(|_| ())).unwrap();
    let key = FaceKey { name: "team".into(), key: Secret::new("sk-planted-1"), class: Class::Normal, is_admin: false };
    let vendor = Vendor::start(|n| match n {
        1 => answer(SECRET),
        2 => ill("500 Oops"),
        3 => ill("400 Bad"),
        _ => Does::SaysAndCloses(vec![format!("{STREAM}{}", chunk(&word(SECRET)))]),
    })
    .await;
    let house = House::seen_by(Some(log), &[&vendor], FaceConfig { keys: vec![key], ..settings() }, |_| {});
    let key = "authorization: Bearer sk-planted-1\r\nx-request-id: mine\r\n";
    let body =
        |stream: bool| json!({ "model": "a", "messages": [{ "content": SECRET }], "stream": stream }).to_string();
    for stream in [false, false, false, true] {
        ask(house.address, "/v1/chat/completions", key, &body(stream)).await;
    }
    ask(house.address, "/v1/chat/completions", "authorization: Bearer sk-planted-2\r\n", &body(false)).await;
    // It is dropped with the face, which writes what waits.
    drop(house);
    let text = String::from_utf8(sheet.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["status"].as_u64().unwrap(), line["outcome"].as_str().unwrap(), line["trouble"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (200, "answered", None),
            (500, "refused", Some("unavailable (500)")),
            (400, "refused", Some("rejected (400)")),
            (200, "cut", Some("unavailable")),
            (401, "refused", Some("invalid_api_key")),
        ]
    );
    let first = &lines[0];
    assert_eq!(
        (&first["id"], &first["client"], &first["asked"], &first["upstream"], &first["call"]),
        (&json!("mine"), &json!("team"), &json!("a"), &json!("a"), &json!("chat"))
    );
    assert!(first["overhead_us"].as_u64().unwrap() < 1_000_000 && first["bytes_out"].as_u64().unwrap() > 50, "{first}");
    for secret in [SECRET, "sk-planted"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}
