//! Whom one upstream fails waits for another one that is busy, and for no other.

use super::*;

/// Two models, of which `b` has one place, behind a route that asks `a` first.
fn in_order(file: &mut Value) {
    file["models"][1]["max_in_flight"] = 1.into();
    file["routes"] = json!({ "both": { "models": ["a", "b"], "choose": "ordered" } });
}

/// A stream that takes some four hundred milliseconds.
fn slow() -> Does {
    // It says that it will close: a connection that is kept would be used again at the moment at which it does.
    let head = STREAM.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let mut pieces = vec![format!("{head}{}", chunk(&word("slow")))];
    pieces.extend((0..200).map(|_| chunk(": on and on\n\n")));
    pieces.push(format!("{}0\r\n\r\n", chunk(FAREWELL)));
    Does::SaysAndCloses(pieces)
}

fn ill(status: &'static str, headers: &'static str) -> Does {
    json_answer(status, headers, r#"{"error":{"message":"told"}}"#)
}

/// Has the only place of `b` taken, and asks for `both` while it is.
async fn while_b_is_busy(house: &House, b: &Vendor, body: &str) -> (vendor::Got, vendor::Got, Duration) {
    let busy = house.chat(r#"{"model":"b","stream":true}"#);
    let other = async {
        while b.n_heard() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let begin = tokio::time::Instant::now();
        (house.chat(body).await, begin.elapsed())
    };
    let (busy, (other, took)) = futures_util::future::join(busy, other).await;
    assert_eq!(busy.status, 200);
    (busy, other, took)
}

#[tokio::test]
async fn whom_one_upstream_fails_waits_for_the_other_that_is_busy_and_that_is_no_time_of_ours() {
    for fault in ["500 Oops", "503 Down", "429 Slow", "408 Late", "401 No"] {
        for (is_stream, body) in [(false, r#"{"model":"both"}"#), (true, r#"{"model":"both","stream":true}"#)] {
            let a = Vendor::start(move |_| ill(fault, "")).await;
            let b = Vendor::start(move |n| match (n, is_stream) {
                (1, _) => slow(),
                (_, false) => answer("well"),
                (_, true) => Does::Says(format!("{STREAM}{}{}0\r\n\r\n", chunk(&word("well")), chunk(FAREWELL))),
            })
            .await;
            let house = House::with_file(&[&a, &b], settings(), in_order);
            let (_, got, took) = while_b_is_busy(&house, &b, body).await;
            assert_eq!((got.status, got.header("x-tidemill-attempts")), (200, Some("2")), "{fault}: {got:?}");
            assert_eq!(got.header("x-tidemill-model"), Some("b"));
            assert!(got.body.contains("well"), "{fault}: {got:?}");
            assert!(took >= Duration::from_millis(200), "{took:?}");
            let overhead: u64 = got.header("x-tidemill-overhead-us").unwrap().parse().unwrap();
            assert!(overhead < 100_000, "{overhead} µs of {took:?}: the wait counts as one");
        }
    }
}

#[tokio::test]
async fn who_waited_for_another_in_vain_is_told_what_the_first_said_and_when_to_come_back() {
    let a = Vendor::start(|_| ill("503 Down", "")).await;
    let b = Vendor::start(|_| slow()).await;
    let settings = FaceConfig { queue_wait: Duration::from_millis(100), ..settings() };
    let house = House::with_file(&[&a, &b], settings, in_order);
    let (_, got, took) = while_b_is_busy(&house, &b, r#"{"model":"both"}"#).await;
    assert_eq!((got.status, got.header("x-tidemill-attempts")), (503, Some("1")), "{got:?}");
    assert_eq!(got.body, r#"{"error":{"message":"told"}}"#);
    assert!(took >= Duration::from_millis(100), "{took:?}");
    let wait: u64 = got.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{got:?}");
    assert_eq!(got.header("x-tidemill-model"), Some("a"));
}

#[tokio::test]
async fn what_it_stood_in_line_before_counts_as_waiting() {
    let hangs = || Does::SaysAndHangs(format!("{STREAM}{}", chunk(&word("one"))));
    let a = Vendor::start(move |n| if n == 1 { hangs() } else { ill("503 Down", "") }).await;
    let b = Vendor::start(move |_| hangs()).await;
    let settings = FaceConfig { queue_wait: Duration::from_millis(1_000), ..settings() };
    let house = House::with_file(&[&a, &b], settings, |file| {
        in_order(file);
        file["models"][0]["max_in_flight"] = 1.into();
    });
    // Both are busy; the client of `a` hangs up after 700 ms, and then `a` fails whoever waited for it.
    let busy_b = house.chat(r#"{"model":"b","stream":true}"#);
    let busy_a = tokio::time::timeout(Duration::from_millis(700), house.chat(r#"{"model":"a","stream":true}"#));
    let other = async {
        while a.n_heard() == 0 || b.n_heard() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let begin = tokio::time::Instant::now();
        (house.chat(r#"{"model":"both"}"#).await, begin.elapsed())
    };
    let others = futures_util::future::join(busy_a, other);
    let (got, took) = tokio::select! {
        _ = busy_b => panic!("it hangs"),
        (_, told) = others => told,
    };
    assert_eq!((got.status, got.header("x-tidemill-attempts")), (503, Some("1")), "{got:?}");
    // And not a second from when it got into line again.
    assert!((1_000..1_500).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn who_waits_elsewhere_holds_no_place_at_the_one_that_failed() {
    let a = Vendor::start(|n| if n == 1 { ill("503 Down", "") } else { answer("here again") }).await;
    let b = Vendor::start(|n| if n == 1 { slow() } else { answer("well") }).await;
    let house = House::with_file(&[&a, &b], settings(), |file| {
        in_order(file);
        file["models"][0]["max_in_flight"] = 1.into();
    });
    let next = async {
        while a.n_heard() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let begin = tokio::time::Instant::now();
        (house.chat(r#"{"model":"a"}"#).await, begin.elapsed())
    };
    let ((_, got, _), (next, took)) =
        futures_util::future::join(while_b_is_busy(&house, &b, r#"{"model":"both"}"#), next).await;
    assert_eq!((got.status, got.header("x-tidemill-model")), (200, Some("b")), "{got:?}");
    assert_eq!(next.status, 200);
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[tokio::test]
async fn a_storm_of_failures_fills_the_line_and_the_others_are_told_what_the_upstream_said() {
    let a = Vendor::start(|_| ill("503 Down", "")).await;
    let b = Vendor::start(|n| if n == 1 { slow() } else { answer("well") }).await;
    let settings = FaceConfig { queue_length: 5, ..settings() };
    let house = House::with_file(&[&a, &b], settings, in_order);
    let busy = house.chat(r#"{"model":"b","stream":true}"#);
    let others = async {
        while b.n_heard() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Fewer than make it a broken one.
        futures_util::future::join_all((0..9).map(|_| house.chat(r#"{"model":"both"}"#))).await
    };
    let (_, others) = futures_util::future::join(busy, others).await;
    let n_answered = others.iter().filter(|got| got.status == 200).count();
    assert_eq!(n_answered, 5, "{others:?}");
    for refused in others.iter().filter(|got| got.status != 200) {
        assert_eq!((refused.status, &*refused.body), (503, r#"{"error":{"message":"told"}}"#));
        assert!(refused.header("retry-after").is_some());
    }
}

#[tokio::test]
async fn where_all_others_were_tried_or_are_out_of_order_nobody_waits() {
    let a = Vendor::start(|_| ill("401 No", "")).await;
    let b = Vendor::start(|_| match ill("503 Down", "connection: close\r\n") {
        Does::Says(text) => Does::SaysAndCloses(vec![text]),
        other => other,
    })
    .await;
    let house = House::with_file(&[&a, &b], settings(), in_order);
    let got = house.chat(r#"{"model":"both"}"#).await;
    // Whoever comes now goes to `b` at once: it is not broken yet.
    assert_eq!((got.status, got.header("retry-after"), got.header("x-tidemill-attempts")), (503, Some("1"), Some("2")));
    let address = b.address;
    drop(b);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let begin = tokio::time::Instant::now();
    let got = house.chat(r#"{"model":"both"}"#).await;
    assert_eq!((got.status, got.header("x-tidemill-model")), (503, Some("b")), "{got:?}");
    assert_eq!(got.header("retry-after"), Some("2"), "the next probe: {got:?}");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn an_answer_is_gone_on_with_by_none_that_cannot_do_that() {
    let begun = Vendor::start(|_| Does::SaysAndCloses(vec![format!("{STREAM}{}", chunk(&word("one ")))])).await;
    let ill = Vendor::start(|_| ill("503 Down", "")).await;
    let other = Vendor::start(|_| answer("from the beginning")).await;
    let house = House::with_file(&[&begun, &ill, &other], settings(), |file| {
        for model in [0, 1] {
            file["models"][model]["abilities"] = json!({ "prefill": true });
        }
        file["routes"] = json!({ "all": { "models": ["a", "b", "c"], "choose": "ordered" } });
    });
    let body = r#"{"model":"all","stream":true,"messages":[{"role":"user","content":"count"}]}"#;
    let got = ask(house.address, "/v1/chat/completions", "x-tidemill-continue: prefill\r\n", body).await;
    assert!(got.body.starts_with(&word("one ")) && got.body.contains("\"error\""), "{got:?}");
    assert!(!got.body.contains("[DONE]"), "{got:?}");
    assert_eq!((ill.n_heard(), other.n_heard()), (1, 0));
}
