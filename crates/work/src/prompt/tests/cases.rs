//! Prompts by a field of the record.

use std::{sync::Arc, time::Duration};

use domain::{
    Unplanned,
    ports::{Ended, Handler as _, ModelAnswer, ModelClient, Prior},
};
use serde_json::{Value, json};

use super::{Attachments, Files, Inputs, Scripted, attempt, handler, prompt, record, saying};
use crate::prompt::CasesHandler;

/// A handler whose model says this, whatever it is asked.
fn cases(config: Value, said: &str) -> (CasesHandler, Arc<Scripted>) {
    let answer = ModelAnswer {
        body: saying(said).into(),
        upstream: "east".into(),
        latency: Duration::from_millis(51),
        request_id: None,
        usage: None,
    };
    let scripted = Arc::new(Scripted { answer: Some(Ok(answer)), ..Scripted::default() });
    let client: Arc<dyn ModelClient> = scripted.clone();
    let files: Arc<dyn Attachments> = Arc::new(Files);
    let inputs = Inputs { fields: Some(vec!["text".to_owned()]), ..Inputs::default() };
    (CasesHandler::new(&prompt(config), &inputs, &client, &files).unwrap().unwrap(), scripted)
}

fn two() -> Value {
    json!({
        "model": "usual", "system": "Be brief.", "template": "Sort: {{ record_json }}",
        "output": { "label": { "enum": ["good", "bad"] } },
        "by": { "field": "kind", "cases": {
            "bug": { "template": "Weigh: {{ text }}", "output": { "weight": { "type": "integer" } } },
            "7": { "system": "", "model": "strong" },
        } },
    })
}

/// The model that a record is asked of, and the messages.
fn asked(text: &str) -> (String, Vec<String>) {
    let body: Value = serde_json::from_slice(&cases(two(), "").0.plan(&record(text)).unwrap().body).unwrap();
    let messages = body["messages"].as_array().unwrap().iter();
    let messages = messages.map(|message| message["content"].as_str().unwrap().to_owned());
    (body["model"].as_str().unwrap().to_owned(), messages.collect())
}

fn answered(config: Value, text: &str, said: &str) -> Result<String, String> {
    match attempt(&cases(config, said).0, record(text), 1, &Prior::default()) {
        Ended::Done(answer) => Ok(answer.output.get().to_owned()),
        Ended::Failed(failure, ..) => Err(failure.to_string()),
        other => panic!("{other:?}"),
    }
}

fn mistakes(config: Value) -> Vec<String> {
    prompt(config).mistakes().iter().map(ToString::to_string).collect()
}

