//! A long line costs no more than a short one: a place is looked for once for those who wait for the same, however many.

use super::*;
use crate::need::Wants;

const MANY: usize = 10_000;
/// What they wait for: one of two who sees, one of two, and the one who sees.
const N_LINES: usize = 3;

/// Ten thousand in line before two models that are full, and the places there.
async fn crowd() -> (House, Vec<JoinHandle<Result<Place, Refused>>>, [Place; 2]) {
    let models = json!([
        { "name": "a", "channel": "c", "max_in_flight": 1, "abilities": { "vision": false } },
        { "name": "b", "channel": "c", "max_in_flight": 1 },
    ]);
    let house = House::new(&models, MANY, 60);
    let [Picked::Place(a), Picked::Place(b)] = ["a", "b"].map(|name| house.lanes.pick(name, &[], Need::default()))
    else {
        panic!("they are free")
    };
    let ask = |n: usize| {
        let queue = Arc::clone(&house.queue);
        async move {
            let route = ["auto", "b"][n % 2];
            let class = [Class::Interactive, Class::Normal, Class::Batch][n % 3];
            let abilities = Wants { vision: n % 4 < 2, ..Wants::default() };
            let need = Need { abilities, ..Need::default() };
            let deadline = Instant::now() + Duration::from_hours(1);
            queue.enter(&Asking::first(route, class, (n % 101) as u64, need, deadline)).await
        }
    };
    let asked = (0..MANY).map(|n| tokio::spawn(ask(n))).collect();
    time::sleep(Duration::from_millis(1)).await;
    assert_eq!(house.queue.n_waiting(), MANY);
    // Each who joins looks at most once, where he is the first of his line.
    assert!(house.n_looks() <= MANY);
    (house, asked, [a, b])
}

impl House {
    /// Returns how often a place was looked for since it was asked last.
    fn n_looks(&self) -> usize {
        self.queue.n_looks.swap(0, Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_freed_is_looked_for_once_for_each_line() {
    let (house, asked, [_a, b]) = crowd().await;
    b.tell(Ok(Answered::default()));
    assert_eq!((house.n_looks(), house.queue.n_waiting()), (N_LINES + 1, MANY - 1));
    // All at once who can wait no longer, and each who has a place gives it to the next.
    for asked in asked {
        drop(asked.await.unwrap());
    }
    assert_eq!(house.queue.n_waiting(), 0);
    assert!(house.n_looks() <= (N_LINES + 1) * MANY);
}

#[tokio::test(start_paused = true)]
async fn a_line_whose_time_is_over_all_at_once_goes_away_one_by_one() {
    let (house, asked, _held) = crowd().await;
    let begin = Instant::now();
    for asked in asked {
        assert!(matches!(asked.await.unwrap().unwrap_err().why, Why::TooSlow));
    }
    assert!((59_990..60_010).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    assert!(house.n_looks() <= 2 * MANY);
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_is_too_long_for_all_is_found_out_once_for_each_line() {
    let (house, asked, [a, b]) = crowd().await;
    house.throttle(&b, 30_000);
    assert!(house.n_looks() <= N_LINES);
    assert_eq!(house.queue.n_waiting(), MANY, "thirty seconds are within their minute");
    house.throttle(&a, 90_000);
    house.throttle(&b, 90_000);
    // The second word of `b` is about the same request; it counts nevertheless.
    assert!(house.n_looks() <= 3 * N_LINES);
    assert_eq!(house.queue.n_waiting(), MANY);
    time::sleep(Duration::from_secs(31)).await;
    for asked in asked {
        let refused = asked.await.unwrap().unwrap_err();
        assert!(matches!(refused.why, Why::Away(Waiting::Throttled)), "{refused:?}");
    }
}
