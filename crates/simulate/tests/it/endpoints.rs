//! Endpoints beside chat and embeddings, and calls of tools.

use serde_json::{Value, json};

use crate::client::{Reply, ask, exchange, saying, vendor};

fn post(vendor: &simulate::Vendor, path: &str, body: &Value) -> Reply {
    exchange(vendor.address(), "POST", path, "", &body.to_string())
}

/// The JSON of the events of a stream that have some.
fn events(reply: &Reply) -> Vec<Value> {
    let (body, is_whole) = reply.dechunked();
    assert!(is_whole);
    body.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

fn tools() -> Value {
    let schema = |name: &str| json!({ "type": "object", "properties": { name: { "type": "integer" } }, "required": [name], "additionalProperties": false });
    json!([
        { "type": "function", "function": { "name": "turn", "parameters": schema("degrees") } },
        { "type": "function", "function": { "name": "stop", "parameters": schema("seconds") } },
    ])
}

#[test]
fn a_tool_is_called_where_a_call_is_demanded() {
    let check = |script: Value, choice: Value, expected: Option<(&str, &str)>| {
        let vendor = vendor(script);
        let mut request = saying("hi");
        request["tools"] = tools();
        request["tool_choice"] = choice;
        let whole = ask(&vendor, &request).json()["choices"][0].clone();
        request["stream"] = json!(true);
        let events = events(&ask(&vendor, &request));
        let reasons = events.iter().filter_map(|event| event["choices"][0]["finish_reason"].as_str());
        let Some((name, argument)) = expected else {
            assert!(whole["message"].get("tool_calls").is_none(), "{whole}");
            return;
        };
        let call = &whole["message"]["tool_calls"][0];
        assert_eq!((&whole["finish_reason"], &whole["message"]["content"]), (&json!("tool_calls"), &Value::Null));
        assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!(name)));
        let arguments = call["function"]["arguments"].as_str().expect("a text");
        assert!(serde_json::from_str::<Value>(arguments).expect("JSON")[argument].is_i64(), "{arguments}");

        assert_eq!(reasons.collect::<Vec<_>>(), ["tool_calls"]);
        let deltas = || events.iter().map(|event| &event["choices"][0]["delta"]["tool_calls"][0]);
        assert_eq!(deltas().filter_map(|call| call["function"]["name"].as_str()).collect::<Vec<_>>(), [name]);
        let streamed: String = deltas().filter_map(|call| call["function"]["arguments"].as_str()).collect();
        assert!(serde_json::from_str::<Value>(&streamed).expect("JSON")[argument].is_i64(), "{streamed}");
    };
    check(json!({}), json!("required"), Some(("turn", "degrees")));
    let named = json!({ "type": "function", "function": { "name": "stop" } });
    check(json!({}), named, Some(("stop", "seconds")));
    check(json!({}), json!("auto"), None);
    check(json!({ "calls_tools": true }), json!("auto"), Some(("turn", "degrees")));
    check(json!({ "calls_tools": true }), json!("none"), None);

    let mut request = saying("hi");
    request["tools"] = tools();
    request["tool_choice"] = json!({ "type": "function", "function": { "name": "fly" } });
    assert_eq!(ask(&vendor(json!({})), &request).status, 400);
}

