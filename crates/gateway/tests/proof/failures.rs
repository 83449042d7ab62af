//! What went wrong at AI-DataFlux's gateway, each by the number that it has in the table of
//! `docs/design/2026-11-21-gateway-failures.md`.

use futures_util::future::join_all;
use serde_json::{Value, json};
use simulate::Vendor;

use crate::{
    client::{Got, ask, chat},
    house::{House, vendor},
};

const CHAT: &str = "/v1/chat/completions";

async fn chats(house: &House, n: usize) -> Vec<Got> {
    join_all((0..n).map(|id| async move { ask(house.address, CHAT, "", &chat("auto", id, false)).await })).await
}

async fn admin(house: &House, path: &str) -> Value {
    ask(house.address, path, "", "").await.json()
}

/// 11: with 5 + 3 + 10 requests a second before a vendor that was well, 905 requests ended with status 500.
#[tokio::test]
async fn a_rate_that_is_used_up_is_waited_for_and_is_no_error() {
    let vendors: Vec<Vendor> = (0..3).map(|_| vendor(&json!({}))).collect();
    let names = ["a", "b", "c"];
    let models: Vec<_> = names
        .iter()
        .zip([5, 3, 10])
        .map(|(name, rate)| json!({ "name": name, "channel": name, "limits": { "requests_per_second": rate } }))
        .collect();
    let house = House::new(&names.into_iter().zip(&vendors).collect::<Vec<_>>(), json!({ "models": models }));
    // 36 are in the buckets; the others wait for more than a second.
    let got = chats(&house, 60).await;
    assert!(got.iter().all(|got| got.status == 200), "{:?}", got.iter().find(|got| got.status != 200));
    assert_eq!(vendors.iter().map(|vendor| vendor.counts().asked).sum::<u64>(), 60);
}

/// 12: a rate below one in two seconds could never be used, and the gateway called itself healthy.
#[tokio::test]
async fn a_rate_far_below_one_a_second_is_used() {
    let vendor = vendor(&json!({}));
    let every = json!({ "limits": { "requests_per_second": 0.02 } });
    let house = House::new(&[("a", &vendor)], json!({ "every": every, "gateway": { "queue": { "wait": "1s" } } }));
    assert_eq!(ask(house.address, CHAT, "", &chat("a", 1, false)).await.status, 200);
    let refused = ask(house.address, CHAT, "", &chat("a", 2, false)).await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((40..=50).contains(&wait), "one comes back every 50 seconds: {wait}");
}

/// 13: one request that was wrong put three models into backoff.
#[tokio::test]
async fn requests_that_are_wrong_cost_no_upstream_its_place() {
    let vendors = [vendor(&json!({})), vendor(&json!({}))];
    let house = House::new(&[("a", &vendors[0]), ("b", &vendors[1])], json!({}));
    for _ in 0..30 {
        let got = ask(house.address, CHAT, "", r#"{"model":"auto","messages":[]}"#).await;
        assert_eq!((got.status, got.header("x-tidemill-attempts")), (400, Some("1")), "{got:?}");
    }
    assert_eq!(admin(&house, "/admin/health").await["status"], "healthy");
    let got = chats(&house, 4).await;
    assert!(got.iter().all(|got| got.status == 200 && got.header("x-tidemill-attempts") == Some("1")), "{got:?}");
}

/// 13 and 14: the time that a vendor asked for was not heeded, and a pause was over before it began.
#[tokio::test]
async fn a_vendor_that_asks_for_a_rest_gets_it_and_clients_are_told_how_long_it_is() {
    let fault = json!({ "kind": "throttled", "rate": 1.0, "retry_after": "30s" });
    let vendor = vendor(&json!({ "faults": [fault] }));
    let house = House::new(&[("a", &vendor)], json!({ "gateway": { "queue": { "wait": "1s" } } }));
    for id in 0..5 {
        let got = ask(house.address, CHAT, "", &chat("a", id, false)).await;
        let wait: u64 = got.header("retry-after").unwrap().parse().unwrap();
        assert!(got.status == 429 && (20..=40).contains(&wait), "{got:?}");
    }
    assert_eq!(vendor.counts().asked, 1, "it rests");
}

/// 28: of models with one name only the last was asked, and what was told of them was what had been true once.
#[tokio::test]
async fn models_that_share_a_name_share_its_requests_and_are_told_as_they_are_now() {
    let vendors = [vendor(&json!({})), vendor(&json!({}))];
    let models: Vec<_> =
        ["a", "b"].map(|name| json!({ "name": name, "channel": name, "model": "same", "aliases": ["shared"] })).into();
    let house = House::new(&[("a", &vendors[0]), ("b", &vendors[1])], json!({ "models": models }));
    for id in 0..10 {
        assert_eq!(ask(house.address, CHAT, "", &chat("shared", id, false)).await.status, 200);
    }
    assert!(vendors.iter().all(|vendor| vendor.counts().asked == 5));

    let available = async |house: &House| admin(house, "/admin/models").await["available"].clone();
    assert_eq!(available(&house).await, 2);
    let [left, gone] = vendors;
    gone.stop();
    for id in 0..2 {
        assert_eq!(ask(house.address, CHAT, "", &chat("shared", id, false)).await.status, 200);
    }
    assert_eq!(
        (available(&house).await, &admin(&house, "/admin/health").await["status"]),
        (json!(1), &json!("degraded"))
    );
    drop(left);
}
