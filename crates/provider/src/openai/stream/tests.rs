use domain::FailureKind;
use serde_json::{Value, json};

use super::*;

/// Joins a stream that comes in pieces of so many bytes.
fn joined(body: &[u8], n_bytes: usize) -> Result<Value, Failed> {
    let mut stream = Stream { events: Events::default(), pieces: Pieces::new(1), limit: 1 << 20 };
    for piece in body.chunks(n_bytes) {
        stream.take(piece)?;
    }
    stream.end()?;
    match stream.whole("cut")? {
        Read::Joined(body) | Read::Whole(body) => Ok(serde_json::from_slice(&body).expect("valid JSON")),
    }
}

/// Joins it in pieces of every size up to seven bytes, and in one.
fn joined_anyhow(body: &str) -> Value {
    let whole = joined(body.as_bytes(), body.len()).expect("a whole answer");
    for n_bytes in 1..8 {
        assert_eq!(joined(body.as_bytes(), n_bytes).expect("a whole answer"), whole, "in pieces of {n_bytes}");
    }
    whole
}

fn failure_of(body: &str) -> Failed {
    joined(body.as_bytes(), 5).expect_err("no whole answer")
}

fn event(delta: &Value) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n")
}

const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn pieces_become_the_answer_that_would_have_come_whole() {
    let head = r#""id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","system_fingerprint":"fp""#;
    let mut body = format!(
        "data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}}}}]}}\n\n"
    );
    for text in ["水车", " \\\"turns\\\"", "\\n", "1.10"] {
        body += &format!(
            "data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}],\"usage\":null}}\n\n"
        );
    }
    body += &format!("data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n");
    body +=
        &format!("data: {{{head},\"choices\":[],\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":5}}}}\n\n{DONE}");
    let expected = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "gpt-4o", "system_fingerprint": "fp",
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": "水车 \"turns\"\n1.10" },
            "finish_reason": "stop",
        }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 5 },
    });
    assert_eq!(joined_anyhow(&body), expected);
}

#[test]
fn every_way_to_write_events_is_read() {
    let plain = event(&json!({ "content": "a" })) + STOP;
    let whole = joined_anyhow(&plain);
    assert_eq!(whole["choices"][0]["message"]["content"], "a");
    for other in [
        format!("\u{feff}{plain}"),
        format!(": OPENROUTER PROCESSING\n\n:\n\n{plain}"),
        format!("id: 7\nretry: 100\nevent: message\n{plain}"),
        plain.replace("data: ", "data:"),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        plain.replace("\n\n", "\n"),
        plain.replace("\n\n", "\n\n\n\n"),
        plain.trim_end().to_owned(),
        format!("{plain}{DONE}"),
        format!("{plain}data:[DONE]"),
        format!("data: \n\ndata\n\n{plain}"),
        // One event in several lines.
        plain.replace(",\"finish_reason\"", ",\ndata: \"finish_reason\""),
    ] {
        assert_eq!(joined_anyhow(&other), whole, "{other:?}");
    }
}

#[test]
fn half_a_character_in_each_of_two_events_is_one_character() {
    let half = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let body = half("\\ud83d") + &half("\\ude00") + STOP;
    assert_eq!(joined_anyhow(&body)["choices"][0]["message"]["content"], "😀");
}

#[test]
fn thoughts_refusals_and_lists_of_parts_find_their_places() {
    let message = |deltas: &[Value]| {
        let body: String = deltas.iter().map(event).collect();
        joined_anyhow(&(body + STOP))["choices"][0]["message"].take()
    };
    let thought = message(&[
        json!({ "reasoning_content": "Hm" }),
        json!({ "reasoning_content": ".", "content": null }),
        json!({ "content": "a" }),
    ]);
    assert_eq!(thought, json!({ "role": "assistant", "content": "a", "reasoning_content": "Hm." }));
    let other_name = message(&[json!({ "reasoning": "Hm." }), json!({ "content": "a" })]);
    assert_eq!(other_name, thought);
    // Both at once are the same twice.
    assert_eq!(
        message(&[json!({ "reasoning": "Hm.", "reasoning_content": "Hm." }), json!({ "content": "a" })]),
        thought
    );
    let parts = [
        json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "Hm." }] }] }),
        json!({ "content": [{ "type": "text", "text": "a" }] }),
    ];
    assert_eq!(message(&parts), thought);
    assert_eq!(
        message(&[json!({ "refusal": "I can" }), json!({ "refusal": "not." })]),
        json!({ "role": "assistant", "content": null, "refusal": "I cannot." })
    );
    // All of it in one event, under the name of an answer that comes whole.
    let body = "data: {\"choices\":[{\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(joined_anyhow(body)["choices"][0]["message"]["content"], "a");
}

