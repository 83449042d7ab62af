//! Several answers to one record.

use std::{collections::HashSet, sync::Arc, time::Duration};

use domain::{
    Answer, Record, RecordKey,
    ports::{Ended, Handler as _, ModelAnswer, Prior},
    request_hash,
};
use serde_json::{Value, json};

use super::{Inputs, Scripted, asking, attempt, handler, record, saying};

fn sample(sample: u32) -> Record {
    let record = record(r#"{"body":"hello"}"#);
    Record { key: RecordKey { sample, ..record.key }, ..record }
}

#[test]
fn every_record_is_asked_of_every_model_as_often_as_samples_say() {
    let answer = ModelAnswer {
        body: saying("hi").into(),
        upstream: "east".into(),
        latency: Duration::from_millis(5),
        request_id: None,
        usage: None,
    };
    let client = Arc::new(Scripted { answer: Some(Ok(answer)), ..Scripted::default() });
    let config = json!({"models": ["a", "b"], "samples": 3, "template": "{{ body }}",
        "keep": {"asked_model": "who", "sample": "draw"}});
    let handler = asking(config, Inputs::default(), client.clone());
    assert_eq!(handler.samples(), 6);
    let mut requests = HashSet::new();
    for (n, (model, draw)) in [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2)].into_iter().enumerate() {
        let record = sample(u32::try_from(n).unwrap());
        let planned = handler.plan(&record).unwrap();
        let body: Value = serde_json::from_slice(&planned.body).unwrap();
        assert_eq!(body["model"], model);
        requests.insert(planned.request.unwrap());
        // The first draw is the request that would be made without samples.
        assert_eq!(planned.request == Some(request_hash(&planned.body)), draw == 0);
        let Ended::Done(Answer { output, .. }) = attempt(&handler, record, 1, &Prior::default()) else { panic!() };
        assert_eq!(output.get(), json!({"answer": "hi", "who": model, "draw": draw}).to_string());
        let asked = std::mem::take(&mut *client.asked.lock().unwrap());
        assert!(asked[0].starts_with(&format!("{model} Normal")), "{asked:?}");
    }
    assert_eq!(requests.len(), 6, "two draws are two requests, though their bodies are the same");
}

#[test]
fn candidates_are_samples_of_one_model() {
    let plain = handler(json!({"template": "x"}));
    assert_eq!((plain.samples(), plain.until(), plain.dedupes()), (1, None, false));
    let config = json!({"template": "x", "dedupe": true, "until_accepted": {"accepted": 2, "candidates": 8}});
    let until = handler(config);
    assert_eq!((until.samples(), until.until(), until.dedupes()), (8, Some((2, 8)), true));
}
