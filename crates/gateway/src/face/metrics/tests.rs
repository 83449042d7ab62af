use std::collections::BTreeSet;

use domain::Timestamp;

use super::*;

fn counting(metrics: &Arc<Metrics>) -> Counting {
    let upstreams: [Arc<str>; 2] = ["a".into(), "模\"型".into()];
    let clients: [Arc<str>; 1] = ["team".into()];
    metrics.counting(upstreams.iter(), clients.iter(), None)
}

fn ended(upstream: Option<usize>, outcome: Outcome, status: u16) -> Ended<'static> {
    Ended {
        id: "1",
        call: "chat",
        client: Some("team"),
        client_number: Some(0),
        asked: "whatever a client writes",
        upstream: None,
        upstream_number: upstream,
        outcome,
        status,
        n_attempts: 1,
        took: Duration::from_millis(20),
        overhead: Some(Duration::from_micros(70)),
        first_byte: Some(Duration::from_millis(10)),
        attempt_took: Some(Duration::from_millis(19)),
        queued: Duration::from_millis(1),
        was_in_line: true,
        usage: Some(Usage { prompt_tokens: 10, completion_tokens: 5, cached_tokens: 3, reasoning_tokens: 1 }),
        bytes_in: 100,
        bytes_out: 200,
        is_stream: false,
        trouble: None,
    }
}

fn text(metrics: &Metrics) -> String {
    metrics.text(&Now { upstreams: &[], since: Timestamp(5_500), n_waiting: 4 })
}

/// Reads the text as strictly as `promtool check metrics` does, and returns its samples.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut all, mut families) = (BTreeMap::new(), BTreeSet::new());
    let (mut family, mut kind) = ("", "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help has words");
            assert!(families.insert(name), "{name} stands together");
            assert!(name.starts_with("tidemill_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            assert!(!help.trim().is_empty());
            family = name;
        } else if let Some(type_line) = line.strip_prefix("# TYPE ") {
            let (name, type_) = type_line.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert!(["counter", "gauge", "histogram"].contains(&type_));
            assert_eq!(name.ends_with("_total"), type_ == "counter", "{name}");
            kind = type_;
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let of_family = match kind {
                "histogram" => ["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{family}{end}")),
                _ => name == family,
            };
            assert!(of_family, "{name} in {family}");
            let value = value.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
            assert!(all.insert(series.to_owned(), value).is_none(), "{series} stands once");
        }
    }
    all
}

