//! Whatever comes, in whatever order: each request ends once and in time, nothing is lost, and nobody waits for nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use proptest::{collection::vec, option, prelude::*};
use tokio::task::JoinSet;

use super::*;
use crate::{lanes::Outlook, need::Wants};

/// How long one may wait, and the line be.
const WAIT: Duration = Duration::from_secs(8);
const LENGTH: usize = 12;
/// Timers ring up to a millisecond late, and one may be set by what another one did.
const LATE: Duration = Duration::from_millis(5);

/// How one attempt goes.
#[derive(Clone, Copy, Debug)]
enum Goes {
    /// It answers, after so many milliseconds.
    Well(u64),
    /// It fails with this, after so many.
    Ill(FailureKind, u64),
    /// It asks for a rest of so many.
    Throttled(u64),
    Unreachable,
    /// The client hangs up after so many.
    HungUp(u64),
}

#[derive(Clone, Debug)]
struct Client {
    comes_at: u64,
    route: &'static str,
    class: Class,
    key: u64,
    sees: bool,
    schema: bool,
    deadline: u64,
    /// When he hangs up in line.
    hangs_up_at: Option<u64>,
    attempts: Vec<Goes>,
}

#[derive(Clone, Debug)]
struct Script {
    clients: Vec<Client>,
    /// When the configuration is read again.
    reloads: Vec<u64>,
}

fn goes() -> impl Strategy<Value = Goes> {
    use FailureKind::{Rejected, Timeout, Unauthorized, Unavailable};
    prop_oneof![
        6 => (0..3_000_u64).prop_map(Goes::Well),
        4 => (prop::sample::select(vec![Unavailable, Timeout, Rejected]), 0..2_000_u64).prop_map(|(kind, ms)| Goes::Ill(kind, ms)),
        1 => (0..500_u64).prop_map(|ms| Goes::Ill(Unauthorized, ms)),
        3 => (0..12_000_u64).prop_map(Goes::Throttled),
        1 => Just(Goes::Unreachable),
        2 => (0..1_000_u64).prop_map(Goes::HungUp),
    ]
}

fn client() -> impl Strategy<Value = Client> {
    let who = (
        0..10_000_u64,
        prop::sample::select(vec!["auto", "auto", "few", "b"]),
        prop::sample::select(vec![Class::Interactive, Class::Normal, Class::Batch]),
        0..3_u64,
    );
    let what = (prop::bool::weighted(0.3), prop::bool::weighted(0.2), 1..15_000_u64);
    (who, what, option::weighted(0.1, 0..9_000_u64), vec(goes(), 5)).prop_map(
        |((comes_at, route, class, key), (sees, schema, deadline), hangs_up_at, attempts)| Client {
            comes_at,
            route,
            class,
            key,
            sees,
            schema,
            deadline,
            hangs_up_at,
            attempts,
        },
    )
}

fn script() -> impl Strategy<Value = Script> {
    (vec(client(), 1..60), vec(0..12_000_u64, 0..3)).prop_map(|(clients, reloads)| Script { clients, reloads })
}

fn resolved() -> crate::Resolved {
    let model = |name: &str, width: usize, more: Value| {
        let mut model = json!({ "name": name, "channel": "c", "max_in_flight": width });
        model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        model
    };
    let models = json!([
        model("a", 1, json!({ "abilities": { "vision": false } })),
        model("b", 2, json!({ "json": "none" })),
        model("c", 1, json!({ "abilities": { "vision": false }, "limits": { "requests_per_second": 1.5 } })),
        model("d", 1, json!({ "limits": { "requests_per_minute": 20 } })),
    ]);
    let routes = json!({ "few": { "models": ["a", "d"], "choose": "ordered" } });
    let file = json!({ "channels": { "c": { "url": "http://h/v1" } }, "models": models, "routes": routes });
    let file: ModelsFile = serde_json::from_value(file).unwrap();
    resolve(&file, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
}

type Served = (Arc<Lanes>, Arc<Queue>);

fn served(lanes: Lanes) -> Served {
    let lanes = Arc::new(lanes);
    (Arc::clone(&lanes), Queue::new(lanes, LENGTH, WAIT))
}

/// Where somebody waits, for which route, whom he tried, and what he needs.
type Waits = (Served, String, Vec<usize>, Need);

/// What is seen of those who are in line, or about to.
#[derive(Default)]
struct Seen {
    waiting: StdMutex<BTreeMap<usize, Waits>>,
    n_ended: AtomicUsize,
}

/// Somebody in line, until he leaves it by whatever way.
struct InLine<'a>(&'a Seen, usize);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().unwrap().remove(&self.1);
    }
}

