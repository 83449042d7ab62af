//! Those who wait for what not every upstream can do, among those who do not.

use super::*;
use crate::need::Wants;

/// Two models with one place each, of which only `b` sees.
fn one_sees() -> House {
    let model = |name: &str, sees: bool| {
        let abilities = json!({ "vision": sees });
        json!({ "name": name, "channel": "c", "max_in_flight": 1, "abilities": abilities })
    };
    House::new(&json!([model("a", false), model("b", true)]), 1_000, 600)
}

impl House {
    /// Somebody who shows an image, or does not.
    fn ask_to_see(&self, sees: bool, (class, key): (Class, u64), number: u64, ms: u64) -> JoinHandle<()> {
        let (queue, served) = (Arc::clone(&self.queue), self.served.0.clone());
        tokio::spawn(async move {
            let abilities = Wants { vision: sees, ..Wants::default() };
            let need = Need { abilities, ..Need::default() };
            let deadline = Instant::now() + Duration::from_hours(1);
            let place = queue.enter(&Asking::first("auto", class, key, need, deadline)).await.unwrap();
            assert!(place.upstream == 1 || !sees);
            served.try_send(number).unwrap();
            time::sleep(Duration::from_millis(ms)).await;
            place.tell(Ok(Answered::default()));
        })
    }
}