#[test]
fn tool_calls_are_put_together_by_their_index_or_their_id() {
    let calls = |deltas: &[Value]| {
        let body: String = deltas.iter().map(|calls| event(&json!({ "tool_calls": calls }))).collect();
        joined_anyhow(&(body + STOP))["choices"][0]["message"]["tool_calls"].take()
    };
    let call = |id: &str, name: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    let expected = json!([call("c1", "look", "{\"a\": 1}"), call("c2", "find", "{}")]);
    // As OpenAI sends them.
    let openai = [
        json!([{ "index": 0, "id": "c1", "type": "function", "function": { "name": "look", "arguments": "" } }]),
        json!([{ "index": 0, "function": { "arguments": "{\"a\":" } }]),
        json!([{ "index": 0, "function": { "arguments": " 1}" } }]),
        json!([{ "index": 1, "id": "c2", "type": "function", "function": { "name": "find", "arguments": "{}" } }]),
    ];
    assert_eq!(calls(&openai), expected);
    // With id and name in every piece, or empty there.
    let repeated = [
        json!([{ "index": 0, "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"a\":" } }]),
        json!([{ "index": 0, "id": "c1", "function": { "name": "look", "arguments": " 1}" } }, { "index": 1, "id": "c2", "function": { "name": "find", "arguments": "{}" } }]),
        json!([{ "index": 1, "id": "", "function": { "name": "", "arguments": "" } }]),
    ];
    assert_eq!(calls(&repeated), expected);
    // All counted as the first, and without a count at all.
    for index in [json!(0), json!(null)] {
        let uncounted = [
            json!([{ "index": index, "id": "c1", "function": { "name": "look", "arguments": "{\"a\": 1}" } }]),
            json!([{ "index": index, "id": "c2", "function": { "name": "find", "arguments": {} } }]),
        ];
        assert_eq!(calls(&uncounted), expected, "{index}");
    }
}

#[test]
fn several_choices_come_mixed_and_are_given_in_order() {
    let piece = |index: u64, delta: Value, reason: Value| {
        format!("data: {}\n\n", json!({ "choices": [{ "index": index, "delta": delta, "finish_reason": reason }] }))
    };
    let body = piece(1, json!({ "content": "b" }), Value::Null)
        + &piece(0, json!({ "content": "a" }), json!("stop"))
        + &piece(1, json!({ "content": "c" }), json!("length"));
    let answer = joined_anyhow(&body);
    let told: Vec<_> =
        (0..2).map(|n| (&answer["choices"][n]["message"]["content"], &answer["choices"][n]["finish_reason"])).collect();
    assert_eq!(told, [(&json!("a"), &json!("stop")), (&json!("bc"), &json!("length"))]);
}

#[test]
fn usage_is_found_wherever_a_vendor_puts_it() {
    let text = event(&json!({ "content": "a" }));
    let stop = |more: &str| format!("data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"{more}}}]}}\n\n");
    let usage = r#""usage":{"prompt_tokens":7,"completion_tokens":1}"#;
    for body in [
        // In an event of its own; with the last piece; within its choice; in Groq's place; with every piece.
        format!("{text}{}data: {{\"choices\":[],{usage}}}\n\n{DONE}", stop("")),
        format!("{text}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}],{usage}}}\n\n{DONE}"),
        format!("{text}{}{DONE}", stop(&format!(",{usage}"))),
        format!("{text}{}data: {{\"choices\":[],\"x_groq\":{{\"id\":\"r\",{usage}}}}}\n\n", stop("")),
        format!(
            "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":7}}}}\n\n{text}{}data: {{{usage}}}\n\n",
            stop("")
        ),
    ] {
        assert_eq!(joined_anyhow(&body)["usage"], json!({ "prompt_tokens": 7, "completion_tokens": 1 }), "{body}");
    }
    assert_eq!(joined_anyhow(&(text + &stop("")))["usage"], Value::Null);
}

#[test]
fn probabilities_of_tokens_are_kept() {
    let piece = |token: &str| {
        let logprobs = json!({ "content": [{ "token": token, "logprob": -0.5 }] });
        format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": token }, "logprobs": logprobs }] }))
    };
    let answer = joined_anyhow(&(piece("a") + &piece("b") + STOP));
    let expected = json!([{ "token": "a", "logprob": -0.5 }, { "token": "b", "logprob": -0.5 }]);
    assert_eq!(answer["choices"][0]["logprobs"]["content"], expected);
}

#[test]
fn half_a_stream_is_never_taken_for_a_whole_one() {
    let whole = event(&json!({ "content": "a" })) + &event(&json!({ "content": "b" })) + STOP;
    for end in 0..whole.len() - 2 {
        let Err(failed) = joined(&whole.as_bytes()[..end], 3) else {
            // Only the two line feeds of the last event may be missing.
            assert!(whole[end..].trim().is_empty(), "{}", &whole[..end]);
            continue;
        };
        assert_eq!(failed.failure.kind, FailureKind::Unavailable, "{}", &whole[..end]);
    }
    // A farewell is no reason to end.
    let failed = failure_of(&(event(&json!({ "content": "a" })) + DONE));
    assert_eq!((failed.failure.kind, failed.body.len()), (FailureKind::Unavailable, 0));
}

