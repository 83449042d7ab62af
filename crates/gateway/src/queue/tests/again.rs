//! Whom an upstream failed, in line for another one.

use super::*;

/// Two models, each with one place.
fn two(wait: u64) -> House {
    let model = |name: &str| json!({ "name": name, "channel": "c", "max_in_flight": 1 });
    House::new(&json!([model("a"), model("b")]), 100, wait)
}

impl House {
    /// Takes the place at that upstream.
    fn place_at(&self, upstream: usize) -> Place {
        let name = ["a", "b", "c"][upstream];
        match self.lanes.pick(name, &[], Need::default()) {
            Picked::Place(place) => place,
            other => panic!("{other:?}"),
        }
    }

    /// Somebody whom these have failed, of this class and key, who came so long ago and has stood in line for as long.
    fn ask_again(
        &self,
        tried: &'static [usize],
        (class, key): (Class, u64),
        number: u64,
        ago: Duration,
    ) -> JoinHandle<Option<Refused>> {
        let (queue, served) = (Arc::clone(&self.queue), self.served.0.clone());
        tokio::spawn(async move {
            let first = asking("auto", class, key, Instant::now() + Duration::from_hours(1));
            let asking = Asking { tried, since: Instant::now() - ago, waited: ago, ..first };
            match queue.enter(&asking).await {
                Ok(place) => {
                    assert!(!tried.contains(&place.upstream));
                    served.try_send(number).unwrap();
                    place.tell(Ok(Answered::default()));
                    None
                }
                Err(refused) => Some(refused),
            }
        })
    }
}

