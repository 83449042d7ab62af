use std::time::Duration;

use gateway::{JsonSupport, Key, MaxInFlight, Model, Rate, Resolved, Setting, Span};
use serde_json::{Value, json};

use super::*;
use crate::config::{Document, Severity};

const FILE: &str = include_str!("../../../tests/fixtures/dataflux.yaml");

fn parsed(text: &str) -> (Value, Document) {
    let (value, document, diagnostics) = crate::config::read::<Value>("config.yaml".as_ref(), text);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    (value.unwrap(), document)
}

fn whole() -> Translated {
    translate(&parsed(FILE).0).unwrap()
}

/// One channel and these models.
fn of(models: &Value) -> Translated {
    translate(&json!({ "channels": { "1": { "base_url": "http://h" } }, "models": models })).unwrap()
}

/// One model with what is usual, and these keys.
fn one(keys: &Value) -> Translated {
    let mut model = json!({ "id": 1, "model": "m", "channel_id": "1" });
    model.as_object_mut().unwrap().append(&mut keys.as_object().unwrap().clone());
    of(&json!([model]))
}

/// One channel with these keys, and its model.
fn channel(keys: &Value) -> Translated {
    let mut channel = json!({ "base_url": "http://h" });
    channel.as_object_mut().unwrap().append(&mut keys.as_object().unwrap().clone());
    translate(&json!({ "channels": { "1": channel }, "models": [{ "id": 1, "model": "m", "channel_id": 1 }] })).unwrap()
}

fn first(translated: &Translated) -> &Model {
    &translated.models.models[0]
}

fn resolved(translated: &Translated) -> Resolved {
    gateway::resolve(&translated.models, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
}

/// The models that a name leads to.
fn asked<'a>(translated: &'a Translated, name: &str) -> Vec<&'a str> {
    translated.models.models_of(name).unwrap().iter().map(|model| model.name.as_str()).collect()
}

fn said(translated: &Translated) -> Vec<(String, &str)> {
    translated.remarks.iter().map(|remark| (remark.path.join("."), remark.message.as_str())).collect()
}

#[test]
fn their_file_is_known_by_its_shape_and_ours_is_not_taken_for_it() {
    assert!(is_one(&parsed(FILE).0));
    for (file, is_theirs) in [
        (json!({ "models": [{ "channel_id": 1 }] }), true),
        (json!({ "channels": { "1": { "base_url": "http://h" } } }), true),
        (json!({ "channels": { "a": { "url": "http://h" } }, "models": [{ "channel": "a" }] }), false),
        // A slip in a file of ours is told as that.
        (json!({ "channels": { "a": { "base_url": "http://h" } }, "models": [{ "channel": "a" }] }), false),
        (json!({ "channels": { "a": { "url": "http://h" } }, "models": [{ "channel_id": "a" }] }), false),
        (json!({ "channels": {}, "models": [] }), false),
        (json!([1]), false),
        (Value::Null, false),
    ] {
        assert_eq!(is_one(&file), is_theirs, "{file}");
    }
}

#[test]
fn a_whole_file_loads_without_a_remark_and_no_key_is_shown() {
    let translated = whole();
    assert_eq!(said(&translated), []);
    let resolved = resolved(&translated);
    assert_eq!(resolved.upstreams.len(), 3);
    let shown = format!("{translated:?} {resolved:?}");
    assert!(!shown.contains("planted"), "{shown}");
}

#[test]
fn a_pace_is_a_rate_and_follows_the_weight_where_it_is_not_said() {
    for (keys, pace) in [
        (json!({ "safe_rps": 5 }), 5.0),
        (json!({ "safe_rps": 0.1 }), 0.1),
        (json!({}), 0.5),
        (json!({ "weight": 30 }), 3.0),
        (json!({ "weight": 1000 }), 10.0),
        (json!({ "weight": 0 }), 0.5),
    ] {
        assert_eq!(first(&one(&keys)).limits.requests_per_second, Some(Rate(pace)), "{keys}");
    }
    let none = one(&json!({ "safe_rps": 0 }));
    assert_eq!(first(&none).limits.requests_per_second, Some(Rate(0.5)));
    assert_eq!(
        said(&none),
        [("models.0.safe_rps".to_owned(), "`safe_rps` must be more than 0; the usual number is taken")]
    );
}

