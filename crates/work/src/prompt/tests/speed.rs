//! Figures, on request: `cargo test --release -p work -- --ignored --nocapture`.

use std::time::Instant;

use bytes::Bytes;
use domain::{
    AnswerMeta,
    ports::{Ended, Handler as _},
};
use serde_json::json;

use super::{handler, output, record};

#[test]
#[ignore = "prints figures"]
#[expect(clippy::print_stderr, reason = "that is what it is for")]
fn figures() {
    let n = 200_000;
    let timed = |what: &str, act: &dyn Fn()| {
        let from = Instant::now();
        for _ in 0..n {
            act();
        }
        eprintln!("{what}: {:.2} µs", from.elapsed().as_secs_f64() * 1e6 / f64::from(n));
    };
    let text = format!(
        "{{\"id\": 4711, \"subject\": \"hello there\", \"body\": \"{}\", \"score\": 1.10}}",
        "The invoice shows \\\"two\\\" seats.\\n".repeat(25)
    );
    let record = record(&text);
    for (what, template) in [
        ("plan, two fields", "Label this ticket.\nSubject: {{ subject }}\nBody: {{ body }}\n"),
        ("plan, record_json", "Label this ticket.\n{{ record_json }}\n"),
        ("plan, a loop", "{% for x in [1, 2, 3] %}{{ x }} {{ subject|upper }}\n{% endfor %}{{ body }}"),
    ] {
        let handler = handler(json!({"system": "You label tickets.", "template": template, "output": output()}));
        timed(what, &|| {
            handler.plan(&record).unwrap();
        });
    }
    let content = r#"{"category": "bug", "score": 17, "reason": "the invoice", "tags": ["billing", "seats"]}"#;
    let body = json!({
        "id": "chatcmpl-4711", "object": "chat.completion", "created": 1_700_000_000, "model": "m-2",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content, "refusal": null},
            "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 340},
    });
    let body: Bytes = body.to_string().into();
    let handler = handler(json!({"template": "x", "output": output()}));
    timed("parse and validate", &|| {
        assert!(matches!(handler.judge(&record, body.clone(), 1, AnswerMeta::default()), Ended::Done(_)));
    });
}
