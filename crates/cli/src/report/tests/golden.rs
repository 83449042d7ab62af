//! One journal with everything in it, and what its report says.

use std::{collections::BTreeMap, fs};

use domain::{End, Failure, FailureKind, Reason, RecordKey, SkipReason, Timestamp};
use serde_json::Value;
use store::RunState;

use super::{Scripted, attempted, body, failed, meta, outcome, reopened, settled, skipped, started, stopped};
use crate::{
    language::Language,
    report::{Format, Report, facts::ProcessEnd, render},
};

/// Two processes, the first of them killed; a retry; duplicates; an answer judged again; every way to end.
pub(super) fn journal() -> Scripted {
    let scripted = Scripted::new();
    let at = |ms: u64| Timestamp(1_000_000 + ms);
    let key = |position| RecordKey { step: 0, part: 0, position, sample: 0 };
    let invalid = |message: &str| Failure::new(FailureKind::InvalidOutput, message).because(Reason::NoJson);

    scripted.append([started(1_000_000, 0)]);
    // Record 0 at the second attempt; its answer is taken by 1 and 2.
    scripted.append([attempted(0, invalid("no JSON"), meta("east", 100, 40, 800), 1_000_900)]);
    let mut first = outcome(0);
    (first.attempts, first.meta, first.at) = (2, meta("east", 100, 20, 400), at(1400));
    scripted.append([settled(first, &body("{\"a\": 1}"))]);
    for position in [1, 2] {
        let mut same = outcome(position);
        (same.attempts, same.same_as, same.at) = (0, Some(key(0)), at(1500));
        scripted.append([settled(same, "")]);
    }
    // Record 3 fails, is opened again, and succeeds at another upstream.
    let mut bad = failed(3, FailureKind::InvalidOutput, "no JSON in it");
    (bad.end, bad.meta, bad.at) = (End::Failed(invalid("no JSON in it")), meta("east", 50, 10, 300), at(1800));
    scripted.append([settled(bad, &body("I do not know."))]);
    // Records 4 and 5 fail and stay so; 4 by a timeout, of which nothing came.
    let mut slow = failed(4, FailureKind::Timeout, "no answer within 10 s");
    (slow.attempts, slow.at) = (4, at(2000));
    scripted.append([settled(slow, "")]);
    let mut refuted = outcome(5);
    refuted.end = End::Failed(invalid("there is no JSON in the answer"));
    (refuted.attempts, refuted.meta, refuted.at) = (2, meta("west", 80, 30, 1200), at(2500));
    scripted.append([settled(refuted, &body("Here you are: <nothing>"))]);
    let mut blank = skipped(6, SkipReason::Blank, "a.jsonl line 7: the line is empty");
    blank.at = at(2500);
    let mut missing = skipped(7, SkipReason::MissingField, "a.jsonl line 8: there is no field `text`");
    missing.at = at(2500);
    scripted.append([settled(blank, ""), settled(missing, "")]);

    // The first process was killed here, with two answers on their way.
    scripted.append([started(1_060_000, 2), reopened(key(3), 1_060_000)]);
    let mut good = outcome(3);
    (good.meta, good.at) = (meta("west", 60, 15, 500), at(61_000));
    scripted.append([settled(good.clone(), &body("{\"a\": 2}"))]);
    (good.reparsed, good.at) = (true, at(61_500));
    scripted.append([settled(good, &body("{\"a\": 2}"))]);
    let (mut gone, mut called_off) = (outcome(8), outcome(9));
    (gone.end, gone.at) = (End::Missing, at(62_000));
    (called_off.end, called_off.attempts, called_off.at) = (End::Cancelled, 0, at(62_000));
    scripted.append([settled(gone, ""), settled(called_off, ""), stopped(1_062_500, "finished")]);
    scripted
}

fn done() -> Report {
    let mut scripted = journal();
    scripted.with(|manifest| manifest.n_records = BTreeMap::from([("label".to_owned(), 10)]));
    scripted.report()
}

#[test]
fn the_json_of_a_scripted_journal_is_as_it_was() {
    let text = render(&done(), Format::Json, Language::English).unwrap();
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    // Where the shape is meant to change, the new one is what this prints.
    assert_eq!(json(&text), json(include_str!("golden.json")), "{text}");
}

