//! Stopping: by the user, by a dead lane, by a full disk.

use std::time::Duration;

use domain::StopReason;
use engine::{Control, EngineError, StepEnd};
use testkit::Reply;
use tokio::time::Instant;

use crate::story::{MS, S, Story};

async fn stopped_after(story: &Story, wishes: &[(Duration, Control)]) -> (StepEnd, Duration) {
    let begun = Instant::now();
    let wish = async {
        for (after, control) in wishes {
            tokio::time::sleep(*after).await;
            story.control.send_replace(*control);
        }
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        end = story.run() => end.unwrap(),
        () = wish => unreachable!(),
    };
    (end, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_is_in_flight_and_starts_nothing_new() {
    let story = Story::of(100, 5, |_, _| Reply::Answer(4 * S));
    let (end, took) = stopped_after(&story, &[(S, Control::Drain)]).await;
    assert!(matches!(end, StepEnd::Stopped(StopReason::Interrupted, 0)), "{end:?}");
    assert!(took >= 4 * S && took < 5 * S, "{took:?}");
    assert_eq!((story.handler.asked().len(), story.shown.live.lock().unwrap().len()), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_up_after_the_grace_period_and_a_second_wish_at_once() {
    let story = Story::of(100, 5, |_, _| Reply::Hang);
    let (_, took) = stopped_after(&story, &[(S, Control::Drain)]).await;
    assert!(took >= 11 * S && took < 12 * S, "{took:?}");
    let story = Story::of(100, 5, |_, _| Reply::Hang);
    let (_, took) = stopped_after(&story, &[(S, Control::Drain), (S, Control::Stop)]).await;
    assert!(took >= 2 * S && took < 3 * S, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_closed_for_good_stops_the_run_and_costs_no_record() {
    let story = Story::of(100, 5, |key, _| if key.position == 7 { Reply::Close } else { Reply::Answer(10 * MS) });
    let end = story.run().await.unwrap();
    let StepEnd::Stopped(StopReason::Closed(why), 0) = end else { panic!("{end:?}") };
    assert!(why.contains("the key is dead"), "{why}");
    let live = story.shown.live.lock().unwrap();
    assert!(live.iter().all(|(key, class)| key.position != 7 && *class == domain::EndClass::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_the_run_with_the_journals_own_words() {
    let story = Story::of(100, 5, |_, _| Reply::Answer(10 * MS));
    story.journal.fail_after(20);
    let error = story.run().await.unwrap_err();
    assert!(matches!(&error, EngineError::Journal(e) if e.0 == "no space left"), "{error}");
    let n_durable = story.journal.entries().len();
    assert!(story.shown.live.lock().unwrap().len() <= n_durable, "nothing is shown that is not durable");
}
