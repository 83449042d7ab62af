//! Scripts: what may be written, and what is refused.

use serde_json::{Value, json};
use simulate::{Script, StartError, Vendor};

fn read(script: &Value) -> Result<Script, String> {
    let script: Script = serde_json::from_value(script.clone()).map_err(|error| error.to_string())?;
    script.check().map_err(|error| error.to_string())?;
    Ok(script)
}

fn whole() -> Value {
    json!({
        "seed": 7,
        "model": "mill-1",
        "latency": { "lognormal": { "median": "200ms", "sigma": 0.5 } },
        "stream_pause": "5ms",
        "answer": { "fixed": "yes" },
        "limits": { "requests_per_second": 100, "in_flight": 10 },
        "faults": [
            { "kind": "throttled", "rate": 0.1, "asks": 2, "retry_after": "1500ms" },
            { "kind": "unavailable", "rate": 0.1, "status": 502 },
            { "kind": "wrong_fields", "rate": 0.1, "mends": true },
        ],
        "shapes": [{ "kind": "think", "rate": 0.2 }, { "kind": "raw_newline", "rate": 0.2, "asks": 1 }],
        "reasoning": "reasoning_content",
        "lacks": { "json_schema": "deepseek", "json_object": "siliconflow", "stream_options": "mistral", "stream": true },
        "usage": { "tokenizer": "o200k_base", "cached": 0.25 },
        "counting": "totals",
        "require_key": "k",
    })
}

#[test]
fn a_script_is_written_as_it_was_read() {
    let script = read(&whole()).expect("a script");
    let written = serde_json::to_value(&script).expect("JSON");
    assert_eq!(read(&written), Ok(script));
    assert_eq!(written["faults"][0]["retry_after"], "1500ms");
    assert_eq!(read(&json!({})), Ok(Script::default()));
}

#[test]
fn the_schema_describes_the_script() {
    let schema = serde_json::to_value(schemars::schema_for!(Script)).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    assert!(validator.is_valid(&whole()));
    assert!(validator.is_valid(&json!({})));
    assert!(validator.is_valid(&serde_json::to_value(Script::default()).expect("JSON")));
    for wrong in [json!({ "sed": 1 }), json!({ "latency": "50ms" }), json!({ "latency": { "fixed": 50 } })] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
    assert!(schema["properties"]["latency"]["description"].is_string());
}

#[test]
fn what_cannot_be_followed_is_refused_with_a_reason() {
    let check = |script: Value, reason: &str| {
        let error = read(&script).expect_err("a script that cannot be followed");
        assert!(error.contains(reason), "{script}: {error}");
    };
    let fault = |fault: Value| json!({ "faults": [fault] });
    check(json!({ "sed": 1 }), "unknown field `sed`");
    check(json!({ "latency": { "fixed": "50" } }), "`50` is not a length of time");
    check(json!({ "latency": { "uniform": { "from": "2s", "to": "1s" } } }), "`from` is longer than `to`");
    check(json!({ "latency": { "uniform": { "from": "1s", "to": "2s", "mean": "1s" } } }), "unknown field `mean`");
    check(json!({ "latency": { "lognormal": { "median": "1s", "sigma": -1.0 } } }), "`sigma`");
    check(json!({ "limits": { "in_flight": 0 } }), "`in_flight` is 0");
    check(json!({ "limits": { "requests_per_second": 0 } }), "`requests_per_second` is 0");
    check(fault(json!({ "kind": "slow", "rate": 0.1 })), "unknown variant `slow`");
    check(fault(json!({ "kind": "cut" })), "missing field `rate`");
    check(fault(json!({ "kind": "cut", "rate": 1.1 })), "not between 0 and 1");
    check(fault(json!({ "kind": "cut", "rate": 0.1, "asks": 0 })), "never strikes");
    check(fault(json!({ "kind": "cut", "rate": 0.1, "retry_after": "1s" })), "`retry_after` has no use");
    check(fault(json!({ "kind": "cut", "rate": 0.1, "status": 500 })), "`status` has no use");
    check(fault(json!({ "kind": "unavailable", "rate": 0.1, "status": 404 })), "between 500 and 599");
    check(fault(json!({ "kind": "cut", "rate": 0.1, "mends": true })), "`mends` has no use");
    let shape = |shape: Value| json!({ "shapes": [shape] });
    check(shape(json!({ "kind": "fence", "rate": 1.1 })), "not between 0 and 1");
    check(shape(json!({ "kind": "fence", "rate": 0.1, "asks": 0 })), "never occurs");
    check(shape(json!({ "kind": "letter", "rate": 0.1 })), "unknown variant `letter`");
    check(
        json!({ "shapes": [{ "kind": "fence", "rate": 0.6 }, { "kind": "think", "rate": 0.6 }] }),
        "shapes add up to 1.2",
    );
    check(json!({ "usage": { "cached": 1.5 } }), "`usage.cached` is 1.5");
    check(json!({ "usage": { "tokenizer": "gpt2" } }), "unknown variant `gpt2`");
    check(json!({ "lacks": { "json_schema": "nobody" } }), "unknown variant `nobody`");
    let half = json!({ "kind": "cut", "rate": 0.6 });
    check(json!({ "faults": [half, half] }), "add up to 1.2");
}

#[test]
fn a_vendor_that_cannot_start_says_why() {
    let here = ([127, 0, 0, 1], 0).into();
    let first = Vendor::start(Script::default(), here).expect("a vendor");
    let error = Vendor::start(Script::default(), first.address()).expect_err("the address is taken");
    assert!(matches!(error, StartError::Listen { address, .. } if address == first.address()), "{error}");
    let limits = simulate::Limits { in_flight: Some(0), ..Default::default() };
    let error = Vendor::start(Script { limits, ..Script::default() }, here).expect_err("no such script");
    assert!(matches!(error, StartError::Script(_)), "{error}");
}

#[test]
fn served_until_the_shutdown_it_returns_the_counts() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let counts = runtime.block_on(async {
        let listener = simulate::listen(([127, 0, 0, 1], 0).into()).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let client = tokio::task::spawn_blocking(move || {
            let body = crate::client::saying("hi").to_string();
            crate::client::exchange(address, "POST", "/v1/chat/completions", "", &body).status
        });
        let shutdown = async { assert_eq!(client.await.expect("a status"), 200) };
        simulate::serve(listener, Script::default(), shutdown).await.expect("a script that can be followed")
    });
    assert_eq!(counts.answered, 1);
}