#[test]
fn the_numbers_of_a_scripted_journal_are_those_that_a_person_counts() {
    let report = done();
    let totals = &report.totals;
    assert_eq!((totals.records, totals.settled, totals.adds_up), (Some(10), 10, Some(true)));
    let ends = (totals.succeeded, totals.failed, totals.skipped, totals.cancelled, totals.missing);
    assert_eq!(ends, (4, 2, 2, 1, 1));
    assert_eq!((totals.duplicates, totals.reparsed, totals.unsettled), (2, 1, Some(0)));
    assert!(report.is_sound());
    assert_eq!(report.run.state, RunState::Done);

    // Five answers were billed: the one that was judged again was not billed again, nor were those that others took.
    let tokens = &report.bill.tokens;
    assert_eq!((tokens.prompt, tokens.completion), (100 + 100 + 50 + 80 + 60, 40 + 20 + 10 + 30 + 15));
    // East: 250 × 0.15 + 70 × 0.60, west: 140 × 2 + 45 × 8, for a million each.
    let picos: Vec<u128> = report.bill.cost.iter().map(|money| money.picos).collect();
    assert_eq!(picos, [140 * 2_000_000 + 45 * 8_000_000, 250 * 150_000 + 70 * 600_000]);
    assert_eq!(report.bill.cost_per_1000_succeeded[0].picos, picos[0] * 1000 / 4);
    // Twice what the answer of record 0 took, and not what the failed attempt before it took.
    let dedupe = report.dedupe.as_ref().unwrap();
    assert_eq!((dedupe.not_asked, dedupe.tokens.prompt, dedupe.tokens.completion), (2, 200, 40));

    // The example of record 3 is gone with its failure.
    let kinds: Vec<_> = report.failures.iter().map(|f| (f.failed.kind, f.examples[0].line)).collect();
    assert_eq!(kinds, [(FailureKind::Timeout, 5), (FailureKind::InvalidOutput, 6)]);
    assert_eq!(report.failures[1].examples[0].answer.as_deref(), Some("Here you are: <nothing>"));
    assert_eq!(report.failures[1].examples[0].part.as_deref(), Some("a.jsonl"));
    // An attempt of record 0, and the outcomes of 0, 3, 4, 5, 3 again, and 8.
    assert_eq!((report.attempts.total, report.attempts.retried), (7, 1));

    let time = &report.time;
    assert_eq!((time.processes, time.killed, time.asked_again_after_crash), (2, 1, 2));
    assert_eq!((time.wall_ms, time.working_ms), (62_500, 2_500 + 2_500));
    let ends: Vec<ProcessEnd> = time.by_process.iter().map(|process| process.end).collect();
    assert_eq!(ends, [ProcessEnd::Killed, ProcessEnd::Finished]);
    assert_eq!(report.latency.spread.count, 5);
    assert_eq!((report.latency.spread.min, report.latency.spread.max), (300.0, 1200.0));
    let over_time: u64 = report.rate.buckets.iter().map(|b| b.succeeded + b.failed + b.skipped).sum();
    // Every outcome as it came, but for the one that was judged again: 0 to 7, 3 again, 8 and 9.
    assert_eq!(over_time, 11);
}

#[test]
fn a_killed_run_is_told_as_it_stands_and_nothing_of_it_is_touched() {
    let scripted = Scripted::new();
    scripted.append([started(1_000_000, 0)]);
    scripted.append((0..40).map(|n| settled(outcome(n), &body(&"x".repeat(200)))));
    let segment = {
        let files = fs::read_dir(scripted.folder.journal()).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|ending| ending == "seg")).max().unwrap()
    };
    // The write that was going on at that moment is half there.
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend_from_slice(b"TMJ1 and no more");
    fs::write(&segment, bytes).unwrap();
    let files = || -> BTreeMap<_, _> {
        let files = fs::read_dir(scripted.folder.journal()).unwrap().map(|file| file.unwrap().path());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    };
    let before = files();
    let report = scripted.report();
    assert_eq!(files(), before);

    assert_eq!(report.run.state, RunState::Interrupted);
    let totals = &report.totals;
    assert_eq!((totals.settled, totals.records, totals.unsettled, totals.adds_up), (40, None, None, None));
    assert_eq!(report.time.by_process[0].end, ProcessEnd::Killed);
    assert!(report.is_sound());
    let text = render(&report, Format::Markdown, Language::English).unwrap();
    assert!(text.contains("It is not finished.") && text.contains("So far 40 records have an end"), "{text}");
}

#[test]
fn a_run_that_another_process_works_on_is_running() {
    let scripted = journal();
    // The lock of a run belongs to whoever opened it; that this is the same process is told by its number.
    let _lock = scripted.folder.lock().unwrap();
    assert_eq!(scripted.report().run.state, RunState::Interrupted);
    fs::write(scripted.folder.path().join("lock"), "1\n").unwrap();
    let report = scripted.report();
    assert_eq!(report.run.state, RunState::Running);
    let text = render(&report, Format::Markdown, Language::English).unwrap();
    assert!(text.contains("A process works on it."), "{text}");
}

#[test]
fn a_run_without_a_journal_has_an_empty_report() {
    let scripted = Scripted::new();
    fs::remove_dir_all(scripted.folder.journal()).unwrap();
    let report = scripted.report();
    assert_eq!((report.totals.settled, report.time.processes), (0, 0));
    for language in [Language::English, Language::Chinese] {
        for format in [Format::Markdown, Format::Html, Format::Json] {
            assert!(!render(&report, format, language).unwrap().is_empty());
        }
    }
}
