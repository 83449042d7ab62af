use domain::Waiting;
use serde_json::{Value, json};

use super::*;
use crate::{ModelsFile, Session, resolve};

fn lanes_of(file: &ModelsFile) -> Arc<Lanes> {
    let resolved = resolve(file, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    Arc::new(Lanes::new(&resolved, 7))
}

fn file(models: Value, routes: Value) -> ModelsFile {
    let channels = json!({ "c": { "url": "http://h/v1" } });
    serde_json::from_value(json!({ "channels": channels, "models": models, "routes": routes })).unwrap()
}

/// Models `a`, `b` and `c`, each with these keys and a width of 1.
fn three(keys: [Value; 3], routes: Value) -> ModelsFile {
    let model = |(name, keys): (&str, Value)| {
        let mut model = json!({ "name": name, "channel": "c", "max_in_flight": 1 });
        model.as_object_mut().unwrap().append(&mut keys.as_object().unwrap().clone());
        model
    };
    file(["a", "b", "c"].into_iter().zip(keys).map(model).collect(), routes)
}

fn pick(lanes: &Arc<Lanes>, route: &str, need: Need) -> Place {
    match lanes.pick(route, &[], need) {
        Picked::Place(place) => place,
        other => panic!("{other:?}"),
    }
}

fn wants(abilities: Wants) -> Need {
    Need { abilities, ..Need::default() }
}

fn closed(lanes: &Arc<Lanes>, route: &str, need: Need) -> Failure {
    match lanes.pick(route, &[], need) {
        Picked::Closed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_to_a_model_that_can_do_what_it_needs() {
    let few = json!({ "abilities": { "tools": false, "context": "8k" }, "json": "object" });
    let many = json!({ "abilities": { "tools": true, "vision": false, "context": "128k" } });
    let lanes = lanes_of(&three([few.clone(), many, few], json!({})));
    for abilities in [
        Wants { tools: true, ..Wants::default() },
        Wants { context: 9_000, ..Wants::default() },
        Wants { schema: true, ..Wants::default() },
    ] {
        for _ in 0..5 {
            assert_eq!(pick(&lanes, "auto", wants(abilities)).upstream, 1, "{abilities:?}");
        }
    }
    // It waits for the one that can, and does not go to those that cannot.
    let tools = wants(Wants { tools: true, ..Wants::default() });
    let place = pick(&lanes, "auto", tools);
    let Picked::NotBefore(wait) = lanes.pick("auto", &[], tools) else { panic!("somebody else got it") };
    assert_eq!(wait.reason, Waiting::Width);
    drop(place);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_can_answer_is_refused_with_the_reason() {
    let no_tools = json!({ "abilities": { "tools": false } });
    let no_images = json!({ "abilities": { "vision": false, "context": 100 }, "json": "none" });
    let lanes = lanes_of(&three([no_tools, no_images.clone(), no_images], json!({ "r": ["a", "b"] })));
    let both = wants(Wants { tools: true, vision: true, ..Wants::default() });
    let failure = closed(&lanes, "r", both);
    assert_eq!(failure.kind, FailureKind::Rejected);
    let message = "no model of `r` can do what the request needs: `a` takes no tools; `b` takes no images";
    assert_eq!(failure.message, message);
    let failure = closed(&lanes, "b", wants(Wants { context: 101, ..Wants::default() }));
    assert!(failure.message.ends_with("`b` has too short a context"), "{}", failure.message);
    // A schema can be told in words.
    assert_eq!(pick(&lanes, "b", wants(Wants { schema: true, ..Wants::default() })).upstream, 1);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_route_asks_the_next_only_while_the_first_cannot_be() {
    let routes = json!({ "good": { "models": ["b", "a"], "choose": "ordered" } });
    let lanes = lanes_of(&three([json!({}), json!({}), json!({})], routes));
    let first = pick(&lanes, "good", Need::default());
    let second = pick(&lanes, "good", Need::default());
    assert_eq!((first.upstream, second.upstream), (1, 0));
    drop(first);
    assert_eq!(pick(&lanes, "good", Need::default()).upstream, 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_stays_with_its_model() {
    let routes = json!({ "same": { "models": ["a", "b", "c"], "choose": "sticky" } });
    let lanes = lanes_of(&three([json!({}), json!({}), json!({})], routes));
    let of = |name: &str| Need { session: Some(Session::new(name)), ..Need::default() };
    let mut homes = [0; 3];
    for n in 0..60 {
        let name = format!("session-{n}");
        let home = pick(&lanes, "same", of(&name)).upstream;
        assert_eq!(pick(&lanes, "same", of(&name)).upstream, home);
        homes[home] += 1;
    }
    assert!(homes.iter().all(|n| *n > 5), "{homes:?}");
}

#[tokio::test(start_paused = true)]
async fn the_least_loaded_is_the_one_that_answers_sooner() {
    let wide = json!({ "max_in_flight": 100 });
    let routes = json!({ "r": { "models": ["a", "b"], "choose": "least_loaded" } });
    let lanes = lanes_of(&three([wide.clone(), wide.clone(), wide], routes));
    let mut n = [0; 2];
    for _ in 0..200 {
        let place = pick(&lanes, "r", Need::default());
        n[place.upstream] += 1;
        tokio::time::advance(Duration::from_millis(if place.upstream == 0 { 500 } else { 50 })).await;
        place.tell(Ok(Answered::default()));
    }
    assert!(n[1] > 4 * n[0] && n[0] > 0, "{n:?}");
}

#[tokio::test(start_paused = true)]
async fn a_named_model_is_waited_for_unless_the_name_is_a_wish() {
    let mut file = three([json!({}), json!({}), json!({ "weight": 0 })], json!({}));
    let lanes = lanes_of(&file);
    let busy = pick(&lanes, "a", Need::default());
    assert!(matches!(lanes.pick("a", &[], Need::default()), Picked::NotBefore(_)));
    drop(busy);

    file.names.are_wishes = true;
    let lanes = lanes_of(&file);
    let wished = pick(&lanes, "a", Need::default());
    let other = pick(&lanes, "a", Need::default());
    assert_eq!((wished.upstream, other.upstream), (0, 1));
    // The one without weight is nobody's second choice.
    assert!(matches!(lanes.pick("a", &[], Need::default()), Picked::NotBefore(_)));
    assert_eq!(pick(&lanes, "c", Need::default()).upstream, 2);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_is_well_as_soon_as_it_begins_to_answer() {
    let alone = file(json!([{ "name": "a", "channel": "c" }]), json!({}));
    let lanes = lanes_of(&alone);
    let unreached = provider::Failed::from(provider::transport::TransportError::Connect {
        to: "h:80".to_owned(),
        cause: "refused".to_owned(),
    });
    pick(&lanes, "a", Need::default()).tell(Err(&unreached));
    tokio::time::advance(Duration::from_secs(3)).await;
    let probe = pick(&lanes, "a", Need::default());
    assert!(matches!(lanes.pick("a", &[], Need::default()), Picked::NotBefore(_)), "one finds out");
    probe.begun();
    let other = pick(&lanes, "a", Need::default());
    // That the first is called off says nothing any more.
    drop(probe);
    other.tell(Ok(Answered::default()));
    pick(&lanes, "a", Need::default());
}
