//! What answers are billed for.

use serde_json::{Value, json};

use crate::client::{ask, exchange, saying, vendor};

#[test]
fn with_a_tokenizer_the_bill_is_counted_by_its_table() {
    let vendor = vendor(json!({ "answer": { "fixed": "tiktoken is great!" }, "usage": { "tokenizer": "o200k_base" } }));
    // Three tokens around a message, its role, its content; three begin the answer.
    let usage = |body: &Value| ask(&vendor, body).json()["usage"].take();
    assert_eq!(
        usage(&saying("antidisestablishmentarianism")),
        json!({ "prompt_tokens": 3 + 1 + 6 + 3, "completion_tokens": 6, "total_tokens": 19 })
    );
    let named =
        json!({ "model": "m", "messages": [{ "role": "system", "name": "example_user", "content": "2 + 2 = 4" }] });
    assert_eq!(usage(&named)["prompt_tokens"], 3 + 1 + (1 + 2) + 7 + 3);
    let parts = json!([{ "type": "text", "text": "2 + 2 = 4" }, { "type": "image_url", "image_url": { "url": "x", "detail": "low" } }, { "type": "image_url", "image_url": { "url": "x" } }]);
    let images = json!({ "model": "m", "messages": [{ "role": "user", "content": parts }] });
    assert_eq!(usage(&images)["prompt_tokens"], 3 + 1 + 7 + 85 + 765 + 3);
    let mut schema = saying("hi");
    schema["response_format"] =
        json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": { "type": "object" } } });
    assert!(usage(&schema)["prompt_tokens"].as_u64() > usage(&saying("hi"))["prompt_tokens"].as_u64());
}

#[test]
fn a_stream_and_embeddings_are_billed_alike() {
    let vendor = vendor(json!({ "answer": { "fixed": "2 + 2 = 4" }, "usage": { "tokenizer": "cl100k_base" } }));
    let mut request = saying("hi");
    let whole = ask(&vendor, &request).json()["usage"].take();
    assert_eq!(whole["completion_tokens"], 7);
    request["stream"] = json!(true);
    request["stream_options"] = json!({ "include_usage": true });
    let body = ask(&vendor, &request).dechunked().0;
    assert!(body.contains(&format!("\"usage\":{whole}")), "{body}");

    let request = json!({ "model": "m", "input": ["2 + 2 = 4", [1, 2, 3]] });
    let answer = exchange(vendor.address(), "POST", "/v1/embeddings", "", &request.to_string()).json();
    assert_eq!(answer["usage"]["prompt_tokens"], 7 + 3);
}

#[test]
fn a_share_of_the_request_may_come_from_a_cache() {
    let vendor = vendor(json!({ "usage": { "cached": 0.5 } }));
    let usage = ask(&vendor, &saying("0123456789012")).json()["usage"].take();
    assert_eq!((&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]), (&json!(4), &json!(2)));
}
