//! Flow, retries, lanes: in paused time.

use std::sync::Arc;

use domain::{EndClass, Event, Failure, FailureKind, Reporter};
use engine::{Pause, Status, StepEnd};
use testkit::Reply;

use crate::story::{MS, S, Story};

fn failing(kind: FailureKind) -> Reply {
    Reply::Fail(10 * MS, Failure::new(kind, "as scripted"))
}

#[tokio::test(start_paused = true)]
async fn a_failed_record_is_tried_again_after_a_wait_and_settled_once() {
    let story = Story::of(3, 10, |key, n| match (key.position, n) {
        (1, 0 | 1) => failing(FailureKind::Unavailable),
        _ => Reply::Answer(10 * MS),
    });
    let (account, took) = story.finished().await;
    assert_eq!((account.records, account.succeeded, account.adds_up), (3, 3, true));
    assert_eq!(story.attempts_of(1), 3);
    // Two waits: half of 1 s to 1 s, half of 2 s to 2 s.
    assert!(took >= 1500 * MS && took <= 3100 * MS, "{took:?}");
    assert_eq!(story.handler.asked().len(), 5);
    assert_eq!(story.shown.live.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_keeps_failing_gets_its_retries_and_no_more() {
    let story = Story::of(2, 10, |key, _| match key.position {
        0 => failing(FailureKind::Timeout),
        _ => failing(FailureKind::Rejected),
    });
    let (account, _) = story.finished().await;
    assert_eq!((account.failed, account.failed_by_kind["timeout"], account.failed_by_kind["rejected"]), (2, 1, 1));
    assert_eq!(story.attempts_of(0), 4, "three retries are four attempts");
    assert_eq!(story.handler.asked().len(), 5, "what can never pass is asked once");
    let live = story.shown.live.lock().unwrap();
    assert!(live.iter().all(|(_, class)| matches!(class, EndClass::Failed(_))));
}

#[tokio::test(start_paused = true)]
async fn throttling_costs_the_lane_and_not_the_record() {
    let mut story = Story::of(20, 4, |key, n| match (key.position, n) {
        (5, 0..6) => Reply::Throttle(60 * S),
        _ => Reply::Answer(10 * MS),
    });
    story.flow.budgets.api = 0;
    let (account, took) = story.finished().await;
    assert_eq!((account.succeeded, account.attempts), (20, 20));
    assert!(took >= 360 * S && took < 362 * S, "six pauses of a minute, and nothing else: {took:?}");
    let tried_again: Vec<_> = story.handler.asked().into_iter().filter(|(key, _)| key.position == 5).collect();
    assert_eq!(tried_again.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_slow_record_holds_nobody_up() {
    let story = Story::of(500, 5, |key, _| Reply::Answer(if key.position == 3 { 25 * S } else { S }));
    let (account, took) = story.finished().await;
    assert_eq!(account.succeeded, 500);
    // 524 seconds of work over five places; a barrier would add the 25 s of the slow one.
    assert!(took <= 106 * S, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hang_ends_at_the_deadline_and_a_panic_is_a_failure() {
    let story = Story::of(4, 10, |key, n| match (key.position, n) {
        (1, 0) => Reply::Hang,
        (2, 0) => Reply::Panic,
        _ => Reply::Answer(10 * MS),
    });
    let (account, took) = story.finished().await;
    assert_eq!((account.succeeded, account.attempts), (4, 6));
    assert!(took >= 30 * S && took < 33 * S, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_run_reads_only_so_far_ahead() {
    let story = Story::of(100_000, 8, |_, _| Reply::Hang);
    let run = story.run();
    assert!(tokio::time::timeout(20 * S, run).await.is_err(), "it is stuck");
    assert_eq!(story.handler.asked().len(), 8);
    assert!(story.source.n_read() < 1500, "read ahead: {}", story.source.n_read());
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_new_attempts_once_in_its_window() {
    let mut story = Story::of(50, 1, |key, n| match (key.position, n) {
        (3 | 4, 0) => failing(FailureKind::Unavailable),
        _ => Reply::Answer(10 * MS),
    });
    story.flow.pause = Some(Pause { lasts: 20 * S, window: 30 * S });
    let (account, took) = story.finished().await;
    assert_eq!(account.succeeded, 50);
    assert!(took >= 20 * S && took < 25 * S, "one pause, not two: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_feed_is_not_held_up_by_records_that_wait_for_their_next_attempt() {
    let story = Story::of(1000, 10, |key, n| {
        if key.position < 500 && n == 0 { failing(FailureKind::Timeout) } else { Reply::Answer(10 * MS) }
    });
    let (account, took) = story.finished().await;
    assert_eq!((account.succeeded, account.attempts), (1000, 1500));
    // 1,500 attempts of 10 ms over ten places are 1.5 s of work; the waits overlap with it.
    assert!(took < 4 * S, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn readers_of_events_see_every_end_and_cannot_fail_the_run() {
    struct Rude(Status);
    impl Reporter for Rude {
        fn on(&self, event: &Event) {
            self.0.on(event);
            if let Event::Answered { key } = event {
                assert!(key.position % 3 != 0, "a reader that panics");
            }
        }
    }
    let story = Story::of(30, 5, |key, n| match (key.position, n) {
        (4, _) => failing(FailureKind::Rejected),
        (5, 0) => failing(FailureKind::Timeout),
        _ => Reply::Answer(10 * MS),
    });
    let rude = Arc::new(Rude(Status::default()));
    let end = story.run_with(rude.clone()).await.unwrap();
    let StepEnd::Finished(account) = end else { panic!("{end:?}") };
    let seen = rude.0.snapshot();
    assert_eq!((seen.tally.succeeded, seen.tally.n_failed()), (account.succeeded, account.failed));
    assert_eq!((account.succeeded, account.failed, seen.n_retried, seen.n_in_flight), (29, 1, 1, 0));
    assert_eq!(seen.n_records, Some(30));
}

#[tokio::test(start_paused = true)]
async fn the_place_of_an_answer_is_free_before_its_outcome_is_durable() {
    // Each commit takes a second; the width of the run is 2 and answers take 100 ms.
    let mut story = Story::of(200, 100, |_, _| Reply::Answer(100 * MS));
    story.flow.max_in_flight = 2;
    story.journal.commits_take(S);
    let (account, took) = story.finished().await;
    assert_eq!(account.succeeded, 200);
    assert!(took < 13 * S, "200 answers, two at a time, are 10 s; waiting for commits would make it 110: {took:?}");
}
