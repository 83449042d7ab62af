use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Members by weight, all idle and unknown.
fn candidates<'a>(weights: &'a [u32], loads: &'a [Load]) -> impl Iterator<Item = Candidate<'a>> + Clone {
    weights.iter().zip(loads).enumerate().map(|(position, (weight, load))| Candidate {
        position,
        weight: *weight,
        hash: hash(&format!("model-{position}")),
        load,
        n_in_flight: 0,
    })
}

fn shares(choose: Choose, weights: &[u32], sessions: bool) -> Vec<f64> {
    let loads = vec![Load::default(); weights.len()];
    let (mut balance, mut chance) = (Balance::new(choose, weights.len()), Jitter::new(7));
    let mut n = vec![0.0; weights.len()];
    for round in 0..10_000 {
        let session = sessions.then(|| Session::new(&format!("session-{round}")));
        let chosen = balance.choose(candidates(weights, &loads), session, &mut chance, Instant::now());
        n[chosen.unwrap()] += 1.0 / 10_000.0;
    }
    n
}

#[test]
fn each_gets_its_share_by_weight() {
    for (choose, sessions) in [(Choose::Weighted, false), (Choose::Sticky, false), (Choose::Sticky, true)] {
        let shares = shares(choose, &[10, 5, 5], sessions);
        for (share, wanted) in shares.iter().zip([0.5, 0.25, 0.25]) {
            assert!((share - wanted).abs() < 0.02, "{choose:?} {shares:?}");
        }
    }
    assert_eq!(shares(Choose::Ordered, &[1, 9], false), shares(Choose::Ordered, &[0, 9], true));
    assert!(shares(Choose::Ordered, &[1, 9], false)[0] > 0.99);
}

#[test]
fn a_session_stays_where_it_is_and_comes_back() {
    let (weights, loads) = ([1, 1, 1, 1], [Load::default(); 4]);
    let (mut balance, mut chance) = (Balance::new(Choose::Sticky, 4), Jitter::new(1));
    let mut choose = |session: &str, away: Option<usize>| {
        let there = candidates(&weights, &loads).filter(|it| Some(it.position) != away);
        balance.choose(there, Some(Session::new(session)), &mut chance, Instant::now()).unwrap()
    };
    for n in 0..200 {
        let session = format!("session-{n}");
        let home = choose(&session, None);
        assert_eq!(choose(&session, None), home);
        let elsewhere = choose(&session, Some(home));
        assert_ne!(elsewhere, home);
        // That another one is away is nothing to it.
        assert_eq!(choose(&session, Some(elsewhere)), home);
    }
}

#[test]
fn nobody_is_chosen_where_nobody_can_be_asked() {
    for choose in [Choose::Weighted, Choose::LeastLoaded, Choose::Ordered, Choose::Sticky] {
        let nobody = std::iter::empty::<Candidate<'_>>();
        let session = Some(Session::new("s"));
        assert_eq!(Balance::new(choose, 0).choose(nobody, session, &mut Jitter::new(1), Instant::now()), None);
    }
}

/// A moment of upstreams that take a time for each request, three times as long for the second: who gets how many.
fn served(latencies: &[Duration], fails: Option<usize>) -> Vec<usize> {
    let n = latencies.len();
    let (mut balance, mut chance) = (Balance::new(Choose::LeastLoaded, n), Jitter::new(3));
    let (mut loads, mut n_served) = (vec![Load::default(); n], vec![0; n]);
    let mut in_flight: Vec<(Instant, Instant, usize)> = Vec::new();
    let start = Instant::now();
    for tick in 0..20_000_u32 {
        let now = start + Duration::from_millis(1) * tick;
        in_flight.retain(|&(sent, ends, upstream)| {
            if ends <= now {
                let took = ends - sent;
                if fails == Some(upstream) {
                    loads[upstream].failed(took, now);
                } else {
                    loads[upstream].answered(took, now);
                }
            }
            ends > now
        });
        if tick % 5 > 0 {
            continue;
        }
        let members = (0..n).map(|position| Candidate {
            position,
            weight: 1,
            hash: 0,
            load: &loads[position],
            n_in_flight: in_flight.iter().filter(|(.., upstream)| *upstream == position).count(),
        });
        let chosen = balance.choose(members, None, &mut chance, now).unwrap();
        n_served[chosen] += 1;
        in_flight.push((now, now + latencies[chosen], chosen));
    }
    n_served
}

#[test]
fn the_faster_one_is_asked_more_and_the_slower_one_is_not_forgotten() {
    let served = served(&[Duration::from_millis(50), Duration::from_millis(500)], None);
    assert!(served[0] > 4 * served[1] && served[1] > 20, "{served:?}");
}

#[test]
fn one_that_fails_fast_does_not_look_best() {
    let served = served(&[Duration::from_millis(100), Duration::from_millis(1)], Some(1));
    assert!(served[0] > 9 * served[1], "{served:?}");
}

#[test]
fn latency_jumps_up_at_once_and_is_forgotten_in_silence() {
    let (mut load, now) = (Load::default(), Instant::now());
    assert!(load.score(0, 1, now) == 0.0 && load.score(1, 1, now) > 0.0, "one request finds out, not a hundred");
    load.answered(SECOND / 10, now);
    load.answered(SECOND * 2, now);
    assert!((load.score(0, 1, now) - 2.0).abs() < 1e-9);
    assert!((load.score(3, 2, now) - 4.0).abs() < 1e-9, "for the requests that are there, and by weight");
    load.answered(SECOND / 10, now + SECOND);
    assert!((1.7..2.0).contains(&load.score(0, 1, now + SECOND)));
    assert!(load.score(0, 1, now + SECOND * 60) < 0.01);
    assert!(load.score(1, 1, now + SECOND * 60) > 3.0, "one that keeps somebody waiting is not forgotten");
}