#[test]
fn weights_are_kept_and_one_without_weight_is_asked_only_by_name() {
    let translated = whole();
    let weights: Vec<u32> = translated.models.models.iter().map(|model| model.weight).collect();
    assert_eq!(weights, [10, 30, 0]);
    assert_eq!(asked(&translated, "auto"), ["first", "second"]);
    assert_eq!(asked(&translated, "spare")[0], "spare");
    assert_eq!(first(&one(&json!({}))).weight, 1);
    assert_eq!(first(&one(&json!({ "weight": -3 }))).weight, 0);
    let half = one(&json!({ "weight": 0.5 }));
    assert_eq!((first(&half).weight, half.remarks.len()), (1, 1));
}

#[test]
fn a_model_is_found_by_its_id_its_name_and_the_vendors_name() {
    let translated = whole();
    for name in ["1", "first"] {
        assert_eq!(asked(&translated, name)[0], "first");
    }
    for name in ["spare", "qwen-max"] {
        assert_eq!(asked(&translated, name)[0], "spare");
    }
}

#[test]
fn models_with_the_same_name_share_what_asks_for_it() {
    // The old gateway sends all of it to the last one.
    let translated = whole();
    assert_eq!(asked(&translated, "gpt-4-turbo"), ["first", "second"]);
    let route = resolved(&translated).route("gpt-4-turbo").unwrap().members.clone();
    assert_eq!(route, [0, 1]);

    let models = json!([
        { "id": 1, "name": "m", "model": "x", "channel_id": 1 },
        { "id": 2, "name": "m", "model": "m", "channel_id": 1 },
        { "id": 3, "name": "auto", "model": "any", "channel_id": 1 },
    ]);
    let same = of(&models);
    let names: Vec<&str> = same.models.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["m-1", "m-2", "auto-3"]);
    assert_eq!(resolved(&same).route("m").unwrap().members, [0, 1]);
    assert_eq!(asked(&same, "1")[0], "m-1");
    assert_eq!(asked(&same, "auto"), ["m-1", "m-2", "auto-3"]);
}

#[test]
fn of_two_with_the_same_id_the_last_counts() {
    let models = json!([{ "id": 1, "model": "a", "channel_id": 1 }, { "id": "1", "model": "b", "channel_id": 1 }]);
    let translated = of(&models);
    assert_eq!(translated.models.models.len(), 1);
    assert_eq!(first(&translated).model.as_deref(), Some("b"));
    assert_eq!(said(&translated)[0].0, "models.0");
    // What is said about it later is said at its own place.
    let path = ["models", "0", "key"].map(str::to_owned);
    assert_eq!(translated.place(&path), ["models", "1", "api_key"]);
}

#[test]
fn a_name_that_nobody_knows_means_any_model_and_a_known_one_is_a_wish() {
    let translated = whole();
    assert_eq!(asked(&translated, "whatever"), ["first", "second"]);
    assert_eq!(asked(&translated, ""), ["first", "second"]);
    let resolved = resolved(&translated);
    let wish = resolved.route("first").unwrap();
    assert_eq!(wish.members, [0]);
    assert_eq!(wish.instead, resolved.names.find("auto"));
    assert_eq!(asked(&translated, "first"), ["first", "second"]);
}

#[test]
fn a_temperature_is_put_in_where_a_request_has_none() {
    assert_eq!(first(&whole()).defaults["temperature"], 0.3);
    assert_eq!(first(&one(&json!({}))).defaults["temperature"], 0.7);
}

#[test]
fn the_shorter_of_two_time_limits_counts() {
    let translated = whole();
    assert_eq!(translated.models.channels["1"].timeout, Some(Span(Duration::from_secs(300))));
    assert_eq!(first(&translated).timeout, Some(Span(Duration::from_secs(120))));
    let timeouts: Vec<_> = resolved(&translated).upstreams.iter().map(|upstream| upstream.timeout).collect();
    // What is usual is 300 s for a model and 600 s for a channel.
    assert_eq!(timeouts, [120, 300, 300].map(|seconds| Some(Duration::from_secs(seconds))));
}

