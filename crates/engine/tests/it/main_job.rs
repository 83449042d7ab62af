//! The main job: samples, candidates, duplicates, budgets, pauses, calling off, judging again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    Billed, End, EndClass, Failure, FailureKind, StopReason, Usage,
    price::{Price, Prices},
};
use engine::{Budget, Control, Reparsed, StepAccount, StepEnd, Until};
use testkit::{MemoryRequests, Reply, ScriptedHandler, answer};

use crate::story::{MS, S, Story};

const USAGE: Usage = Usage { prompt_tokens: 100, completion_tokens: 10, cached_tokens: 0, reasoning_tokens: 0 };

fn failing(kind: FailureKind) -> Reply {
    Reply::Fail(10 * MS, Failure::new(kind, "as scripted"))
}

fn story(n_records: u64, handler: ScriptedHandler) -> Story {
    let mut story = Story::of(n_records, 1, |_, _| Reply::Hang);
    story.handler = Arc::new(handler);
    story
}

fn finished(end: StepEnd) -> StepAccount {
    match end {
        StepEnd::Finished(account) => account,
        other => panic!("not finished: {other:?}"),
    }
}

/// Runs the story and stops it in the middle, as a kill does, `n` times.
async fn killed(story: &Story, requests: Option<&MemoryRequests>, n: u32) {
    for _ in 0..n {
        let running = story.goes_on(requests.cloned());
        assert!(tokio::time::timeout(35 * MS, running).await.is_err(), "it was over before the kill");
    }
}

#[tokio::test(start_paused = true)]
async fn every_sample_of_every_record_is_settled_whenever_the_run_is_killed() {
    let handler = ScriptedHandler::new(4, |_, _| Reply::Answer(10 * MS)).sampling(3);
    let story = story(20, handler);
    killed(&story, None, 3).await;
    let account = finished(story.goes_on(None).await.unwrap());
    assert_eq!((account.records, account.succeeded, account.adds_up), (60, 60, true));
    let shown = story.shown.merged.lock().unwrap().clone().unwrap();
    let keys: Vec<(u64, u32)> = shown.iter().map(|outcome| (outcome.key.position, outcome.key.sample)).collect();
    let expected: Vec<(u64, u32)> = (0..20).flat_map(|position| (0..3).map(move |sample| (position, sample))).collect();
    assert_eq!(keys, expected, "in source order, and each record's samples side by side");
    assert!(story.handler.asked().len() <= 60 + 3 * 4, "what was in flight at a kill is asked again, and no more");
}

#[tokio::test(start_paused = true)]
async fn candidates_are_asked_for_until_enough_are_accepted_or_there_are_no_more() {
    // Record 0: all are accepted. Record 1: every second one. Record 2: none. Two are wanted, of five at most.
    let handler = ScriptedHandler::new(8, |key, _| match (key.position, key.sample) {
        (1, 0 | 2 | 4) | (2, _) => failing(FailureKind::NotAccepted),
        _ => Reply::Answer(10 * MS),
    })
    .sampling(5);
    let mut story = story(3, handler);
    story.flow.until = Some(Until { accepted: 2, candidates: 5 });
    let account = finished(story.run().await.unwrap());
    let of = |position: u64| story.handler.asked().iter().filter(|(key, _)| key.position == position).count();
    assert_eq!([of(0), of(1), of(2)], [2, 4, 5]);
    assert_eq!((account.succeeded, account.failed, account.short), (4, 7, Some(1)));
    assert_eq!(account.check(0, 0), engine::Checked::BeyondTolerance, "one record has fewer than it should");
    assert_eq!(account.check(1, 0), engine::Checked::Done, "candidates that were turned down did their part");
}

#[tokio::test(start_paused = true)]
async fn candidates_go_on_where_a_killed_run_left_them() {
    let handler = ScriptedHandler::new(3, |key, _| match key.sample % 3 {
        0 => failing(FailureKind::NotAccepted),
        _ => Reply::Answer(10 * MS),
    })
    .sampling(9);
    let mut story = story(12, handler);
    story.flow.until = Some(Until { accepted: 3, candidates: 9 });
    killed(&story, None, 4).await;
    let account = finished(story.goes_on(None).await.unwrap());
    assert_eq!((account.succeeded, account.short, account.adds_up), (36, Some(0), true));
    let shown = story.shown.merged.lock().unwrap().clone().unwrap();
    let accepted = |position| shown.iter().filter(|o| o.key.position == position && o.end == End::Succeeded).count();
    assert!((0..12).all(|position| accepted(position) == 3), "three each, and no record has one too many");
}

