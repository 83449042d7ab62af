//! Who is asked, and what a request gets on the way.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_request_for_a_text_gets_the_models_defaults_and_one_for_an_embedding_does_not() {
    let vendor = Vendor::start(|_| answer("hi")).await;
    let house = House::with_models(&[&vendor], settings(), |model| model["defaults"] = json!({ "temperature": 0.25 }));
    house.chat(r#"{"model":"a"}"#).await;
    assert!(vendor.last_heard().ends_with(r#"{"model":"vendors-a","temperature":0.25}"#), "{}", vendor.last_heard());
    house.chat(r#"{"model":"a","temperature":2}"#).await;
    assert!(vendor.last_heard().ends_with(r#"{"model":"vendors-a","temperature":2}"#), "{}", vendor.last_heard());
    ask(house.address, "/v1/embeddings", "", r#"{"model":"a","input":"x"}"#).await;
    assert!(vendor.last_heard().ends_with(r#"{"model":"vendors-a","input":"x"}"#), "{}", vendor.last_heard());
}

#[tokio::test]
async fn tools_go_to_a_model_that_takes_them_and_are_refused_where_none_does() {
    let (without, with) = (Vendor::start(|_| answer("without")).await, Vendor::start(|_| answer("with")).await);
    let house = House::with_file(&[&without, &with], settings(), |file| {
        file["models"][0]["abilities"] = json!({ "tools": false });
    });
    for _ in 0..4 {
        let got = house.chat(r#"{"model":"auto","tools":[{}]}"#).await;
        assert_eq!(got.header("x-tidemill-model"), Some("b"), "{got:?}");
    }
    let got = house.chat(r#"{"model":"a","tools":[{}]}"#).await;
    assert_eq!(got.status, 400, "{got:?}");
    assert!(got.body.contains("`a` takes no tools"), "{got:?}");
}

#[tokio::test]
async fn a_session_stays_with_one_model() {
    let vendors = [Vendor::start(|_| answer("a")).await, Vendor::start(|_| answer("b")).await];
    let house = House::with_file(&[&vendors[0], &vendors[1]], settings(), |file| {
        file["routes"] = json!({ "auto": { "models": ["a", "b"], "choose": "sticky" } });
    });
    let mut homes = Vec::new();
    for session in 0..8 {
        let header = format!("x-tidemill-session: user-{session}\r\n");
        let mut seen = Vec::new();
        for _ in 0..3 {
            let got = ask(house.address, "/v1/chat/completions", &header, r#"{"model":"auto"}"#).await;
            seen.push(got.header("x-tidemill-model").unwrap().to_owned());
        }
        assert!(seen.iter().all(|model| *model == seen[0]), "{seen:?}");
        homes.push(seen.remove(0));
    }
    assert!(homes.iter().any(|home| home == "a") && homes.iter().any(|home| home == "b"), "{homes:?}");
}
