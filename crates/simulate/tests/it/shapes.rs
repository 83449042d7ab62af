//! Messy answers: shapes, thoughts, wrong fields that are mended.

use serde_json::{Value, json};
use simulate::{Script, ShapeKind, request_hash};

use crate::client::{ask, saying, vendor};

fn demanding(text: &str) -> Value {
    let mut request = saying(text);
    let schema = json!({ "type": "object", "properties": { "note": { "type": "string" } }, "required": ["note"], "additionalProperties": false });
    request["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    request
}

#[test]
fn each_shape_holds_the_answer_that_would_have_come_without_it() {
    let plain = ask(&vendor(json!({})), &demanding("hi")).content();
    for (kind, begin, end) in [
        ("think", "<think>", plain.as_str()),
        ("fence", "```json\n{", "}\n```"),
        ("prose", "Here is what you asked for:", "Is there anything else?"),
        ("trailing_comma", "{\"note\":", ",}"),
        ("raw_newline", "{\"note\":", "}"),
    ] {
        let vendor = vendor(json!({ "shapes": [{ "kind": kind, "rate": 1.0 }] }));
        let content = ask(&vendor, &demanding("hi")).content();
        assert!(content.starts_with(begin) && content.ends_with(end), "{kind}: {content}");
        assert!(serde_json::from_str::<Value>(&content).is_err(), "{kind}: {content}");
        let letters = |text: &str| text.replace(char::is_whitespace, "");
        let kept = letters(&plain);
        let kept = if kind == "trailing_comma" { kept.trim_end_matches('}').to_owned() } else { kept };
        assert!(letters(&content).contains(&kept), "{kind}: {content}");
        assert_eq!(
            vendor.counts().shapes.into_iter().map(|(kind, n)| (kind.name(), n)).collect::<Vec<_>>(),
            [(kind, 1)]
        );
        assert_eq!(vendor.counts().answered, 1);
    }
}

#[test]
fn shapes_are_drawn_as_often_as_they_should_and_the_same_each_time() {
    let shapes = json!([{ "kind": "think", "rate": 0.25 }, { "kind": "fence", "rate": 0.5, "asks": 1 }]);
    let script: Script = serde_json::from_value(json!({ "seed": 3, "shapes": shapes })).expect("a script");
    let share = |kind, ask| {
        let is = |n: &u32| script.shape_for(request_hash(&n.to_le_bytes()), ask) == Some(kind);
        f64::from((0..8_000_u32).filter(is).count() as u32) / 8_000.0
    };
    assert!((share(ShapeKind::Think, 1) - 0.25).abs() < 0.02 && (share(ShapeKind::Think, 2) - 0.25).abs() < 0.02);
    assert!((share(ShapeKind::Fence, 1) - 0.5).abs() < 0.02);
    assert_eq!(share(ShapeKind::Fence, 2), 0.0);
    let play = || {
        let vendor = vendor(json!({ "seed": 3, "shapes": shapes }));
        (0..20).map(|n| ask(&vendor, &demanding(&n.to_string())).body).collect::<Vec<_>>()
    };
    assert_eq!(play(), play());
}

#[test]
fn a_spoiled_answer_has_no_shape() {
    let vendor =
        vendor(json!({ "faults": [{ "kind": "empty", "rate": 1.0 }], "shapes": [{ "kind": "fence", "rate": 1.0 }] }));
    assert_eq!(ask(&vendor, &demanding("hi")).content(), "");
    assert!(vendor.counts().shapes.is_empty());
}

#[test]
fn wrong_fields_are_right_when_they_are_complained_of() {
    let fault = |mends: bool| json!({ "faults": [{ "kind": "wrong_fields", "rate": 1.0, "mends": mends }] });
    let first = demanding("hi");
    let mut complaint = first.clone();
    let messages = complaint["messages"].as_array_mut().expect("messages");
    messages.push(json!({ "role": "assistant", "content": "{\"not_note\":\"x\"}" }));
    messages.push(json!({ "role": "user", "content": "the field `note` is missing" }));
    for mends in [true, false] {
        let vendor = vendor(fault(mends));
        let wrong: Value = serde_json::from_str(&ask(&vendor, &first).content()).expect("JSON");
        assert!(wrong["not_note"].is_string() && wrong.get("note").is_none(), "{wrong}");
        let answer: Value = serde_json::from_str(&ask(&vendor, &complaint).content()).expect("JSON");
        assert_eq!(answer["note"].is_string(), mends, "{answer}");
        let counts = vendor.counts();
        assert_eq!((counts.answered, counts.faults.values().sum::<u64>()), (u64::from(mends), 2 - u64::from(mends)));
    }
}

#[test]
fn a_filter_stops_an_answer_with_its_own_reason() {
    let vendor = vendor(json!({ "faults": [{ "kind": "filtered", "rate": 1.0 }] }));
    let choice = ask(&vendor, &saying("hi")).json()["choices"][0].take();
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("content_filter"), &Value::Null));
}

#[test]
fn a_thought_stands_beside_the_answer_under_its_vendors_name() {
    for name in ["reasoning_content", "reasoning"] {
        let vendor = vendor(json!({ "reasoning": name }));
        let whole = ask(&vendor, &saying("hi")).json();
        let message = &whole["choices"][0]["message"];
        let (thought, content) =
            (message[name].as_str().expect("a thought"), message["content"].as_str().expect("a text"));
        assert!(thought.ends_with('.') && thought != content, "{message}");
        let details = &whole["usage"]["completion_tokens_details"];
        assert_eq!(details["reasoning_tokens"], thought.len().div_ceil(4));
        assert_eq!(whole["usage"]["completion_tokens"], thought.len().div_ceil(4) + content.len().div_ceil(4));

        let mut request = saying("hi");
        request["stream"] = json!(true);
        let body = ask(&vendor, &request).dechunked().0;
        let events = body.split_terminator("\n\n").filter_map(|event| event.strip_prefix("data: {"));
        let deltas = events.map(|event| serde_json::from_str::<Value>(&format!("{{{event}")).expect("JSON"));
        let said: String =
            deltas.filter_map(|it| it["choices"][0]["delta"][name].as_str().map(str::to_owned)).collect();
        assert!(said.ends_with('.'), "{body}");
    }
}
