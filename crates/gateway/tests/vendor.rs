//! The gateway against the scripted vendor, which shares no code with it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{
    Clock, Failure, FailureKind, Timestamp,
    ports::{Ask, Class, ModelAnswer, ModelClient, ModelRequest, Reservation, Reserve},
};
use gateway::{Gateway, Learned, ModelsFile, resolve};
use provider::transport::Transport;
use serde_json::{Value, json};
use simulate::{Script, Vendor, request_hash};

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

struct House {
    vendors: Vec<Vendor>,
    gateway: Gateway,
}

impl House {
    /// A gateway with a model for each script, named `a`, `b`, ...
    fn new(scripts: &[Value]) -> Self {
        let start = |script: &Value| {
            let script: Script = serde_json::from_value(script.clone()).expect("the test's own script");
            Vendor::start(script, ([127, 0, 0, 1], 0).into()).expect("a vendor that listens")
        };
        let vendors: Vec<Vendor> = scripts.iter().map(start).collect();
        let names: Vec<String> = ('a'..).take(vendors.len()).map(String::from).collect();
        let channel = |(name, vendor): (&String, &Vendor)| (name.clone(), json!({ "url": vendor.base_url() }));
        let channels: serde_json::Map<_, _> = names.iter().zip(&vendors).map(channel).collect();
        let models: Vec<_> = names.iter().map(|name| json!({ "name": name, "channel": name })).collect();
        let file = json!({ "channels": channels, "models": models });
        let file: ModelsFile = serde_json::from_value(file).expect("the test's own file");
        let resolved = resolve(&file, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).expect("a sound file");
        Self { vendors, gateway: Gateway::new(&resolved, Arc::new(Transport::default()), Arc::new(Epoch)) }
    }

    async fn ask(&self, ask: Ask, body: &Value) -> Result<ModelAnswer, (Failure, Bytes)> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let reservation = Reservation { route: "auto", tokens: 1, class: Class::Normal, deadline };
        let permit = match self.gateway.reserve(&reservation) {
            Reserve::Permit(permit) => permit,
            Reserve::Closed(failure) => return Err((failure, Bytes::new())),
            Reserve::NotBefore(wait) => panic!("{wait:?}"),
        };
        let request = ModelRequest { ask, route: "auto".into(), body: body.to_string().into(), deadline };
        self.gateway.complete(request, permit).await
    }

    async fn content(&self, ask: Ask, body: &Value) -> String {
        let answer: Value = serde_json::from_slice(&self.ask(ask, body).await.expect("an answer").body).expect("JSON");
        answer["choices"][0]["message"]["content"].as_str().expect("a text").to_owned()
    }
}

fn request(text: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "score": { "type": "integer", "minimum": 1, "maximum": 5 } }, "required": ["score"], "additionalProperties": false });
    json!({
        "model": "auto",
        "messages": [{ "role": "system", "content": "You \"judge\"." }, { "role": "user", "content": text }],
        "response_format": { "type": "json_schema", "json_schema": { "name": "x", "strict": true, "schema": schema } },
    })
}

#[tokio::test]
async fn a_form_is_given_up_in_whatever_words_it_is_refused_and_the_answers_stay_right() {
    for words in [
        "openai",
        "azure",
        "deepseek",
        "volcengine",
        "siliconflow",
        "dashscope",
        "zhipu",
        "groq",
        "llama_cpp",
        "lm_studio",
        "vllm",
        "sglang",
        "mistral",
    ] {
        for (object, learned, n_refused) in [(json!(null), Learned::ObjectOnly, 1), (json!(words), Learned::NoForm, 2)]
        {
            let house = House::new(&[json!({ "lacks": { "json_schema": words, "json_object": object } })]);
            let mut notices = house.gateway.notices().expect("the first who asks");
            for n in 0..5 {
                let ask = if n % 2 == 0 { Ask::Chat } else { Ask::ChatStream };
                let content = house.content(ask, &request(&format!("record {n}"))).await;
                let score = serde_json::from_str::<Value>(&content).expect("JSON")["score"].as_i64();
                assert!(score.is_some_and(|score| (1..=5).contains(&score)), "{words}: {content}");
            }
            let counts = house.vendors[0].counts();
            assert_eq!((counts.asked, counts.turned_away), (5 + n_refused, n_refused), "{words}");
            let notice = notices.try_recv().expect("a notice");
            assert_eq!((notice.learned, &*notice.upstream), (learned, "a"), "{words}");
            assert!(notice.said.starts_with("status "), "{notice}");
            assert!(notices.try_recv().is_err(), "{words}: it is told once");
        }
    }
}

#[tokio::test]
async fn options_of_a_stream_are_given_up_and_the_stream_is_not() {
    for words in ["openai", "mistral"] {
        let house = House::new(&[json!({ "lacks": { "stream_options": words } })]);
        let mut notices = house.gateway.notices().expect("the first who asks");
        for n in 0..3 {
            house.content(Ask::ChatStream, &request(&n.to_string())).await;
        }
        assert_eq!(house.vendors[0].counts().turned_away, 1);
        assert_eq!(notices.try_recv().map(|notice| notice.learned), Ok(Learned::NoStreamOptions));
    }
}