#[test]
fn url_and_path_make_an_endpoint() {
    for (base, path, url, chat_path) in [
        ("https://h", None, "https://h/v1", None),
        ("https://h/", Some("/v1/chat/completions"), "https://h/v1", None),
        ("https://h", Some("api/v3/chat/completions"), "https://h/api/v3", None),
        ("https://h/v1", Some("/chat/completions"), "https://h/v1", None),
        ("https://h", Some("/d/x/chat/completions?v=1"), "https://h/d/x?v=1", None),
        ("https://h/v1", Some("/generate"), "https://h/v1", Some("/generate")),
    ] {
        let mut keys = json!({ "base_url": base });
        if let Some(path) = path {
            keys["api_path"] = path.into();
        }
        let translated = channel(&keys);
        let channel = &translated.models.channels["1"];
        assert_eq!(channel.url, Some(Setting::Literal(url.to_owned())), "{base} {path:?}");
        assert_eq!(channel.chat_path.as_deref(), chat_path, "{base} {path:?}");
        resolved(&translated);
    }
}

#[test]
fn proxies_certificates_and_addresses_are_kept() {
    let translated = whole();
    let resolved_all = resolved(&translated);
    let behind = &resolved_all.upstreams[1].connecting;
    assert!(behind.proxy.is_some() && !behind.is_verified && behind.timeout == Duration::from_secs(30));
    let direct = &resolved_all.upstreams[0].connecting;
    assert!(direct.proxy.is_none() && direct.is_verified && direct.addresses.len() == 2);
    let pool = channel(&json!({ "ip_pool": ["203.0.113.7", "nonsense", "2001:db8::7"] }));
    assert_eq!(resolved(&pool).upstreams[0].connecting.addresses.len(), 2);
    assert_eq!(said(&pool), [("channels.1.ip_pool".to_owned(), "`nonsense` is not an IP address, and is left out")]);
    let unused = channel(&json!({ "proxy": "http://p:1", "ip_pool": ["203.0.113.7"] }));
    assert!(said(&unused)[0].1.contains("not used where there is a proxy"));
}

#[test]
fn what_a_model_is_said_to_lack_is_not_asked_for() {
    assert_eq!(first(&one(&json!({ "supports_json_schema": false }))).json, Some(JsonSupport::Object));
    assert_eq!(first(&one(&json!({ "supports_json_schema": true }))).json, None);
    assert_eq!(first(&one(&json!({}))).json, None);
    let two = json!([
        { "id": 1, "model": "a", "channel_id": 1, "supports_advanced_params": false },
        { "id": 2, "model": "b", "channel_id": 1, "supports_advanced_params": false },
    ]);
    let translated = of(&two);
    assert_eq!((translated.remarks.len(), said(&translated)[0].0.as_str()), (1, "models.0.supports_advanced_params"));
}