#[test]
fn what_happened_is_counted_where_it_happened() {
    let metrics = Arc::new(Metrics::new());
    let counting = counting(&metrics);
    for _ in 0..4 {
        counting.began();
    }
    counting.failed(0, FailureKind::Throttled);
    counting.failed_over(0);
    counting.ended(&ended(Some(1), Outcome::Answered, 200));
    counting.ended(&ended(Some(0), Outcome::Cut, 200));
    counting.ended(&Ended { usage: None, first_byte: None, overhead: None, ..ended(Some(0), Outcome::HungUp, 0) });
    let full = Ended { usage: None, ..ended(None, Outcome::Refused, 429) };
    counting.ended(&full);
    counting.began();
    // It asked for what there is not.
    counting.ended(&Ended { status: 404, was_in_line: true, ..full });
    let text = text(&metrics);
    let samples = samples(&text);
    for (series, value) in [
        ("tidemill_requests_total{upstream=\"模\\\"型\",call=\"chat\",status=\"2xx\"}", 1.0),
        ("tidemill_requests_total{upstream=\"a\",call=\"chat\",status=\"none\"}", 1.0),
        ("tidemill_requests_total{upstream=\"\",call=\"chat\",status=\"4xx\"}", 2.0),
        ("tidemill_attempts_total{upstream=\"a\",result=\"throttled\"}", 1.0),
        ("tidemill_attempts_total{upstream=\"a\",result=\"cut\"}", 1.0),
        ("tidemill_attempts_total{upstream=\"a\",result=\"abandoned\"}", 1.0),
        ("tidemill_attempts_total{upstream=\"模\\\"型\",result=\"answered\"}", 1.0),
        ("tidemill_failovers_total{upstream=\"a\"}", 1.0),
        ("tidemill_streams_cut_total{upstream=\"a\"}", 1.0),
        ("tidemill_clients_hung_up_total{upstream=\"a\"}", 1.0),
        ("tidemill_line_refusals_total", 1.0),
        ("tidemill_line_length", 4.0),
        ("tidemill_requests_in_flight", 0.0),
        ("tidemill_start_time_seconds", 5.5),
        ("tidemill_tokens_total{upstream=\"a\",kind=\"prompt\"}", 10.0),
        ("tidemill_client_tokens_total{client=\"team\",kind=\"cached\"}", 6.0),
        ("tidemill_client_requests_total{client=\"team\",status=\"2xx\"}", 2.0),
        ("tidemill_request_bytes_total{upstream=\"a\"}", 200.0),
        ("tidemill_request_seconds_bucket{upstream=\"a\",le=\"0.015\"}", 0.0),
        ("tidemill_request_seconds_bucket{upstream=\"a\",le=\"0.02\"}", 2.0),
        ("tidemill_request_seconds_bucket{upstream=\"a\",le=\"+Inf\"}", 2.0),
        ("tidemill_request_seconds_count{upstream=\"a\"}", 2.0),
        ("tidemill_request_seconds_sum{upstream=\"a\"}", 0.04),
        ("tidemill_time_to_first_byte_seconds_count{upstream=\"a\"}", 1.0),
        ("tidemill_overhead_seconds_bucket{le=\"0.00005\"}", 0.0),
        ("tidemill_overhead_seconds_bucket{le=\"0.00007\"}", 4.0),
        ("tidemill_queue_seconds_count", 5.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    assert!(!text.contains("whatever"), "a requested name is no label");
}

#[test]
fn counts_outlive_the_configuration_in_which_they_were_made() {
    let metrics = Arc::new(Metrics::new());
    counting(&metrics).ended(&ended(Some(1), Outcome::Answered, 200));
    // Now it is the first one.
    let after = metrics.counting(["模\"型".into()].iter(), std::iter::empty(), None);
    after.ended(&ended(Some(0), Outcome::Answered, 200));
    let samples = samples(&text(&metrics));
    assert_eq!(samples["tidemill_requests_total{upstream=\"模\\\"型\",call=\"chat\",status=\"2xx\"}"], 2.0);
    assert_eq!(samples["tidemill_request_seconds_count{upstream=\"a\"}"], 0.0);
}

#[test]
fn success_is_of_the_upstream_and_not_of_the_request() {
    let metrics = Arc::new(Metrics::new());
    let counting = counting(&metrics);
    assert_eq!(metrics.record("a"), Record { success_rate: 1.0, answer_seconds: 0.0, n_attempts: 0 });
    counting.ended(&ended(Some(0), Outcome::Answered, 200));
    assert_eq!(metrics.record("a").answer_seconds, 0.019);
    let slow = Ended { attempt_took: Some(Duration::from_millis(119)), ..ended(Some(0), Outcome::Answered, 200) };
    counting.ended(&slow);
    assert!((metrics.record("a").answer_seconds - 0.029).abs() < 1e-9);
    // What a client did wrong, and that one hung up, is not the upstream's failure.
    counting.failed(0, FailureKind::Rejected);
    counting.ended(&ended(Some(0), Outcome::Refused, 400));
    counting.ended(&ended(Some(0), Outcome::HungUp, 0));
    assert_eq!(metrics.record("a").success_rate, 1.0);
    counting.failed(0, FailureKind::Unavailable);
    counting.ended(&ended(Some(0), Outcome::Cut, 200));
    assert_eq!(metrics.record("a"), Record { success_rate: 0.5, n_attempts: 4, ..metrics.record("a") });
    assert_eq!(metrics.record("of another configuration").success_rate, 1.0);
}

#[test]
fn a_call_that_is_not_known_and_a_status_that_is_none_fill_no_memory() {
    let metrics = Arc::new(Metrics::new());
    let counting = counting(&metrics);
    counting.ended(&Ended { call: "other", ..ended(Some(7), Outcome::Refused, 999) });
    let samples = samples(&text(&metrics));
    assert_eq!(samples["tidemill_requests_total{upstream=\"\",call=\"unknown\",status=\"none\"}"], 1.0);
}

#[test]
fn lines_that_were_lost_stay_counted_when_the_log_becomes_another_one_or_none() {
    struct Full;

    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Noon;

    impl domain::Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
    }

    let metrics = Arc::new(Metrics::new());
    assert!(!text(&metrics).contains("tidemill_log_lines_dropped_total"), "there is no log");
    let log = || {
        let target = super::super::log::LogTarget::Writer(Box::new(Full));
        Arc::new(AccessLog::open(crate::LogFormat::Text, target, Arc::new(Noon), Box::new(|_| ())).unwrap())
    };
    for n_lost in 1..=3 {
        let one = metrics.counting([].iter(), [].iter(), Some(log()));
        // The next one counts beside it, and this one is let go with its last line.
        let _next = metrics.counting([].iter(), [].iter(), Some(log()));
        one.began();
        one.ended(&ended(None, Outcome::Answered, 200));
        drop(one);
        let _none = metrics.counting([].iter(), [].iter(), None);
        assert_eq!(samples(&text(&metrics))["tidemill_log_lines_dropped_total"], f64::from(n_lost));
    }
}
