//! Each fault as it arrives, and when it strikes.

use std::{
    io::{ErrorKind, Read},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use simulate::{Fault, FaultKind, Script, Vendor, request_hash};

use crate::client::{Reply, ask, exchange, saying, send, vendor};

/// A vendor that always fails in this way.
fn failing(fault: Value) -> Vendor {
    let mut fault = fault;
    fault["rate"] = json!(1.0);
    vendor(json!({ "faults": [fault] }))
}

/// What arrives, to the byte, until the end of the connection.
fn raw(vendor: &Vendor, body: &Value) -> Vec<u8> {
    let mut stream = send(vendor.address(), "POST", "/v1/chat/completions", "", &body.to_string());
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the end of the connection");
    bytes
}

fn check_error(fault: Value, status: u16, kind: &str, code: Option<&str>) -> Reply {
    let reply = ask(&failing(fault.clone()), &saying("hi"));
    assert_eq!(reply.status, status, "{fault}");
    let error = &reply.json()["error"];
    assert_eq!(error["type"], kind, "{fault}");
    assert_eq!(error["code"].as_str(), code, "{fault}");
    assert!(error["message"].is_string() && error.get("param").is_some(), "{error}");
    reply
}

#[test]
fn errors_come_in_the_shape_of_openai() {
    let limit = Some("rate_limit_exceeded");
    let reply = check_error(json!({ "kind": "throttled", "retry_after": "2s" }), 429, "requests", limit);
    assert_eq!((reply.header("retry-after"), reply.header("retry-after-ms")), (Some("2"), None));
    let reply = check_error(json!({ "kind": "throttled", "retry_after": "1.5s" }), 429, "requests", limit);
    assert_eq!((reply.header("retry-after"), reply.header("retry-after-ms")), (Some("2"), Some("1500")));
    let reply = check_error(json!({ "kind": "throttled" }), 429, "requests", limit);
    assert_eq!(reply.header("retry-after"), None);

    check_error(json!({ "kind": "unavailable" }), 503, "server_error", None);
    check_error(json!({ "kind": "unavailable", "status": 502 }), 502, "server_error", None);
    check_error(json!({ "kind": "rejected" }), 400, "invalid_request_error", None);
    check_error(json!({ "kind": "unauthorized" }), 401, "invalid_request_error", Some("invalid_api_key"));
    check_error(json!({ "kind": "exhausted_credit" }), 429, "insufficient_quota", Some("insufficient_quota"));
}

#[test]
fn a_cut_connection_ends_without_a_byte() {
    let vendor = failing(json!({ "kind": "cut" }));
    assert_eq!(raw(&vendor, &saying("hi")), b"");
}

#[test]
fn half_an_answer_has_the_length_of_the_whole() {
    let vendor = failing(json!({ "kind": "half" }));
    let reply = Reply::read(&raw(&vendor, &saying("hi")));
    let length: usize = reply.header("content-length").and_then(|n| n.parse().ok()).expect("a length");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body.len(), length / 2);
    assert!(reply.body.starts_with("{\"id\":\"chatcmpl-"), "{}", reply.body);
}

#[test]
fn half_a_stream_lacks_its_end() {
    let vendor = failing(json!({ "kind": "half" }));
    let mut request = saying("hi");
    request["stream"] = json!(true);
    let (body, is_whole) = Reply::read(&raw(&vendor, &request)).dechunked();
    assert!(body.starts_with("data: {"), "{body}");
    assert!(!is_whole && !body.contains("[DONE]"), "{body}");
}

#[test]
fn a_hanging_request_ends_when_the_client_leaves() {
    let vendor = failing(json!({ "kind": "hang" }));
    let mut stream = send(vendor.address(), "POST", "/v1/chat/completions", "", &saying("hi").to_string());
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let error = stream.read(&mut [0; 1]).expect_err("no byte, and no end");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    assert_eq!(vendor.counts().in_flight, 1);
    assert_eq!(vendor.counts().faults[&FaultKind::Hang], 1);
    drop(stream);
    let start = Instant::now();
    while vendor.counts().in_flight > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "the vendor did not see its client leave");
        std::thread::yield_now();
    }
}

#[test]
fn a_hanging_request_ends_when_the_vendor_stops() {
    let vendor = failing(json!({ "kind": "hang" }));
    let mut stream = send(vendor.address(), "POST", "/v1/chat/completions", "", &saying("hi").to_string());
    while vendor.counts().in_flight == 0 {
        std::thread::yield_now();
    }
    let counts = vendor.stop();
    assert_eq!(counts.in_flight, 0);
    let n = stream.read(&mut [0; 1]).unwrap_or(0);
    assert_eq!(n, 0, "the connection ended without a byte");
}