const NOW: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn whom_one_failed_waits_for_the_other_and_goes_before_those_who_came_later() {
    time::advance(Duration::from_mins(1)).await;
    let mut house = two(60);
    let held = (house.place_at(0), house.place_at(1));
    let mut asked = vec![house.ask("b", Class::Normal, 1, 1, 0)];
    settle().await;
    for (number, key) in [(9, 3), (10, 1), (11, 1)] {
        asked.push(house.ask("auto", Class::Normal, key, number, 0));
        settle().await;
    }
    // He came later to this line than those, and a second before them to the gateway; and so did another, later than he.
    asked.push(house.ask_again(&[0], (Class::Normal, 1), 3, Duration::from_secs(1)));
    asked.push(house.ask_again(&[0], (Class::Normal, 2), 2, Duration::from_secs(2)));
    asked.push(house.ask("auto", Class::Interactive, 1, 0, 0));
    settle().await;
    assert_eq!((house.queue.n_waiting(), house.order()), (7, vec![]));
    drop(held.1);
    settle().await;
    let order = house.order();
    // Classes are strict, and routes take turns; within the route those who were failed go first, by who came first.
    let of_auto: Vec<u64> = order.into_iter().filter(|number| *number != 1).collect();
    assert_eq!(of_auto, [0, 2, 3, 9, 10, 11]);
    drop(held.0);
    for asked in asked {
        assert!(asked.await.unwrap().is_none());
    }
    assert_eq!(house.queue.n_waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_comes_again_waits_for_what_is_left_of_his_time_in_line() {
    time::advance(Duration::from_mins(1)).await;
    let house = two(10);
    let _held = (house.place_at(0), house.place_at(1));
    let begin = Instant::now();
    let refused = house.ask_again(&[0], (Class::Normal, 1), 1, Duration::from_secs(7)).await.unwrap().unwrap();
    assert!((begin.elapsed().as_millis() as i64 - 3_000).abs() <= 2, "{:?}", begin.elapsed());
    assert!(matches!(refused.why, Why::TooSlow), "{refused:?}");
    let begin = Instant::now();
    house.ask_again(&[0], (Class::Normal, 1), 1, Duration::from_secs(10)).await.unwrap().unwrap();
    assert!(begin.elapsed().as_millis() <= 2, "{:?}", begin.elapsed());
    assert_eq!(house.queue.n_waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_rests_is_waited_for_as_one_that_is_full_is() {
    let mut house = two(10);
    house.throttle(&house.place_at(1), 4_000);
    let begin = Instant::now();
    assert!(house.ask_again(&[0], (Class::Normal, 1), 1, NOW).await.unwrap().is_none());
    assert!((4_000..4_500).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    assert_eq!(house.order(), [1]);
    // And not where it rests for longer than he may wait.
    house.throttle(&house.place_at(1), 30_000);
    let begin = Instant::now();
    let refused = house.ask_again(&[0], (Class::Normal, 1), 2, NOW).await.unwrap().unwrap();
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert!(matches!(refused.why, Why::Away(Waiting::Throttled)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn where_no_other_can_be_asked_who_comes_again_is_told_at_once() {
    let house = two(60);
    let told_at_once = async |tried| {
        let begin = Instant::now();
        let refused = house.ask_again(tried, (Class::Normal, 1), 1, NOW).await.unwrap().unwrap();
        assert_eq!((begin.elapsed(), house.queue.n_waiting()), (Duration::ZERO, 0));
        assert!(matches!(refused.why, Why::Closed(_)), "{refused:?}");
    };
    // All were tried.
    told_at_once(&[0, 1]).await;
    // The other is broken: it may stay so.
    vanish(&house.place_at(1));
    told_at_once(&[0]).await;
    // It is tried again by whoever comes when it is due, also by him.
    time::sleep(Duration::from_secs(3)).await;
    assert!(house.ask_again(&[0], (Class::Normal, 1), 1, NOW).await.unwrap().is_none());
    // Its key is dead.
    fail(&house.place_at(1), Failure::new(FailureKind::Unauthorized, "no"));
    told_at_once(&[0]).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_last_one_left_is_told_when_it_breaks() {
    let house = two(60);
    let held = house.place_at(1);
    let waits = house.ask_again(&[0], (Class::Normal, 1), 1, NOW);
    let fresh = house.ask("b", Class::Normal, 1, 2, 0);
    settle().await;
    assert_eq!(house.queue.n_waiting(), 2);
    let begin = Instant::now();
    vanish(&held);
    let refused = waits.await.unwrap().unwrap();
    assert!(matches!(refused.why, Why::Closed(_)), "{refused:?}");
    assert_eq!((begin.elapsed(), house.queue.n_waiting()), (Duration::ZERO, 1));
    // Whom nobody has failed has nothing to tell, and waits.
    assert!(fresh.await.unwrap().is_none());
    assert!(begin.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_failures_makes_the_line_no_longer_than_it_may_be() {
    let mut models = vec![json!({ "name": "a", "channel": "c", "max_in_flight": 1_000 })];
    models.push(json!({ "name": "b", "channel": "c", "max_in_flight": 1 }));
    let house = House::new(&json!(models), 20, 60);
    let _held = house.place_at(1);
    let asked: Vec<_> = (0..200).map(|n| house.ask_again(&[0], (Class::Normal, n), n, NOW)).collect();
    settle().await;
    assert_eq!(house.queue.n_waiting(), 20);
    let begin = Instant::now();
    let mut n_refused = 0;
    for asked in asked.into_iter().skip(20) {
        let refused = asked.await.unwrap().unwrap();
        assert!(matches!(refused.why, Why::TooLong), "{refused:?}");
        n_refused += 1;
    }
    assert_eq!((n_refused, begin.elapsed()), (180, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_upstreams_are_left_can_differ_in_so_many_ways_and_no_more() {
    let names: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
    let models: Vec<_> = names.iter().map(|name| json!({ "name": name, "channel": "c", "max_in_flight": 1 })).collect();
    let house = House::new(&json!(models), 10_000, 60);
    let held: Vec<_> = (0..12).map(|_| house.lanes.pick("auto", &[], Need::default())).collect();
    let mut asked = Vec::new();
    for n in 0..12 {
        for m in 0..n {
            let queue = Arc::clone(&house.queue);
            asked.push(tokio::spawn(async move {
                let first = asking("auto", Class::Normal, 1, Instant::now() + Duration::from_mins(10));
                queue.enter(&Asking { tried: &[n, m], ..first }).await.map(|_| ())
            }));
        }
    }
    settle().await;
    assert_eq!((asked.len(), house.queue.n_waiting()), (66, 64));
    drop(held);
    let mut n_refused = 0;
    for asked in asked {
        n_refused += usize::from(asked.await.unwrap().is_err());
    }
    assert_eq!((n_refused, house.queue.n_waiting()), (2, 0));
}
