//! Answers into fields.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{
    Answer, AnswerMeta, Failure, FailureKind, Usage,
    ports::{Ended, ModelAnswer, Prior},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Inputs, PromptHandler, Scripted, asking, attempt, handler, output, record, saying};

fn judged(config: Value, body: &str) -> Result<String, String> {
    let raw = Bytes::copy_from_slice(body.as_bytes());
    match handler(config).judge(&record("{}"), raw.clone(), 1, AnswerMeta::default()) {
        Ended::Done(answer) => {
            assert_eq!(answer.raw, raw);
            Ok(answer.output.get().to_owned())
        }
        Ended::Failed(failure, kept, _) => {
            assert_eq!(kept, raw, "an answer that is no use is kept all the same");
            Err(failure.to_string())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_envelope_is_read_as_vendors_write_it() {
    let truncated = "invalid_output: the answer was cut off at `max_tokens`; raise it in `parameters`, or ask for less";
    let no_completion = "unavailable: the answer is not a chat completion: ";
    let cases: Vec<(Value, Result<&str, String>)> = vec![
        (json!({"choices": [{"message": {"content": "hi"}}]}), Ok("hi")),
        (
            json!({"choices": [{"message": {"content": "a\n\"b\""}, "finish_reason": null}], "usage": null}),
            Ok("a\n\"b\""),
        ),
        (json!({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}]}), Ok("ab")),
        (json!({"error": null, "choices": [{"index": 0, "message": {"content": "x", "refusal": null}}, 7]}), Ok("x")),
        (json!({"choices": [{"message": {"content": "x", "refusal": ""}, "finish_reason": "odd"}]}), Ok("x")),
        (json!({"choices": [{"message": {"content": null}}]}), Err("invalid_output: the answer is empty".into())),
        (json!({"choices": [{"message": {"content": " \n"}}]}), Err("invalid_output: the answer is empty".into())),
        (json!({"choices": [{"message": {}}]}), Err("invalid_output: the answer is empty".into())),
        (
            json!({"choices": [{"message": {"content": null, "tool_calls": []}, "finish_reason": "tool_calls"}]}),
            Err("invalid_output: the model asked for a tool, and has none".into()),
        ),
        (json!({"choices": [{"message": {"content": "cut"}, "finish_reason": "length"}]}), Err(truncated.into())),
        (
            json!({"choices": [{"message": {"content": "", "reasoning_content": "hm"}, "finish_reason": "length"}]}),
            Err("invalid_output: the model spent all of `max_tokens` on its reasoning; raise `max_tokens` in \
                 `parameters`"
                .into()),
        ),
        (
            json!({"choices": [{"message": {"content": null, "refusal": "I cannot."}}]}),
            Err("refused: the model declined: I cannot.".into()),
        ),
        (
            json!({"choices": [{"message": {"content": [{"type": "refusal", "refusal": "No."}]}}]}),
            Err("refused: the model declined: No.".into()),
        ),
        (
            json!({"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]}),
            Err("refused: the upstream's content filter stopped the answer".into()),
        ),
        (json!({"choices": []}), Err(format!("{no_completion}it has no choices"))),
        (json!({"choices": null}), Err(format!("{no_completion}it has no choices"))),
        (json!({"object": "list"}), Err(format!("{no_completion}it has no choices"))),
        (json!({"choices": [{"message": null}]}), Err(format!("{no_completion}its choice has no message"))),
        (json!({"choices": ["x"]}), Err(format!("{no_completion}its choice is a string, not a JSON object"))),
        (
            json!({"error": {"message": "overloaded", "code": 503}}),
            Err("unavailable: the answer is an error: overloaded".into()),
        ),
        (json!({"error": "down"}), Err("unavailable: the answer is an error: \"down\"".into())),
        (json!([]), Err(format!("{no_completion}an array, not a JSON object"))),
    ];
    for (body, expected) in cases {
        let expected = expected.map(|text| json!({"answer": text}).to_string());
        assert_eq!(judged(json!({"template": "x"}), &body.to_string()), expected, "{body}");
    }
    for (body, expected) in [
        ("<html>502</html>", "not valid JSON: expected value at column 1"),
        ("", "not valid JSON: it ends too early, at column 0 (EOF while parsing a value)"),
        ("{\"choices\":[", "not valid JSON: it ends too early, at column 12 (EOF while parsing a list)"),
    ] {
        assert_eq!(judged(json!({"template": "x"}), body), Err(format!("{no_completion}{expected}")));
    }
}

#[test]
fn an_answer_gives_the_declared_fields_in_declared_order_as_the_model_wrote_them() {
    let good = r#"{"category":"bug","score":7,"reason":null,"tags":[]}"#;
    let shuffled = r#"{"tags": [ "a  b" ], "note": "more", "score": 7.0, "reason": "\u00e9", "category": "bug"}"#;
    let deshuffled = r#"{"category":"bug","score":7.0,"reason":"\u00e9","tags":["a  b"]}"#;
    let invalid = |what: &str| Err(format!("invalid_output: {what}"));
    for (content, expected) in [
        (good.to_owned(), Ok(good)),
        (format!("\n {good}\n"), Ok(good)),
        (format!("```json\n{good}\n```"), Ok(good)),
        (format!("Here you are:\n```JSON\n{good}\n```\nAnything else?"), Ok(good)),
        (format!("```\n{good}```"), Ok(good)),
        (format!("```python\nx = {{}}\n```\n```json\n{good}\n```"), Ok(good)),
        (format!("Sure! {good} Done {{really}}."), Ok(good)),
        (format!("{{hm}} {good}"), Ok(good)),
        (shuffled.to_owned(), Ok(deshuffled)),
        (
            r#"{"category":"wish","category":"bug","score":7,"reason":"{\"a\": \"}```{\"}","tags":[]}"#.to_owned(),
            Ok(r#"{"category":"bug","score":7,"reason":"{\"a\": \"}```{\"}","tags":[]}"#),
        ),
        (good.replace("bug", "other"), invalid(r#"`category`: "other" is not one of "bug" or "wish""#)),
        (good.replace('7', "101"), invalid("`score`: 101 is greater than the maximum of 100")),
        (good.replace('7', "-1"), invalid("`score`: -1 is less than the minimum of 0")),
        (good.replace('7', "7.5"), invalid(r#"`score`: 7.5 is not of type "integer""#)),
        (good.replace('7', "\"7\""), invalid(r#"`score`: "7" is not of type "integer""#)),
        (good.replace('7', "1e400"), invalid("not valid JSON: number out of range at column 31")),
        (
            good.replace("null", "\"a reason that is far too long\""),
            invalid(r#"`reason`: "a reason that is far too long" is longer than 20 characters"#),
        ),
        (good.replace("[]", "[\"a\", 1]"), invalid(r#"`tags.1`: 1 is not of type "string""#)),
        (good.replace("\"score\":7,", ""), invalid("the field `score` is missing")),
        ("no json at all".to_owned(), invalid("the answer holds no JSON object: no json at all")),
        ("[1, 2]".to_owned(), invalid("the answer holds no JSON object: [1, 2]")),
        ("{".repeat(100_000), invalid(&format!("the answer holds no JSON object: {} …", "{".repeat(300)))),
    ] {
        let found = judged(json!({"template": "x", "output": output()}), &saying(&content));
        let expected: Result<String, String> = expected.map(str::to_owned);
        assert_eq!(found, expected, "{}", &content[..content.len().min(200)]);
    }
}

#[test]
fn patterns_and_nested_fields_are_checked() {
    let config = json!({"template": "x", "output": {
        "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
        "who": {"type": "object", "properties": {"age": {"type": "number", "minimum": 0.5}}},
    }});
    for (content, expected) in [
        (r#"{"code":"AB-7","who":{"age":1.10}}"#, Ok(r#"{"code":"AB-7","who":{"age":1.10}}"#)),
        (r#"{"code":"ab-7","who":{"age":1}}"#, Err(r#"`code`: "ab-7" does not match "^[A-Z]{2}-[0-9]+$""#)),
        (r#"{"code":"AB-7","who":{"age":0}}"#, Err("`who.age`: 0 is less than the minimum of 0.5")),
        (r#"{"code":"AB-7","who":{}}"#, Err("`who`: the field `age` is missing")),
    ] {
        let expected = expected.map(str::to_owned).map_err(|what| format!("invalid_output: {what}"));
        assert_eq!(judged(config.clone(), &saying(content)), expected, "{content}");
    }
}

#[test]
fn what_is_known_of_an_answer_is_kept_with_it() {
    for (usage, expected) in [
        (json!({"prompt_tokens": 12, "completion_tokens": 3}), Some((12, 3))),
        (json!({"prompt_tokens": 12.0, "completion_tokens": null}), Some((12, 0))),
        (json!({}), None),
        (json!("odd"), None),
        (json!(null), None),
    ] {
        let body = json!({"id": "c-1", "model": "m-2", "usage": usage,
            "choices": [{"message": {"content": "c\u{fc}t"}, "finish_reason": "length"}]});
        let Ended::Failed(_, _, meta) =
            handler(json!({"template": "x"})).judge(&record("{}"), body.to_string().into(), 1, AnswerMeta::default())
        else {
            panic!("it was cut")
        };
        let usage = expected.map(|(prompt_tokens, completion_tokens)| Usage {
            prompt_tokens,
            completion_tokens,
            ..Usage::default()
        });
        let (model, finish_reason) = (Some("m-2".to_owned()), Some("length".to_owned()));
        let request_id = Some("c-1".to_owned());
        let characters = Some(3);
        assert_eq!(meta, AnswerMeta { usage, model, finish_reason, request_id, characters, ..AnswerMeta::default() });
    }
}

/// Makes one attempt at a record; returns how it ended and what the model was asked.
fn attempted(answer: Result<ModelAnswer, (Failure, Bytes)>) -> (Ended, Vec<String>) {
    let client = Arc::new(Scripted { answer: Some(answer), ..Scripted::default() });
    let handler = asking(json!({"model": "fast", "template": "{{ body }}"}), Inputs::default(), client.clone());
    let ended = attempt(&handler, record(r#"{"body":"hello"}"#), 1, &Prior::default());
    let asked = client.asked.lock().unwrap().clone();
    (ended, asked)
}

#[test]
fn an_attempt_asks_once_with_the_planned_body_and_keeps_what_the_transport_knows() {
    let usage = Some(Usage { prompt_tokens: 5, completion_tokens: 6, ..Usage::default() });
    let (ended, asked) = attempted(Ok(ModelAnswer {
        body: saying("hi").into(),
        upstream: "east".into(),
        latency: Duration::from_millis(51),
        request_id: Some("req-9".to_owned()),
        usage,
    }));
    let body = r#"{"model":"fast","messages":[{"role":"user","content":"hello"}]}"#;
    assert_eq!(asked, [format!("fast Normal {} tokens", body.len() / 4), body.to_owned()]);
    let Ended::Done(Answer { output, meta, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!(output.get(), r#"{"answer":"hi"}"#);
    assert_eq!((meta.upstream.as_deref(), meta.latency_ms, meta.usage), (Some("east"), Some(51), usage));
    assert_eq!(meta.request_id.as_deref(), Some("req-9"));

    let failure = Failure::new(FailureKind::Throttled, "slow down").after_ms(Some(900));
    let (ended, _) = attempted(Err((failure.clone(), "raw".into())));
    let Ended::Failed(found, raw, _) = ended else { panic!("{ended:?}") };
    assert_eq!((found, &raw[..]), (failure, &b"raw"[..]));
}

proptest! {
    /// No body whatever makes the judge fail otherwise than with a failure.
    #[test]
    fn any_bytes_are_judged(body in prop::collection::vec(any::<u8>(), 0..200), text in any::<String>()) {
        let everything = json!({"template": "x", "output": output(), "derive": {"a": "{{ answer }}{{ text }}"},
            "keep": {"reasoning": "b", "tool_calls": "c"}, "answers": {"length": "accept", "pattern": "a"},
            "until_accepted": {"accepted": 1, "candidates": 2, "where": "answer.score > 3"}});
        let text_alone = json!({"template": "x", "answers": {"empty": "accept", "refused": "accept", "length": "accept"},
            "keep": {"answer": "b"}});
        let handlers = [json!({"template": "x", "output": output()}), everything, text_alone].map(handler);
        let judges = |handler: &PromptHandler, raw: Bytes| matches!(handler.judge(&record("{}"), raw, 1, AnswerMeta::default()), Ended::Failed(..) | Ended::Done(_));
        let is_judged = |raw: Bytes| handlers.iter().all(|handler| judges(handler, raw.clone()));
        prop_assert!(is_judged(body.into()));
        prop_assert!(is_judged(saying(&text).into()));
        let fenced = format!("```json {{\"a\":{text}}}");
        prop_assert!(is_judged(saying(&fenced).into()));
    }

    /// Text without fields is kept as the model wrote it.
    #[test]
    fn any_text_is_an_answer(text in "\\PC*[a-z]\\PC*") {
        let found = judged(json!({"template": "x"}), &saying(&text));
        prop_assert_eq!(found, Ok(json!({"answer": text}).to_string()));
    }
}
