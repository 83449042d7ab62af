use serde_json::{Value, json};

use super::*;

fn run(file: Value) -> Result<Resolved, Vec<ConfigMistake>> {
    let lookup = |name: &str| match name {
        "KEY" => Some(" sk-planted-4711\n".to_owned()),
        "EMPTY" => Some(String::new()),
        "BROKEN" => Some("a\nb".to_owned()),
        "URL" => Some("http://here:1/v1".to_owned()),
        _ => None,
    };
    let read_file = |path: &Path| match path.to_str() {
        Some("key.txt") => Ok("sk-planted-4711\n".to_owned()),
        Some("empty.txt") => Ok(" \n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    resolve(&serde_json::from_value(file).unwrap(), &lookup, &read_file)
}

fn one(channel: Value, model: Value) -> Result<Resolved, Vec<ConfigMistake>> {
    let mut whole = json!({ "name": "m", "channel": "a" });
    whole.as_object_mut().unwrap().append(&mut model.as_object().unwrap().clone());
    run(json!({ "channels": { "a": channel }, "models": [whole] }))
}

#[test]
fn names_lead_to_models() {
    let channels = json!({ "a": { "url": "http://h/v1", "headers": { "x-title": "mill" } } });
    let models = json!([{ "name": "one", "channel": "a", "weight": 3 }, { "name": "two", "channel": "a" }]);
    let resolved = run(json!({ "channels": channels, "models": models, "routes": { "second": ["two"] } })).unwrap();
    let expected = [("auto", vec![0, 1]), ("one", vec![0]), ("second", vec![1]), ("two", vec![1])];
    assert_eq!(resolved.routes, expected.map(|(name, to)| (name.to_owned(), to)).into());
    assert_eq!((resolved.upstreams[0].weight, resolved.upstreams[1].max_in_flight), (3, 64));

    let resolved = run(json!({ "channels": channels, "models": models, "routes": { "auto": ["two"] } })).unwrap();
    assert_eq!(resolved.routes["auto"], [1]);
}

#[test]
fn keys_and_urls_are_found_and_not_shown() {
    for key in [json!({ "env": "KEY" }), json!({ "file": "key.txt" })] {
        for url in [json!("http://h"), json!({ "env": "URL" }), json!({ "env": "EMPTY", "default": "https://h" })] {
            let resolved = one(json!({ "url": url }), json!({ "key": key })).unwrap();
            let shown = format!("{resolved:?}");
            assert!(!shown.contains("4711") && shown.contains("Secret(..)"), "{shown}");
        }
    }
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let check = |result: Result<Resolved, Vec<ConfigMistake>>, path: &str, message: &str| {
        let mistakes = result.unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert_eq!(mistakes[0].path.join("."), path);
        assert!(mistakes[0].message.contains(message), "{mistakes:?}");
        assert!(!format!("{mistakes:?}").contains("4711"));
    };
    let url = json!({ "url": "http://h" });
    check(one(json!({}), json!({})), "channels.a", "neither");
    check(one(json!({ "url": "http://h", "simulated": {} }), json!({})), "channels.a", "both");
    check(one(json!({ "simulated": {} }), json!({})), "channels.a.simulated", "was not opened");
    check(one(json!({ "url": "h/v1" }), json!({})), "channels.a.url", "`http://` is missing");
    check(one(json!({ "url": { "env": "NONE" } }), json!({})), "channels.a.url", "`NONE` is not set");
    let headers = json!({ "url": "http://h", "headers": { "Authorization": "Bearer sk-planted-4711" } });
    check(one(headers, json!({})), "channels.a.headers.Authorization", "never");
    check(
        one(json!({ "url": "http://h", "headers": { "a b": "" } }), json!({})),
        "channels.a.headers.a b",
        "name a header",
    );
    check(one(url.clone(), json!({ "channel": "b" })), "models.0.channel", "no channel `b`");
    check(one(url.clone(), json!({ "weight": 0 })), "models.0.weight", "at least 1");
    for (key, message) in [
        (json!({ "env": "NONE" }), "`NONE` is not set"),
        (json!({ "env": "EMPTY" }), "`EMPTY` is not set"),
        (json!({ "env": "BROKEN" }), "characters"),
        (json!({ "file": "none.txt" }), "cannot be read"),
        (json!({ "file": "empty.txt" }), "is empty"),
    ] {
        check(one(url.clone(), json!({ "key": key })), "models.0.key", message);
    }
    let price =
        |prompt: f64, currency: &str| json!({ "price": { "prompt": prompt, "completion": 1, "currency": currency } });
    check(one(url.clone(), price(-1.0, "USD")), "models.0.price.prompt", "negative");
    check(one(url.clone(), price(1.0, "RMB")), "models.0.price.currency", "not the code");
    let silent = json!({ "url": "http://h", "idle_timeout": "0s" });
    check(one(silent, json!({})), "channels.a.idle_timeout", "no time at all");
    let routes = |routes: Value| {
        run(json!({ "channels": { "a": url }, "models": [{ "name": "m", "channel": "a" }], "routes": routes }))
    };
    check(routes(json!({ "r": ["m", "n"] })), "routes.r.1", "no model `n`");
    check(routes(json!({ "r": ["m", "m"] })), "routes.r.1", "twice");
    check(routes(json!({ "r": [] })), "routes.r", "nowhere");
    check(routes(json!({ "m": ["m"] })), "routes.m", "a route and a model");
    check(
        run(
            json!({ "channels": { "a": url }, "models": [{ "name": "m", "channel": "a" }, { "name": "m", "channel": "a" }] }),
        ),
        "models.1.name",
        "second",
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let file = json!({
        "channels": { "a": { "url": "nonsense" }, "b": {} },
        "models": [{ "name": "m", "channel": "c", "key": { "env": "NONE" } }],
        "routes": { "r": ["n"] },
    });
    assert_eq!(run(file).unwrap_err().len(), 5);
}
