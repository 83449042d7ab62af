//! What answers are worth that fall short.

use domain::{
    Answer, AnswerMeta, Failure, FailureGroup, FailureKind, Reason,
    ports::{Ended, Handler as _},
};
use serde_json::{Value, json};

use super::{handler, output, record, saying};

fn judged(config: Value, body: &str) -> Result<String, Failure> {
    match handler(config).judge(&record("{}"), body.to_owned().into(), 1, AnswerMeta::default()) {
        Ended::Done(Answer { output, .. }) => Ok(output.get().to_owned()),
        Ended::Failed(failure, ..) => Err(failure),
        other => panic!("{other:?}"),
    }
}

/// How a verdict reads: the answer, or the kind, the reason and whether it is asked again.
fn verdict(config: Value, body: &str) -> String {
    match judged(config, body) {
        Ok(output) => output,
        Err(failure) => {
            let again = if failure.group() == Some(FailureGroup::Content) { "again" } else { "final" };
            format!("{} {} {again}", failure.kind, failure.reason.map_or("-", Reason::word))
        }
    }
}

fn reply(message: Value, finish_reason: &str) -> String {
    json!({"choices": [{"message": message, "finish_reason": finish_reason}]}).to_string()
}

#[test]
fn each_way_to_fall_short_is_worth_what_the_pipeline_says() {
    let cut = reply(json!({"content": "half an"}), "length");
    let spent = reply(json!({"content": "", "reasoning_content": "hm"}), "length");
    let empty = reply(json!({"content": " \n"}), "stop");
    let thought_only = reply(json!({"content": "<think>hm</think>\n"}), "stop");
    let declined = reply(json!({"content": null, "refusal": "I cannot."}), "stop");
    let filtered = reply(json!({"content": "Once upon"}), "content_filter");
    let asks = reply(json!({"content": null, "tool_calls": [{"id": "1"}]}), "tool_calls");
    for (answers, body, expected) in [
        (json!({}), &cut, "invalid_output length again"),
        (json!({"length": "fail"}), &cut, "invalid_output length final"),
        (json!({"length": "accept"}), &cut, r#"{"answer":"half an"}"#),
        (json!({"length": {"more_tokens": 2}}), &cut, "invalid_output length again"),
        (json!({"length": "accept"}), &spent, "invalid_output empty again"),
        (json!({"length": "accept", "empty": "accept"}), &spent, r#"{"answer":""}"#),
        (json!({}), &empty, "invalid_output empty again"),
        (json!({"empty": "fail"}), &empty, "invalid_output empty final"),
        (json!({"empty": "accept"}), &empty, r#"{"answer":" \n"}"#),
        (json!({}), &thought_only, "invalid_output empty again"),
        (json!({}), &declined, "refused declined final"),
        (json!({"refused": "retry"}), &declined, "refused declined again"),
        (json!({"refused": "accept"}), &declined, r#"{"answer":"I cannot."}"#),
        (json!({}), &filtered, "refused filtered final"),
        (json!({"refused": "retry"}), &filtered, "refused filtered again"),
        (json!({"refused": "accept"}), &filtered, r#"{"answer":"Once upon"}"#),
        (json!({}), &asks, "invalid_output tool_call again"),
    ] {
        let config = json!({"template": "x", "answers": answers, "parameters": {"max_tokens": 9}});
        assert_eq!(verdict(config, body), expected, "{answers} {body}");
    }
}

#[test]
fn asking_for_a_tool_is_an_answer_where_tools_were_offered() {
    let calls = reply(json!({"content": null, "tool_calls": [ {"id": "1", "n": 1.5} ]}), "tool_calls");
    let both = reply(json!({"content": "Let me look.", "tool_calls": [{"id": "1"}]}), "tool_calls");
    let config = json!({"template": "x", "tools": "tools", "keep": {"tool_calls": "calls"}});
    let judged = |body: &str| verdict(config.clone(), body);
    assert_eq!(judged(&calls), r#"{"answer":[{"id":"1","n":1.5}],"calls":[{"id":"1","n":1.5}]}"#);
    assert_eq!(judged(&both), r#"{"answer":"Let me look.","calls":[{"id":"1"}]}"#);
    assert_eq!(judged(&saying("Seven.")), r#"{"answer":"Seven.","calls":null}"#);
    // Fields were asked for, and a call has none of them.
    let fields = json!({"template": "x", "tools": "tools", "output": output()});
    assert_eq!(verdict(fields, &calls), "invalid_output tool_call again");
}

#[test]
fn a_thought_is_wanted_beside_the_text_or_in_it() {
    let config = json!({"template": "x", "answers": {"think": "required"}});
    for (body, expected) in [
        (reply(json!({"content": "<think>hm</think>yes"}), "stop"), r#"{"answer":"yes"}"#),
        (reply(json!({"content": "yes", "reasoning_content": "hm"}), "stop"), r#"{"answer":"yes"}"#),
        (reply(json!({"content": "yes", "reasoning": "hm"}), "stop"), r#"{"answer":"yes"}"#),
        (reply(json!({"content": "yes", "reasoning": " "}), "stop"), "invalid_output missing_think again"),
        (reply(json!({"content": "<think></think>yes"}), "stop"), "invalid_output missing_think again"),
        (saying("yes"), "invalid_output missing_think again"),
    ] {
        assert_eq!(verdict(config.clone(), &body), expected, "{body}");
    }
}

#[test]
fn patterns_are_held_against_the_answer_without_its_thought() {
    let config = |answers: Value| json!({"template": "x", "answers": answers});
    let pattern = config(json!({"pattern": "^[0-9]+$"}));
    assert_eq!(verdict(pattern.clone(), &saying("<think>six?</think>7")), r#"{"answer":"7"}"#);
    assert_eq!(
        judged(pattern, &saying("seven")),
        Err(Failure::new(FailureKind::InvalidOutput, "the answer does not match `^[0-9]+$`: seven")
            .because(Reason::Pattern))
    );
    let reject = config(json!({"reject": "(?i)as an ai"}));
    assert_eq!(verdict(reject.clone(), &saying("<think>As an AI</think>Sure.")), r#"{"answer":"Sure."}"#);
    assert_eq!(
        judged(reject, &saying("As an AI I cannot.")).unwrap_err().message,
        "the answer must not match `(?i)as an ai`, and holds `As an AI`"
    );
}

#[test]
fn every_invalid_answer_has_its_reason() {
    let config = json!({"template": "x", "output": output()});
    assert_eq!(verdict(config.clone(), &saying("no")), "invalid_output no_json again");
    assert_eq!(verdict(config.clone(), &saying("{\"category\":\"bug\"}")), "invalid_output schema again");
    assert_eq!(verdict(config, "<html>"), "unavailable - final", "the way to the model failed, not the model");
}

#[test]
fn an_answer_is_judged_again_by_the_rules_of_now() {
    let old = handler(json!({"template": "x"}));
    let body = json!({"id": "c-1", "model": "m-2", "usage": {"prompt_tokens": 3, "completion_tokens": 4},
        "choices": [{"message": {"content": "{\"category\": \"bug\"}"}, "finish_reason": "stop"}]});
    let record = record("{\"id\":7}");
    let raw: bytes::Bytes = body.to_string().into();
    let known = AnswerMeta { upstream: Some("east".into()), latency_ms: Some(51), ..AnswerMeta::default() };
    let Ended::Done(first) = old.judge(&record, raw.clone(), 2, known) else { panic!() };
    let outcome = domain::Outcome {
        key: record.key,
        line: 3,
        offset: 90,
        hash: record.hash(),
        request: None,
        end: domain::End::Succeeded,
        output: Some(first.output),
        attempts: 2,
        meta: first.meta.clone(),
        derived: None,
        at: domain::Timestamp(0),
        same_as: None,
        reparsed: false,
        restored: false,
    };
    let now = handler(json!({"template": "x", "output": {"category": {"enum": ["bug"]}},
        "derive": {"label": "{{ id }}:{{ answer.category | upper }}"},
        "keep": {"upstream": "by", "latency_ms": "ms", "attempts": "tries", "prompt_tokens": "in"}}));
    let Some(Ended::Done(again)) = now.judge_again(&record, &outcome, &raw) else { panic!() };
    assert_eq!(again.output.get(), r#"{"category":"bug","label":"7:BUG","by":"east","ms":51,"tries":2,"in":3}"#);
    assert_eq!(again.meta, first.meta, "what is known of the answer is what was known");
    let strict = handler(json!({"template": "x", "output": {"category": {"enum": ["wish"]}}}));
    assert!(matches!(strict.judge_again(&record, &outcome, &raw), Some(Ended::Failed(..))));
    assert!(now.judge_again(&record, &outcome, &bytes::Bytes::new()).is_none(), "there is no answer to judge");
    let rejected = domain::End::Failed(Failure::new(FailureKind::Rejected, "status 400"));
    let outcome = domain::Outcome { end: rejected, ..outcome };
    assert!(now.judge_again(&record, &outcome, &raw).is_none(), "what came back was no answer");
}