#[tokio::test]
async fn an_answer_in_pieces_says_what_the_whole_one_says() {
    for script in [
        json!({ "usage": { "tokenizer": "o200k_base", "cached": 0.5 }, "reasoning": "reasoning_content" }),
        json!({ "answer": { "fixed": "水车 \"转动\" \\ 😀\n\u{1}" }, "stream_pause": "1ms" }),
        json!({ "shapes": [{ "kind": "prose", "rate": 1.0 }] }),
        json!({ "faults": [{ "kind": "length", "rate": 1.0 }] }),
        json!({ "faults": [{ "kind": "refused", "rate": 1.0 }] }),
        json!({ "lacks": { "stream": true } }),
    ] {
        let house = House::new(std::slice::from_ref(&script));
        let mut body = request("hi");
        let read = |answer: ModelAnswer| serde_json::from_slice::<Value>(&answer.body).expect("JSON");
        // The vendor answers by the bytes that it is asked in, and those of a stream are others.
        let streamed = read(house.ask(Ask::ChatStream, &body).await.expect("an answer"));
        body["stream"] = json!(false);
        let whole = read(house.ask(Ask::Chat, &body).await.expect("an answer"));
        let shape = |answer: &Value| {
            let choice = &answer["choices"][0];
            let names = |value: &Value| -> Vec<String> {
                value.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null()).map(|(k, _)| k.clone()).collect()
            };
            let mut message = names(&choice["message"]);
            message.retain(|name| name != "annotations" && name != "content");
            message.sort();
            (
                answer["object"].clone(),
                answer["model"].clone(),
                choice["finish_reason"].clone(),
                message,
                names(&answer["usage"]),
            )
        };
        assert_eq!(shape(&streamed), shape(&whole), "{script}");
        if script.get("answer").is_some() {
            assert_eq!(streamed["choices"][0]["message"]["content"], whole["choices"][0]["message"]["content"]);
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_an_attempt_that_failed() {
    let house = House::new(&[json!({ "faults": [{ "kind": "half", "rate": 1.0, "asks": 1 }] })]);
    let (failure, body) = house.ask(Ask::ChatStream, &request("hi")).await.expect_err("half a stream");
    assert_eq!((failure.kind, body.len()), (FailureKind::Unavailable, 0));
    assert!(house.ask(Ask::ChatStream, &request("hi")).await.is_ok());
    assert_eq!(house.vendors[0].counts().asked, 2);
}

#[tokio::test]
async fn embeddings_come_back_as_the_vendor_gave_them() {
    let house = House::new(&[json!({})]);
    let body = json!({ "model": "auto", "input": ["a", "b"], "dimensions": 3 });
    let answer = house.ask(Ask::Embeddings, &body).await.expect("an answer");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(answer["data"][1]["embedding"].as_array().map(Vec::len), Some(3));
    // It came as it was sent, but for the model's name.
    let sent = body.to_string().replace("auto", "a");
    assert_eq!(house.vendors[0].asked().get(&request_hash(sent.as_bytes())), Some(&1));
}

#[tokio::test]
async fn where_every_upstream_is_dead_each_is_named_with_its_reason() {
    let house = House::new(&[
        json!({ "require_key": "another" }),
        json!({ "faults": [{ "kind": "exhausted_credit", "rate": 1.0 }] }),
    ]);
    let (failure, _) = house.ask(Ask::Chat, &request("hi")).await.expect_err("nobody answers");
    assert!(matches!(failure.kind, FailureKind::Unauthorized | FailureKind::ExhaustedCredit), "{failure:?}");
    let (closed, _) = house.ask(Ask::Chat, &request("hi")).await.expect_err("the route is closed");
    assert_eq!(
        closed.message,
        "`a`: key not accepted (status 401: the API key is not valid (invalid_api_key)); \
         `b`: no credit (status 429: no credit is left, as the script says (insufficient_quota))"
    );
    assert_eq!(house.vendors.iter().map(|vendor| vendor.counts().asked).collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn what_was_counted_before_is_what_the_vendor_bills() {
    let house = House::new(&[json!({ "usage": { "tokenizer": "o200k_base" } })]);
    let tokenizer = provider::tokens::Tokenizer::of("gpt-4o", None);
    for text in ["How many eggs are left?", "水车在早晨转动，石磨慢慢地磨。", "{\"a\": [1.10, \"\\n\"]}", ""]
    {
        let body = request(text);
        let answer: Value =
            serde_json::from_slice(&house.ask(Ask::Chat, &body).await.expect("an answer").body).expect("JSON");
        let counted = tokenizer.count_chat_body(body.to_string().as_bytes());
        assert_eq!(answer["usage"]["prompt_tokens"].as_u64(), Some(counted), "{text}");
        let content = answer["choices"][0]["message"]["content"].as_str().expect("a text");
        assert_eq!(answer["usage"]["completion_tokens"].as_u64(), Some(tokenizer.count_text(content)), "{text}");
    }
}
