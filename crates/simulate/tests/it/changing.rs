//! A script that changes while it is played, what the vendor tells of itself, and limits as vendors tell them.

use std::{
    io::Read,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use simulate::{Script, Seen};

use crate::client::{ask, exchange, get, saying, send, vendor};

#[test]
fn a_script_is_changed_by_key_while_it_is_played() {
    let vendor = vendor(json!({ "answer": { "fixed": "before" }, "model": "m-1" }));
    assert_eq!(ask(&vendor, &saying("hi")).content(), "before");
    let change = |body: &str| exchange(vendor.address(), "POST", "/simulate/script", "", body);
    let reply = change(r#"{ "answer": { "fixed": "after" } }"#);
    assert_eq!((reply.status, reply.json()["model"].as_str()), (200, Some("m-1")), "{}", reply.body);
    assert_eq!(ask(&vendor, &saying("hi")).content(), "after");
    for wrong in ["", "[]", r#"{ "anser": "echo" }"#, r#"{ "limits": { "in_flight": 0 } }"#] {
        assert_eq!(change(wrong).status, 400, "{wrong}");
    }
    assert_eq!(get(&vendor, "/v1/simulate/script").json()["answer"]["fixed"], "after");
    vendor.play(Script::default()).expect("a script");
    assert_ne!(ask(&vendor, &saying("hi")).content(), "after");
    assert_eq!(vendor.counts().asked, 3, "the counts go on");
}

#[test]
fn a_script_tells_what_it_becomes_later_and_a_dead_vendor_comes_back() {
    let vendor = vendor(json!({ "dead": true, "later": [{ "at": "300ms", "change": { "dead": false } }] }));
    let start = Instant::now();
    let mut stream = send(vendor.address(), "POST", "/v1/chat/completions", "", &saying("hi").to_string());
    // Whether the request was read before the end decides how that looks; there is no answer.
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    loop {
        let mut stream = send(vendor.address(), "GET", "/v1/models", "connection: close\r\n", "");
        if stream.read(&mut [0; 16]).is_ok_and(|n| n > 0) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "it stays dead");
    }
    assert!(start.elapsed() >= Duration::from_millis(250));
    let script: Result<Script, _> =
        serde_json::from_value(json!({ "later": [{ "at": "1s", "change": { "knie": 3 } }] }));
    let error = script.expect("the right types").check().expect_err("no script");
    assert!(error.to_string().contains("`knie`"), "{error}");
}

#[test]
fn beyond_the_knee_everything_takes_longer_in_proportion() {
    let vendor = vendor(json!({ "knee": 4, "latency": { "fixed": "100ms" } }));
    let slowest = |n: u32| {
        thread::scope(|scope| {
            let ask_one = |n| {
                let vendor = &vendor;
                scope.spawn(move || {
                    let start = Instant::now();
                    assert_eq!(ask(vendor, &saying(&format!("{n}"))).status, 200);
                    start.elapsed()
                })
            };
            let clients: Vec<_> = (0..n).map(ask_one).collect();
            clients.into_iter().map(|client| client.join().expect("a time")).max().expect("somebody")
        })
    };
    assert!(slowest(1) < Duration::from_millis(250));
    assert!(slowest(16) >= Duration::from_millis(390), "sixteen share four places");
}

#[test]
fn what_was_asked_can_be_looked_at_but_for_keys() {
    let vendor = vendor(json!({ "remember": 2 }));
    for n in 0..3 {
        let headers = "authorization: Bearer sk-planted-4711\r\nX-Twice: a\r\nx-twice: b\r\n";
        exchange(vendor.address(), "POST", "/v1/chat/completions?x=1", headers, &saying(&format!("{n}")).to_string());
    }
    let seen = get(&vendor, "/simulate/requests");
    assert!(!seen.body.contains("4711"));
    let seen: Vec<Seen> = serde_json::from_value(seen.json()).expect("requests");
    assert_eq!(seen, vendor.requests());
    assert_eq!(seen.len(), 2, "as many as it was told to remember");
    assert_eq!((&*seen[1].method, &*seen[1].path), ("POST", "/v1/chat/completions"));
    assert_eq!(seen[1].body, saying("2").to_string());
    assert_eq!((&*seen[1].headers["authorization"], &*seen[1].headers["x-twice"]), ("(hidden)", "a, b"));
    assert_eq!(get(&vendor, "/simulate/requests?last=1").json().as_array().map(Vec::len), Some(1));
    assert_eq!(vendor.counts().paths["/chat/completions"], 3);
}

#[test]
fn limits_are_told_in_the_spelling_of_the_script() {
    let told = |told: &str| {
        let limits = json!({ "requests_per_minute": 2, "tokens_per_minute": 1000, "told": told });
        let vendor = vendor(json!({ "limits": limits, "answer": { "fixed": "twelve bytes" } }));
        let first = ask(&vendor, &saying("0123456789"));
        assert_eq!((first.status, ask(&vendor, &saying("1")).status), (200, 200), "{told}");
        let refused = ask(&vendor, &saying("2"));
        assert_eq!(refused.status, 429, "{told}");
        (first, refused)
    };
    let (first, refused) = told("openai");
    assert_eq!(first.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("1"));
    assert_eq!(first.header("x-ratelimit-remaining-tokens"), Some("994"), "three of the prompt, three of the answer");
    assert!(first.header("x-ratelimit-reset-requests").is_some_and(|reset| reset.ends_with('s')));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    let wait: u64 = refused.header("retry-after-ms").and_then(|wait| wait.parse().ok()).expect("a wait");
    assert!((50_000..=60_000).contains(&wait), "{wait}");

    let (first, refused) = told("azure");
    assert!(first.header("x-ratelimit-reset-requests").is_some_and(|reset| reset.parse::<u64>().is_ok()));
    assert!(refused.header("x-ms-retry-after-ms").is_some() && refused.header("retry-after-ms").is_none());
    let (first, refused) = told("anthropic");
    assert_eq!(first.header("anthropic-ratelimit-requests-remaining"), Some("1"));
    assert!(first.header("anthropic-ratelimit-tokens-reset").is_some_and(|reset| reset.ends_with('z')));
    assert!(refused.header("retry-after").is_some());
    let (first, _) = told("ietf");
    assert_eq!((first.header("ratelimit-limit"), first.header("ratelimit-remaining")), (Some("2"), Some("1")));
    let (first, refused) = told("gemini");
    assert!(!first.head.contains("ratelimit") && refused.header("retry-after").is_none());
    let delay = refused.json()["error"]["details"][0]["retryDelay"].as_str().map(str::to_owned);
    assert!(delay.is_some_and(|delay| delay.ends_with('s')));
    let (_, refused) = told("words");
    assert!(
        refused.header("retry-after").is_none() && refused.body.contains("Please try again in "),
        "{}",
        refused.body
    );
}

#[test]
fn tokens_of_answers_are_taken_from_the_limit_and_come_back() {
    let limits = json!({ "tokens_per_minute": 600 });
    let vendor = vendor(json!({ "limits": limits, "answer": { "fixed": "x".repeat(2_800) } }));
    assert_eq!(ask(&vendor, &saying("0")).status, 200, "seven hundred tokens, and nobody knew before");
    let refused = ask(&vendor, &saying("1"));
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a wait");
    assert!((9..=12).contains(&wait), "the debt of a hundred tokens comes back in ten seconds: {wait}");
}

#[test]
fn answers_that_were_made_before_have_their_sizes_and_are_counted() {
    let ready = json!({ "answer": { "ready": {} }, "counting": "totals", "model": "mill-1" });
    let slow = json!({ "answer": { "ready": {} }, "stream_pause": "1ms", "counting": "totals", "model": "mill-1" });
    // With a limit it goes the long way, to the same bytes.
    let limited = json!({ "answer": { "ready": {} }, "limits": { "in_flight": 9 }, "model": "mill-1" });
    let mut bodies = Vec::new();
    for script in [ready, slow, limited] {
        let vendor = vendor(script.clone());
        let whole = ask(&vendor, &saying("hi"));
        assert_eq!((whole.body.len(), whole.json()["model"].as_str()), (1_024, Some("mill-1")), "{script}");
        let mut request = saying("hi");
        request["stream"] = json!(true);
        let (events, is_whole) = ask(&vendor, &request).dechunked();
        assert!(is_whole && events.ends_with("data: [DONE]\n\n"), "{script}");
        assert_eq!((events.len(), events.matches("\n\n").count()), (11_700, 66), "{script}");
        let read = |event: &str| serde_json::from_str::<Value>(event.strip_prefix("data: ").expect("data")).is_ok();
        assert_eq!(events.split_terminator("\n\n").filter(|event| read(event)).count(), 65, "{script}");
        let counts = vendor.counts();
        assert_eq!((counts.asked, counts.answered, counts.in_flight), (2, 2, 0), "{script}");
        assert_eq!(counts.paths["/chat/completions"], 2, "{script}");
        bodies.push((whole.body, events));
    }
    assert!(bodies.windows(2).all(|two| two[0] == two[1]));
}
