mod again;
mod many;
mod outage;
mod rare;
mod scripts;

use domain::FailureKind;
use provider::{Failed, transport::TransportError};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, yield_now},
    time::{self, advance},
};

use super::*;
use crate::{ModelsFile, lanes::Answered, resolve};

struct House {
    lanes: Arc<Lanes>,
    queue: Arc<Queue>,
    /// Who got a place, in order.
    served: (mpsc::Sender<u64>, mpsc::Receiver<u64>),
}

impl House {
    fn new(models: &Value, length: usize, wait: u64) -> Self {
        let file = json!({ "channels": { "c": { "url": "http://h/v1" } }, "models": models });
        let file: ModelsFile = serde_json::from_value(file).unwrap();
        let resolved = resolve(&file, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let lanes = Arc::new(Lanes::new(&resolved, 7));
        let queue = Queue::new(Arc::clone(&lanes), length, Duration::from_secs(wait));
        Self { lanes, queue, served: mpsc::channel(10_000) }
    }

    fn one(width: usize, length: usize, wait: u64) -> Self {
        Self::new(&json!([{ "name": "a", "channel": "c", "max_in_flight": width }]), length, wait)
    }

    async fn enter(&self, class: Class, key: u64) -> Result<Place, Refused> {
        let deadline = Instant::now() + Duration::from_hours(1);
        self.queue.enter(&asking("auto", class, key, deadline)).await
    }

    /// Somebody who waits for a place, holds it for so long, and tells his number when he got it.
    fn ask(&self, route: &'static str, class: Class, key: u64, number: u64, ms: u64) -> JoinHandle<Option<Refused>> {
        let (queue, served) = (Arc::clone(&self.queue), self.served.0.clone());
        tokio::spawn(async move {
            let deadline = Instant::now() + Duration::from_hours(1);
            match queue.enter(&asking(route, class, key, deadline)).await {
                Ok(place) => {
                    served.try_send(number).unwrap();
                    time::sleep(Duration::from_millis(ms)).await;
                    place.tell(Ok(Answered::default()));
                    None
                }
                Err(refused) => Some(refused),
            }
        })
    }

    fn order(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.served.1.try_recv().ok()).collect()
    }

    fn throttle(&self, place: &Place, ms: u64) {
        fail(place, Failure::new(FailureKind::Throttled, "slow down").after_ms(Some(ms)));
    }
}

/// Somebody who asks for the first time.
fn asking(route: &str, class: Class, key: u64, deadline: Instant) -> Asking<'_> {
    Asking::first(route, class, key, Need::default(), deadline)
}

fn fail(place: &Place, failure: Failure) {
    place.tell(Err(&Failed { failure, is_reached: true, body: "".into(), lacks: None, hints: None }));
}

/// The upstream cannot be reached, which opens its breaker.
fn vanish(place: &Place) {
    let (to, cause) = ("h:80".to_owned(), "refused".to_owned());
    place.tell(Err(&TransportError::Connect { to, cause }.into()));
}

async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_finds_a_place_does_not_wait_and_others_get_it_in_the_order_in_which_they_came() {
    let mut house = House::one(1, 100, 60);
    let begin = Instant::now();
    let place = house.enter(Class::Normal, 1).await.unwrap();
    assert_eq!((begin.elapsed(), house.queue.n_waiting()), (Duration::ZERO, 0));
    let mut asked = Vec::new();
    for n in 0..5 {
        asked.push(house.ask("auto", Class::Normal, 1, n, 10));
        settle().await;
    }
    assert_eq!((house.queue.n_waiting(), house.order()), (5, vec![]));
    drop(place);
    for asked in asked {
        assert!(asked.await.unwrap().is_none());
    }
    assert_eq!((house.order(), house.queue.n_waiting()), (vec![0, 1, 2, 3, 4], 0));
    assert_eq!(begin.elapsed().as_millis(), 50);
}

