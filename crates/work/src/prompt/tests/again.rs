//! Asking again for an answer that was not what was asked for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{
    AnswerMeta, Failure,
    ports::{Ended, ModelAnswer, Prior},
};
use serde_json::{Value, json};

use super::{Inputs, Scripted, asking, attempt, output, record, saying};

/// Lets the model give `answers` one after the other to the same record; returns the bodies of the requests.
fn asked(config: Value, answers: &[String]) -> Vec<String> {
    let record = record(r#"{"body":"hello"}"#);
    let mut prior = Prior::default();
    let mut bodies = Vec::new();
    for (n, body) in (1..).zip(answers) {
        let answer = ModelAnswer {
            body: Bytes::copy_from_slice(body.as_bytes()),
            upstream: "east".into(),
            latency: Duration::from_millis(5),
            request_id: None,
            usage: None,
        };
        let client = Arc::new(Scripted { answer: Some(Ok(answer)), ..Scripted::default() });
        let handler = asking(config.clone(), Inputs::default(), client.clone());
        let ended = attempt(&handler, record.clone(), n, &prior);
        bodies.push(client.asked.lock().unwrap()[1].clone());
        if let Ended::Failed(failure, raw, _) = ended {
            prior.refuted = Some((failure, raw));
        }
    }
    bodies
}

fn messages(body: &str) -> Vec<(String, String)> {
    let body: Value = serde_json::from_str(body).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let messages = body["messages"].as_array().unwrap().iter();
    messages.map(|message| (text(&message["role"]), text(&message["content"]))).collect()
}

#[test]
fn an_invalid_answer_goes_back_with_what_is_wrong_with_it() {
    let config = json!({"template": "Sort: {{ body }}", "output": output(), "parameters": {"temperature": 0}});
    let wrong = r#"{"category": "other", "score": 7, "reason": null, "tags": []}"#;
    let bodies = asked(config, &[saying(&format!("<think>hm</think>\n{wrong}")), saying("No idea."), saying("{}")]);
    let plain = messages(&bodies[0]);
    assert_eq!(plain, [("user".to_owned(), "Sort: hello".to_owned())]);
    let fields = "It is one JSON object with the fields `category`, `score`, `reason`, `tags`.";
    let again = "Answer again with nothing but the corrected answer, without an explanation.";
    assert_eq!(
        messages(&bodies[1])[1..],
        [
            ("assistant".to_owned(), wrong.to_owned()),
            (
                "user".to_owned(),
                format!(
                    "Your answer cannot be used: `category`: \"other\" is not one of \"bug\" or \"wish\". {again} {fields}"
                )
            ),
        ]
    );
    // Only the last answer is complained of, and all else of the request is as it was planned.
    assert_eq!(
        messages(&bodies[2])[1..],
        [
            ("assistant".to_owned(), "No idea.".to_owned()),
            ("user".to_owned(), format!("Your answer cannot be used: it holds no JSON object. {again} {fields}")),
        ]
    );
    let tail = bodies[0].split_once("}]").unwrap().1;
    assert!(bodies[2].ends_with(&format!("}}]{tail}")), "{}", bodies[2]);
}

#[test]
fn a_complaint_is_in_the_language_of_the_prompt() {
    let config = json!({"template": "给下面的消息分类，用 JSON 回答：{{ body }}", "output": output()});
    let bodies = asked(config, &[saying("不知道"), saying("{}")]);
    assert_eq!(
        messages(&bodies[1])[2].1,
        "你的回答无法使用：里面没有 JSON 对象。请重新回答，只给出改正后的回答，不要解释。回答必须是一个 JSON 对象，\
         字段为 `category`, `score`, `reason`, `tags`。"
    );
    let english = json!({"template": "Translate 你好 into French: {{ body }}", "answers": {"pattern": "^[a-z]+$"}});
    let bodies = asked(english, &[saying("Bonjour!"), saying("bonjour")]);
    assert!(messages(&bodies[1])[2].1.starts_with("Your answer cannot be used: the answer does not match"));
}

#[test]
fn nothing_is_complained_of_where_that_would_mend_nothing() {
    let cut = json!({"choices": [{"message": {"content": "half"}, "finish_reason": "length"}]}).to_string();
    let declined = json!({"choices": [{"message": {"refusal": "No."}, "finish_reason": "stop"}]}).to_string();
    for (answers, first) in [
        (json!({"length": "retry"}), cut),
        (json!({"empty": "retry"}), saying(" ")),
        (json!({"refused": "retry"}), declined),
        (json!({"complain": false}), saying("no JSON")),
    ] {
        let config = json!({"template": "{{ body }}", "output": output(), "answers": answers});
        let bodies = asked(config, &[first.clone(), saying("{}")]);
        assert_eq!(bodies[0], bodies[1], "{first}");
    }
}

#[test]
fn an_answer_that_was_cut_off_is_asked_again_with_more_tokens_each_time() {
    let cut = |tokens: u64| {
        json!({"choices": [{"message": {"content": "half"}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": tokens}})
        .to_string()
    };
    let config = json!({"template": "{{ body }}", "answers": {"length": {"more_tokens": 1.5}},
        "parameters": {"seed": 7, "max_tokens": 100, "max_completion_tokens": 50}});
    let bodies = asked(config.clone(), &[cut(100), cut(149), cut(226), saying("whole")]);
    let limits: Vec<(u64, u64, u64)> = bodies
        .iter()
        .map(|body| {
            let body: Value = serde_json::from_str(body).unwrap();
            let number = |name: &str| body[name].as_u64().unwrap();
            (number("max_tokens"), number("max_completion_tokens"), number("seed"))
        })
        .collect();
    assert_eq!(limits, [(100, 50, 7), (150, 75, 7), (225, 113, 7), (338, 169, 7)]);
    // A vendor that does not count is asked with one step more.
    let silent = json!({"choices": [{"message": {"content": "half"}, "finish_reason": "length"}]}).to_string();
    let bodies = asked(config, &[silent.clone(), silent]);
    assert!(bodies[1].contains("\"max_tokens\":150"), "{}", bodies[1]);
}

#[test]
fn what_an_earlier_version_refuted_without_a_reason_is_asked_again_plainly() {
    let client = Arc::new(Scripted { answer: Some(Err((failure(), Bytes::new()))), ..Scripted::default() });
    let handler = asking(json!({"template": "{{ body }}"}), Inputs::default(), client.clone());
    for raw in [saying("x"), "<html>".to_owned(), String::new()] {
        let prior = Prior { refuted: Some((failure(), raw.into())), ..Prior::default() };
        let ended = attempt(&handler, record(r#"{"body":"hello"}"#), 2, &prior);
        assert!(matches!(ended, Ended::Failed(_, _, meta) if meta == AnswerMeta::default()));
    }
    let asked = client.asked.lock().unwrap();
    assert!(asked.iter().skip(1).step_by(2).all(|body| !body.contains("assistant")), "{asked:?}");
}

fn failure() -> Failure {
    Failure::new(domain::FailureKind::InvalidOutput, "the answer is odd")
}
