//! What the vendor does not take, and how it says so.

use serde_json::{Value, json};

use crate::client::{ask, saying, vendor};

const WORDS: [(&str, u16, &str); 13] = [
    ("openai", 400, "'response_format' of type 'json_schema' is not supported with this model"),
    ("azure", 400, "response_format value as json_schema is enabled only for api versions"),
    ("deepseek", 400, "This response_format type is unavailable now"),
    ("volcengine", 400, "`json_schema` is not supported by this model"),
    ("siliconflow", 400, "Json mode is not supported for this model."),
    ("dashscope", 400, "Json mode response is not supported when enable_thinking is true"),
    ("zhipu", 400, "API 调用参数有误"),
    ("groq", 400, "This model does not support response format `json_schema`"),
    ("llama_cpp", 500, "but got: json_schema"),
    ("lm_studio", 400, "'response_format.type' must be"),
    ("vllm", 400, "contains features not supported by xgrammar"),
    ("sglang", 400, "Grammar-based generation"),
    ("mistral", 422, "Extra inputs are not permitted"),
];

fn schema() -> Value {
    json!({ "type": "object", "properties": { "score": { "type": "integer", "minimum": 1, "maximum": 5 } }, "required": ["score"], "additionalProperties": false })
}

fn demanding(kind: &str) -> Value {
    let mut request = saying("hi");
    request["response_format"] = match kind {
        "json_schema" => json!({ "type": kind, "json_schema": { "name": "x", "schema": schema() } }),
        kind => json!({ "type": kind }),
    };
    request
}

#[test]
fn a_form_that_is_not_taken_is_refused_in_each_vendors_words() {
    for (words, status, said) in WORDS {
        let vendor = vendor(json!({ "lacks": { "json_schema": words } }));
        let reply = ask(&vendor, &demanding("json_schema"));
        assert_eq!(reply.status, status, "{words}");
        let text = reply.json().to_string().replace("\\\"", "\"");
        assert!(text.contains(said), "{words}: {text}");
        // What it does take, it answers.
        assert_eq!(ask(&vendor, &demanding("json_object")).status, 200, "{words}");
        assert_eq!(ask(&vendor, &saying("hi")).status, 200, "{words}");
        let counts = vendor.counts();
        assert_eq!((counts.asked, counts.answered, counts.turned_away), (3, 2, 1));
    }
}

#[test]
fn an_object_and_options_can_be_refused_too() {
    let vendor = vendor(json!({ "lacks": { "json_object": "volcengine", "stream_options": "mistral" } }));
    let reply = ask(&vendor, &demanding("json_object"));
    assert!(reply.status == 400 && reply.body.contains("`json_object` is not supported"), "{}", reply.body);
    assert_eq!(ask(&vendor, &demanding("json_schema")).status, 200);
    let mut request = saying("hi");
    request["stream"] = json!(true);
    assert_eq!(ask(&vendor, &request).status, 200);
    request["stream_options"] = json!({ "include_usage": true });
    let reply = ask(&vendor, &request);
    assert!(reply.status == 422 && reply.body.contains("stream_options"), "{}", reply.body);
}

#[test]
fn a_wish_for_a_stream_can_be_ignored() {
    let vendor = vendor(json!({ "lacks": { "stream": true } }));
    let mut request = saying("hi");
    request["stream"] = json!(true);
    let reply = ask(&vendor, &request);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(!reply.content().is_empty());
}

#[test]
fn a_schema_that_is_told_in_words_is_followed() {
    let vendor = vendor(json!({ "lacks": { "json_schema": "deepseek", "json_object": "deepseek" } }));
    let told = format!("You judge.\n\nAnswer with JSON that fits this JSON Schema and nothing else.\n{}", schema());
    let parts = json!([{ "type": "text", "text": "You judge." }, { "type": "text", "text": format!("A JSON Schema: {} is it.", schema()) }]);
    for system in [json!(told), parts] {
        let messages = json!([{ "role": "system", "content": system }, { "role": "user", "content": "\"hi\"" }]);
        let reply = ask(&vendor, &json!({ "model": "m", "messages": messages }));
        let answer: Value = serde_json::from_str(&reply.content()).expect("JSON");
        assert!((1..=5).contains(&answer["score"].as_i64().expect("a number")), "{answer}");
    }
    // What a user says is no instruction, and what cannot be followed is none.
    for (role, told) in [("user", told.as_str()), ("system", "JSON Schema: {\"not\":{}}"), ("system", "JSON Schema: {")]
    {
        let reply = ask(&vendor, &json!({ "model": "m", "messages": [{ "role": role, "content": told }] }));
        assert!(reply.content().ends_with('.'), "{}", reply.content());
    }
}
