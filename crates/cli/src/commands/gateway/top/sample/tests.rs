use serde_json::json;

use super::*;

fn models() -> Vec<u8> {
    let model = json!({
        "id": "a", "available": true, "state": "well", "rest_seconds": null, "trouble": null, "in_flight": 3, "width": 64,
    });
    json!({ "models": [model], "total": 1, "available": 1 }).to_string().into_bytes()
}

/// A page with so many requests that took up to 1 s, and so many that took up to 2 s.
fn metrics(n_short: u64, n_long: u64) -> String {
    let n = n_short + n_long;
    format!(
        "# HELP tidemill_build_info x\n# TYPE tidemill_build_info gauge\ntidemill_build_info{{version=\"1\"}} 1\n\
         tidemill_start_time_seconds 5.5\ntidemill_line_length 2\n\
         tidemill_requests_total{{upstream=\"a\",call=\"chat\",status=\"2xx\"}} {n}\n\
         tidemill_requests_total{{upstream=\"\",call=\"chat\",status=\"4xx\"}} 1000\n\
         tidemill_attempts_total{{upstream=\"a\",result=\"answered\"}} {n}\n\
         tidemill_attempts_total{{upstream=\"a\",result=\"throttled\"}} {n_long}\n\
         tidemill_tokens_total{{upstream=\"a\",kind=\"prompt\"}} {n}\n\
         tidemill_tokens_total{{upstream=\"a\",kind=\"cached\"}} {n}\n\
         tidemill_request_seconds_bucket{{upstream=\"a\",le=\"1\"}} {n_short}\n\
         tidemill_request_seconds_bucket{{upstream=\"a\",le=\"2\"}} {n}\n\
         tidemill_request_seconds_bucket{{upstream=\"a\",le=\"+Inf\"}} {n}\n"
    )
}

#[test]
fn two_looks_tell_what_happened_between_them() {
    let begun = Instant::now();
    let first = Sample::read(&models(), &metrics(100, 0), begun).unwrap();
    let last = Sample::read(&models(), &metrics(100, 20), begun + Duration::from_secs(10)).unwrap();
    let rates = Rates::between(&first, &last);
    let a = &rates.upstreams[0];
    assert_eq!((a.requests_per_second, a.errors_per_second, a.tokens_per_second), (2.0, 2.0, 2.0));
    // All that ended between the looks took from 1 s to 2 s.
    assert_eq!((a.p50_seconds, a.p99_seconds), (Some(1.5), Some(1.99)));
    assert_eq!((rates.waiting, a.in_flight, a.width), (2, 3, 64));
    let idle = Rates::between(&last, &last);
    assert_eq!((idle.upstreams[0].p50_seconds, idle.upstreams[0].requests_per_second), (None, 0.0));
    // A gateway that was started again has counted from nothing.
    assert_eq!(Rates::between(&last.begun(), &last).upstreams[0].p50_seconds, Some(0.6));
}

#[test]
fn a_page_of_something_else_is_none() {
    assert!(Sample::read(b"<html>", "", Instant::now()).is_none());
    assert!(Sample::read(&models(), "go_goroutines 7\n", Instant::now()).is_none());
    assert!(Sample::read(&models(), "<html>\n", Instant::now()).is_none());
}

#[test]
fn labels_are_read_as_they_were_written() {
    let labels = labels_of(r#"upstream="a\"b\\c\nd,e=",status="2xx""#);
    assert_eq!((&*labels["upstream"], &*labels["status"]), ("a\"b\\c\nd,e=", "2xx"));
    assert!(labels_of("").is_empty());
}
