//! The official SDK judges the vendor, before the vendor judges us.

use std::{path::PathBuf, process::Command};

use serde_json::json;

use crate::client::vendor;

#[test]
#[expect(clippy::disallowed_methods, reason = "the SDK is another program, and CI must not leave it out")]
#[expect(clippy::print_stderr, reason = "a test that leaves itself out says so")]
fn the_official_python_sdk_is_satisfied() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../target/tools/python/bin/python");
    if !python.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "`cargo xtask test` makes {}", python.display());
        eprintln!("left out: {} is not there; `cargo xtask test` makes it", python.display());
        return;
    }
    // One vendor for each thing the SDK is to see, by the name that the script calls it.
    let failing = |fault: serde_json::Value| vendor(json!({ "faults": [fault] }));
    let throttled = json!({ "kind": "throttled", "rate": 1.0, "asks": 1, "retry_after": "1.5s" });
    let vendors = [
        ("plain", vendor(json!({ "model": "mill-1" }))),
        ("locked", vendor(json!({ "require_key": "right" }))),
        ("throttled", failing(throttled)),
        ("unavailable", failing(json!({ "kind": "unavailable", "rate": 1.0 }))),
        ("rejected", failing(json!({ "kind": "rejected", "rate": 1.0 }))),
        ("exhausted_credit", failing(json!({ "kind": "exhausted_credit", "rate": 1.0 }))),
        ("refused", failing(json!({ "kind": "refused", "rate": 1.0 }))),
        ("length", failing(json!({ "kind": "length", "rate": 1.0 }))),
        ("cut", failing(json!({ "kind": "cut", "rate": 1.0 }))),
        ("half", failing(json!({ "kind": "half", "rate": 1.0 }))),
        ("hang", failing(json!({ "kind": "hang", "rate": 1.0 }))),
        ("filtered", failing(json!({ "kind": "filtered", "rate": 1.0 }))),
        ("lacking", vendor(json!({ "lacks": { "json_schema": "openai", "stream_options": "openai" } }))),
        (
            "thinking",
            vendor(json!({ "reasoning": "reasoning_content", "usage": { "tokenizer": "o200k_base", "cached": 0.5 } })),
        ),
        ("gzip", failing(json!({ "kind": "gzip", "rate": 1.0 }))),
        ("informational", failing(json!({ "kind": "informational", "rate": 1.0 }))),
        ("error_event", failing(json!({ "kind": "error_event", "rate": 1.0, "after": 2 }))),
        ("split_bytes", failing(json!({ "kind": "split_bytes", "rate": 1.0 }))),
        ("ready", vendor(json!({ "answer": { "ready": {} } }))),
        ("garbage_body", failing(json!({ "kind": "garbage_body", "rate": 1.0 }))),
    ];
    let addresses: serde_json::Map<_, _> =
        vendors.iter().map(|(name, vendor)| ((*name).to_owned(), json!(vendor.base_url()))).collect();
    let output = Command::new(python)
        .arg(root.join("tests/sdk/openai_sdk.py"))
        .arg(serde_json::Value::Object(addresses).to_string())
        .output()
        .expect("a Python that starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.trim_end().ends_with("satisfied"), "{stdout}");
}