fn seeing(house: &House) -> Place {
    match house.lanes.pick("b", &[], Need::default()) {
        Picked::Place(place) => place,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_what_is_rare_keeps_nobody_waiting_who_does_not() {
    let mut house = one_sees();
    let held = seeing(&house);
    let sees = house.ask_to_see(true, (Class::Interactive, 1), 1, 10);
    settle().await;
    let begin = Instant::now();
    let asked: Vec<_> = (10..20).map(|n| house.ask_to_see(false, (Class::Batch, 1), n, 10)).collect();
    for asked in asked {
        asked.await.unwrap();
    }
    // One after the other, all of them at the other one.
    assert_eq!((begin.elapsed().as_millis(), house.order()), (100, (10..20).collect()));
    assert_eq!(house.queue.n_waiting(), 1);
    drop(held);
    sees.await.unwrap();
    assert_eq!((house.order(), house.queue.n_waiting()), (vec![1], 0));
}

#[tokio::test(start_paused = true)]
async fn who_needs_what_is_rare_has_his_turn_at_it_among_those_who_do_not() {
    let mut house = one_sees();
    let held = seeing(&house);
    let _other = match house.lanes.pick("a", &[], Need::default()) {
        Picked::Place(place) => place,
        other => panic!("{other:?}"),
    };
    let mut asked = Vec::new();
    // Of one key; who came first is first, whatever he needs.
    for (number, sees) in [(1, false), (2, true), (3, false), (4, true), (5, false)] {
        asked.push(house.ask_to_see(sees, (Class::Normal, 1), number, 10));
        settle().await;
    }
    drop(held);
    for asked in asked {
        asked.await.unwrap();
    }
    assert_eq!(house.order(), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn the_lowest_class_does_not_starve_while_the_highest_waits_for_what_is_rare() {
    let mut house = one_sees();
    let _held = seeing(&house);
    let other = match house.lanes.pick("a", &[], Need::default()) {
        Picked::Place(place) => place,
        other => panic!("{other:?}"),
    };
    let rare = house.ask_to_see(true, (Class::Interactive, 1), 1, 10);
    let mut asked = Vec::new();
    for n in 0..60 {
        asked.push(house.ask_to_see(false, (Class::Batch, 1), 2_000 + n, 10));
        asked.push(house.ask_to_see(false, (Class::Normal, 1), 1_000 + n, 10));
    }
    settle().await;
    drop(other);
    for asked in asked {
        asked.await.unwrap();
    }
    let order = house.order();
    let of_batch: Vec<usize> = (0..60).filter(|at| order[*at] >= 2_000).collect();
    assert_eq!(of_batch, [19, 39, 59]);
    rare.abort();
}

#[tokio::test(start_paused = true)]
async fn who_came_first_and_needs_what_is_rare_is_not_passed_by_all_who_were_failed_elsewhere() {
    time::advance(Duration::from_mins(1)).await;
    let mut house = one_sees();
    let held = seeing(&house);
    let again = |number: u64, came: Instant| {
        let (queue, served) = (Arc::clone(&house.queue), house.served.0.clone());
        tokio::spawn(async move {
            let first = asking("auto", Class::Normal, 1, came + Duration::from_hours(1));
            let place = queue.enter(&Asking { tried: &[0], since: came, ..first }).await.unwrap();
            served.try_send(number).unwrap();
            place.tell(Ok(Answered::default()));
        })
    };
    let now = Instant::now();
    let sees = house.ask_to_see(true, (Class::Normal, 2), 5, 0);
    settle().await;
    time::advance(Duration::from_secs(2)).await;
    // They came after him and before him.
    let others = [again(8, now + A_MOMENT), again(2, now - A_MOMENT), again(9, now + 2 * A_MOMENT)];
    settle().await;
    assert_eq!((house.queue.n_waiting(), house.order()), (4, vec![]));
    drop(held);
    sees.await.unwrap();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(house.order(), [2, 5, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn those_behind_who_needs_many_tokens_go_when_he_goes_away() {
    let limits = json!({ "tokens_per_minute": 6_000 });
    let mut house = House::new(&json!([{ "name": "a", "channel": "c", "limits": limits }]), 100, 60);
    let ask = |number: u64, tokens: u64| {
        let (queue, served) = (Arc::clone(&house.queue), house.served.0.clone());
        tokio::spawn(async move {
            let need = Need { tokens, ..Need::default() };
            let deadline = Instant::now() + Duration::from_hours(1);
            let place = queue.enter(&Asking::first("auto", Class::Normal, 1, need, deadline)).await.unwrap();
            served.try_send(number).unwrap();
            place.tell(Ok(Answered { usage: None, first_byte: None }));
        })
    };
    ask(1, 5_900).await.unwrap();
    // Fifty seconds until there are as many again; those behind him need what is there.
    let greedy = ask(2, 5_000);
    settle().await;
    let modest = [ask(3, 20), ask(4, 20)];
    settle().await;
    assert_eq!((house.queue.n_waiting(), house.order()), (3, vec![1]));
    let begin = Instant::now();
    greedy.abort();
    for modest in modest {
        modest.await.unwrap();
    }
    assert_eq!((begin.elapsed(), house.order()), (Duration::ZERO, vec![3, 4]));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_needs_different_things_has_no_more_turns_than_others() {
    let mut house = one_sees();
    let held = seeing(&house);
    let _other = match house.lanes.pick("a", &[], Need::default()) {
        Picked::Place(place) => place,
        other => panic!("{other:?}"),
    };
    let mut asked = Vec::new();
    for (number, sees, key) in
        [(10, false, 1), (11, true, 1), (12, false, 1), (13, true, 1), (20, true, 2), (21, true, 2)]
    {
        asked.push(house.ask_to_see(sees, (Class::Normal, key), number, 10));
        settle().await;
    }
    drop(held);
    for asked in asked {
        asked.await.unwrap();
    }
    assert_eq!(house.order(), [10, 20, 11, 21, 12, 13]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fills_the_time_of_a_line_does_not_keep_others_out() {
    let limits = json!({ "requests_per_second": 1 });
    let mut house = House::new(&json!([{ "name": "a", "channel": "c", "limits": limits }]), 100, 10);
    let flood: Vec<_> = (100..150).map(|n| house.ask("auto", Class::Normal, 1, n, 1)).collect();
    settle().await;
    let n_waiting = house.queue.n_waiting();
    assert!((9..=11).contains(&n_waiting), "{n_waiting}");
    // By the count of those before him his turn would come too late; by that of turns it is the second from now.
    assert!(house.ask("auto", Class::Normal, 2, 1, 1).await.unwrap().is_none());
    let order = house.order();
    assert!(order.iter().position(|n| *n == 1).unwrap() <= 4, "{order:?}");
    for asked in flood {
        asked.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_a_schema_is_one_for_those_who_are_left_where_nobody_takes_it() {
    let models = json!([
        { "name": "a", "channel": "c", "max_in_flight": 1 },
        { "name": "b", "channel": "c", "max_in_flight": 1, "json": "none" },
    ]);
    let house = House::new(&models, 100, 60);
    let abilities = Wants { schema: true, ..Wants::default() };
    let first =
        Asking::first("auto", Class::Normal, 1, Need { abilities, ..Need::default() }, Instant::now() + A_MOMENT);
    let place = house.queue.enter(&first).await.unwrap();
    assert_eq!(place.upstream, 0);
    // It is waited for while it is only busy.
    assert!(matches!(house.queue.enter(&first).await.unwrap_err().why, Why::TooSlow));
    let deadline = Instant::now() + A_MOMENT;
    let other = house.queue.enter(&Asking { tried: &[0], deadline, ..first }).await.unwrap();
    assert_eq!(other.upstream, 1);
}
