use provider::transport::{Authorities, Connecting, HttpVersion, Proxy};
use serde_json::{Value, json};

use super::*;
use crate::config::MaxInFlight;

/// An authority that signs nothing.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBcTCCARegAwIBAgIUL14LFmFuqhD2LWyDhnsoii8uijUwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTUyMzE5WhgPMjEyNjEwMjgxNTIzMTla
MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvibK50RU
GbxXVpj6FZZQT3WtH9RvzQtaErHpY1cdYTVuH11gQnD+UC5oguxjEE/9M3O5F7XE
+xGoJ59Rk8g/m6NTMFEwHQYDVR0OBBYEFC6pfNUlT4FHXmIKr0hNCqaS85Z3MB8G
A1UdIwQYMBaAFC6pfNUlT4FHXmIKr0hNCqaS85Z3MA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSAAwRQIgCQlXvBkPllQldQKIpCArObK6INdt9luPvV1HsROZ
hzMCIQDkS1cFAQgUhqkccYUB7a03iPrPJnaZLGDhiI+cw9Ba3g==
-----END CERTIFICATE-----
";

fn run(file: Value) -> Result<Resolved, Vec<ConfigMistake>> {
    let lookup = |name: &str| match name {
        "KEY" => Some(" sk-planted-4711\n".to_owned()),
        "EMPTY" => Some(String::new()),
        "BROKEN" => Some("a\nb".to_owned()),
        "PROXY" => Some("http://me:sk-planted-4711@proxy:3128".to_owned()),
        "URL" => Some("http://here:1/v1".to_owned()),
        _ => None,
    };
    let read_file = |path: &Path| match path.to_str() {
        Some("key.txt") => Ok("sk-planted-4711\n".to_owned()),
        Some("ca.pem") => Ok(CERTIFICATE.to_owned()),
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
    let found: BTreeMap<&str, Vec<usize>> =
        resolved.routes.iter().map(|route| (&*route.name, route.members.clone())).collect();
    assert_eq!(found, expected.into());
    assert_eq!((resolved.upstreams[0].weight, resolved.upstreams[1].max_in_flight), (3, MaxInFlight::Fixed(64)));

    let resolved = run(json!({ "channels": channels, "models": models, "routes": { "auto": ["two"] } })).unwrap();
    assert_eq!(resolved.route("auto").unwrap().members, [1]);
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
    check(one(url.clone(), json!({ "max_in_flight": 0 })), "models.0.max_in_flight", "at least 1");
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

fn with(rest: Value) -> Result<Resolved, Vec<ConfigMistake>> {
    let models = json!([
        { "name": "a", "channel": "c", "aliases": ["fast", "mine"] },
        { "name": "b", "channel": "c", "aliases": ["fast"] },
        { "name": "z", "channel": "c", "weight": 0, "aliases": ["rare", "fast"] },
    ]);
    let mut file = json!({ "channels": { "c": { "url": "http://h" } }, "models": models });
    file.as_object_mut().unwrap().append(&mut rest.as_object().unwrap().clone());
    run(file)
}

fn members(resolved: &Resolved, asked: &str) -> Option<Vec<usize>> {
    resolved.route(asked).map(|route| route.members.clone())
}

#[test]
fn a_model_without_weight_is_asked_only_under_its_own_names() {
    let resolved = with(json!({})).unwrap();
    assert_eq!(members(&resolved, "auto"), Some(vec![0, 1]));
    assert_eq!(members(&resolved, "any"), Some(vec![0, 1]));
    assert_eq!(members(&resolved, "fast"), Some(vec![0, 1]), "an alias of several is a route over them");
    assert_eq!(members(&resolved, "mine"), Some(vec![0]));
    assert_eq!(members(&resolved, "z"), Some(vec![2]));
    assert_eq!(members(&resolved, "rare"), Some(vec![2]));
    assert_eq!(members(&resolved, "other"), None);
}

#[test]
fn patterns_and_a_default_lead_to_models_and_routes() {
    let names = json!({ "patterns": { "gpt-4*": "good", "gpt-*": "mine" }, "default": "auto" });
    let routes = json!({ "good": { "models": ["a", "z"], "choose": "ordered", "hedge": { "after": "2s" } } });
    let resolved = with(json!({ "names": names, "routes": routes })).unwrap();
    assert_eq!(members(&resolved, "gpt-4o"), Some(vec![0, 2]));
    assert_eq!(members(&resolved, "gpt-3"), Some(vec![0]));
    assert_eq!(members(&resolved, "claude"), Some(vec![0, 1]));
    let good = resolved.route("good").unwrap();
    assert_eq!(good.choose, crate::Choose::Ordered);
    assert_eq!(good.hedge, Some(Hedge { after: Duration::from_secs(2), at_most: 0.05 }));
    assert!(resolved.routes.iter().all(|route| route.instead.is_none()));
}

#[test]
fn names_that_are_wishes_lead_to_auto_besides() {
    let mut file: ModelsFile = serde_json::from_value(json!({
        "channels": { "c": { "url": "http://h" } },
        "models": [{ "name": "a", "channel": "c" }, { "name": "b", "channel": "c" }],
    }))
    .unwrap();
    file.names.are_wishes = true;
    let resolved = resolve(&file, &|_| None, &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
    let auto = resolved.names.find("auto");
    assert_eq!(resolved.route("a").unwrap().instead, auto);
    assert_eq!(resolved.route("auto").unwrap().instead, None);
    let models: Vec<&str> = file.models_of("b").unwrap().iter().map(|model| model.name.as_str()).collect();
    assert_eq!(models, ["b", "a"]);
    assert!(file.models_of("c").is_none());
}

#[test]
fn mistakes_of_names_and_routes_are_told_with_their_place() {
    let check = |rest: Value, path: &str, message: &str| {
        let mistakes = with(rest).unwrap_err();
        assert_eq!((mistakes.len(), mistakes[0].path.join(".").as_str()), (1, path), "{mistakes:?}");
        assert!(mistakes[0].message.contains(message), "{mistakes:?}");
    };
    check(json!({ "names": { "default": "x" } }), "names.default", "no model or route `x`");
    check(json!({ "names": { "patterns": { "g*": "x" } } }), "names.patterns.g*", "no model or route `x`");
    check(json!({ "routes": { "r": ["a", "z"] } }), "routes.r.1", "no weight");
    check(json!({ "routes": { "r": { "models": ["a", "q"] } } }), "routes.r.models.1", "no model `q`");
    let hedge = json!({ "models": ["a"], "hedge": { "after": "2s" } });
    check(json!({ "routes": { "r": hedge } }), "routes.r.hedge", "no second model");
    let alias = |alias: &str| {
        let model = json!({ "name": "a", "channel": "c", "aliases": ["x", alias] });
        let models = json!([model, { "name": "b", "channel": "c" }]);
        json!({ "models": models, "routes": { "r": ["a"] } })
    };
    check(alias("b"), "models.0.aliases.1", "name of a model");
    check(alias("r"), "models.0.aliases.1", "name of a route");
    check(alias("x"), "models.0.aliases.1", "twice");
    check(alias(""), "models.0.aliases.1", "means `auto`");
}

#[test]
fn connections_are_read_from_their_channel() {
    let plain = one(json!({ "url": "http://h" }), json!({})).unwrap();
    assert_eq!(*plain.upstreams[0].connecting, Connecting::default());
    assert_eq!((plain.upstreams[0].timeout, plain.upstreams[0].first_byte_timeout), (None, None));

    let channel = json!({
        "url": "http://h", "connect_timeout": "3s", "first_byte_timeout": "20s", "timeout": "5m", "http": 2,
        "proxy": { "env": "PROXY" }, "ca": "ca.pem", "ssl_verify": false, "ip_pool": ["203.0.113.7", "2001:db8::7"],
    });
    let resolved = one(channel, json!({})).unwrap();
    let upstream = &resolved.upstreams[0];
    let connecting = Connecting {
        proxy: Some(Proxy::parse("http://me:sk-planted-4711@proxy:3128").unwrap()),
        authorities: Some(Authorities::from_pem(CERTIFICATE.as_bytes()).unwrap()),
        is_verified: false,
        addresses: vec!["203.0.113.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
        timeout: Duration::from_secs(3),
        http: HttpVersion::Http2,
    };
    assert_eq!(*upstream.connecting, connecting);
    assert_eq!(upstream.timeout, Some(Duration::from_mins(5)));
    assert_eq!(upstream.first_byte_timeout, Some(Duration::from_secs(20)));
    assert!(!format!("{resolved:?}").contains("4711"));

    let check = |key: &str, value: Value, path: &str, message: &str| {
        let mistakes = one(json!({ "url": "http://h", key: value }), json!({})).unwrap_err();
        assert_eq!((mistakes.len(), mistakes[0].path.join(".").as_str()), (1, path), "{mistakes:?}");
        assert!(mistakes[0].message.contains(message), "{mistakes:?}");
        assert!(!format!("{mistakes:?}").contains("4711"));
    };
    check("proxy", json!("http://me:4711@h"), "channels.a.proxy", "password");
    check("proxy", json!("proxy:3128"), "channels.a.proxy", "is missing before it");
    check("proxy", json!("socks5://proxy"), "channels.a.proxy", "SOCKS");
    check("proxy", json!({ "env": "NONE" }), "channels.a.proxy", "not set");
    check("ca", json!("key.txt"), "channels.a.ca", "there is no certificate");
    check("ca", json!("none.pem"), "channels.a.ca", "cannot be read");
    check("ip_pool", json!(["1.2.3"]), "channels.a.ip_pool.0", "not an IP address");
    check("timeout", json!("0s"), "channels.a.timeout", "no time at all");
    check("connect_timeout", json!("0s"), "channels.a.connect_timeout", "no time at all");
}

#[test]
fn what_a_model_can_do_is_assumed_unless_said() {
    let of = |model: Value| one(json!({ "url": "http://h" }), model).unwrap().upstreams.remove(0);
    let plain = of(json!({})).abilities;
    assert_eq!(plain, Declared { tools: true, vision: true, context: None, prefill: false });
    let said = of(json!({ "abilities": { "tools": false, "context": "128k" }, "defaults": { "temperature": 0.7 } }));
    assert_eq!(said.abilities, Declared { tools: false, vision: true, context: Some(128_000), prefill: false });
    assert_eq!(said.defaults["temperature"], 0.7);
    let mistakes = one(json!({ "url": "http://h" }), json!({ "defaults": { "model": "x" } })).unwrap_err();
    assert_eq!(mistakes[0].path.join("."), "models.0.defaults.model");
}

fn face(gateway: Value) -> Result<FaceConfig, Vec<ConfigMistake>> {
    let file = json!({ "channels": {}, "models": [], "gateway": gateway });
    let lookup = |name: &str| name.starts_with("TEAM").then(|| format!("sk-planted-4711-{}", &name[..6]));
    resolve_face(&serde_json::from_value(file).unwrap(), &lookup, &|_| Err(io::ErrorKind::NotFound.into()))
}

#[test]
fn a_face_has_keys_limits_and_usual_values() {
    let plain = face(json!({})).unwrap();
    assert_eq!((plain.keys.len(), plain.queue_length, plain.body_limit), (0, 1_000, 100_000_000));
    assert_eq!((plain.body_memory, plain.body_timeout), (512_000_000, Duration::from_secs(30)));
    assert_eq!(plain.queue_wait, Duration::from_mins(1));
    assert_eq!((plain.header_timeout, plain.keep_alive), (Duration::from_secs(10), Duration::from_secs(15)));
    let said = face(json!({
        "keys": [{ "name": "a", "key": { "env": "TEAM_A" }, "class": "interactive", "admin": true },
                 { "name": "b", "key": { "env": "TEAM_B" } }],
        "queue": { "length": 0, "wait": "5s" }, "pass_through": ["/v1/audio/*", "rerank"], "body_limit": "1MiB",
        "log": { "format": "json", "file": "access.log" }, "echo_model": true,
    }))
    .unwrap();
    let keys: Vec<_> = said.keys.iter().map(|key| (&*key.name, key.class, key.is_admin)).collect();
    assert_eq!(keys, [("a", domain::ports::Class::Interactive, true), ("b", domain::ports::Class::Normal, false)]);
    assert_eq!(said.pass_through, ["audio/*", "rerank"]);
    assert_eq!((said.queue_length, said.body_limit, said.echo_model), (0, 1_048_576, true));
    assert!(!format!("{said:?}").contains("4711"));
}

#[test]
fn what_is_not_said_of_bodies_fits_to_what_is() {
    let bodies = |gateway: Value| face(gateway).map(|it| (it.body_limit, it.body_memory)).unwrap();
    assert_eq!(bodies(json!({ "body_memory": "40MB" })), (30_000_000, 40_000_000));
    assert_eq!(bodies(json!({ "body_limit": "1GB" })), (1_000_000_000, 2_000_000_000));
    assert_eq!(bodies(json!({ "body_limit": "30MB", "body_memory": "40MB" })), (30_000_000, 40_000_000));
}

#[test]
fn mistakes_of_a_face_are_told_with_their_place_and_a_run_does_not_look() {
    let check = |gateway: Value, path: &str, message: &str| {
        let mistakes = face(gateway).unwrap_err();
        assert_eq!((mistakes.len(), mistakes[0].path.join(".").as_str()), (1, path), "{mistakes:?}");
        assert!(mistakes[0].message.contains(message), "{mistakes:?}");
    };
    let key = |name: &str, variable: &str| json!({ "name": name, "key": { "env": variable } });
    check(json!({ "keys": [key("a", "NONE")] }), "gateway.keys.0.key", "not set");
    check(json!({ "keys": [key("a", "TEAM_A"), key("a", "TEAM_B")] }), "gateway.keys.1", "second key");
    check(json!({ "keys": [key("a", "TEAM_A"), key("b", "TEAM_A2")] }), "gateway.keys.1.key", "that of `a`");
    check(json!({ "pass_through": ["*"] }), "gateway.pass_through.0", "cannot be passed");
    check(json!({ "keep_alive": "0s" }), "gateway.keep_alive", "no time");
    check(json!({ "body_limit": 0 }), "gateway.body_limit", "short enough");
    check(json!({ "body_memory": 0 }), "gateway.body_memory", "no request");
    check(json!({ "body_timeout": "0s" }), "gateway.body_timeout", "no time");
    check(json!({ "body_limit": "10MB", "body_memory": "12MB" }), "gateway.body_memory", "three quarters");
    assert!(with(json!({ "gateway": { "keys": [key("a", "NONE")] } })).is_ok());
}
