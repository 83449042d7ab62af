//! Fields that are made from answers, and what is kept of them.

use domain::{Answer, AnswerMeta, FailureKind, Reason, Usage, ports::Ended};
use serde_json::{Value, json};

use super::{Inputs, handler_with, output, record, saying};

const GOOD: &str = r#"{"category":"bug","score":7,"reason":null,"tags":["b","a"]}"#;

fn made_with(config: Value, inputs: Inputs, text: &str, body: &str) -> Result<String, domain::Failure> {
    let known = AnswerMeta {
        upstream: Some("east".into()),
        latency_ms: Some(51),
        request_id: Some("r-1".into()),
        ..AnswerMeta::default()
    };
    match handler_with(config, inputs).judge(&record(text), body.to_owned().into(), 3, known) {
        Ended::Done(Answer { output, .. }) => Ok(output.get().to_owned()),
        Ended::Failed(failure, ..) => Err(failure),
        other => panic!("{other:?}"),
    }
}

fn made(config: Value, text: &str, body: &str) -> Result<String, domain::Failure> {
    made_with(config, Inputs::default(), text, body)
}

#[test]
fn fields_are_made_from_the_answer_and_its_record() {
    let config = json!({"template": "x", "output": output(), "derive": {
        "label": "{{ answer.category | upper }}-{{ id }}",
        "score": {"value": "answer.score * 10"},
        "n_tags": {"value": "answer.tags | length"},
        "first": "{{ answer.tags | first }}",
        "is_high": {"value": "answer.score > 5 and amount > 1"},
        "whole": "{record_json}",
        "said": "{{ text }}",
        "all": "{{ answer }}",
    }});
    let inputs = Inputs { fields: Some(vec!["id".to_owned()]), ..Inputs::default() };
    let made = made_with(config, inputs, r#"{"id":4,"amount":"1.10"}"#, &saying(GOOD)).unwrap();
    let said = Value::from(GOOD);
    assert_eq!(
        made,
        format!(
            r#"{{"category":"bug","score":70,"reason":null,"tags":["b","a"],"label":"BUG-4","n_tags":2,"first":"b","is_high":true,"whole":"{{\"id\":4}}","said":{said},"all":{said}}}"#
        )
    );
}

#[test]
fn a_text_is_made_from_thought_and_answer_wherever_the_thought_stood() {
    let config = json!({"template": "x", "derive": {
        "answer": "<think>\n{{ reasoning }}\n</think>\n\n{{ answer }}",
        "asked": {"value": "reasoning or 'none'"},
    }});
    let beside = json!({"choices": [{"message": {"content": "A", "reasoning_content": "r"}}]}).to_string();
    let both = r#"{"answer":"<think>\nr\n</think>\n\nA","asked":"r"}"#;
    assert_eq!(made(config.clone(), "{}", &beside).as_deref(), Ok(both));
    assert_eq!(made(config.clone(), "{}", &saying("<think>r</think>A")).as_deref(), Ok(both));
    let neither = r#"{"answer":"<think>\n\n</think>\n\nA","asked":"none"}"#;
    assert_eq!(made(config, "{}", &saying("A")).as_deref(), Ok(neither));
}

#[test]
fn what_is_known_of_an_answer_is_kept_in_fields_of_their_own() {
    let config = json!({"template": "x", "model": "fast", "keep": {
        "reasoning": "why", "answer": "raw", "finish_reason": "end", "model": "m", "upstream": "u", "asked_model": "a",
        "prompt_tokens": "p", "completion_tokens": "c", "cached_tokens": "pc", "reasoning_tokens": "cr",
        "latency_ms": "ms", "attempts": "n", "request_id": "id", "sample": "s", "tool_calls": "t",
    }});
    let body = json!({
        "id": "c-1", "model": "m-2",
        "choices": [{"message": {"content": "<think>hm\n</think>yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3}},
    });
    let made_of = |body: &str| made(config.clone(), "{}", body).unwrap();
    assert_eq!(
        made_of(&body.to_string()),
        concat!(
            r#"{"answer":"yes","why":"hm","raw":"<think>hm\n</think>yes","end":"stop","m":"m-2","u":"east","a":"fast","#,
            r#""p":10,"c":5,"pc":4,"cr":3,"ms":51,"n":3,"id":"r-1","s":0,"t":null}"#
        )
    );
    assert_eq!(
        made_of(r#"{"choices":[{"message":{"content":"yes"}}]}"#),
        concat!(
            r#"{"answer":"yes","why":null,"raw":"yes","end":null,"m":null,"u":"east","a":"fast","#,
            r#""p":null,"c":null,"pc":null,"cr":null,"ms":51,"n":3,"id":"r-1","s":0,"t":null}"#
        )
    );
}

#[test]
fn tokens_from_a_cache_are_read_in_either_spelling() {
    let config = json!({"template": "x"});
    for (details, cached) in [
        (json!({"prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0}}), 4),
        (json!({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}), 4),
        (json!({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 4}), 4),
        (json!({"prompt_tokens_details": null, "completion_tokens_details": null}), 0),
    ] {
        let mut body = json!({"choices": [{"message": {"content": "yes"}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
        body["usage"].as_object_mut().unwrap().extend(details.as_object().unwrap().clone());
        let handler = handler_with(config.clone(), Inputs::default());
        let Ended::Done(answer) = handler.judge(&record("{}"), body.to_string().into(), 1, AnswerMeta::default())
        else {
            panic!()
        };
        let usage = Usage { prompt_tokens: 10, completion_tokens: 5, cached_tokens: cached, reasoning_tokens: 0 };
        assert_eq!(answer.meta.usage, Some(usage), "{details}");
    }
}

#[test]
fn a_field_that_cannot_be_made_is_not_paid_for_again() {
    let config = json!({"template": "x", "derive": {"label": "{{ answer }} {{ city }}"}});
    let failure = made(config, "{}", &saying("yes")).unwrap_err();
    assert_eq!(
        (failure.kind, failure.reason, failure.group()),
        (FailureKind::InvalidOutput, Some(Reason::Schema), None)
    );
    assert_eq!(
        failure.message,
        "the field `label` of `derive` cannot be made: neither the answer nor its record has `city`"
    );
    let config = json!({"template": "x", "derive": {"n": {"value": "answer | int"}}});
    let failure = made(config, "{}", &saying("many")).unwrap_err();
    assert!(failure.message.starts_with("the field `n` of `derive` cannot be made: invalid operation"), "{failure}");
}

#[test]
fn a_candidate_that_the_condition_turns_down_is_not_accepted() {
    let config = json!({"template": "x", "output": output(), "derive": {"label": "{{ answer.category }}"},
        "until_accepted": {"accepted": 1, "candidates": 4, "where": "answer.score >= least and text|length < 100"}});
    let accepted = made(config.clone(), r#"{"least":"7"}"#, &saying(GOOD)).unwrap();
    assert!(accepted.ends_with(r#""label":"bug"}"#), "{accepted}");
    let failure = made(config, r#"{"least":"8"}"#, &saying(GOOD)).unwrap_err();
    assert_eq!((failure.kind, failure.group()), (FailureKind::NotAccepted, None));
    assert_eq!(
        failure.message,
        "the answer is not one of those that are looked for: answer.score >= least and text|length < 100"
    );
}
