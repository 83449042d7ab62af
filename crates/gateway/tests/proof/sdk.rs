//! OpenAI's own SDKs make one list of calls, once to the vendor and once through the gateway, and get the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value, json};
use simulate::Vendor;

use crate::house::{House, KEY, vendor};

/// Members that are drawn anew for each answer, or tell when it was made.
const DRAWN: [&str; 7] = ["id", "created", "created_at", "completed_at", "item_id", "call_id", "owned_by"];

/// Headers of a connection, and those that must differ.
const OWN_HEADERS: [&str; 7] =
    ["connection", "content-length", "date", "keep-alive", "server", "transfer-encoding", "x-request-id"];

/// Vendors for all that the calls are to see. They want a key.
fn vendors() -> Vec<(&'static str, Vendor)> {
    let with = |script: Value| {
        let mut all = json!({ "require_key": KEY });
        all.as_object_mut().unwrap().extend(script.as_object().unwrap().clone());
        vendor(&all)
    };
    let failing = |mut fault: Value| {
        fault["rate"] = 1.0.into();
        with(json!({ "faults": [fault] }))
    };
    vec![
        ("plain", with(json!({ "model": "plain" }))),
        ("thinking", with(json!({ "reasoning": "reasoning_content", "usage": { "cached": 0.5 } }))),
        ("torn", with(json!({ "answer": "echo", "faults": [{ "kind": "split_bytes", "rate": 1.0 }] }))),
        ("refusing", failing(json!({ "kind": "refused" }))),
        ("rejecting", failing(json!({ "kind": "rejected" }))),
        ("throttling", failing(json!({ "kind": "throttled", "retry_after": "1500ms" }))),
        ("broken", failing(json!({ "kind": "unavailable", "status": 500 }))),
        ("breaking", failing(json!({ "kind": "error_event", "after": 2 }))),
        ("hanging", failing(json!({ "kind": "hang" }))),
    ]
}

