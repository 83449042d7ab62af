//! Answers that nothing spoils.

use serde_json::json;

use crate::client::{Reply, ask, exchange, get, saying, vendor};

fn post(vendor: &simulate::Vendor, path: &str, headers: &str, body: &str) -> Reply {
    exchange(vendor.address(), "POST", path, headers, body)
}

#[test]
fn an_answer_has_the_whole_envelope() {
    let vendor = vendor(json!({}));
    let request = saying("0123456789");
    let hash = simulate::request_hash(request.to_string().as_bytes());
    let reply = ask(&vendor, &request);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let answer = reply.json();
    assert_eq!(answer["id"], format!("chatcmpl-{hash:032x}-1"));
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "m");
    assert_eq!(answer["system_fingerprint"], "simulated");
    assert!(answer["created"].is_u64());
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["choices"][0]["message"]["role"], "assistant");
    let content = reply.content();
    assert!(content.ends_with('.'), "{content}");
    let usage = &answer["usage"];
    assert_eq!(usage["prompt_tokens"], 3, "ten bytes and two quotes");
    assert_eq!(usage["completion_tokens"], content.len().div_ceil(4));
    assert_eq!(usage["total_tokens"], 3 + content.len().div_ceil(4));
}

#[test]
fn a_request_asked_again_is_answered_alike() {
    let vendor = vendor(json!({}));
    let (first, second) = (ask(&vendor, &saying("one")), ask(&vendor, &saying("one")));
    assert_eq!(first.content(), second.content());
    assert_ne!(first.json()["id"], second.json()["id"]);
    assert_ne!(first.content(), ask(&vendor, &saying("two")).content());
}

#[test]
fn n_choices_are_given_where_n_are_asked_for() {
    let vendor = vendor(json!({}));
    let mut request = saying("hi");
    request["n"] = json!(3);
    let answer = ask(&vendor, &request).json();
    let choices = answer["choices"].as_array().expect("choices");
    assert_eq!(
        choices.iter().map(|choice| choice["index"].clone()).collect::<Vec<_>>(),
        [json!(0), json!(1), json!(2)]
    );
    assert_ne!(choices[0]["message"]["content"], choices[1]["message"]["content"]);
}

#[test]
fn fixed_and_echo_say_what_they_are_told() {
    let fixed = vendor(json!({ "answer": { "fixed": "\"quoted\"\n" } }));
    assert_eq!(ask(&fixed, &saying("hi")).content(), "\"quoted\"\n");
    let echo = vendor(json!({ "answer": "echo" }));
    assert_eq!(ask(&echo, &saying("a \"mill\"")).content(), "a \"mill\"");
    let parts = json!([{ "type": "text", "text": "a " }, { "type": "text", "text": "tide" }]);
    let messages = json!([{ "role": "user", "content": parts }, { "role": "assistant", "content": "no" }]);
    assert_eq!(ask(&echo, &json!({ "model": "m", "messages": messages })).content(), "a tide");
}

#[test]
fn malformed_requests_are_refused_as_openai_refuses_them() {
    let vendor = vendor(json!({}));
    let check = |body: &str, param: Option<&str>| {
        let reply = post(&vendor, "/v1/chat/completions", "", body);
        assert_eq!(reply.status, 400, "{body}");
        let error = reply.json()["error"].clone();
        assert_eq!(error["type"], "invalid_request_error", "{body}");
        assert_eq!(error["param"].as_str(), param, "{body}: {error}");
    };
    check("", None);
    check("{", None);
    check("[]", None);
    check(r#"{"messages":[{"role":"user","content":"hi"}]}"#, Some("model"));
    check(r#"{"model":7,"messages":[{"role":"user","content":"hi"}]}"#, Some("model"));
    check(r#"{"model":"m"}"#, Some("messages"));
    check(r#"{"model":"m","messages":[]}"#, Some("messages"));
    check(r#"{"model":"m","messages":"hi"}"#, None);
    check(r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"n":0}"#, Some("n"));
    let format = |format: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"response_format":{format}}}"#)
    };
    check(&format(r#"{"type":"yaml"}"#), Some("response_format"));
    check(&format(r#"{"type":"json_schema"}"#), Some("response_format"));
    check(&format(r#"{"type":"json_schema","json_schema":{"schema":{"not":{}}}}"#), Some("response_format"));
    assert_eq!(vendor.counts().turned_away, vendor.counts().asked);
}

#[test]
fn unknown_paths_are_404_and_the_version_may_be_left_out() {
    let vendor = vendor(json!({}));
    let reply = post(&vendor, "/v1/fine_tuning/jobs", "", "{}");
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    assert_eq!(post(&vendor, "/chat/completions", "", &saying("hi").to_string()).status, 200);
}

#[test]
fn a_key_is_required_where_the_script_says_so() {
    let vendor = vendor(json!({ "require_key": "k1" }));
    let check = |headers: &str, status: u16| {
        let reply = post(&vendor, "/v1/chat/completions", headers, &saying("hi").to_string());
        assert_eq!(reply.status, status, "{headers}");
    };
    check("", 401);
    check("authorization: Bearer k2\r\n", 401);
    check("authorization: k1\r\n", 401);
    check("authorization: Bearer k1\r\n", 200);
    assert_eq!(get(&vendor, "/v1/models").status, 401);
    assert_eq!(get(&vendor, "/simulate/counts").json()["turned_away"], 3);
}

#[test]
fn the_models_are_one() {
    let vendor = vendor(json!({ "model": "mill-1" }));
    assert_eq!(get(&vendor, "/v1/models").json()["data"][0]["id"], "mill-1");
    assert_eq!(get(&vendor, "/v1/models/mill-1").json()["object"], "model");
    assert_eq!(get(&vendor, "/v1/models/other").status, 404);
}

#[test]
fn embeddings_are_small_and_the_same_for_the_same_input() {
    let vendor = vendor(json!({}));
    let embed = |request: serde_json::Value| post(&vendor, "/v1/embeddings", "", &request.to_string()).json();
    let answer = embed(json!({ "model": "m", "input": ["a", "b", "a"] }));
    let vectors: Vec<Vec<f64>> =
        (0..3).map(|n| serde_json::from_value(answer["data"][n]["embedding"].clone()).expect("a vector")).collect();
    assert_eq!(vectors[0], vectors[2]);
    assert_ne!(vectors[0], vectors[1]);
    let length: f64 = vectors[0].iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-6, "{length}");

    let one = embed(json!({ "model": "m", "input": "a", "dimensions": 3 }));
    assert_eq!(one["data"][0]["embedding"].as_array().map(Vec::len), Some(3));
    assert_eq!(embed(json!({ "model": "m", "input": [1, 2, 3] }))["data"].as_array().map(Vec::len), Some(1));
    let encoded = embed(json!({ "model": "m", "input": "a", "dimensions": 2, "encoding_format": "base64" }));
    assert_eq!(encoded["data"][0]["embedding"].as_str().map(str::len), Some(12), "eight bytes in base 64");
    assert!(embed(json!({ "model": "m", "input": 5 }))["error"].is_object());
    assert!(embed(json!({ "model": "m", "input": [] }))["error"].is_object());
}
