use std::{sync::Mutex as StdMutex, time::Duration};

use domain::{Failure, FailureKind, ports::Class};
use provider::Failed;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::{
    ModelsFile, Resolved,
    lanes::{Answered, Lanes, Picked, Place},
    need::Need,
    queue::Asking,
    resolve,
};

fn resolved(models: &Value, key: &str) -> Resolved {
    let file = json!({ "channels": { "c": { "url": "http://h/v1" } }, "models": models });
    let file: ModelsFile = serde_json::from_value(file).unwrap();
    resolve(&file, &|_| Some(key.to_owned()), &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
}

fn one(model: Value, key: &str) -> Resolved {
    let mut model = model;
    model["name"] = "a".into();
    model["channel"] = "c".into();
    model["key"] = json!({ "env": "KEY" });
    resolved(&json!([model]), key)
}

fn pick(lanes: &Arc<Lanes>) -> Option<Place> {
    match lanes.pick("a", &[], Need::default()) {
        Picked::Place(place) => Some(place),
        Picked::NotBefore(_) | Picked::Closed(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_held_counts_in_the_next_configuration_until_it_is_freed() {
    let old = Arc::new(Lanes::new(&one(json!({ "max_in_flight": 2 }), "k"), 7));
    let (first, second) = (pick(&old).unwrap(), pick(&old).unwrap());
    let new = Arc::new(old.successor(&one(json!({ "max_in_flight": 2, "weight": 5 }), "k")));
    assert!(pick(&new).is_none());
    let freed = new.freed();
    first.tell(Ok(Answered::default()));
    freed.await;
    let third = pick(&new).unwrap();
    assert!(pick(&new).is_none() && pick(&old).is_none());
    drop(second);
    drop(third);
    assert!(pick(&new).is_some());
    // Fewer places from now on: those that are held are not taken back.
    let held = (pick(&new).unwrap(), pick(&new).unwrap());
    let narrow = Arc::new(new.successor(&one(json!({ "max_in_flight": 1 }), "k")));
    drop(held.0);
    assert!(pick(&narrow).is_none());
    drop(held.1);
    assert!(pick(&narrow).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_refused_is_tried_again_after_a_reload_and_another_key_is_another_upstream() {
    let old = Arc::new(Lanes::new(&one(json!({}), "bad"), 7));
    let failure = Failure::new(FailureKind::Unauthorized, "no");
    pick(&old).unwrap().tell(Err(&Failed { failure, ..provider::transport::TransportError::Deadline.into() }));
    assert!(pick(&old).is_none());
    let same = Arc::new(old.successor(&one(json!({}), "bad")));
    let probe = pick(&same).unwrap();
    assert!(pick(&same).is_none(), "one finds out");
    let failure = Failure::new(FailureKind::Unauthorized, "still no");
    probe.tell(Err(&Failed { failure, ..provider::transport::TransportError::Deadline.into() }));
    assert!(pick(&same).is_none());
    let other = Arc::new(same.successor(&one(json!({}), "good")));
    assert!(pick(&other).is_some());
    assert!(pick(&same).is_none(), "what began before knows only the old key");
}

#[tokio::test(start_paused = true)]
async fn slots_of_configurations_that_are_over_are_used_again() {
    let mut lanes = Arc::new(Lanes::new(&one(json!({}), "0"), 7));
    for n in 1..100 {
        let place = pick(&lanes).unwrap();
        let next = Arc::new(lanes.successor(&one(json!({}), &n.to_string())));
        drop(lanes);
        lanes = next;
        drop(place);
    }
    assert!(lanes.shared.fleet().slots.len() <= 3, "{}", lanes.shared.fleet().slots.len());
}

#[tokio::test(start_paused = true)]
async fn changed_rates_begin_with_what_is_left_of_the_old_ones() {
    let rate = |rate: u32| one(json!({ "limits": { "requests_per_second": rate }, "max_in_flight": 1000 }), "k");
    let old = Arc::new(Lanes::new(&rate(5), 7));
    let n_at_once = |lanes: &Arc<Lanes>| std::iter::from_fn(|| pick(lanes)).count();
    assert_eq!(n_at_once(&old), 10);
    let new = Arc::new(old.successor(&rate(20)));
    assert_eq!((n_at_once(&new), n_at_once(&old)), (0, 0));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(n_at_once(&new), 10);
    let slow = Arc::new(new.successor(&rate(1)));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(n_at_once(&slow), 2);
}

/// Three vendors that keep a book.
#[derive(Default)]
struct Book {
    sent: StdMutex<Vec<(usize, Instant)>>,
    in_flight: StdMutex<[usize; 3]>,
    most: StdMutex<[usize; 3]>,
}

impl Book {
    async fn ask(&self, upstream: usize) {
        let n = {
            let mut sent = self.sent.lock().unwrap();
            sent.push((upstream, Instant::now()));
            sent.len() as u64
        };
        {
            let mut in_flight = self.in_flight.lock().unwrap();
            in_flight[upstream] += 1;
            let most = &mut self.most.lock().unwrap()[upstream];
            *most = (*most).max(in_flight[upstream]);
        }
        // Not in step with anything.
        sleep(Duration::from_millis(300 + n * 7_919 % 700)).await;
        self.in_flight.lock().unwrap()[upstream] -= 1;
    }
}

#[tokio::test(start_paused = true)]
async fn limits_hold_across_twenty_changes_under_load_and_no_request_is_lost() {
    const RATES: [f64; 3] = [5.0, 3.0, 10.0];
    const WIDTHS: [usize; 3] = [5, 3, 8];
    const LASTS: Duration = Duration::from_secs(60);
    let configuration = |weight: usize| {
        let model = |n: usize| {
            let limits = json!({ "requests_per_second": RATES[n] });
            json!({ "name": format!("m{n}"), "channel": "c", "limits": limits, "max_in_flight": WIDTHS[n],
                    "weight": 1 + (weight + n) % 4 })
        };
        resolved(&json!([model(0), model(1), model(2)]), "k")
    };
    let line = |lanes: Lanes| {
        let lanes = Arc::new(lanes);
        (Arc::clone(&lanes), Queue::new(lanes, 1_000, Duration::from_mins(1)))
    };
    let live = Arc::new(StdMutex::new(line(Lanes::new(&configuration(0), 7))));
    let book = Arc::new(Book::default());
    let begin = Instant::now();
    let clients: Vec<_> = (0..100_u64)
        .map(|n| {
            let (live, book) = (Arc::clone(&live), Arc::clone(&book));
            tokio::spawn(async move {
                while begin.elapsed() < LASTS {
                    let queue = Arc::clone(&live.lock().unwrap().1);
                    let deadline = Instant::now() + LASTS;
                    let need = Need::default();
                    let asking = Asking::first("auto", Class::Normal, n % 7, need, deadline);
                    let place = queue.enter(&asking).await.unwrap();
                    drop(queue);
                    book.ask(place.upstream).await;
                    place.tell(Ok(Answered::default()));
                }
            })
        })
        .collect();
    for change in 1..=20 {
        sleep(LASTS / 21).await;
        let old = Arc::clone(&live.lock().unwrap().0);
        *live.lock().unwrap() = line(old.successor(&configuration(change)));
    }
    for client in clients {
        client.await.unwrap();
    }
    let sent = book.sent.lock().unwrap();
    for (upstream, rate) in RATES.iter().enumerate() {
        let times: Vec<Instant> = sent.iter().filter(|(asked, _)| *asked == upstream).map(|(_, at)| *at).collect();
        for (n, from) in times.iter().enumerate() {
            for (m, to) in times.iter().enumerate().skip(n) {
                let allowed = 2.0 * rate + rate * (*to - *from).as_secs_f64();
                let seen = (m - n + 1) as f64;
                assert!(seen <= allowed + 1e-3, "{upstream}: {seen} of {allowed} within {:?}", *to - *from);
            }
        }
    }
    let most = book.most.lock().unwrap();
    assert!(most.iter().zip(WIDTHS).all(|(most, width)| *most <= width), "{most:?}");
    let used = sent.iter().filter(|(_, at)| *at < begin + LASTS).count() as f64;
    let allowed = RATES.iter().sum::<f64>() * LASTS.as_secs_f64();
    assert!(used >= 0.9 * allowed, "{used} of {allowed}");
    assert_eq!(*book.in_flight.lock().unwrap(), [0; 3]);
}
