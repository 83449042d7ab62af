use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::{Duration, Instant},
};

use domain::{Cost, FailureKind, Waiting, ports::Class};
use provider::{Abilities, Failed, Json, Lack, Question, Replied};
use serde_json::json;
use tokio::time;

use super::*;
use crate::{Learned, ModelsFile, resolve};

/// What the fake upstream does with its next request.
#[derive(Clone, Debug)]
enum Does {
    Answers,
    Fails(FailureKind, Option<u64>),
    /// Answers where it is asked for no more than this, and refuses what is beyond it.
    Takes(Abilities),
    Unreached,
    Hangs,
}

/// Upstreams that do what their script says, and answer when it is over; each request takes 100 ms.
#[derive(Default)]
struct Fake {
    scripts: Mutex<HashMap<usize, VecDeque<Does>>>,
    asked: Mutex<Vec<usize>>,
    asks: Mutex<Vec<Abilities>>,
}

impl Forward for Fake {
    fn forward<'a>(&'a self, upstream: usize, question: Question<'a>) -> BoxFuture<'a, Result<Replied, Failed>> {
        let Question { abilities: asks, deadline, .. } = question;
        self.asks.lock().unwrap().push(asks);
        self.asked.lock().unwrap().push(upstream);
        let next = self.scripts.lock().unwrap().entry(upstream).or_default().pop_front().unwrap_or(Does::Answers);
        let failed = |kind, wait| {
            let failure = Failure::new(kind, "words").after_ms(wait);
            Err(Failed { failure, is_reached: true, body: "raw".into(), lacks: None, hints: None })
        };
        let answered = || Ok(Replied { body: "{}".into(), request_id: Some("req-1".to_owned()), hints: None });
        let refused = |lack, said: &str| {
            let failure = Failure::new(FailureKind::Rejected, said);
            Err(Failed { failure, is_reached: true, body: "raw".into(), lacks: Some(lack), hints: None })
        };
        Box::pin(async move {
            time::sleep(Duration::from_millis(100)).await;
            match next {
                Does::Answers => answered(),
                Does::Takes(takes) if asks.json < takes.json => refused(Lack::Form, &format!("no {:?}", asks.json)),
                Does::Takes(takes) if asks.stream_options && !takes.stream_options => {
                    refused(Lack::StreamOptions, "no options")
                }
                Does::Takes(_) => answered(),
                Does::Fails(kind, wait) => failed(kind, wait),
                Does::Unreached => {
                    let failure = Failure::new(FailureKind::Unavailable, "cannot connect");
                    Err(Failed { failure, is_reached: false, body: Bytes::new(), lacks: None, hints: None })
                }
                Does::Hangs => {
                    time::sleep_until(deadline.into()).await;
                    failed(FailureKind::Timeout, None)
                }
            }
        })
    }
}

struct House {
    fake: Arc<Fake>,
    gateway: Gateway,
}

impl House {
    /// A gateway with models `a`, `b`, ... of these widths and weights.
    fn new(models: &[(usize, u32)]) -> Self {
        let model = |(n, (width, weight)): (usize, &(usize, u32))| {
            let name = char::from(b'a' + u8::try_from(n).unwrap()).to_string();
            json!({ "name": name, "channel": "c", "max_in_flight": width, "weight": weight })
        };
        Self::of(&models.iter().enumerate().map(model).collect::<Vec<_>>())
    }

