//! Vendors are killed, hang and come back while a crowd is served.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use super::{
    Gateway,
    crowd::{Crowd, End, Seen, Simulated, assert_grown, counted, counters},
};
use crate::story::Story;

/// Three vendors, each a process; what hangs is given up after a second.
fn scene(story: &Story) -> ([Simulated; 3], Gateway) {
    let latency = json!({ "uniform": { "from": "20ms", "to": "120ms" } });
    let script = json!({ "answer": "echo", "latency": latency, "stream_pause": "10ms" });
    let vendors = ["a", "b", "c"].map(|name| Simulated::start(story, name, &script));
    let mut text = "channels:\n".to_owned();
    for (name, vendor) in ["a", "b", "c"].iter().zip(&vendors) {
        text += &format!(
            "  {name}: {{ url: \"http://{}/v1\", connect_timeout: 1s, first_byte_timeout: 1s, idle_timeout: 1s }}\n",
            vendor.address
        );
    }
    text += "models:\n";
    for name in ["a", "b", "c"] {
        text += &format!("  - {{ name: {name}, channel: {name}, max_in_flight: 40 }}\n");
    }
    text += "gateway:\n  queue: { length: 200, wait: 3s }\n  log: { format: json, file: log.jsonl }\n";
    story.write("models.yaml", text);
    (vendors, Gateway::start(story, []))
}

/// Looks whether nobody was told anything but the truth; returns how many were answered.
#[track_caller]
fn judge(seen: &[Seen]) -> usize {
    for one in seen {
        let is_true = match &one.end {
            End::Answered { .. } => true,
            End::Cut => one.is_stream,
            // Judged for its `Retry-After` already.
            End::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            _ => false,
        };
        assert!(is_true, "{one:?}");
    }
    seen.iter().filter(|one| matches!(one.end, End::Answered { .. })).count()
}

#[test]
fn vendors_die_hang_and_come_back_and_each_request_has_one_answer() {
    let story = Story::of("");
    let (mut vendors, mut gateway) = scene(&story);
    let crowd = Crowd::start(gateway.address, 100, "auto");
    let mut before = counters(gateway.address);
    let mut more = |gateway: &mut Gateway, n: usize| {
        let n_ended = crowd.n_ended();
        gateway.running.until("requests go by", |_| crowd.n_ended() >= n_ended + n);
        let after = counters(gateway.address);
        assert_grown(&before, &after);
        before = after;
    };
    more(&mut gateway, 100);
    for round in 0..3 {
        let [one, other] = [round % 3, (round + 1) % 3];
        vendors[one].kill();
        more(&mut gateway, 100);
        vendors[other].freeze();
        more(&mut gateway, 100);
        vendors[one].again(&story);
        more(&mut gateway, 50);
        vendors[other].thaw();
        more(&mut gateway, 100);
    }
    // All of them at once.
    vendors.iter_mut().for_each(Simulated::kill);
    more(&mut gateway, 150);
    for vendor in &mut vendors {
        vendor.again(&story);
    }
    let begun = Instant::now();
    for name in ["a", "b", "c"] {
        let n = crowd.n_answered_by(name);
        gateway.running.until("each is found again", |_| crowd.n_answered_by(name) > n);
    }
    // The longest wait between two looks at one that is dead.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());

    let seen = crowd.end();
    let n_answered = judge(&seen);
    assert!(n_answered * 2 > seen.len(), "most were answered: {:?}", counted(&seen));
    gateway.running.signal(Signal::TERM);
    gateway.running.wait().says(0, &[]);
    let mut logged: BTreeMap<String, usize> = BTreeMap::new();
    for line in story.lines("log.jsonl") {
        *logged.entry(line["id"].as_str().expect("it has an id").to_owned()).or_default() += 1;
    }
    assert!(logged.len() == seen.len() && logged.values().all(|n| *n == 1), "{} of {}", logged.len(), seen.len());
}

#[test]
fn while_all_vendors_hang_everybody_is_told_and_nobody_waits_for_ever() {
    let story = Story::of("");
    let (vendors, mut gateway) = scene(&story);
    vendors.iter().for_each(Simulated::freeze);
    let begun = Instant::now();
    let crowd = Crowd::start(gateway.address, 60, "auto");
    gateway.running.until("all are told", |_| crowd.n_ended() >= 120);
    // Three of a second each, one after the other, and the line before them.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    vendors.iter().for_each(Simulated::thaw);
    let n_answered = || ["a", "b", "c"].map(|name| crowd.n_answered_by(name)).iter().sum::<usize>();
    gateway.running.until("they are found again", |_| n_answered() > 60);
    let seen = crowd.end();
    judge(&seen);
    assert!(seen.iter().any(|one| matches!(one.end, End::Refused { .. })), "{:?}", counted(&seen));
}