#[tokio::test(start_paused = true)]
async fn identical_requests_are_asked_once_and_every_record_is_answered() {
    let handler = ScriptedHandler::new(4, |_, _| Reply::Answer(10 * MS))
        .requesting(|record| u128::from(record.key.position % 7))
        .billing(USAGE);
    let story = story(100, handler);
    let requests = MemoryRequests::default();
    let account = finished(story.goes_on(Some(requests)).await.unwrap());
    assert_eq!(story.handler.asked().len(), 7, "as many as there are distinct requests");
    assert_eq!((account.succeeded, account.duplicates, account.attempts, account.adds_up), (100, 93, 7, true));
    assert_eq!(account.billed.total().prompt_tokens, 700, "what is not asked is not billed");
    let shown = story.shown.merged.lock().unwrap().clone().unwrap();
    let text_of = |i: usize| shown[i].output.as_ref().unwrap().get().to_owned();
    assert!((0..100).all(|i| text_of(i) == text_of(i % 7)), "each has the answer to its own request");
}

#[tokio::test(start_paused = true)]
async fn duplicates_find_their_answer_after_a_kill_and_share_a_failure() {
    let handler = ScriptedHandler::new(2, |key, _| match key.position {
        3 => failing(FailureKind::Rejected),
        _ => Reply::Answer(10 * MS),
    })
    .requesting(|record| u128::from(record.key.position % 10));
    let story = story(60, handler);
    let requests = MemoryRequests::default();
    killed(&story, Some(&requests), 1).await;
    let account = finished(story.goes_on(Some(requests)).await.unwrap());
    assert_eq!((account.succeeded, account.failed_by_kind["rejected"]), (54, 6));
    assert!(story.handler.asked().len() <= 10 + 2, "at a kill only what was in flight is lost");
}

#[tokio::test(start_paused = true)]
async fn a_budget_stops_the_run_with_no_more_than_what_is_in_flight_and_the_next_one_at_once() {
    let price = Price { currency: "USD".to_owned(), prompt: 1_000_000, cached: 0, completion: 1_000_000 };
    let prices = Prices(BTreeMap::from([("scripted".to_owned(), price)]));
    let one = u128::from(USAGE.total()) * 1_000_000;
    let handler = ScriptedHandler::new(8, |key, _| Reply::Answer(MS * (5 + u32::try_from(key.position).unwrap() % 9)));
    let mut story = story(1000, handler.billing(USAGE));
    let money = BTreeMap::from([("USD".to_owned(), 100 * one)]);
    story.flow.budget = Some(Budget { prices: prices.clone(), money, tokens: None });
    let end = story.run().await.unwrap();
    let StepEnd::Stopped(StopReason::Budget(told), 0) = &end else { panic!("{end:?}") };
    assert!(told.contains("USD is spent"), "{told}");
    let mut billed = Billed::default();
    for billed_here in story.journal.recovered().billed.values() {
        billed.extend(billed_here);
    }
    let spent = prices.cost(&billed).money["USD"];
    assert!(spent >= 100 * one && spent <= (100 + 8) * one, "spent {spent} of {}", 100 * one);

    let n_asked = story.handler.asked().len();
    let again = story.goes_on(None).await.unwrap();
    assert!(matches!(again, StepEnd::Stopped(StopReason::Budget(_), 0)), "{again:?}");
    assert_eq!(story.handler.asked().len(), n_asked, "what is spent stays spent");
    story.flow.budget = None;
    assert_eq!(finished(story.goes_on(None).await.unwrap()).succeeded, 1000);
}

