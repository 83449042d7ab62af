//! An only upstream that cannot be reached.

use super::*;

impl House {
    /// Somebody who waits for so many seconds at most, and finds that the upstream cannot be reached if it is he who asks.
    fn try_it(&self, number: u64, wait: u64) -> JoinHandle<(Option<Refused>, Duration)> {
        let (queue, served) = (Arc::clone(&self.queue), self.served.0.clone());
        tokio::spawn(async move {
            let begin = Instant::now();
            let deadline = begin + Duration::from_secs(wait);
            match queue.enter(&asking("auto", Class::Normal, 1, deadline)).await {
                Ok(place) => {
                    served.try_send(number).unwrap();
                    vanish(&place);
                    (None, begin.elapsed())
                }
                Err(refused) => (Some(refused), begin.elapsed()),
            }
        })
    }
}

fn is_outage(refused: &Refused) -> bool {
    matches!(&refused.why, Why::Away(Waiting::Outage(trouble)) if trouble.contains("refused"))
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_upstream_that_cannot_be_reached_is_its_probe_or_is_told_when_there_is_no_hope() {
    let mut house = House::one(9, 100, 60);
    vanish(&house.enter(Class::Normal, 1).await.unwrap());
    // The next probe is in 2 s: who may wait for 1 s is told at once, with the reason and the time.
    let (refused, took) = house.try_it(1, 1).await.unwrap();
    let refused = refused.unwrap();
    assert!(is_outage(&refused) && took == Duration::ZERO, "{refused:?} after {took:?}");
    assert_eq!(refused.retry_after, Duration::from_secs(2));

    let begin = Instant::now();
    let waits: Vec<_> = [(2, 20), (3, 5), (4, 9)].map(|(number, wait)| house.try_it(number, wait)).into();
    settle().await;
    assert_eq!(house.queue.n_waiting(), 3);
    let mut ends = Vec::new();
    for wait in waits {
        ends.push(wait.await.unwrap());
    }
    // The first is the probe after 2 s, in vain; the next one is 4 s later.
    assert_eq!(house.order(), [2, 4]);
    assert!(ends[0].0.is_none() && (2_000..2_010).contains(&ends[0].1.as_millis()), "{ends:?}");
    // Who could wait for 3 s more is told as soon as that is known, and not at his end.
    let refused = ends[1].0.as_ref().unwrap();
    assert!(is_outage(refused) && (2_000..2_010).contains(&ends[1].1.as_millis()), "{ends:?}");
    assert!((3_900..=4_000).contains(&refused.retry_after.as_millis()), "{refused:?}");
    // The other one is the next probe.
    assert!(ends[2].0.is_none() && (6_000..6_010).contains(&ends[2].1.as_millis()), "{ends:?}");
    assert_eq!(house.queue.n_waiting(), 0);

    // Who comes when he was told finds it tried.
    let refused = house.enter_for(1).await.unwrap_err();
    assert!(is_outage(&refused), "{refused:?}");
    time::sleep(refused.retry_after).await;
    let place = house.enter_for(1).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(12));
    // While somebody finds out, others wait for what he finds.
    let waits = house.ask("auto", Class::Normal, 1, 5, 0);
    settle().await;
    assert_eq!(house.queue.n_waiting(), 1);
    place.begun();
    assert!(waits.await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn who_waits_while_somebody_finds_out_in_vain_is_told_so_when_his_time_is_over() {
    let house = House::one(9, 100, 60);
    vanish(&house.enter(Class::Normal, 1).await.unwrap());
    time::sleep(Duration::from_millis(2_001)).await;
    let probe = house.enter(Class::Normal, 1).await.unwrap();
    let begin = Instant::now();
    let refused = house.enter_for(3).await.unwrap_err();
    assert!(is_outage(&refused) && !refused.retry_after.is_zero(), "{refused:?}");
    assert!((3_000..3_010).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    // The probe hangs up: whoever waits is the next.
    let waits = house.ask("auto", Class::Normal, 1, 5, 0);
    settle().await;
    drop(probe);
    assert!(waits.await.unwrap().is_none());
}

impl House {
    async fn enter_for(&self, seconds: u64) -> Result<Place, Refused> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        self.queue.enter(&asking("auto", Class::Normal, 1, deadline)).await
    }
}