#[tokio::test(start_paused = true)]
async fn classes_are_strict_but_every_twentieth_place_goes_to_a_lower_one() {
    let mut house = House::one(1, 1_000, 600);
    let place = house.enter(Class::Normal, 1).await.unwrap();
    let mut asked = Vec::new();
    for n in 0..100 {
        for (class, number) in [(Class::Batch, 2_000 + n), (Class::Normal, 1_000 + n), (Class::Interactive, n)] {
            asked.push(house.ask("auto", class, 1, number, 10));
        }
    }
    settle().await;
    drop(place);
    for asked in asked {
        assert!(asked.await.unwrap().is_none());
    }
    let order = house.order();
    let lower: Vec<(usize, u64)> = order[..100].iter().copied().enumerate().filter(|(_, n)| *n >= 1_000).collect();
    assert_eq!(lower, [(19, 1_000), (39, 2_000), (59, 1_001), (79, 2_001), (99, 1_002)]);
    // Once those are through, the normal ones go, with the floor for the last class.
    let batch = order[105..205].iter().filter(|n| **n >= 2_000).count();
    assert!((4..=6).contains(&batch), "{batch}");
    assert_eq!(order.len(), 300);
}

#[tokio::test(start_paused = true)]
async fn keys_take_turns_within_a_class() {
    let mut house = House::one(1, 1_000, 600);
    let place = house.enter(Class::Normal, 1).await.unwrap();
    let mut asked = Vec::new();
    for n in 0..20 {
        asked.push(house.ask("auto", Class::Normal, 1, 100 + n, 10));
    }
    settle().await;
    for n in 0..3 {
        asked.push(house.ask("auto", Class::Normal, 2, 200 + n, 10));
        asked.push(house.ask("auto", Class::Normal, 3, 300 + n, 10));
    }
    settle().await;
    drop(place);
    for asked in asked {
        assert!(asked.await.unwrap().is_none());
    }
    assert_eq!(house.order()[..10], [100, 200, 300, 101, 201, 301, 102, 202, 302, 103]);
}

