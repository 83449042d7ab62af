//! Latencies and limits.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use simulate::{Latency, Script, Span, request_hash};

use crate::client::{ask, saying, vendor};

#[test]
fn no_more_than_the_rate_is_admitted_in_a_second() {
    let vendor = vendor(json!({ "limits": { "requests_per_second": 5 } }));
    let start = Instant::now();
    let replies: Vec<_> = (0..8).map(|n| ask(&vendor, &saying(&format!("{n}")))).collect();
    assert!(start.elapsed() < Duration::from_secs(1), "the machine is too slow for this test");
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
    let refused = &replies[7];
    assert_eq!(refused.header("retry-after"), Some("1"));
    let wait: u64 = refused.header("retry-after-ms").and_then(|wait| wait.parse().ok()).expect("a wait");
    assert_eq!(refused.json()["error"]["code"], "rate_limit_exceeded");
    let counts = vendor.counts();
    assert_eq!((counts.asked, counts.answered, counts.throttled_by_limit), (8, 5, 3));
    assert_eq!(vendor.asked().values().sum::<u32>(), 5, "what was refused was not asked");

    // The vendor means what it says: after the wait it answers.
    let (wait, asked_at) = (Duration::from_millis(wait), Instant::now());
    while asked_at.elapsed() < wait {
        thread::park_timeout(wait.saturating_sub(asked_at.elapsed()));
    }
    assert_eq!(ask(&vendor, &saying("7")).status, 200);
}

#[test]
fn no_more_than_the_limit_is_in_flight() {
    let vendor = vendor(json!({ "limits": { "in_flight": 3 }, "latency": { "fixed": "300ms" } }));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|n| (n, &vendor)).collect();
        let clients: Vec<_> = clients
            .into_iter()
            .map(|(n, vendor)| scope.spawn(move || ask(vendor, &saying(&format!("{n}"))).status))
            .collect();
        clients.into_iter().map(|client| client.join().expect("a status")).collect()
    });
    let counts = vendor.counts();
    assert_eq!(counts.peak_in_flight, 3);
    assert_eq!(counts.answered, statuses.iter().filter(|status| **status == 200).count() as u64);
    assert_eq!(counts.throttled_by_limit, statuses.iter().filter(|status| **status == 429).count() as u64);
    assert!(counts.answered >= 3 && counts.throttled_by_limit > 0, "{counts:?}");
}

#[test]
fn an_answer_takes_its_latency() {
    let vendor = vendor(json!({ "latency": { "fixed": "120ms" } }));
    let start = Instant::now();
    assert_eq!(ask(&vendor, &saying("hi")).status, 200);
    // Right on average: the vendor takes the usual lateness of its timer off, so one answer may come 1.5 ms early.
    assert!(start.elapsed() >= Duration::from_micros(118_500));
}

#[test]
fn latencies_are_drawn_from_their_distribution_and_drawn_again_alike() {
    let draw = |latency| {
        let script = Script { seed: 3, latency, ..Script::default() };
        let draw = move |n: u32| script.latency_for(request_hash(&n.to_le_bytes()), 1).as_secs_f64() * 1e3;
        let mut drawn: Vec<f64> = (0..10_001).map(&draw).collect();
        assert_eq!(drawn, (0..10_001).map(&draw).collect::<Vec<_>>());
        drawn.sort_by(f64::total_cmp);
        drawn
    };
    let span = |millis| Span(Duration::from_millis(millis));
    let uniform = draw(Latency::Uniform { from: span(10), to: span(90) });
    assert!(uniform[0] >= 10.0 && uniform[10_000] <= 90.0);
    assert!((uniform[5_000] - 50.0).abs() < 2.0, "the median is {}", uniform[5_000]);
    let lognormal = draw(Latency::Lognormal { median: span(200), sigma: 0.5 });
    assert!((lognormal[5_000] - 200.0).abs() < 8.0, "the median is {}", lognormal[5_000]);
    let at_one_sigma = lognormal[8_413] / lognormal[5_000];
    assert!((at_one_sigma - 0.5_f64.exp()).abs() < 0.06, "one sigma is at {at_one_sigma}");
}

#[test]
fn a_wait_can_be_told_as_a_date_beside_the_date_that_it_is() {
    let fault = json!({ "kind": "throttled", "rate": 1.0, "retry_after": "1h" });
    let vendor = vendor(json!({ "faults": [fault], "limits": { "told": "dates" } }));
    let refused = ask(&vendor, &saying("hi"));
    let moment = |name: &str| {
        let date = refused.header(name).unwrap_or_else(|| panic!("no {name}"));
        jiff::fmt::rfc2822::parse(date).unwrap_or_else(|error| panic!("{date}: {error}")).timestamp()
    };
    let wait = moment("retry-after").duration_since(moment("date"));
    assert!((3_600..=3_601).contains(&wait.as_secs()), "{wait:?}");
}
