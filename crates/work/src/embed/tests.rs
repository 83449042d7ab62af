//! What a user of embeddings may rely on.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{
    Answer, AnswerMeta, BoxFuture, Failure, FailureKind, NoteKind, Origin, Reason, Record, RecordKey, Unplanned, Usage,
    WorkItem,
    ports::{
        Ask, AttemptContext, Ended, Grouping, Handler as _, JournalError, MemberEnd, ModelAnswer, ModelClient,
        ModelRequest, Notes, Permit, Prior, Reservation, Reserve, Rest,
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Embed, EmbedHandler, reply::shares};
use crate::template::Inputs;

/// A model that answers what it was told to, and keeps what it was asked.
struct Scripted {
    answer: Result<String, Failure>,
    asked: Mutex<Vec<(Ask, String)>>,
}

impl ModelClient for Scripted {
    fn reserve(&self, _: &Reservation<'_>) -> Reserve {
        Reserve::Permit(Permit::new(()))
    }

    fn width_freed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn complete(&self, request: ModelRequest, _: Permit) -> BoxFuture<'_, Result<ModelAnswer, (Failure, Bytes)>> {
        self.asked.lock().unwrap().push((request.ask, String::from_utf8(request.body.to_vec()).unwrap()));
        let answer = |body: String| ModelAnswer {
            body: body.into(),
            upstream: "east".into(),
            latency: Duration::from_millis(5),
            request_id: Some("r-1".to_owned()),
            usage: None,
        };
        let answer = self.answer.clone().map(answer).map_err(|failure| (failure, Bytes::from_static(b"raw")));
        Box::pin(std::future::ready(answer))
    }
}

struct NoNotes;

impl Notes for NoNotes {
    fn note<'a>(&'a self, _: NoteKind, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn config(more: Value) -> Embed {
    let mut config = json!({"model": "e", "input": "{{ text }}"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

fn handler(more: Value, client: Arc<Scripted>) -> EmbedHandler {
    EmbedHandler::new(&config(more), Inputs::default(), client).unwrap()
}

fn record(position: u64, text: &str) -> Record {
    Record {
        key: RecordKey { step: 0, part: 0, sample: 0, position },
        origin: Origin { line: position + 1, offset: 0 },
        bytes: Bytes::copy_from_slice(text.as_bytes()),
        row: None,
    }
}

/// Asks for the embeddings of `n` records in one request.
fn asked(more: Value, n: u64, answer: Result<String, Failure>) -> (Ended, Vec<(Ask, String)>) {
    let client = Arc::new(Scripted { answer, asked: Mutex::default() });
    let ended = ask(&handler(more, client.clone()), n);
    let asked = client.asked.lock().unwrap().clone();
    (ended, asked)
}

fn ask(handler: &EmbedHandler, n: u64) -> Ended {
    let members = (0..n).map(|i| {
        let record = record(i, &json!({"text": format!("text \"{i}\"")}).to_string());
        let planned = handler.plan(&record).unwrap();
        (record, planned)
    });
    let members: Vec<_> = members.collect();
    let item = WorkItem { id: members[0].0.key, members };
    let deadline = Instant::now() + Duration::from_secs(60);
    let Reserve::Permit(permit) = handler.reserve(&item, deadline) else { panic!("there is room") };
    let attempt = AttemptContext { number: 1, deadline, permit, prior: &Prior::default(), notes: &NoNotes };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        handler.width_freed().await;
        handler.perform(&item, attempt).await
    })
}

const REPLY: &str = r#"{"object":"list","model":"e-2","data":[
    {"object":"embedding","index":1,"embedding":[0.10, -2e-3]},
    {"object":"embedding","index":0,"embedding":[1.0,
      0.25]},
    {"object":"embedding","index":2,"embedding":[3,4]}],"usage":{"prompt_tokens":11,"total_tokens":11}}"#;