#[test]
fn a_key_stands_in_the_file_and_is_sent_as_it_stands() {
    let key = |keys: Value| match first(&one(&keys)).key.clone() {
        Some(Key::Given(key)) => Some(key.expose().to_owned()),
        None => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(key(json!({ "api_key": "planted" })).as_deref(), Some("planted"));
    assert_eq!(key(json!({ "api_key": 4711 })).as_deref(), Some("4711"));
    assert_eq!(key(json!({ "api_key": "" })), None);
    let variable = one(&json!({ "api_key": "${OPENAI_KEY}" }));
    assert_eq!(said(&variable)[0].0, "models.0.api_key");
    assert!(!said(&variable)[0].1.contains("OPENAI"));
}

#[test]
fn the_bound_on_connections_is_the_width_of_each_model() {
    let width = |gateway: Value| {
        let models = json!([{ "id": 1, "model": "m", "channel_id": 1 }]);
        let file = json!({ "channels": { "1": { "base_url": "http://h" } }, "models": models, "gateway": gateway });
        first(&translate(&file).unwrap()).max_in_flight
    };
    assert_eq!(width(json!({})), MaxInFlight::Fixed(1_000));
    assert_eq!(width(json!({ "max_connections": 50 })), MaxInFlight::Fixed(50));
    assert_eq!(width(json!({ "max_connections": 50, "max_connections_per_host": 0 })), MaxInFlight::Fixed(50));
    assert_eq!(width(json!({ "max_connections": 50, "max_connections_per_host": 20 })), MaxInFlight::Fixed(20));
}

#[test]
fn the_face_answers_with_the_name_that_was_asked_for_and_logs_as_it_is_told() {
    let face = whole().models.gateway;
    assert!(face.echo_model && face.keys.is_empty());
    let log = face.log.unwrap();
    assert_eq!((log.format, log.file), (gateway::LogFormat::Json, Some("./logs/gateway.log".into())));
    assert!(one(&json!({})).models.gateway.log.is_none());
}

#[test]
fn entries_that_cannot_be_used_are_left_out_with_a_remark() {
    let models = json!([
        { "id": 1, "model": "a", "channel_id": 7 },
        { "id": 2, "channel_id": 1 },
        "nonsense",
        { "id": 4, "model": "d", "channel_id": 1, "wieght": 3 },
    ]);
    let translated = of(&models);
    assert_eq!(translated.models.models.len(), 1);
    let places: Vec<String> = said(&translated).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["models.0.channel_id", "models.1", "models.2", "models.3.wieght"]);
    assert_eq!(translated.place(&["models", "0", "channel"].map(str::to_owned)), ["models", "3", "channel_id"]);

    let nobody =
        json!({ "channels": { "1": { "name": "x" } }, "models": [{ "id": 1, "model": "m", "channel_id": 1 }] });
    let remarks = translate(&nobody).unwrap_err();
    assert_eq!(remarks.len(), 2, "{remarks:?}");
    let unknown = json!({ "chanels": {}, "channels": { "1": { "base_url": "http://h" } },
                          "models": [{ "id": 1, "model": "m", "channel_id": 1 }] });
    assert_eq!(said(&translate(&unknown).unwrap())[0].0, "chanels");
}

#[test]
fn words_that_were_truth_values_are_still_that() {
    for (word, is_verified) in [("no", false), ("off", false), ("Yes", true), ("perhaps", true)] {
        let translated = channel(&json!({ "ssl_verify": word }));
        assert_eq!(translated.models.channels["1"].ssl_verify, Some(is_verified), "{word}");
        assert_eq!(translated.remarks.len(), usize::from(word == "perhaps"));
    }
}

#[test]
fn a_pipeline_takes_their_file_as_its_models_file_and_says_nothing_secret() {
    let read = |text: &str| {
        let mut diagnostics = Vec::new();
        let models = crate::pipeline::read_models("config.yaml".as_ref(), text.as_bytes(), &mut diagnostics);
        (models, diagnostics)
    };
    let (models, diagnostics) = read(FILE);
    assert_eq!((models.unwrap().models.len(), diagnostics.len()), (3, 0), "{diagnostics:?}");

    let broken =
        FILE.replace("https://llm.example.com/gateway", "llm.example.com").replace("    weight: 30", "    wieght: 30");
    let (models, diagnostics) = read(&broken);
    assert!(models.is_none());
    let told: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.render(false)).collect();
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    assert_eq!((errors, diagnostics.len()), (1, 2), "{told:?}");
    let line = |word: &str| broken.lines().position(|line| line.contains(word)).unwrap() + 1;
    let all = told.join("\n");
    assert!(all.contains(&format!("config.yaml:{}:", line("base_url: llm"))), "{all}");
    assert!(all.contains(&format!("config.yaml:{}:", line("wieght"))), "{all}");

    let (_, diagnostics) = read(&FILE.replace("http://user", "user"));
    let told: String = diagnostics.iter().map(|diagnostic| diagnostic.render(false)).collect();
    assert!(told.contains("proxy") && !told.contains("planted"), "{told}");
}
