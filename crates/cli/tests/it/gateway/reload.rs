//! The file is changed again and again while a crowd is served.

use std::{collections::BTreeMap, fs, net::SocketAddr};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    Gateway,
    crowd::{Crowd, End, Simulated, assert_grown, counted, counters},
};
use crate::story::Story;

/// A vendor that repeats what it is told, each word an event, so that streams last.
fn vendor(story: &Story, name: &str) -> Simulated {
    let latency = json!({ "uniform": { "from": "5ms", "to": "60ms" } });
    let script = json!({ "answer": "echo", "latency": latency, "stream_pause": "5ms" });
    Simulated::start(story, name, &script)
}

/// A models file: what serves, and the log.
fn file(vendors: [SocketAddr; 2], models: &[&str], gateway: &str) -> String {
    let [a, b] = vendors;
    let models: String = models.iter().map(|model| format!("  - {{ {model} }}\n")).collect();
    format!(
        "channels:\n  a: {{ url: \"http://{a}/v1\" }}\n  b: {{ url: \"http://{b}/v1\" }}\nmodels:\n{models}gateway:\n  queue: {{ \
         length: 1000, wait: 30s }}\n{gateway}"
    )
}

/// The ids in the logs, with how often each is there.
fn logged(story: &Story) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for entry in fs::read_dir(story.path("logs")).expect("there are logs") {
        let text = fs::read_to_string(entry.expect("it can be listed").path()).expect("it is text");
        for line in text.lines() {
            let id = if line.starts_with('{') {
                let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                line["id"].as_str().expect("it has an id").to_owned()
            } else {
                line.split_once(" id=")
                    .unwrap_or_else(|| panic!("no id: {line}"))
                    .1
                    .split(' ')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            *ids.entry(id).or_default() += 1;
        }
    }
    ids
}

#[test]
fn a_crowd_notices_nothing_of_many_changes_and_nothing_of_it_is_lost() {
    const LOG: &str = "  log: { format: json, file: logs/1.jsonl }\n";
    const A: &str = "name: a, channel: a, max_in_flight: 40";
    let story = Story::of("");
    fs::create_dir(story.path("logs")).unwrap();
    let vendors = [vendor(&story, "a"), vendor(&story, "b")];
    let at = [vendors[0].address, vendors[1].address];
    story.write("models.yaml", file(at, &[A], LOG));
    let mut gateway = Gateway::start(&story, []);
    let crowd = Crowd::start(gateway.address, 100, "auto");

    let changes: [(&[&str], &str); 7] = [
        // Another vendor, other limits, another name, the other one gone.
        (&[A, "name: b, channel: b, max_in_flight: 10"], LOG),
        (&["name: a, channel: a, max_in_flight: 10, weight: 3", "name: b, channel: b, max_in_flight: auto"], LOG),
        (&["name: c, channel: a, limits: { requests_per_second: 500 }", "name: b, channel: b"], LOG),
        (&["name: b, channel: b, max_in_flight: 60"], LOG),
        // Another log, in another form; keys of clients; another line.
        (&["name: b, channel: b", A], "  log: { format: text, file: logs/2.txt }\n"),
        (&[A], "  log: { format: json, file: logs/3.jsonl }\n  keep_alive: 50ms\n"),
        (&[A], "  log: { format: json, file: logs/1.jsonl }\n  queue: { length: 2000, wait: 20s }\n"),
    ];
    let mut before = counters(gateway.address);
    let mut n_changes = 0;
    for round in 0..3 {
        for (models, settings) in &changes {
            let settings = (*settings).to_owned();
            let text = file(at, models, &settings);
            // A key stands in a file once.
            let text = if settings.contains("queue") {
                text.replace("  queue: { length: 1000, wait: 30s }\n", "")
            } else {
                text
            };
            story.write("models.new", text);
            fs::rename(story.path("models.new"), story.path("models.yaml")).unwrap();
            if round == 1 {
                gateway.running.signal(Signal::HUP);
            }
            n_changes += 1;
            let told = |it: &crate::story::Running| it.said().matches("is served from now on").count() == n_changes;
            gateway.running.until("it is served", told);
            let n_ended = crowd.n_ended();
            gateway.running.until("some are answered", |_| crowd.n_ended() >= n_ended + 50);
            let after = counters(gateway.address);
            assert_grown(&before, &after);
            before = after;
        }
        // One that cannot be served changes nothing.
        let good = story.bytes("models.yaml");
        for (n, bad) in
            ["models: [", "channels: {}\nmodels:\n  - { name: x, channel: nobody }\n", ""].iter().enumerate()
        {
            story.write("models.yaml", bad);
            gateway.running.until("it is refused", |it| {
                it.said().matches("what was served before stays").count() == 3 * round + n + 1
            });
        }
        let n_answered = crowd.n_answered_by("a");
        gateway.running.until("the old one goes on", |_| crowd.n_answered_by("a") >= n_answered + 20);
        story.write("models.yaml", good);
        gateway.running.until("nothing has changed", |it| it.said().matches("nothing has changed").count() > round);
        // What `logrotate` does.
        fs::rename(story.path("logs/1.jsonl"), story.path(&format!("logs/1.jsonl.{round}"))).unwrap();
        gateway.running.signal(Signal::HUP);
        gateway.running.until("the log is begun anew", |_| story.has("logs/1.jsonl"));
    }
    let seen = crowd.end();
    let answered = seen.iter().filter(|one| matches!(one.end, End::Answered { .. })).count();
    assert_eq!(answered, seen.len(), "{:?}", counted(&seen));
    assert!(seen.iter().filter(|one| one.is_stream).count() > 50, "streams were among them");

    let after = counters(gateway.address);
    assert_grown(&before, &after);
    let sum = |name: &str| after.iter().filter(|(sample, _)| sample.starts_with(name)).map(|(_, n)| n).sum::<f64>();
    assert_eq!(sum("tidemill_requests_total{") as usize, seen.len());
    assert_eq!(sum("tidemill_log_lines_dropped_total"), 0.0);
    let asked: u64 = vendors.iter().map(|vendor| vendor.counts()["asked"].as_u64().unwrap()).sum();
    assert_eq!(asked as usize, seen.len(), "each was asked once");

    gateway.running.signal(Signal::TERM);
    gateway.running.wait().says(0, &[]);
    let logged = logged(&story);
    let lost: Vec<&str> = seen.iter().map(|one| &*one.id).filter(|id| logged.get(*id) != Some(&1)).collect();
    assert!(lost.is_empty() && logged.len() == seen.len(), "{} lines of {}; {lost:?}", logged.len(), seen.len());
}