#[test]
fn records_share_a_request_and_each_gets_its_own_numbers_as_they_were_written() {
    let more = json!({"dimensions": 2, "into": "vector", "batch": 3, "parameters": {"user": "u"}});
    let (ended, asked) = asked(more, 3, Ok(REPLY.to_owned()));
    let body = r#"{"model":"e","input":["text \"0\"","text \"1\"","text \"2\""],"dimensions":2,"user":"u"}"#;
    assert_eq!(asked, [(Ask::Embeddings, body.to_owned())]);
    let Ended::Harvested(ends, Rest::Over) = ended else { panic!("{ended:?}") };
    let expected = [
        (r#"{"vector":[1.0,0.25]}"#, r#"{"object":"embedding","index":0,"embedding":[1.0,"#, 5),
        (r#"{"vector":[0.10,-2e-3]}"#, r#"{"object":"embedding","index":1,"embedding":[0.10, -2e-3]}"#, 3),
        (r#"{"vector":[3,4]}"#, r#"{"object":"embedding","index":2,"embedding":[3,4]}"#, 3),
    ];
    assert_eq!(ends.len(), 3);
    for (i, ((key, end), (output, raw, tokens))) in ends.into_iter().zip(expected).enumerate() {
        let MemberEnd::Done(answer) = end else { panic!("{end:?}") };
        assert_eq!((key.position, answer.output.get()), (i as u64, output));
        assert!(answer.raw.starts_with(raw.as_bytes()) && answer.raw.len() < 80, "{:?}", answer.raw);
        let usage = Some(Usage { prompt_tokens: tokens, ..Usage::default() });
        let meta = AnswerMeta {
            usage,
            model: Some("e-2".into()),
            upstream: Some("east".into()),
            latency_ms: Some(5),
            request_id: Some("r-1".into()),
            ..AnswerMeta::default()
        };
        assert_eq!(answer.meta, meta);
    }
}

#[test]
fn numbers_that_may_be_those_of_another_text_are_not_taken() {
    let list = |data: Value| json!({"data": data, "usage": {"prompt_tokens": 4}}).to_string();
    let one = json!({"index": 0, "embedding": [1]});
    for (body, expected) in [
        (list(json!([one])), "invalid_output: 1 embeddings came back for 2 texts"),
        (list(json!([one, one])), "invalid_output: two embeddings came back for the text of index 0"),
        (
            list(json!([one, {"index": 2, "embedding": [1]}])),
            "invalid_output: an embedding came back for the text of index 2, of 2 texts",
        ),
        (list(json!(null)), "unavailable: the answer is not a list of embeddings: it has no `data`"),
        (list(json!({})), "unavailable: the answer is not a list of embeddings: its `data` is no array"),
        (
            "<html>".to_owned(),
            "unavailable: the answer is not a list of embeddings: not valid JSON: expected value at column 1",
        ),
        (json!({"error": {"message": "overloaded"}}).to_string(), "unavailable: the answer is an error: overloaded"),
    ] {
        let (ended, _) = asked(json!({}), 2, Ok(body.clone()));
        let Ended::Failed(failure, raw, meta) = ended else { panic!("{ended:?}") };
        assert_eq!((failure.to_string().as_str(), &raw[..]), (expected, body.as_bytes()));
        assert_eq!(meta.upstream.as_deref(), Some("east"));
    }
}

#[test]
fn an_embedding_that_is_none_fails_its_own_record_alone() {
    for (member, expected) in [
        (json!({"embedding": null}), "no embedding came back for the text"),
        (json!({"embedding": []}), "the embedding is empty"),
        (json!({"embedding": [1, 2, 3]}), "the embedding has 3 numbers, and 2 were asked for"),
        (json!({"embedding": 7}), "the embedding is a number, not an array"),
        (json!(7), "what came back for the text is a number, not a JSON object"),
    ] {
        let body = json!({"data": [{"embedding": [1, 2]}, member]}).to_string();
        let (ended, _) = asked(json!({"dimensions": 2}), 2, Ok(body));
        let Ended::Harvested(ends, Rest::Over) = ended else { panic!("{ended:?}") };
        assert!(matches!(ends[0].1, MemberEnd::Done(_)));
        let MemberEnd::Failed(failure, ..) = &ends[1].1 else { panic!("{ends:?}") };
        assert_eq!(*failure, Failure::new(FailureKind::InvalidOutput, expected).because(Reason::Schema));
    }
}

#[test]
fn a_request_that_is_turned_down_is_divided_until_the_vendor_likes_none() {
    let refused = Failure::new(FailureKind::Rejected, "status 400: too long");
    let client = Arc::new(Scripted { answer: Err(refused.clone()), asked: Mutex::default() });
    let handler = handler(json!({}), client);
    let ask = |n: u64| ask(&handler, n);
    assert!(matches!(ask(2), Ended::Divided(failure) if failure == refused));
    for _ in 0..32 {
        assert!(matches!(ask(3), Ended::Divided(_)));
        let Ended::Failed(failure, raw, _) = ask(1) else { panic!("a single record has its own end") };
        assert_eq!((failure, &raw[..]), (refused.clone(), &b"raw"[..]));
    }
    let Ended::Failed(failure, ..) = ask(2) else { panic!("no word of one that may be the reason") };
    assert_eq!(
        failure.message,
        "status 400: too long (a request with 2 records; 32 others were turned down one by one, and none was answered \
         since)"
    );
}

#[test]
fn a_record_is_planned_as_if_it_were_asked_about_alone() {
    let client = Arc::new(Scripted { answer: Ok(String::new()), asked: Mutex::default() });
    let small = handler(json!({"batch": 1}), client.clone());
    let large = handler(json!({"batch": 64}), client);
    assert_eq!(large.grouping(), Grouping::Chunk { records: 64, bytes: 1 << 20 });
    let of = |text: &str| record(0, &json!({"text": text}).to_string());
    let request = |handler: &EmbedHandler, text: &str| handler.plan(&of(text)).unwrap().request;
    assert_eq!(request(&small, "a"), request(&large, "a"));
    assert_ne!(request(&small, "a"), request(&small, "b"));
    assert_eq!(&large.plan(&of("a")).unwrap().body[..], br#"{"model":"e","input":["a"]}"#);
    for (text, expected) in [
        (r#"{"text":" "}"#, "filtered: the text is empty: there is nothing to embed"),
        (
            "{}",
            "missing_field: the input needs the field `text`, which the record does not have; its \
             fields are: none",
        ),
    ] {
        let Err(Unplanned::Skip(reason, message)) = small.plan(&record(0, text)) else { panic!("{text}") };
        assert_eq!(format!("{}: {message}", reason.word()), expected);
    }
}

#[test]
fn an_embedding_is_judged_again_from_its_own_part_of_the_reply() {
    let (ended, _) = asked(json!({}), 3, Ok(REPLY.to_owned()));
    let Ended::Harvested(mut ends, _) = ended else { panic!("{ended:?}") };
    let (key, MemberEnd::Done(Answer { output, raw, meta, .. })) = ends.remove(0) else { panic!("{ends:?}") };
    let outcome = domain::Outcome {
        key,
        line: 1,
        offset: 0,
        hash: 0,
        request: None,
        end: domain::End::Succeeded,
        output: Some(output),
        attempts: 1,
        meta,
        derived: None,
        at: domain::Timestamp(0),
        same_as: None,
        reparsed: false,
        restored: false,
    };
    let client = Arc::new(Scripted { answer: Ok(String::new()), asked: Mutex::default() });
    let now = handler(json!({"into": "v"}), client.clone());
    let Some(Ended::Done(again)) = now.judge_again(&record(0, "{}"), &outcome, &raw) else { panic!() };
    assert_eq!(again.output.get(), r#"{"v":[1.0,0.25]}"#);
    let strict = handler(json!({"dimensions": 3}), client);
    assert!(matches!(strict.judge_again(&record(0, "{}"), &outcome, &raw), Some(Ended::Failed(..))));
    assert!(strict.judge_again(&record(0, "{}"), &outcome, &Bytes::new()).is_none());
}

#[test]
fn mistakes_are_told_all_at_once() {
    let config = json!({"model": " ", "input": "{{ a | uper }}", "into": "", "batch": 0, "dimensions": 0,
        "parameters": {"input": "x", "dimensions": 3, "user": "u"}});
    let config: Embed = serde_json::from_value(config).unwrap();
    let mistakes: Vec<String> = config.mistakes().iter().map(ToString::to_string).collect();
    assert_eq!(
        mistakes,
        [
            "model: names no model; leave it out for `auto`",
            "into: the new field needs a name",
            "batch: is between 1 and 2048",
            "dimensions: an embedding has at least one number",
            "parameters.input: cannot be set here: `input` stands beside `parameters`",
            "parameters.dimensions: cannot be set here: `dimensions` stands beside `parameters`, so that every embedding is held to it",
            "input, line 1: unknown filter: filter uper is unknown",
        ]
    );
}

proptest! {
    /// What was billed for a request is billed to its records, no more and no less.
    #[test]
    fn shares_add_up(prompt in 0..1_000_000_u64, cached in 0..1_000_u64, n in 1..300_usize) {
        let usage = Usage { prompt_tokens: prompt, cached_tokens: cached, ..Usage::default() };
        let mut sum = Usage::default();
        let parts: Vec<Usage> = shares(usage, n).collect();
        parts.iter().for_each(|part| sum.add(*part));
        prop_assert_eq!((parts.len(), sum), (n, usage));
    }
}