#[tokio::test(start_paused = true)]
async fn one_route_that_is_full_keeps_no_other_one_waiting() {
    let models = json!([
        { "name": "a", "channel": "c", "max_in_flight": 1 },
        { "name": "b", "channel": "c", "max_in_flight": 1 },
    ]);
    let mut house = House::new(&models, 100, 60);
    let deadline = Instant::now() + Duration::from_hours(1);
    let _held = house.queue.enter(&asking("a", Class::Normal, 1, deadline)).await.unwrap();
    let waits = house.ask("a", Class::Interactive, 1, 1, 10);
    settle().await;
    let goes = house.ask("b", Class::Batch, 2, 2, 10);
    assert!(goes.await.unwrap().is_none());
    assert_eq!(house.order(), [2]);
    waits.abort();
    let _ = waits.await;
    assert_eq!(house.queue.n_waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_leaves_the_line_and_a_place_that_he_was_given_goes_to_the_next() {
    let mut house = House::one(1, 100, 60);
    let place = house.enter(Class::Normal, 1).await.unwrap();
    let first = house.ask("auto", Class::Normal, 1, 1, 10);
    let second = house.ask("auto", Class::Normal, 1, 2, 10);
    let third = house.ask("auto", Class::Normal, 1, 3, 10);
    settle().await;
    second.abort();
    settle().await;
    assert_eq!(house.queue.n_waiting(), 2);
    // The place is given to the first, who hangs up before he takes it.
    drop(place);
    first.abort();
    assert!(third.await.unwrap().is_none());
    assert_eq!((house.order(), house.queue.n_waiting()), (vec![3], 0));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_long_refuses_at_once_and_says_truly_when_to_come_back() {
    let house = House::one(4, 20, 600);
    // What the upstream takes is seen first: two seconds.
    for _ in 0..40 {
        let place = house.enter(Class::Normal, 1).await.unwrap();
        advance(Duration::from_secs(2)).await;
        place.tell(Ok(Answered::default()));
    }
    let asked: Vec<_> = (0..24).map(|n| house.ask("auto", Class::Normal, 1, n, 2_000)).collect();
    settle().await;
    assert_eq!(house.queue.n_waiting(), 20);
    let begin = Instant::now();
    let refused = house.enter(Class::Normal, 2).await.unwrap_err();
    assert!(matches!(refused.why, Why::TooLong));
    assert_eq!(begin.elapsed(), Duration::ZERO);
    // Twenty before it, four at a time, two seconds each.
    assert!((9_000..=12_000).contains(&refused.retry_after.as_millis()), "{:?}", refused.retry_after);
    time::sleep(refused.retry_after.max(Duration::from_millis(10_500))).await;
    let come_back = Instant::now();
    house.enter(Class::Normal, 2).await.unwrap();
    assert!(come_back.elapsed() <= Duration::from_secs(2), "{:?}", come_back.elapsed());
    for asked in asked {
        assert!(asked.await.unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn rates_give_places_by_the_clock_and_what_they_cannot_give_in_time_is_refused_at_once() {
    let limits = json!({ "requests_per_second": 0.5 });
    let mut house = House::new(&json!([{ "name": "a", "channel": "c", "limits": limits }]), 100, 11);
    let begin = Instant::now();
    let asked: Vec<_> = (0..20).map(|n| house.ask("auto", Class::Normal, 1, n, 10)).collect();
    let mut refused = Vec::new();
    for asked in asked {
        refused.extend(asked.await.unwrap());
    }
    // One at once, and then one every two seconds, of which five are within eleven seconds.
    assert_eq!(house.order(), [0, 1, 2, 3, 4, 5]);
    assert!((begin.elapsed().as_millis() as i64 - 10_010).abs() <= 20, "{:?}", begin.elapsed());
    assert_eq!(refused.len(), 14);
    let told = refused[0].retry_after;
    assert!((10_000..=14_000).contains(&told.as_millis()), "{told:?}");
    // Who waits as he was told is admitted at once.
    let now = Instant::now();
    time::sleep_until(begin + told).await;
    house.enter(Class::Normal, 2).await.unwrap();
    assert!(now.elapsed() <= told);
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_is_refused_at_his_deadline_and_told_when_a_place_is_likely() {
    let house = House::one(1, 100, 5);
    let _held = house.enter(Class::Normal, 1).await.unwrap();
    let begin = Instant::now();
    let refused = house.enter(Class::Normal, 1).await.unwrap_err();
    assert!((begin.elapsed().as_millis() as i64 - 5_000).abs() <= 2, "{:?}", begin.elapsed());
    assert!(matches!(refused.why, Why::TooSlow) && !refused.retry_after.is_zero());
    assert_eq!(house.queue.n_waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn upstreams_that_rest_for_longer_than_one_may_wait_refuse_at_once_and_with_their_time() {
    let house = House::one(9, 100, 5);
    let waits = {
        let place = house.enter(Class::Normal, 1).await.unwrap();
        house.throttle(&place, 3_000);
        house.ask("auto", Class::Normal, 1, 1, 10)
    };
    settle().await;
    assert_eq!(house.queue.n_waiting(), 1);
    // Three seconds are within his five.
    assert!(waits.await.unwrap().is_none());
    let place = house.enter(Class::Normal, 1).await.unwrap();
    let begin = Instant::now();
    house.throttle(&place, 30_000);
    let refused = house.enter(Class::Normal, 1).await.unwrap_err();
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert!(matches!(refused.why, Why::Away(Waiting::Throttled)), "{refused:?}");
    let told = refused.retry_after;
    assert!(told.as_secs() >= 29, "{told:?}");
    time::sleep(told).await;
    house.enter(Class::Normal, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_will_never_be_served_is_refused_with_the_reason_even_to_those_who_wait() {
    let house = House::one(1, 100, 600);
    let place = house.enter(Class::Normal, 1).await.unwrap();
    let waits = house.ask("auto", Class::Normal, 1, 1, 10);
    settle().await;
    let failure = Failure::new(FailureKind::Unauthorized, "no such key");
    place.tell(Err(&Failed { failure, is_reached: true, body: "".into(), lacks: None, hints: None }));
    let refused = waits.await.unwrap().unwrap();
    assert!(matches!(&refused.why, Why::Closed(failure) if failure.kind == FailureKind::Unauthorized), "{refused:?}");
    let deadline = Instant::now() + Duration::from_secs(1);
    let unknown = house.queue.enter(&asking("nobody", Class::Normal, 1, deadline)).await.unwrap_err();
    assert!(matches!(&unknown.why, Why::Closed(failure) if failure.message.contains("`nobody`")), "{unknown:?}");
    assert!(house.lanes.knows("auto"));
}