#[test]
fn an_error_in_the_middle_is_told_in_the_vendors_words() {
    let begin = event(&json!({ "content": "a" }));
    let check = |body: &str, kind: FailureKind, message: &str| {
        let failed = failure_of(&format!("{begin}{body}\n\n"));
        assert_eq!((failed.failure.kind, failed.failure.message.as_str()), (kind, message), "{body}");
        assert!(failed.is_reached && !failed.body.is_empty(), "{body}");
    };
    check(
        r#"data: {"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#,
        FailureKind::Unavailable,
        "in the middle of the answer: The server had an error",
    );
    check(
        r#"data: {"id":"g","error":{"code":"server_error","message":"Provider disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
        FailureKind::Unavailable,
        "in the middle of the answer: Provider disconnected (server_error)",
    );
    check(
        r#"data: {"error":{"code":429,"message":"Slow down"}}"#,
        FailureKind::Throttled,
        "in the middle of the answer, status 429: Slow down",
    );
    check(
        r#"data: {"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}"#,
        FailureKind::Throttled,
        "in the middle of the answer: Rate limit reached (rate_limit_exceeded)",
    );
    check(
        r#"data: {"error":{"message":"No more","code":"insufficient_quota"}}"#,
        FailureKind::ExhaustedCredit,
        "in the middle of the answer: No more (insufficient_quota)",
    );
    // vLLM's shape, a name instead of a shape, and no words at all.
    check(
        r#"data: {"object":"error","message":"max tokens","type":"BadRequestError","param":null,"code":400}"#,
        FailureKind::Rejected,
        "in the middle of the answer, status 400: max tokens",
    );
    check("event: error\ndata: overloaded", FailureKind::Unavailable, "in the middle of the answer: overloaded");
    check(
        r#"data: {"choices":[{"delta":{},"finish_reason":"error"}],"error":{"message":""}}"#,
        FailureKind::Unavailable,
        r#"in the middle of the answer: {"message":""}"#,
    );
}

#[test]
fn what_is_no_piece_of_an_answer_is_told() {
    for (body, words) in [
        ("data: <html>", "not valid JSON"),
        ("data: [1, 2]", "no piece of a completion"),
        ("data: {\"choices\":7}", "no piece of a completion"),
    ] {
        let failed = failure_of(&format!("{}{body}\n\n", event(&json!({ "content": "a" }))));
        assert_eq!(failed.failure.kind, FailureKind::Unavailable);
        assert!(failed.failure.message.contains(words), "{}", failed.failure.message);
    }
}

#[test]
fn memory_is_bounded_by_the_limit_of_an_answer() {
    let mut endless = Stream { events: Events::default(), pieces: Pieces::new(1), limit: 10_000 };
    let text = event(&json!({ "content": "x".repeat(100) }));
    let n_taken = (0..1_000).find(|_| endless.take(text.as_bytes()).is_err());
    assert!((90..=100).contains(&n_taken.unwrap()), "{n_taken:?}");
    let mut line = Stream { events: Events::default(), pieces: Pieces::new(1), limit: 10_000 };
    assert!((0..11).any(|_| line.take("x".repeat(1_000).as_bytes()).is_err()));
    let mut choices = Stream { events: Events::default(), pieces: Pieces::new(1), limit: 10_000 };
    let many = |n: u64| format!("data: {{\"choices\":[{{\"index\":{n},\"delta\":{{}}}}]}}\n\n");
    assert!((0..1_000).any(|n| choices.take(many(n).as_bytes()).is_err()));
    // What keeps a connection alive is forgotten.
    let mut alive = Stream { events: Events::default(), pieces: Pieces::new(1), limit: 10_000 };
    assert!((0..10_000).all(|_| alive.take(b": still here, and thinking about it\n\n").is_ok()));
}

#[test]
fn bytes_of_any_kind_end_in_an_answer_or_a_failure() {
    let whole = event(
        &json!({ "content": "水车", "reasoning": "x", "tool_calls": [{ "index": 0, "id": "c", "function": { "name": "f", "arguments": "{}" } }] }),
    ) + ": alive\r\n\r\n"
        + STOP
        + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n"
        + DONE;
    // A generator of a line: splitmix64.
    let mut state = 7_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    };
    let (mut n_whole, mut n_failed) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..draw(4) {
            let at = draw(bytes.len());
            match draw(3) {
                0 => bytes[at] = b"\n\r:\"{}[]\\\xff,d"[draw(12)],
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        // Where it is an answer, it is one that can be read; `joined` sees to that.
        match joined(&bytes, 1 + draw(40)) {
            Ok(_) => n_whole += 1,
            Err(_) => n_failed += 1,
        }
    }
    assert!(n_whole > 3_000 && n_failed > 3_000, "{n_whole} {n_failed}");
}