#[test]
fn a_completion_continues_its_prompts() {
    let vendor = vendor(json!({ "answer": "echo" }));
    let answer = post(&vendor, "/v1/completions", &json!({ "model": "m", "prompt": ["a", "b"], "n": 2 })).json();
    assert_eq!(answer["object"], "text_completion");
    let texts: Vec<_> = answer["choices"].as_array().expect("choices").iter().map(|c| c["text"].clone()).collect();
    assert_eq!(texts, ["a", "a", "b", "b"]);
    let mut request = json!({ "model": "m", "prompt": "the tide turns the mill and more", "stream": true });
    let unbilled = events(&post(&vendor, "/v1/completions", &request));
    let said: String = unbilled.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(said, "the tide turns the mill and more");
    assert!(unbilled.iter().all(|event| event.get("usage").is_none()) && unbilled.len() > 2);
    request["stream_options"] = json!({ "include_usage": true });
    let billed = events(&post(&vendor, "/v1/completions", &request));
    assert_eq!(billed.last().map(|event| event["usage"]["total_tokens"].clone()), Some(json!(16)));
    assert_eq!(post(&vendor, "/v1/completions", &json!({ "model": "m", "prompt": "a", "n": 0 })).status, 400);
    let nothing = json!({ "model": "m", "prompt": [], "stream": true });
    assert_eq!(
        post(&vendor, "/v1/completions", &nothing).status,
        400,
        "an answer to no prompt would be an empty stream"
    );
}

#[test]
fn a_response_says_the_same_whole_and_in_events() {
    let vendor = vendor(json!({}));
    let mut request = json!({ "model": "m", "input": [{ "role": "user", "content": "hi" }], "metadata": { "a": "b" } });
    let whole = post(&vendor, "/v1/responses", &request).json();
    assert_eq!((&whole["object"], &whole["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(whole["metadata"]["a"], "b");
    request["stream"] = json!(true);
    let events = events(&post(&vendor, "/v1/responses", &request));
    let numbers: Vec<_> = events.iter().map(|event| event["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..events.len() as u64).map(Some).collect::<Vec<_>>());
    let (first, last) = (&events[0], events.last().expect("events"));
    assert_eq!((&first["type"], &last["type"]), (&json!("response.created"), &json!("response.completed")));
    let said: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], said);
    assert_eq!(vendor.counts().paths["/responses"], 2);

    let spoiled = |kind: &str| {
        let vendor = crate::client::vendor(json!({ "faults": [{ "kind": kind, "rate": 1.0 }] }));
        post(&vendor, "/v1/responses", &json!({ "model": "m", "input": "hi" })).json()
    };
    assert_eq!(spoiled("length")["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(spoiled("refused")["output"][0]["content"][0]["type"], "refusal");
}

#[test]
fn small_answers_have_the_true_shapes() {
    let vendor = vendor(json!({}));
    let judged = post(&vendor, "/v1/moderations", &json!({ "input": ["fine", "flag me"] })).json();
    let flagged: Vec<_> = (0..2).map(|n| judged["results"][n]["flagged"].clone()).collect();
    assert_eq!(flagged, [json!(false), json!(true)]);
    let documents = json!(["nothing here", "the tide turns", "the mill"]);
    let request =
        json!({ "model": "m", "query": "tide turns", "documents": documents, "top_n": 2, "return_documents": true });
    let ranked = post(&vendor, "/v1/rerank", &request).json();
    assert_eq!(ranked["results"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&ranked["results"][0]["index"], &ranked["results"][0]["document"]["text"]),
        (&json!(1), &json!("the tide turns"))
    );
    let drawn = post(&vendor, "/v1/images/generations", &json!({ "model": "m", "prompt": "a mill" })).json();
    assert!(drawn["data"][0]["b64_json"].as_str().is_some_and(|pixel| pixel.starts_with("iVBORw0KGgo")));

    let form = "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nm\r\n--x\r\ncontent-disposition: form-data; \
                name=\"file\"; filename=\"a.wav\"\r\n\r\n12345\r\n--x--\r\n";
    let heard = |headers: &str| exchange(vendor.address(), "POST", "/v1/audio/transcriptions", headers, form);
    assert_eq!(heard("content-type: multipart/form-data; boundary=x\r\n").json()["text"], "5 bytes of sound");
    assert_eq!(heard("content-type: application/json\r\n").status, 400);
    for path in ["/v1/moderations", "/v1/rerank", "/v1/images/generations", "/v1/audio/speech"] {
        assert_eq!(post(&vendor, path, &json!({})).status, 400, "{path}");
    }
}