    fn of(models: &[serde_json::Value]) -> Self {
        let file = json!({ "channels": { "c": { "url": "http://h/v1" } }, "models": models });
        let file: ModelsFile = serde_json::from_value(file).unwrap();
        let resolved = resolve(&file, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let fake = Arc::new(Fake::default());
        Self { gateway: Gateway::with_forward(&resolved, fake.clone(), 7), fake }
    }

    fn script(&self, upstream: usize, script: &[Does]) {
        self.fake.scripts.lock().unwrap().entry(upstream).or_default().extend(script.iter().cloned());
    }

    fn asks(&self) -> Vec<Abilities> {
        std::mem::take(&mut self.fake.asks.lock().unwrap())
    }

    fn asked(&self) -> Vec<usize> {
        std::mem::take(&mut self.fake.asked.lock().unwrap())
    }

    fn reserve(&self) -> Reserve {
        self.reserve_at("auto")
    }

    fn reserve_at(&self, route: &str) -> Reserve {
        self.gateway.reserve(&Reservation { route, tokens: 100, class: Class::Normal, deadline: deadline() })
    }

    fn permit(&self) -> Permit {
        match self.reserve() {
            Reserve::Permit(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    fn not_before(&self) -> (Option<Duration>, Waiting) {
        match self.reserve() {
            Reserve::NotBefore(wait) => (wait.at.map(|at| at - time::Instant::now().into_std()), wait.reason),
            other => panic!("{other:?}"),
        }
    }

    fn closed(&self) -> Failure {
        match self.reserve() {
            Reserve::Closed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    async fn complete(&self, permit: Permit) -> Result<ModelAnswer, (Failure, Bytes)> {
        let request = ModelRequest {
            ask: domain::ports::Ask::Chat,
            route: "auto".into(),
            body: "{}".into(),
            deadline: deadline(),
        };
        self.gateway.complete(request, permit).await
    }

    async fn fail(&self) -> (FailureKind, Cost) {
        let (failure, _) = self.complete(self.permit()).await.unwrap_err();
        (failure.kind, failure.cost)
    }
}

fn deadline() -> Instant {
    time::Instant::now().into_std() + Duration::from_secs(10)
}

const FAULT: Does = Does::Fails(FailureKind::Unavailable, None);

#[tokio::test(start_paused = true)]
async fn an_answer_comes_with_who_gave_it_and_how_long_it_took() {
    let house = House::new(&[(1, 1)]);
    let answer = house.complete(house.permit()).await.unwrap();
    assert_eq!((&*answer.upstream, answer.latency), ("a", Duration::from_millis(100)));
    assert_eq!((answer.body.as_ref(), answer.request_id.as_deref()), (b"{}".as_ref(), Some("req-1")));
}

#[tokio::test(start_paused = true)]
async fn a_full_upstream_says_so_and_a_freed_place_is_told() {
    let house = House::new(&[(2, 1)]);
    let (one, _two) = (house.permit(), house.permit());
    assert_eq!(house.not_before(), (None, Waiting::Width));
    // Whether the place is freed before anybody waits, or while two do.
    drop(one);
    house.gateway.width_freed().await;
    let one = house.permit();
    let (first, second) = (house.gateway.width_freed(), house.gateway.width_freed());
    house.complete(one).await.unwrap();
    tokio::join!(first, second);
    drop(house.permit());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_called_off_frees_its_place() {
    let house = House::new(&[(1, 1)]);
    house.script(0, &[Does::Hangs]);
    let called_off = time::timeout(Duration::from_secs(1), house.complete(house.permit())).await;
    assert!(called_off.is_err());
    house.permit();
}

#[tokio::test(start_paused = true)]
async fn requests_are_shared_by_weight_among_those_with_a_place() {
    let house = House::new(&[(100, 3), (100, 1), (1, 1)]);
    let held: Vec<Permit> = (0..20).map(|_| house.permit()).collect();
    for permit in held {
        house.complete(permit).await.unwrap();
    }
    let asked = house.asked();
    let n = |upstream: usize| asked.iter().filter(|asked| **asked == upstream).count();
    assert_eq!(n(2), 1);
    assert!((13..=15).contains(&n(0)), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_upstream_rests_for_as_long_as_it_asked_and_the_lane_pays() {
    let house = House::new(&[(9, 1)]);
    house.script(0, &[Does::Fails(FailureKind::Throttled, Some(2_500))]);
    assert_eq!(house.fail().await, (FailureKind::Throttled, Cost::Lane));
    assert_eq!(house.not_before(), (Some(Duration::from_millis(2_500)), Waiting::Throttled));
    time::advance(Duration::from_millis(2_500)).await;
    house.complete(house.permit()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_cannot_be_reached_is_probed_by_one_request_at_a_time() {
    let house = House::new(&[(9, 1)]);
    house.script(0, &[Does::Unreached, Does::Unreached]);
    assert_eq!(house.fail().await, (FailureKind::Unavailable, Cost::Lane));
    let (at, reason) = house.not_before();
    assert_eq!(at, Some(Duration::from_secs(2)));
    assert!(matches!(&reason, Waiting::Outage(words) if words == "`a`: cannot connect"), "{reason:?}");
    time::advance(Duration::from_secs(2)).await;
    let probe = house.permit();
    assert!(matches!(house.not_before(), (None, Waiting::Outage(_))));
    // A probe that never went out leaves its turn to the next.
    drop(probe);
    house.gateway.width_freed().await;
    assert_eq!(house.fail().await, (FailureKind::Unavailable, Cost::Lane));
    assert_eq!(house.not_before().0, Some(Duration::from_secs(4)));
    time::advance(Duration::from_secs(4)).await;
    house.complete(house.permit()).await.unwrap();
    drop((house.permit(), house.permit()));
}

#[tokio::test(start_paused = true)]
async fn ten_faults_in_a_row_cost_the_records_and_then_the_lane() {
    let house = House::new(&[(99, 1)]);
    house.script(0, &vec![FAULT; 12]);
    // Two more are in flight when the tenth fails.
    let late = (house.permit(), house.permit());
    for _ in 0..10 {
        assert_eq!(house.fail().await, (FailureKind::Unavailable, Cost::Record));
    }
    assert!(matches!(house.not_before(), (Some(_), Waiting::Outage(_))));
    for permit in [late.0, late.1] {
        assert_eq!(house.complete(permit).await.unwrap_err().0.cost, Cost::Lane);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_one_upstream_goes_on_to_the_next_within_the_attempt() {
    let house = House::new(&[(9, 1), (9, 1), (9, 1)]);
    house.script(0, &[Does::Fails(FailureKind::Throttled, None)]);
    house.script(1, &[FAULT]);
    let answer = house.complete(house.permit()).await.unwrap();
    assert_eq!((house.asked(), &*answer.upstream), (vec![0, 1, 2], "c"));
    assert_eq!(answer.latency, Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn each_upstream_is_asked_once_and_the_last_failure_is_told() {
    let house = House::new(&[(9, 1), (9, 1)]);
    house.script(0, &[FAULT, FAULT]);
    house.script(1, &[Does::Fails(FailureKind::Timeout, None)]);
    let (failure, body) = house.complete(house.permit()).await.unwrap_err();
    assert_eq!(house.asked(), [0, 1]);
    assert_eq!(
        (failure.kind, failure.message.as_str(), body.as_ref()),
        (FailureKind::Timeout, "`b`: words", b"raw".as_ref())
    );
}

#[tokio::test(start_paused = true)]
async fn what_another_upstream_cannot_help_stays_with_the_first() {
    let house = House::new(&[(9, 1), (1, 1)]);
    house.script(0, &[Does::Fails(FailureKind::Rejected, None), Does::Hangs, FAULT]);
    assert_eq!(house.fail().await, (FailureKind::Rejected, Cost::Record));
    assert_eq!(house.asked(), [0]);
    let _full = house.permit();
    // The deadline is over, and the other one has no place.
    assert_eq!(house.fail().await, (FailureKind::Timeout, Cost::Record));
    assert_eq!(house.fail().await, (FailureKind::Unavailable, Cost::Record));
    assert_eq!(house.asked(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_key_closes_the_route_only_where_nobody_else_is_left() {
    let house = House::new(&[(9, 1), (9, 1)]);
    house.script(0, &[Does::Fails(FailureKind::Unauthorized, None)]);
    house.script(1, &[Does::Answers, Does::Fails(FailureKind::ExhaustedCredit, None)]);
    house.complete(house.permit()).await.unwrap();
    assert_eq!(house.fail().await, (FailureKind::ExhaustedCredit, Cost::Lane));
    assert_eq!(house.asked(), [0, 1, 1]);
    let closed = house.closed();
    assert_eq!(closed.kind, FailureKind::Unauthorized);
    assert_eq!(closed.message, "`a`: key not accepted (words); `b`: no credit (words)");
}

#[tokio::test(start_paused = true)]
async fn what_an_upstream_does_not_take_is_left_out_at_once_and_from_then_on() {
    let house = House::new(&[(9, 1)]);
    let mut notices = house.gateway.notices().unwrap();
    assert!(house.gateway.notices().is_none());
    let takes = Abilities { json: Json::None, stream_options: false };
    house.script(0, &vec![Does::Takes(takes); 5]);
    let begin = time::Instant::now();
    let answer = house.complete(house.permit()).await.unwrap();
    // Schema, object, neither, and without options: four requests, one attempt, and the last one's latency.
    assert_eq!((house.asked().len(), answer.latency), (4, Duration::from_millis(100)));
    assert_eq!(begin.elapsed(), Duration::from_millis(400));
    house.complete(house.permit()).await.unwrap();
    assert_eq!((house.asked().len(), house.asks().pop()), (1, Some(takes)));
    let told: Vec<_> = std::iter::from_fn(|| notices.try_recv().ok()).map(|it| (it.learned, it.said)).collect();
    let expected = [(Learned::NoForm, "no Object"), (Learned::NoStreamOptions, "no options")];
    assert_eq!(told, expected.map(|(learned, said)| (learned, said.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn those_that_are_in_flight_together_learn_it_together_and_it_is_told_once() {
    let house = House::new(&[(9, 1)]);
    let mut notices = house.gateway.notices().unwrap();
    let takes = Abilities { json: Json::Object, stream_options: true };
    house.script(0, &vec![Does::Takes(takes); 9]);
    let (one, two, three) = (house.permit(), house.permit(), house.permit());
    let all = tokio::join!(house.complete(one), house.complete(two), house.complete(three));
    assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok());
    assert_eq!(house.asked().len(), 6);
    let told: Vec<String> = std::iter::from_fn(|| notices.try_recv().ok()).map(|it| it.to_string()).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("`a` takes no JSON Schema as `response_format` (no Schema): "), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_asking_for_less_does_not_mend_teaches_nothing() {
    let house = House::new(&[(9, 1)]);
    let less = Abilities { json: Json::Object, stream_options: true };
    house.script(0, &[Does::Takes(less), Does::Fails(FailureKind::Rejected, None), Does::Takes(less)]);
    assert_eq!(house.fail().await, (FailureKind::Rejected, Cost::Record));
    house.complete(house.permit()).await.unwrap();
    let asks: Vec<Json> = house.asks().iter().map(|asks| asks.json).collect();
    assert_eq!(asks, [Json::Schema, Json::Object, Json::Schema, Json::Object]);
}

#[tokio::test(start_paused = true)]
async fn what_the_models_file_says_is_believed() {
    for (said, asked) in [("schema", Json::Schema), ("object", Json::Object), ("none", Json::None)] {
        let house = House::of(&[json!({ "name": "a", "channel": "c", "json": said })]);
        house.script(0, &[Does::Takes(Abilities { json: Json::None, stream_options: true })]);
        let answered = house.complete(house.permit()).await;
        assert_eq!(answered.is_ok(), said == "none");
        assert_eq!(house.asks().iter().map(|asks| asks.json).collect::<Vec<_>>(), [asked]);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_less_after_the_deadline() {
    let house = House::new(&[(9, 1)]);
    house.script(0, &[Does::Takes(Abilities { json: Json::None, stream_options: true })]);
    let deadline = time::Instant::now().into_std() + Duration::from_millis(50);
    let request = ModelRequest { ask: domain::ports::Ask::Chat, route: "auto".into(), body: "{}".into(), deadline };
    let (failure, _) = house.gateway.complete(request, house.permit()).await.unwrap_err();
    assert_eq!((failure.kind, house.asked()), (FailureKind::Rejected, vec![0]));
}

#[tokio::test(start_paused = true)]
async fn an_outage_beyond_its_limit_closes_the_route() {
    let house = House::new(&[(9, 1)]);
    house.script(0, &vec![Does::Unreached; 10_000]);
    let begin = time::Instant::now();
    let closed = loop {
        match house.reserve() {
            Reserve::Permit(permit) => assert_eq!(house.complete(permit).await.unwrap_err().0.cost, Cost::Lane),
            Reserve::NotBefore(wait) => time::sleep_until(wait.at.unwrap().into()).await,
            Reserve::Closed(failure) => break failure,
        }
    };
    let (after, day) = (begin.elapsed(), Duration::from_hours(24));
    assert!(after > day && after < day + Duration::from_mins(2), "{after:?}");
    assert_eq!(closed.kind, FailureKind::Unavailable);
    assert!(closed.message.contains("for 86"), "{}", closed.message);
}

#[tokio::test(start_paused = true)]
async fn names_that_lead_nowhere_are_told_with_those_that_do() {
    let house = House::new(&[(1, 1), (1, 1)]);
    assert!(house.gateway.knows("auto") && house.gateway.knows("b") && !house.gateway.knows("z"));
    let Reserve::Closed(failure) = house.reserve_at("z") else { panic!("a permit for nothing") };
    assert_eq!(failure.message, "there is no model or route `z`; there are `a`, `b`, `auto`");
}

#[tokio::test(start_paused = true)]
async fn a_permit_of_another_gateway_is_refused() {
    let (house, other) = (House::new(&[(1, 1)]), House::new(&[(1, 1)]));
    for permit in [other.permit(), Permit::new(())] {
        assert_eq!(house.complete(permit).await.unwrap_err().0.kind, FailureKind::Internal);
    }
    assert_eq!(house.asked(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_deadline() {
    let house = House::new(&[(1, 1)]);
    let request = ModelRequest {
        ask: domain::ports::Ask::Chat,
        route: "auto".into(),
        body: "{}".into(),
        deadline: time::Instant::now().into_std(),
    };
    let (failure, _) = house.gateway.complete(request, house.permit()).await.unwrap_err();
    assert_eq!((failure.kind, house.asked()), (FailureKind::Timeout, vec![]));
}