#[tokio::test(start_paused = true)]
async fn answers_that_wait_for_a_slow_commit_count_against_the_budget() {
    let handler = ScriptedHandler::new(8, |_, _| Reply::Answer(10 * MS)).billing(USAGE);
    let mut story = story(1000, handler);
    story.journal.commits_take(500 * MS);
    story.flow.budget = Some(Budget { tokens: Some(100 * USAGE.total()), ..Budget::default() });
    let end = story.run().await.unwrap();
    assert!(matches!(end, StepEnd::Stopped(StopReason::Budget(_), 0)), "{end:?}");
    let n_asked = story.handler.asked().len();
    assert!((100..=108).contains(&n_asked), "{n_asked} were asked of 100, with 8 in flight");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_the_last_answer_spends_does_not_keep_the_outputs_back() {
    let handler = ScriptedHandler::new(8, |_, _| Reply::Answer(10 * MS)).billing(USAGE);
    let mut story = story(20, handler);
    story.flow.budget = Some(Budget { tokens: Some(20 * USAGE.total()), ..Budget::default() });
    assert_eq!(finished(story.run().await.unwrap()).succeeded, 20, "there is nothing left to ask for");
    assert_eq!(finished(story.goes_on(None).await.unwrap()).succeeded, 20, "nor is there the next time");
}

#[tokio::test(start_paused = true)]
async fn candidates_that_are_called_off_leave_a_run_that_adds_up() {
    let handler = ScriptedHandler::new(4, |_, _| Reply::Answer(S)).sampling(6);
    let mut story = story(30, handler);
    story.flow.until = Some(Until { accepted: 2, candidates: 6 });
    let call_off = async {
        tokio::time::sleep(2500 * MS).await;
        story.control.send_replace(Control::Cancel);
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        end = story.run() => end.unwrap(),
        () = call_off => unreachable!(),
    };
    let account = finished(end);
    assert!(account.adds_up && account.cancelled > 0 && account.succeeded > 0, "{account:?}");
    assert_eq!(account.records, 60, "two candidates of each were handed out");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_fails_a_whole_chunk_is_billed_once() {
    let handler = ScriptedHandler::new(4, |_, _| failing(FailureKind::InvalidOutput)).chunking(5).billing(USAGE);
    let story = story(20, handler);
    let account = finished(story.run().await.unwrap());
    // Four chunks, each asked twice.
    assert_eq!((account.failed, story.handler.asked().len()), (20, 8));
    assert_eq!(account.billed.total().prompt_tokens, 8 * USAGE.prompt_tokens);
    let mut recovered = story.journal.recovered();
    assert_eq!(recovered.billed.remove(&0).unwrap(), account.billed, "and the next process reads the same bill");
}

#[tokio::test(start_paused = true)]
async fn a_pause_starts_nothing_and_says_so_until_the_run_goes_on() {
    let story = Arc::new(Story::of(40, 4, |_, _| Reply::Answer(S)));
    let status = Arc::new(engine::Status::default());
    let running = tokio::spawn({
        let (story, status) = (Arc::clone(&story), Arc::clone(&status));
        async move { story.run_with(status).await }
    });
    tokio::time::sleep(1500 * MS).await;
    story.control.send_replace(Control::Pause);
    tokio::time::sleep(60 * S).await;
    assert_eq!(story.handler.asked().len(), 8, "what was in flight came in, and nothing was started");
    assert_eq!(status.snapshot().waiting, Some(domain::Waiting::Paused));
    story.control.send_replace(Control::Run);
    assert_eq!(finished(running.await.unwrap().unwrap()).succeeded, 40);

    let story = Story::of(40, 4, |_, _| Reply::Answer(S));
    story.control.send_replace(Control::Pause);
    let stop = async {
        tokio::time::sleep(5 * S).await;
        story.control.send_replace(Control::Drain);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        end = story.run() => assert!(matches!(end.unwrap(), StepEnd::Stopped(StopReason::Interrupted, 0))),
        () = stop => unreachable!(),
    }
    assert_eq!(story.handler.asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_called_off_ends_as_cancelled_and_everything_adds_up() {
    let mut story = Story::of(5000, 10, |key, n| match (key.position, n) {
        (3, 0) => failing(FailureKind::Timeout),
        _ => Reply::Answer(S),
    });
    story.flow.backoff.first = 600 * S;
    let call_off = async {
        tokio::time::sleep(2500 * MS).await;
        story.control.send_replace(Control::Cancel);
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        end = story.run() => end.unwrap(),
        () = call_off => unreachable!(),
    };
    let account = finished(end);
    let n_asked = story.handler.asked().len() as u64;
    assert_eq!((account.records, account.adds_up), (5000, true));
    assert_eq!(account.succeeded, n_asked - 1, "what was in flight ended as it ended");
    assert_eq!(account.succeeded + account.cancelled, 5000, "one that waited for its next attempt is called off too");
    assert_eq!(account.check(5000, 5000), engine::Checked::BeyondTolerance);
}

#[tokio::test(start_paused = true)]
async fn a_sample_works_on_the_chosen_records_only_and_the_run_goes_on_with_the_others() {
    let mut story = Story::of(1000, 10, |_, _| Reply::Answer(10 * MS));
    let chosen = BTreeSet::from([3, 500, 999]);
    story.flow.only = Some(Arc::new(chosen.clone()));
    assert!(matches!(story.run().await.unwrap(), StepEnd::Sampled));
    let asked: BTreeSet<u64> = story.handler.asked().iter().map(|(key, _)| key.position).collect();
    assert_eq!(asked, chosen);
    assert!(story.shown.merged.lock().unwrap().is_none(), "no output is written");
    story.flow.only = None;
    let account = finished(story.goes_on(None).await.unwrap());
    assert_eq!((account.succeeded, story.handler.asked().len()), (1000, 1000), "what was sampled is not asked again");
}

#[tokio::test(start_paused = true)]
async fn a_new_rule_is_applied_to_what_was_paid_for_and_only_what_fails_by_it_is_asked_again() {
    // Under the old rule record 2 failed. Under the new one it passes, 4 fails, and the others have another field.
    let handler = ScriptedHandler::new(4, |key, n| match (key.position, n) {
        (2, _) => Reply::Fail(MS, Failure::new(FailureKind::InvalidOutput, "no JSON")),
        (9, _) => Reply::Fail(MS, Failure::new(FailureKind::Rejected, "never answered")),
        _ => Reply::Answer(MS),
    })
    .billing(USAGE)
    .judging(|record, raw| match record.key.position {
        4 => Err(Failure::new(FailureKind::InvalidOutput, "by the new rule")),
        _ => Ok(answer(&format!("again: {}", String::from_utf8_lossy(raw)))),
    });
    let mut story = story(10, handler);
    story.flow.budgets.content = 0;
    let account = finished(story.run().await.unwrap());
    assert_eq!((account.succeeded, account.failed), (8, 2));
    let (n_asked, billed) = (story.handler.asked().len(), account.billed);
    assert_eq!(n_asked, 10);

    let reparsed = story.judges_again().await;
    let expected = Reparsed { judged: 9, changed: 7, mended: 1, reopened: 1, ..Reparsed::default() };
    assert_eq!(reparsed, expected);
    assert_eq!(story.handler.asked().len(), n_asked, "judging asks for nothing");

    let account = finished(story.goes_on(None).await.unwrap());
    let asked: Vec<u64> = story.handler.asked()[n_asked..].iter().map(|(key, _)| key.position).collect();
    assert_eq!(asked, [4], "only what fails by the new rule is asked again");
    assert_eq!((account.succeeded, account.failed, account.reparsed, account.adds_up), (9, 1, 8, true));
    let shown = story.shown.merged.lock().unwrap().clone().unwrap();
    assert_eq!(shown[2].output.as_ref().unwrap().get(), r#"{"answer":"again: raw"}"#);
    assert_eq!(account.billed.total().prompt_tokens, billed.total().prompt_tokens + 100);
    assert_eq!(shown[9].end.class(), EndClass::Failed(FailureKind::Rejected));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_sink_does_not_take_is_kept_and_shown_again_without_asking() {
    let handler = ScriptedHandler::new(4, |_, _| Reply::Answer(MS)).billing(USAGE).judging(|_, _| Ok(answer("raw")));
    let story = story(1000, handler);
    story.shown.rejecting.lock().unwrap().extend([3, 700]);
    // The table is away when it is written to, twice, and comes back.
    *story.shown.n_away.lock().unwrap() = 2;
    let account = finished(story.run().await.unwrap());
    assert_eq!((account.records, account.succeeded, account.failed, account.adds_up), (1000, 998, 2, true));
    assert_eq!(account.failed_by_kind, BTreeMap::from([("write_rejected", 2)]));
    assert_eq!((account.reparsed, account.billed.total().prompt_tokens), (0, 100_000), "billed once");
    let recovered = story.journal.recovered();
    let tally = &recovered.tally[&0];
    assert_eq!((tally.succeeded, tally.n_failed()), (998, 2), "the journal knows it");
    assert_eq!(recovered.attempts[&0], 1000);

    // Whoever makes room for the answers has them shown again; nothing is asked.
    story.shown.rejecting.lock().unwrap().clear();
    let reparsed = story.judges_again().await;
    assert_eq!((reparsed.judged, reparsed.reopened, reparsed.still_failed), (1000, 0, 0));
    let account = finished(story.goes_on(None).await.unwrap());
    assert_eq!((account.succeeded, account.failed, story.handler.asked().len()), (1000, 0, 1000));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_stays_away_ends_the_step_and_the_next_start_asks_nothing() {
    let story = story(10, ScriptedHandler::new(4, |_, _| Reply::Answer(MS)));
    *story.shown.n_away.lock().unwrap() = 1000;
    let begun = tokio::time::Instant::now();
    let error = story.run().await.unwrap_err();
    assert_eq!(error.to_string(), "the table cannot be reached");
    assert_eq!(begun.elapsed().as_secs() / 60, 10, "it was waited for");
    *story.shown.n_away.lock().unwrap() = 0;
    let account = finished(story.goes_on(None).await.unwrap());
    assert_eq!((account.succeeded, story.handler.asked().len()), (10, 10));
}