/// Does what the face does with a request.
async fn asks(number: usize, client: &Client, served: Served, seen: &Seen, deadline: Instant) {
    let Client { route, class, key, sees, schema, .. } = *client;
    let abilities = Wants { vision: sees, schema, ..Wants::default() };
    let need = Need { abilities, ..Need::default() };
    let (mut tried, mut waited, since) = (Vec::new(), Duration::ZERO, Instant::now());
    for goes in &client.attempts {
        let began = Instant::now();
        let place = {
            let line = (served.clone(), route.to_owned(), tried.clone(), need);
            seen.waiting.lock().unwrap().insert(number, line);
            let _in_line = InLine(seen, number);
            let first = Asking::first(route, class, key, need, deadline);
            served.1.enter(&Asking { tried: &tried, since, waited, ..first }).await
        };
        waited += began.elapsed();
        assert!(waited <= WAIT + LATE, "{waited:?}");
        let Ok(place) = place else { break };
        let upstream = place.upstream;
        assert!(!tried.contains(&upstream) && (!sees || [1, 3].contains(&upstream)));
        let takes = |ms: u64| time::sleep_until(deadline.min(Instant::now() + Duration::from_millis(ms)));
        match *goes {
            Goes::Well(ms) => {
                takes(ms).await;
                place.tell(Ok(Answered::default()));
                break;
            }
            Goes::Ill(kind, ms) => {
                takes(ms).await;
                fail(&place, Failure::new(kind, "ill"));
                if kind == FailureKind::Rejected {
                    break;
                }
            }
            Goes::Throttled(ms) => {
                fail(&place, Failure::new(FailureKind::Throttled, "slow down").after_ms(Some(ms)));
            }
            Goes::Unreachable => vanish(&place),
            Goes::HungUp(ms) => {
                takes(ms).await;
                break;
            }
        }
        tried.push(upstream);
        drop(place);
        if Instant::now() >= deadline {
            break;
        }
    }
    seen.n_ended.fetch_add(1, Ordering::Relaxed);
}

/// Returns whether somebody waits for a place that is free.
fn who_could_go(seen: &Seen) -> Vec<usize> {
    let waiting = seen.waiting.lock().unwrap();
    let could = waiting.iter().filter(|(_, ((lanes, _), route, tried, need))| {
        let route = lanes.route(route).unwrap();
        matches!(lanes.outlook(route, tried, *need), Outlook::Free)
    });
    could.map(|(number, _)| *number).collect()
}

async fn play(script: &Script) {
    // No time that anything is reckoned from is the first.
    time::advance(Duration::from_mins(1)).await;
    let begin = Instant::now();
    let at = move |ms: u64| begin + Duration::from_millis(ms);
    let (seen, live) = (Arc::new(Seen::default()), Arc::new(StdMutex::new(served(Lanes::new(&resolved(), 7)))));
    let first = live.lock().unwrap().clone();
    let mut clients = JoinSet::new();
    for (number, client) in script.clients.iter().cloned().enumerate() {
        let (seen, live) = (Arc::clone(&seen), Arc::clone(&live));
        clients.spawn(async move {
            time::sleep_until(at(client.comes_at)).await;
            let served = live.lock().unwrap().clone();
            let deadline = Instant::now() + Duration::from_millis(client.deadline);
            let asks = asks(number, &client, served, &seen, deadline);
            match client.hangs_up_at {
                None => asks.await,
                Some(ms) => {
                    if time::timeout(Duration::from_millis(ms), asks).await.is_err() {
                        seen.n_ended.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            assert!(Instant::now() <= deadline + LATE, "{:?} too late", Instant::now() - deadline);
        });
    }
    for ms in script.reloads.iter().copied() {
        let live = Arc::clone(&live);
        clients.spawn(async move {
            time::sleep_until(at(ms)).await;
            let next = live.lock().unwrap().0.successor(&resolved());
            *live.lock().unwrap() = served(next);
        });
    }
    while Instant::now() < at(26_000) {
        time::sleep(Duration::from_millis(29)).await;
        settle().await;
        let served = live.lock().unwrap().clone();
        let in_line = seen.waiting.lock().unwrap().values().filter(|(of, ..)| Arc::ptr_eq(&of.1, &served.1)).count();
        assert_eq!(served.1.n_waiting(), in_line);
        assert!(in_line <= LENGTH);
        let could = who_could_go(&seen);
        if !could.is_empty() {
            // Unless it is the time that frees it, and whoever keeps the time sleeps until the end of the millisecond.
            time::sleep(LATE).await;
            settle().await;
            let still: Vec<usize> = who_could_go(&seen).into_iter().filter(|number| could.contains(number)).collect();
            assert!(still.is_empty(), "{still:?} wait at {:?} though a place is free", begin.elapsed());
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    assert_eq!(seen.n_ended.load(Ordering::Relaxed), script.clients.len());
    let last = live.lock().unwrap().clone();
    for (lanes, queue) in [&first, &last] {
        assert_eq!(queue.n_waiting(), 0);
        assert!(queue.state().lines.is_empty());
        let in_flight: Vec<usize> = lanes.standing().iter().map(|upstream| upstream.in_flight).collect();
        assert_eq!(in_flight, [0; 4], "places that are lost");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_request_ends_once_and_in_time_and_nobody_waits_while_there_is_a_place_for_him(script in script()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(&script));
    }
}