#[test]
fn a_record_is_asked_as_its_case_says_and_any_other_as_usual() {
    let usual = |shown: &str| ("usual".to_owned(), vec!["Be brief.".to_owned(), format!("Sort: {shown}")]);
    for text in [
        r#"{"kind":"wish","text":"a"}"#,
        r#"{"kind":"","text":"a"}"#,
        r#"{"kind":null,"text":"a"}"#,
        r#"{"kind":"Bug","text":"a"}"#,
        r#"{"kind":[7],"text":"a"}"#,
        r#"{"text":"a"}"#,
    ] {
        assert_eq!(asked(text), usual(r#"{"text":"a"}"#), "{text}");
    }
    let bug = ("usual".to_owned(), vec!["Be brief.".to_owned(), "Weigh: a".to_owned()]);
    assert_eq!(asked(r#"{"kind":"bug","text":"a"}"#), bug);
    for text in [r#"{"kind":7,"text":"a"}"#, r#"{"kind":"7","text":"a"}"#] {
        assert_eq!(asked(text), ("strong".to_owned(), vec![r#"Sort: {"text":"a"}"#.to_owned()]), "{text}");
    }
}

#[test]
fn the_place_is_reserved_at_the_model_of_the_case() {
    let (handler, model) = cases(two(), r#"{"label":"good"}"#);
    attempt(&handler, record(r#"{"kind":7,"text":"a"}"#), 1, &Prior::default());
    assert!(model.asked.lock().unwrap()[0].starts_with("strong "));
}

#[test]
fn every_answer_has_the_fields_of_all_cases_and_is_held_to_its_own() {
    assert_eq!(prompt(two()).new_fields(), ["label", "weight"]);
    let bug = r#"{"kind":"bug","text":"a"}"#;
    assert_eq!(
        answered(two(), bug, r#"{"weight": 3, "label": "good"}"#).as_deref(),
        Ok(r#"{"label":null,"weight":3}"#)
    );
    assert!(answered(two(), bug, r#"{"label":"good"}"#).unwrap_err().contains("`weight` is missing"));
    let usual = r#"{"text":"a"}"#;
    assert_eq!(answered(two(), usual, r#"{"label":"bad"}"#).as_deref(), Ok(r#"{"label":"bad","weight":null}"#));
    assert!(answered(two(), usual, r#"{"weight":3}"#).unwrap_err().contains("`label` is missing"));
}

#[test]
fn an_empty_case_field_keeps_no_record_from_being_asked() {
    // It is none of `fields`, so `require: all` does not look at it.
    let (handler, _) = cases(two(), "");
    assert!(handler.plan(&record(r#"{"kind":"","text":"a"}"#)).is_ok());
    assert!(matches!(handler.plan(&record(r#"{"kind":"bug","text":""}"#)), Err(Unplanned::Skip(..))));
}

#[test]
fn a_mistake_in_a_case_is_told_there_and_one_beside_it_once() {
    let with = |key: &str, value: Value| {
        let mut config = two();
        config["by"]["cases"]["bug"][key] = value;
        config
    };
    assert_eq!(mistakes(two()), Vec::<String>::new());
    let told = mistakes(with("template", json!("{{ a")));
    assert!(told.len() == 1 && told[0].starts_with("by.cases.bug.template, line 1: "), "{told:?}");
    let told = mistakes(with("output", json!({ "a": {} })));
    assert_eq!(told, ["by.cases.bug.output.a: needs a `type` or an `enum`"]);
    let mut config = two();
    config["parameters"] = json!({ "n": 2 });
    assert_eq!(mistakes(config).len(), 1);
    let mut config = two();
    config["by"] = json!({ "field": " ", "cases": {} });
    assert_eq!(mistakes(config), ["by.field: names no field", "by.cases: there is no case; leave `by` out"]);
    let mut config = two();
    config["by"]["cases"][""] = json!({});
    assert!(mistakes(config)[0].starts_with("by.cases.: an empty field is no case"));
}

#[test]
fn a_record_is_tried_out_with_the_prompt_of_its_case() {
    let config = prompt(two());
    let tried = |text| config.try_out(Inputs::default(), &record(text)).is_ok();
    assert!(!tried(r#"{"kind":"bug"}"#), "the template of the case wants a field that is not there");
    assert!(tried(r#"{"kind":"wish"}"#));
}

#[test]
fn an_optional_field_is_null_where_it_is_left_out_and_checked_where_it_is_there() {
    let config = || {
        json!({ "template": "x", "by": { "field": "k", "cases": { "a": {} } }, "output": {
            "a": { "type": "any" }, "b": { "enum": ["x", "y"], "optional": true },
            "why": { "type": "string", "drop": true },
        } })
    };
    for (said, wanted) in [
        (r#"{"a":[1,{"b":2}],"b":"y","why":"w"}"#, Ok(r#"{"a":[1,{"b":2}],"b":"y"}"#)),
        (r#"{"why":"w","a":null}"#, Ok(r#"{"a":null,"b":null}"#)),
        (r#"{"a":1,"b":"z","why":"w"}"#, Err("`b`: ")),
        (r#"{"a":1,"b":"y"}"#, Err("the field `why` is missing")),
        (r#"{"b":"y","why":"w"}"#, Err("the field `a` is missing")),
    ] {
        match (answered(config(), r#"{"text":"t"}"#, said), wanted) {
            (Ok(answer), Ok(wanted)) => assert_eq!(answer, wanted, "{said}"),
            (Err(failure), Err(wanted)) => assert!(failure.contains(wanted), "{said}: {failure}"),
            (found, _) => panic!("{said}: {found:?}"),
        }
    }
}

#[test]
fn how_the_model_is_told_of_the_fields_can_be_chosen() {
    let format = |told: Value| {
        let handler =
            handler(json!({ "template": "x", "output": { "a": { "type": "any" } }, "response_format": told }));
        let body: Value = serde_json::from_slice(&handler.plan(&record("{}")).unwrap().body).unwrap();
        body["response_format"].clone()
    };
    assert_eq!(format(json!("none")), Value::Null);
    assert_eq!(format(json!("json")), json!({ "type": "json_object" }));
    let schema = format(Value::Null);
    // What may be anything cannot be held to a schema while it is written.
    assert_eq!(schema["json_schema"]["strict"], json!(false));
    assert_eq!(schema["json_schema"]["schema"]["properties"]["a"], json!({}));
}

#[test]
fn record_json_leaves_out_what_is_empty_where_that_is_wanted() {
    let shown = |fields: Option<Vec<String>>| {
        let inputs = Inputs { fields, require: crate::prompt::Require::Any, omit_empty: true, ..Inputs::default() };
        let handler = super::handler_with(json!({ "template": "{{ record_json }}" }), inputs);
        let planned = handler.plan(&record(r#"{"a":"","b":null,"c":" ","d":0}"#)).unwrap();
        let body: Value = serde_json::from_slice(&planned.body).unwrap();
        body["messages"][0]["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(shown(None), r#"{"c":" ","d":0}"#);
    assert_eq!(shown(Some(vec!["a".to_owned(), "d".to_owned()])), r#"{"d":0}"#);
}
