//! The wall clock jumps while a crowd is served. The clock that waits are made of does not: no system moves that one.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use super::{
    Gateway,
    crowd::{Crowd, End, Simulated, counted},
};
use crate::story::Story;

/// Returns the library of Debian's package `faketime`, where it is installed.
#[expect(clippy::print_stderr, reason = "what is left out is never left out silently")]
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = libraries.find(|library| library.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must have Debian's package `faketime`");
        eprintln!("LEFT OUT: this test moves the wall clock with `faketime`: apt-get install faketime");
    }
    found
}

/// A gateway whose wall clock is moved by what stands in the story's file `offset`.
fn gateway(story: &mut Story, library: &Path) -> Gateway {
    let offset = story.path("offset");
    story.write("offset", "+0");
    for (name, value) in [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", &*offset),
        ("FAKETIME_NO_CACHE", Path::new("1")),
        // Its older and its newer name.
        ("DONT_FAKE_MONOTONIC", Path::new("1")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1")),
    ] {
        story.set(name, value.to_str().expect("paths of tests are text"));
    }
    Gateway::start(story, [])
}

/// Puts another offset in the place of the one that is read all the time.
fn jump(story: &Story, offset: &str) {
    story.write("offset.new", offset);
    std::fs::rename(story.path("offset.new"), story.path("offset")).expect("it can be renamed");
}

#[test]
fn a_clock_that_jumps_fails_no_request_and_limits_hold() {
    let Some(library) = faketime() else { return };
    let mut story = Story::of("");
    let script = json!({ "answer": "echo", "latency": { "fixed": "20ms" }, "stream_pause": "1ms" });
    let vendor = Simulated::start(&story, "vendor", &script);
    story.write(
        "models.yaml",
        format!(
            "channels:\n  vendor: {{ url: \"http://{}/v1\" }}\nmodels:\n  - {{ name: model, channel: vendor, limits: {{ \
             requests_per_second: 60 }} }}\ngateway:\n  log: {{ format: json, file: log.jsonl }}\n",
            vendor.address
        ),
    );
    let mut gateway = gateway(&mut story, &library);
    let crowd = Crowd::start(gateway.address, 60, "model");
    let begun = Instant::now();
    for offset in ["+1h", "-1h", "+1d", "-1d", "+0", "-1d", "+1d", "+0"] {
        jump(&story, offset);
        let (n_ended, since) = (crowd.n_ended(), Instant::now());
        gateway.running.until("it goes on", |_| crowd.n_ended() >= n_ended + 60);
        assert!(since.elapsed() < Duration::from_secs(10), "{offset}: {:?}", since.elapsed());
    }
    let (seen, took) = (crowd.end(), begun.elapsed());
    assert!(seen.iter().all(|one| matches!(one.end, End::Answered { .. })), "{:?}", counted(&seen));
    // Two seconds' worth may be saved up.
    let most = 60.0 * (took.as_secs_f64() + 2.0);
    assert!(seen.len() as f64 <= most + 1.0, "{} in {took:?}", seen.len());
    gateway.running.signal(Signal::TERM);
    gateway.running.wait().says(0, &[]);
    // The clock has jumped, or nothing was tested.
    let log = story.lines("log.jsonl");
    let days: BTreeSet<&str> = log.iter().filter_map(|line| line["time"].as_str()?.get(..10)).collect();
    assert!(days.len() >= 3 && log.len() == seen.len(), "{days:?}");
}

#[test]
fn a_date_to_come_back_at_is_the_vendors_however_ours_differs() {
    let Some(library) = faketime() else { return };
    let mut story = Story::of("");
    // Each request is told once to come back in two seconds, with a date.
    let fault = json!({ "kind": "throttled", "rate": 1.0, "asks": 1, "retry_after": "2s" });
    let script = json!({ "answer": "echo", "faults": [fault], "limits": { "told": "dates" } });
    let vendor = Simulated::start(&story, "vendor", &script);
    let model = "  - { name: model, channel: vendor }\n";
    story.write("models.yaml", super::file(vendor.address, model));
    let gateway = gateway(&mut story, &library);
    for (number, offset) in ["+0", "+1h", "-1h", "+1d", "-1d"].into_iter().enumerate() {
        jump(&story, offset);
        let mut client = super::crowd::Client::new(gateway.address, number, "model");
        let told = client.ask();
        let End::Refused { status: 429, wait: Some(wait @ 1..=4), .. } = told.end else {
            panic!("{offset}: {told:?}");
        };
        // The same request again: it stands in line until the model is back.
        let mut again = super::crowd::Client::new(gateway.address, number, "model");
        let begun = Instant::now();
        let answered = again.ask();
        assert!(matches!(answered.end, End::Answered { .. }), "{offset}: {answered:?}");
        let waited = begun.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_secs(8)).contains(&waited), "{offset}: {wait}, {waited:?}");
    }
}
