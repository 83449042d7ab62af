//! Whatever an upstream does, the client gets one answer, and it is true.

use serde_json::{Value, json};
use simulate::Vendor;

use crate::{
    client::{Got, ask, chat},
    house::{House, vendor},
};

const CHAT: &str = "/v1/chat/completions";

/// An upstream that always fails in one way, alone or with one that is well behind it.
struct Pair {
    well: Vendor,
    house: House,
}

impl Pair {
    fn new(fault: &Value, is_alone: bool) -> Self {
        let mut fault = fault.clone();
        fault["rate"] = 1.0.into();
        let (ill, well) = (vendor(&json!({ "faults": [fault] })), vendor(&json!({})));
        let mut vendors = vec![("ill", &ill)];
        if !is_alone {
            vendors.push(("well", &well));
        }
        let limits = json!({ "first_byte_timeout": "400ms", "idle_timeout": "400ms" });
        let house = House::new(&vendors, json!({ "channel": limits }));
        // The vendor goes on until it is dropped.
        Box::leak(Box::new(ill));
        Self { well, house }
    }

    async fn chat(&self, is_stream: bool) -> Got {
        ask(self.house.address, CHAT, "", &chat("auto", 1, is_stream)).await
    }
}

fn is_good(got: &Got, is_stream: bool) -> bool {
    let text = got.text();
    let is_complete =
        if is_stream { text.ends_with("data: [DONE]\n\n") } else { text.contains(r#""finish_reason":"stop""#) };
    got.status == 200 && got.is_whole && is_complete && !text.contains(r#""error""#)
}

#[tokio::test]
async fn who_fails_before_the_first_word_is_passed_over_and_alone_the_truth_is_told() {
    // The fault, the status where nobody else is there for a whole answer and for a stream; 0 where it is no such fault.
    let faults = [
        (json!({ "kind": "throttled" }), 429, 429),
        (json!({ "kind": "throttled", "retry_after": "7s" }), 429, 429),
        (json!({ "kind": "unavailable" }), 503, 503),
        (json!({ "kind": "unavailable", "status": 502 }), 502, 502),
        (json!({ "kind": "hang" }), 504, 504),
        (json!({ "kind": "slow_head", "pause": "50ms" }), 504, 504),
        (json!({ "kind": "stall" }), 504, 504),
        (json!({ "kind": "cut" }), 503, 503),
        (json!({ "kind": "reset" }), 503, 503),
        (json!({ "kind": "reset", "after": 1 }), 503, 503),
        (json!({ "kind": "half" }), 503, 0),
        (json!({ "kind": "ended_early" }), 503, 0),
        (json!({ "kind": "garbage_chunks" }), 503, 503),
        (json!({ "kind": "garbage_body" }), 503, 503),
        (json!({ "kind": "empty_body" }), 503, 503),
        (json!({ "kind": "error_event" }), 502, 503),
        (json!({ "kind": "unauthorized" }), 503, 503),
        (json!({ "kind": "exhausted_credit" }), 503, 503),
    ];
    for (fault, whole, stream) in faults {
        for (is_stream, status) in [(false, whole), (true, stream)] {
            if status == 0 {
                continue;
            }
            let what = format!("{fault}, stream: {is_stream}");
            let got = Pair::new(&fault, false).chat(is_stream).await;
            assert!(is_good(&got, is_stream), "{what}: {got:?}");
            assert_eq!(got.header("x-tidemill-attempts"), Some("2"), "{what}");

            let got = Pair::new(&fault, true).chat(is_stream).await;
            assert_eq!((got.status, got.is_whole), (status, true), "{what}: {got:?}");
            assert!(got.json()["error"]["message"].is_string(), "{what}: {got:?}");
            // As long as it rests: what it asked for, or what it gets without asking.
            let wait: u64 = got.header("retry-after").unwrap().parse().unwrap();
            let is_true = if fault["retry_after"].is_null() { (1..=3).contains(&wait) } else { wait == 7 };
            assert!(is_true, "{what}: {got:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_behind_its_first_word_says_so_and_is_never_done() {
    // The fault, and whether the words before it come for sure: what a reset overtakes is lost.
    let faults = [
        (json!({ "kind": "half" }), true),
        (json!({ "kind": "ended_early" }), true),
        (json!({ "kind": "reset", "after": 3 }), false),
        (json!({ "kind": "stall", "after": 3 }), true),
        (json!({ "kind": "garbage_chunks", "after": 3 }), false),
        (json!({ "kind": "no_finish" }), true),
    ];
    for (fault, is_sure) in faults {
        for is_alone in [true, false] {
            let pair = Pair::new(&fault, is_alone);
            let got = pair.chat(true).await;
            let text = got.text();
            if !is_sure && (got.status == 503 || is_good(&got, true)) {
                assert_eq!(got.status == 200, !is_alone, "{fault}: {got:?}");
                continue;
            }
            assert_eq!((got.status, got.is_whole), (200, true), "{fault}: {got:?}");
            assert!(!text.contains("[DONE]"), "{fault}: {text}");
            let last = text.trim_end().rsplit("data: ").next().unwrap();
            let event: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{fault}: {e} in {text}"));
            assert_eq!(event["error"]["code"], "stream_cut", "{fault}: {text}");
            // Half of one answer and half of another would be none.
            assert_eq!(pair.well.counts().asked, 0, "{fault}");
        }
    }
}

#[tokio::test]
async fn odd_ways_of_delivery_are_delivered() {
    let direct = vendor(&json!({ "model": "ill" }));
    for kind in ["excess", "gzip", "huge_head", "informational", "split_bytes"] {
        for is_stream in [false, true] {
            let pair = Pair::new(&json!({ "kind": kind }), false);
            let got = pair.chat(is_stream).await;
            assert_eq!((got.status, got.header("x-tidemill-attempts")), (200, Some("1")), "{kind}: {got:?}");
            if kind == "gzip" {
                // It stays as the vendor packed it, and says so.
                assert_eq!((got.header("content-encoding"), &got.body[..2]), (Some("gzip"), &b"\x1f\x8b"[..]));
                continue;
            }
            assert!(is_good(&got, is_stream), "{kind}: {got:?}");
            let plain = ask(direct.address(), CHAT, "", &chat("ill", 1, is_stream)).await;
            assert_eq!(without_ids(&got), without_ids(&plain), "{kind}");
        }
    }
}

/// AI-DataFlux's failures 5 and 15: its gateway asked, and paid, another model where one had answered without text, and
/// dropped what it did not know; and nobody asked again where an answer was bad.
#[tokio::test]
async fn what_a_model_says_badly_reaches_the_one_who_judges_it_and_is_paid_once() {
    for kind in ["garbage", "wrong_fields", "length", "empty", "refused", "filtered"] {
        for is_stream in [false, true] {
            let fault = json!({ "kind": kind, "rate": 1.0 });
            let direct = vendor(&json!({ "faults": [fault] }));
            let pair = Pair::new(&json!({ "kind": kind }), false);
            let (got, plain) =
                (pair.chat(is_stream).await, ask(direct.address(), CHAT, "", &chat("ill", 1, is_stream)).await);
            assert_eq!((got.status, got.header("x-tidemill-attempts")), (200, Some("1")), "{kind}: {got:?}");
            assert_eq!(without_ids(&got), without_ids(&plain), "{kind}");
            assert_eq!(pair.well.counts().asked, 0, "{kind}");
            // Nor does it cost the upstream anything.
            let again = ask(pair.house.address, CHAT, "", &chat("ill", 2, is_stream)).await;
            assert_eq!((again.status, again.header("x-tidemill-model")), (200, Some("ill")), "{kind}: {again:?}");
        }
    }
}

/// Returns a body without what is drawn for each answer.
fn without_ids(got: &Got) -> String {
    let text = got.text();
    let mut parts = text.split("\"id\":\"chatcmpl-");
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect::<String>()
}