fn house(vendors: &[(&'static str, Vendor)]) -> House {
    let vendors: Vec<_> = vendors.iter().map(|(name, vendor)| (*name, vendor)).collect();
    let settings = json!({
        "keys": [{ "name": "team", "key": { "env": "KEY" } }],
        "pass_through": ["audio/*", "images/*", "moderations"],
    });
    House::new(&vendors, json!({ "gateway": settings }))
}

#[test]
fn the_official_python_sdk_gets_through_the_gateway_what_it_gets_from_the_vendor() {
    let python = tools().join("python/bin/python");
    compare(&python, "calls.py");
}

#[test]
fn the_official_node_sdk_gets_through_the_gateway_what_it_gets_from_the_vendor() {
    if is_left_out(&tools().join("node/node_modules/openai")) {
        return;
    }
    compare(Path::new("node"), "calls.mjs");
}

pub(crate) fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

/// Returns whether something that `cargo xtask test` installs is not there, which in CI is a failure.
#[expect(clippy::disallowed_methods, reason = "CI must leave nothing out, and says so in its environment")]
#[expect(clippy::print_stderr, reason = "a test that leaves itself out says so")]
pub(crate) fn is_left_out(path: &Path) -> bool {
    if path.exists() {
        return false;
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "`cargo xtask test` makes {}", path.display());
    eprintln!("left out: {} is not there; `cargo xtask test` makes it", path.display());
    true
}

fn compare(program: &Path, script: &str) {
    if program.is_absolute() && is_left_out(program) {
        return;
    }
    let calls: Vec<Value> = serde_json::from_str(include_str!("sdk/calls.json")).unwrap();
    // Those that fail once are not asked by two.
    let (theirs, ours) = (vendors(), vendors());
    let house = house(&ours);
    let direct: Map<_, _> =
        theirs.iter().map(|(name, vendor)| ((*name).to_owned(), vendor.base_url().into())).collect();
    let through: Map<_, _> = ours.iter().map(|(name, _)| ((*name).to_owned(), house.url().into())).collect();
    let (direct, through) = std::thread::scope(|scope| {
        let direct = scope.spawn(|| results(program, script, direct));
        let through = scope.spawn(|| results(program, script, through));
        (direct.join().unwrap(), through.join().unwrap())
    });
    assert_eq!(direct.len(), calls.len());
    let mut differences = Vec::new();
    for call in &calls {
        let name = call["name"].as_str().unwrap();
        let (direct, through) = (&direct[name], &through[name]);
        // Two that fail alike would be equal too.
        assert_eq!(direct.get("error"), call.get("error"), "{name}: {direct}");
        let is_alike = match () {
            () if call["is_raw"] == true => {
                same_headers(name, &direct["got"], &through["got"]);
                true
            }
            () if call["act"] == "models.list" && direct.get("got").is_some() => {
                let listed = through["got"].as_array().unwrap();
                listed.iter().any(|model| without_drawn(model) == without_drawn(&direct["got"][0]))
            }
            () if direct.get("error").is_some() => same_error(direct, through),
            () => without_drawn(direct) == without_drawn(through),
        };
        if !is_alike {
            differences.push(format!("{name}\n  directly: {direct}\n  through:  {through}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Runs the calls, and returns what came of each by its name.
#[expect(clippy::disallowed_methods, reason = "the SDK is another program")]
fn results(program: &Path, script: &str, urls: Map<String, Value>) -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proof/sdk");
    let output = Command::new(program)
        .arg(folder.join(script))
        .arg(folder.join("calls.json"))
        .arg(Value::Object(urls).to_string())
        .arg(tools().join("node"))
        .output()
        .unwrap_or_else(|e| panic!("{} does not start: {e}", program.display()));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    let read = |line: &str| {
        let result: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        (result["name"].as_str().unwrap().to_owned(), result)
    };
    stdout.lines().map(read).collect()
}

fn without_drawn(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !DRAWN.contains(&&***name))
            .map(|(k, v)| (k.clone(), without_drawn(v)))
            .collect(),
        Value::Array(values) => values.iter().map(without_drawn).collect(),
        other => other.clone(),
    }
}

/// An error that is ours has the vendor's sort, status and code; one of the vendor's has its words too.
fn same_error(direct: &Value, through: &Value) -> bool {
    let is_ours = direct["status"] == 401 || direct["status"] == 404;
    let compared: &[&str] = if is_ours {
        &["error", "status", "code"]
    } else {
        &["error", "status", "code", "param", "type", "retry_after", "message"]
    };
    let has_id = through["status"].is_null() || through["has_request_id"] == true;
    has_id && compared.iter().all(|member| direct[member] == through[member])
}

/// The vendor's headers come through, and ours beside them.
fn same_headers(name: &str, direct: &Value, through: &Value) {
    let (direct, through) = (direct["headers"].as_object().unwrap(), through["headers"].as_object().unwrap());
    for (header, value) in direct.iter().filter(|(header, _)| !OWN_HEADERS.contains(&header.as_str())) {
        assert_eq!(through.get(header), Some(value), "{name}: {header}");
    }
    let is_new = |header: &&str| !direct.contains_key(*header) && !OWN_HEADERS.contains(header);
    let ours: BTreeSet<&str> = through.keys().map(String::as_str).filter(is_new).collect();
    let is_stream = direct["content-type"].as_str().unwrap().starts_with("text/event-stream");
    let known = ["x-tidemill-attempts", "x-tidemill-model", "x-tidemill-overhead-us", "x-upstream-request-id"];
    let of_streams = ["cache-control", "x-accel-buffering"].into_iter().filter(|_| is_stream);
    let known = known.into_iter().chain(of_streams).filter(|header| !direct.contains_key(*header));
    assert_eq!(ours, known.collect(), "{name}");
    assert_eq!((&through["x-request-id"], &through["x-tidemill-model"]), (&json!("mine-7"), &json!("plain")), "{name}");
    assert!(through["x-tidemill-overhead-us"].as_str().unwrap().parse::<u64>().unwrap() < 1_000_000);
}