#[test]
fn spoiled_messages_come_in_valid_envelopes() {
    let check = |kind: &str, finish_reason: &str| {
        let mut request = saying("hi");
        request["response_format"] = json!({ "type": "json_object" });
        let reply = ask(&failing(json!({ "kind": kind })), &request);
        assert_eq!(reply.status, 200, "{kind}");
        let choice = reply.json()["choices"][0].clone();
        assert_eq!(choice["finish_reason"], finish_reason, "{kind}");
        choice["message"].clone()
    };
    let is_json = |message: &Value| serde_json::from_str::<Value>(message["content"].as_str().expect("text")).is_ok();
    assert!(!is_json(&check("garbage", "stop")));
    let cut = check("length", "length");
    assert!(!is_json(&cut) && cut["content"].as_str().is_some_and(|cut| cut.starts_with("{\"answer\":")), "{cut}");
    assert_eq!(check("empty", "stop")["content"], "");
    let refused = check("refused", "stop");
    assert!(refused["content"].is_null() && refused["refusal"].is_string(), "{refused}");
}

#[test]
fn a_garbage_body_is_no_json() {
    let reply = ask(&failing(json!({ "kind": "garbage_body" })), &saying("hi"));
    assert_eq!(reply.status, 200);
    assert!(serde_json::from_str::<Value>(&reply.body).is_err());
}

#[test]
fn an_embedding_has_no_message_to_spoil() {
    let vendor = failing(json!({ "kind": "garbage" }));
    let reply = exchange(vendor.address(), "POST", "/v1/embeddings", "", r#"{"model":"m","input":"hi"}"#);
    assert_eq!(reply.status, 200);
    assert_eq!((vendor.counts().answered, vendor.counts().faults.len()), (1, 0));
}

fn mixed(seed: u64) -> Script {
    let faults = vec![
        Fault { asks: Some(2), ..Fault::new(FaultKind::Throttled, 0.2) },
        Fault::new(FaultKind::Empty, 0.1),
        Fault { status: Some(500), ..Fault::new(FaultKind::Unavailable, 0.3) },
    ];
    Script { seed, faults, ..Script::default() }
}

#[test]
fn a_fault_is_a_function_of_request_and_ask() {
    let script = mixed(7);
    let play = || {
        let vendor = Vendor::start(script.clone(), ([127, 0, 0, 1], 0).into()).expect("a vendor");
        let mut seen = Vec::new();
        for request in 0..12 {
            let body = saying(&format!("request {request}"));
            let hash = request_hash(body.to_string().as_bytes());
            for n in 1..=5 {
                let reply = ask(&vendor, &body);
                let scripted = script.fault_for(hash, n).map(|fault| fault.kind);
                let expected = match scripted {
                    Some(FaultKind::Throttled) => 429,
                    Some(FaultKind::Unavailable) => 500,
                    _ => 200,
                };
                assert_eq!(reply.status, expected, "request {request}, ask {n}");
                if reply.status == 200 {
                    assert_eq!(reply.content().is_empty(), scripted == Some(FaultKind::Empty));
                }
                assert_eq!(reply.header("x-request-id"), Some(&*format!("req_{hash:032x}_{n}")));
                seen.push(reply.body);
            }
            assert_eq!(vendor.asked()[&hash], 5);
        }
        seen
    };
    assert_eq!(play(), play(), "a second run sees the same, to the byte");
}

#[test]
fn rates_are_hit_and_do_not_overlap() {
    let script = mixed(1);
    let share = |kind, ask| {
        let hit = |n: &u128| script.fault_for(*n, ask).is_some_and(|fault| fault.kind == kind);
        (0..20_000_u128).map(|n| request_hash(&n.to_le_bytes())).filter(hit).count() as f64 / 20_000.0
    };
    let check = |kind, ask, rate: f64| {
        let share = share(kind, ask);
        assert!((share - rate).abs() < 0.015, "{kind} at ask {ask}: {share} of {rate}");
    };
    for ask in [1, 2] {
        check(FaultKind::Throttled, ask, 0.2);
    }
    assert_eq!(share(FaultKind::Throttled, 3), 0.0, "it strikes the first two asks");
    for ask in [1, 2, 3, 9] {
        check(FaultKind::Empty, ask, 0.1);
        check(FaultKind::Unavailable, ask, 0.3);
    }
}

#[test]
fn a_certain_fault_strikes_always_and_another_seed_strikes_elsewhere() {
    let certain = Script { faults: vec![Fault::new(FaultKind::Cut, 1.0)], ..Script::default() };
    let (one, other) = (mixed(1), mixed(2));
    let hashes = || (0..1_000_u128).map(|n| request_hash(&n.to_le_bytes()));
    assert!(hashes().all(|hash| certain.fault_for(hash, 1).is_some()));
    assert!(hashes().any(|hash| one.fault_for(hash, 1) != other.fault_for(hash, 1)));
}
