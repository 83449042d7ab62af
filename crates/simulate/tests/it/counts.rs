//! What the vendor says it was asked.

use std::collections::HashMap;

use serde_json::{Value, json};
use simulate::{Counts, request_hash};

use crate::client::{ask, exchange, get, saying, send, vendor};

const FAULTS: &str = r#"[{"kind": "throttled", "rate": 0.2, "asks": 1}, {"kind": "cut", "rate": 0.1},
    {"kind": "half", "rate": 0.1}, {"kind": "refused", "rate": 0.1}]"#;

fn faults() -> Value {
    serde_json::from_str(FAULTS).expect("faults")
}

/// Asks sixty requests, some twice and some three times, over a connection each, whatever becomes of them.
fn ask_many(vendor: &simulate::Vendor) -> HashMap<u128, u32> {
    let mut asked = HashMap::new();
    for n in 0..60_u32 {
        let body = saying(&format!("{n}")).to_string();
        for _ in 0..1 + n % 3 {
            let mut stream = send(vendor.address(), "POST", "/v1/chat/completions", "connection: close\r\n", &body);
            std::io::Read::read_to_end(&mut stream, &mut Vec::new()).expect("the end of the connection");
            *asked.entry(request_hash(body.as_bytes())).or_insert(0) += 1;
        }
    }
    asked
}

#[test]
fn counts_add_up() {
    let vendor = vendor(json!({ "faults": faults() }));
    let asked = ask_many(&vendor);
    exchange(vendor.address(), "POST", "/v1/chat/completions", "", "{}");

    let counts: Counts = serde_json::from_value(get(&vendor, "/simulate/counts").json()).expect("counts");
    let struck: u64 = counts.faults.values().sum();
    assert_eq!(counts.asked, 121);
    assert_eq!(counts.turned_away, 1);
    assert_eq!(counts.answered + struck + counts.turned_away, counts.asked, "{counts:?}");
    assert_eq!((counts.in_flight, counts.peak_in_flight, counts.abandoned), (0, 1, 0));
    assert_eq!(counts.connections, 122, "and one for the counts");
    assert!(counts.faults.len() == 4 && struck < 90, "{counts:?}");
    assert_eq!(vendor.asked(), asked);

    let mut told = HashMap::new();
    for line in get(&vendor, "/simulate/asked").body.lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let request = line["request"].as_str().filter(|request| request.len() == 32).expect("32 digits");
        told.insert(
            u128::from_str_radix(request, 16).expect("digits"),
            line["asked"].as_u64().expect("a count") as u32,
        );
    }
    assert_eq!(told, asked);
}

#[test]
fn totals_play_the_same_faults_and_remember_only_what_they_struck() {
    let whole = vendor(json!({ "faults": faults() }));
    let totals = vendor(json!({ "faults": [{ "kind": "throttled", "rate": 0.3, "asks": 1 }], "counting": "totals" }));
    ask_many(&whole);
    ask_many(&totals);
    let remembered = totals.asked();
    assert!(!remembered.is_empty() && remembered.len() < 40, "{}", remembered.len());
    // Each was struck at its first ask; were asks forgotten, a request asked again would be struck for ever.
    assert_eq!(totals.counts().faults.values().sum::<u64>(), remembered.len() as u64);
    assert!(remembered.values().any(|asks| *asks > 1));
    assert_eq!(get(&totals, "/simulate/asked").status, 404);
    assert_eq!(totals.counts().asked, whole.counts().asked);
}

#[test]
fn a_client_that_leaves_early_is_counted_as_gone() {
    let vendor = vendor(json!({ "latency": { "fixed": "1h" } }));
    let stream = send(vendor.address(), "POST", "/v1/chat/completions", "", &saying("hi").to_string());
    while vendor.counts().in_flight == 0 {
        std::thread::yield_now();
    }
    drop(stream);
    while vendor.counts().in_flight > 0 {
        std::thread::yield_now();
    }
    let counts = vendor.stop();
    assert_eq!((counts.asked, counts.abandoned, counts.answered, counts.hung_up), (1, 1, 0, 1));
}

#[test]
fn one_connection_serves_many_requests() {
    use std::io::{Read, Write};

    let vendor = vendor(json!({ "answer": { "fixed": "x" } }));
    let body = saying("hi").to_string();
    let mut stream = send(vendor.address(), "POST", "/v1/chat/completions", "", &body);
    let mut buffer = [0; 4096];
    for _ in 0..3 {
        let n = stream.read(&mut buffer).expect("an answer");
        assert!(buffer[..n].starts_with(b"HTTP/1.1 200"));
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).expect("a request sent");
    }
    assert!(stream.read(&mut buffer).expect("an answer") > 0);
    assert_eq!((vendor.counts().asked, vendor.counts().connections), (4, 1));
    assert_eq!(ask(&vendor, &saying("hi")).json()["id"].as_str().map(|id| id.ends_with("-5")), Some(true));
}
