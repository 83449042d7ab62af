//! Streamed answers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{ask, saying, vendor};

/// The events of a stream, without the last, which is `[DONE]`.
fn events(body: &str) -> Vec<Value> {
    let mut events: Vec<&str> = body.split_terminator("\n\n").collect();
    assert_eq!(events.pop(), Some("data: [DONE]"));
    let read = |event: &str| serde_json::from_str(event.strip_prefix("data: ").expect("data")).expect("JSON");
    events.into_iter().map(read).collect()
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    let fixed = "Ein Mühlrad dreht sich, 水车转动, and the text is longer than one piece.";
    let vendor = vendor(json!({ "answer": { "fixed": fixed } }));
    let mut request = saying("hi");
    request["stream"] = json!(true);
    request["n"] = json!(2);
    let reply = ask(&vendor, &request);
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-type").is_some_and(|t| t.starts_with("text/event-stream")));
    let (body, is_whole) = reply.dechunked();
    assert!(is_whole);
    let events = events(&body);
    assert!(events.iter().all(|event| event["object"] == "chat.completion.chunk" && event.get("usage").is_none()));
    for choice in 0..2 {
        let mine: Vec<_> = events.iter().map(|event| &event["choices"][0]).filter(|c| c["index"] == choice).collect();
        assert_eq!(mine[0]["delta"]["role"], "assistant");
        let said: String = mine.iter().filter_map(|choice| choice["delta"]["content"].as_str()).collect();
        assert_eq!(said, fixed);
        assert!(mine.len() > 4, "it comes in pieces");
        assert_eq!(mine.last().map(|choice| choice["finish_reason"].clone()), Some(json!("stop")));
    }
}

#[test]
fn usage_comes_last_where_it_is_asked_for() {
    let vendor = vendor(json!({}));
    let mut request = saying("hi");
    request["stream"] = json!(true);
    request["stream_options"] = json!({ "include_usage": true });
    let events = events(&ask(&vendor, &request).dechunked().0);
    let (last, others) = events.split_last().expect("events");
    assert!(others.iter().all(|event| event["usage"].is_null()));
    assert_eq!(last["choices"], json!([]));
    assert!(last["usage"]["total_tokens"].as_u64() > last["usage"]["prompt_tokens"].as_u64());
    assert_eq!(vendor.counts().answered, 1);
}

#[test]
fn a_stream_pauses_between_events() {
    let vendor = vendor(json!({ "answer": { "fixed": "four" }, "stream_pause": "20ms" }));
    let mut request = saying("hi");
    request["stream"] = json!(true);
    let start = Instant::now();
    let events = events(&ask(&vendor, &request).dechunked().0);
    assert_eq!(events.len(), 3, "role, text, end");
    assert!(start.elapsed() >= Duration::from_millis(60), "three pauses between four events");
}

#[test]
fn a_stream_is_spoiled_like_a_whole_answer() {
    let said = |kind: &str, name: &str| {
        let vendor = vendor(json!({ "faults": [{ "kind": kind, "rate": 1.0 }] }));
        let mut request = saying("hi");
        request["stream"] = json!(true);
        let events = events(&ask(&vendor, &request).dechunked().0);
        let end = events.last().map(|event| event["choices"][0]["finish_reason"].clone());
        let deltas = events.iter().map(|event| &event["choices"][0]["delta"]);
        (deltas.filter_map(|delta| delta[name].as_str()).collect::<String>(), end)
    };
    assert_eq!(said("empty", "content"), (String::new(), Some(json!("stop"))));
    assert_eq!(said("length", "content").1, Some(json!("length")));
    assert!(!said("refused", "refusal").0.is_empty());
    assert!(said("garbage", "content").0.contains("{\"answer\""));
}
