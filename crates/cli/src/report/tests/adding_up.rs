//! Whatever happens to records, the counts add up; and where they do not, the report says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use domain::{End, EndClass, Failure, FailureKind, Header, Reason, RecordKey, SkipReason, Timestamp, Usage};
use store::RunState;
use testkit::Draw;

use super::{Scripted, attempted, body, golden, meta, outcome, reopened, settled, skipped, started, stopped};
use crate::{
    language::Language,
    report::{Format, Report, render},
};

/// The last end of each record, kept the simple way.
#[derive(Default)]
struct Model {
    ends: BTreeMap<RecordKey, (EndClass, Option<Reason>)>,
    billed: Usage,
}

fn random_journal(seed: u64) -> (Scripted, Model) {
    let mut draw = Draw::new(seed);
    let mut scripted = Scripted::new();
    scripted.with(|manifest| {
        (manifest.n_steps, manifest.step_names) = (2, vec!["one".to_owned(), "two".to_owned()]);
    });
    let mut model = Model::default();
    let mut now = 1_000_000;
    let mut entries = Vec::new();
    for _ in 0..draw.below(250) {
        now += draw.below(1000);
        let key =
            RecordKey { step: draw.below(2) as u16, part: draw.below(2) as u32, sample: 0, position: draw.below(30) };
        let answered =
            meta(["east", "west", "none"][draw.below(3) as usize], draw.below(90), draw.below(90), draw.below(900));
        let usage = answered.usage.unwrap();
        let entry = match draw.below(12) {
            0 => started(now, draw.below(3)),
            1 => stopped(now, "stopped"),
            2 => {
                model.ends.remove(&key);
                reopened(key, now)
            }
            3 | 4 => {
                model.billed.add(usage);
                attempted(key.position, Failure::new(FailureKind::Timeout, "slow"), answered, now)
            }
            what => {
                let mut outcome = outcome(key.position);
                match what {
                    5 => outcome.end = End::Cancelled,
                    6 => outcome.end = End::Missing,
                    7 => outcome = skipped(key.position, SkipReason::ALL[draw.below(8) as usize], "because"),
                    8 | 9 => {
                        let failure = Failure::new(FailureKind::ALL[draw.below(13) as usize], "no");
                        let reason = Reason::ALL[draw.below(9) as usize];
                        outcome.end = End::Failed(if draw.one_in(2) { failure.because(reason) } else { failure });
                    }
                    _ => {}
                }
                (outcome.key, outcome.at) = (key, Timestamp(now));
                if outcome.attempts > 0 {
                    outcome.reparsed = draw.one_in(6);
                    outcome.meta = answered;
                    if !outcome.reparsed {
                        model.billed.add(usage);
                    }
                }
                let reason = match &outcome.end {
                    End::Failed(failure) => failure.reason,
                    _ => None,
                };
                model.ends.insert(key, (outcome.end.class(), reason));
                settled(outcome, &body("words"))
            }
        };
        // A commit is a sync: a few entries share one, as they do in a run.
        entries.push(entry);
        if draw.one_in(12) {
            scripted.append(entries.drain(..));
        }
    }
    scripted.append(entries);
    (scripted, model)
}

fn check(report: &Report, model: &Model, seed: u64) {
    for (number, step) in report.steps.iter().enumerate() {
        let ends: Vec<_> = model.ends.iter().filter(|(key, _)| usize::from(key.step) == number).collect();
        let n = |is: fn(&EndClass) -> bool| ends.iter().filter(|(_, (class, _))| is(class)).count() as u64;
        let counts = &step.counts;
        assert_eq!(counts.settled, ends.len() as u64, "seed {seed}");
        assert_eq!(counts.succeeded, n(|class| *class == EndClass::Succeeded), "seed {seed}");
        assert_eq!(counts.failed, n(|class| matches!(class, EndClass::Failed(_))), "seed {seed}");
        assert_eq!(counts.skipped, n(|class| matches!(class, EndClass::Skipped(_))), "seed {seed}");
        assert_eq!(counts.cancelled, n(|class| *class == EndClass::Cancelled), "seed {seed}");
        assert_eq!(counts.missing, n(|class| *class == EndClass::Missing), "seed {seed}");
        assert_eq!(step.failed_by.iter().map(|failed| failed.count).sum::<u64>(), counts.failed, "seed {seed}");
        assert_eq!(step.skipped_by.iter().map(|skipped| skipped.count).sum::<u64>(), counts.skipped, "seed {seed}");
    }
    for failures in &report.failures {
        let failed = &failures.failed;
        let wanted = (EndClass::Failed(failed.kind), failed.reason);
        let of_kind: BTreeSet<u64> =
            model.ends.iter().filter(|(_, end)| **end == wanted).map(|(key, _)| key.position + 1).collect();
        let n = model.ends.values().filter(|end| **end == wanted).count();
        assert_eq!(failed.count, n as u64, "seed {seed}");
        // As many examples as there can be, and each of a record that did fail in this way in the end.
        assert_eq!(failures.examples.len(), n.min(3), "seed {seed}: {failures:?}");
        assert!(failures.examples.iter().all(|example| of_kind.contains(&example.line)), "seed {seed}");
    }
    let tokens = &report.bill.tokens;
    assert_eq!((tokens.prompt, tokens.completion), (model.billed.prompt_tokens, model.billed.completion_tokens));
}

#[test]
fn a_report_of_what_was_heard_is_that_of_what_is_read() {
    for seed in 0..40 {
        let (scripted, _) = random_journal(seed);
        let [read, heard] = [scripted.report(), scripted.heard()]
            .map(|report| render(&report, Format::Json, Language::English).unwrap());
        assert_eq!(heard, read, "seed {seed}");
    }
    let scripted = golden::journal();
    assert_eq!(
        render(&scripted.heard(), Format::Json, Language::English).unwrap(),
        render(&scripted.report(), Format::Json, Language::English).unwrap()
    );
}

#[test]
fn the_counts_of_random_journals_add_up_to_the_records() {
    for seed in 0..40 {
        let (mut scripted, model) = random_journal(seed);
        check(&scripted.report(), &model, seed);
        let n = |step| model.ends.keys().filter(|key| key.step == step).count() as u64;
        let records = |one, two| BTreeMap::from([("one".to_owned(), one), ("two".to_owned(), two)]);
        scripted.with(|manifest| manifest.n_records = records(n(0), n(1)));
        let report = scripted.report();
        assert_eq!((report.totals.adds_up, report.totals.unsettled), (Some(true), Some(0)), "seed {seed}");
        assert_eq!(report.run.state, RunState::Done);
        let text = render(&report, Format::Markdown, Language::English).unwrap();
        assert!(text.contains("They add up:"), "seed {seed}: {text}");

        // Records that have no end yet are no fault; ends of records that are not there are one.
        scripted.with(|manifest| manifest.n_records = records(n(0) + 2, n(1)));
        let report = scripted.report();
        assert_eq!((report.run.state, report.totals.unsettled), (RunState::Interrupted, Some(2)), "seed {seed}");
        let text = render(&report, Format::Markdown, Language::English).unwrap();
        assert!(text.contains("Together with 2 that have no end yet they add up"), "seed {seed}: {text}");
        if n(1) > 0 {
            scripted.with(|manifest| manifest.n_records = records(n(0), n(1) - 1));
            let report = scripted.report();
            assert!(!report.is_sound(), "seed {seed}");
            let text = render(&report, Format::Markdown, Language::English).unwrap();
            assert!(text.contains("THE COUNTS DO NOT ADD UP: step two"), "seed {seed}: {text}");
            assert!(!text.contains("They add up:"), "seed {seed}: {text}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_told_loudly_and_not_counted_as_something_else() {
    let mut scripted = Scripted::new();
    scripted.append([started(1_000_000, 0)]);
    scripted.append((0..60).map(|n| settled(outcome(n), &format!("answer {n} {}", "x".repeat(200)))));
    scripted.append([stopped(1_000_100, "finished")]);
    scripted.with(|manifest| manifest.n_records = BTreeMap::from([("label".to_owned(), 60)]));
    assert!(scripted.report().is_sound());
    let first = scripted.folder.journal().join("00000001.seg");
    let mut bytes = fs::read(&first).unwrap();
    let at = bytes.windows(9).position(|window| window == b"answer 3 ").unwrap();
    bytes[at] ^= 1;
    fs::write(&first, bytes).unwrap();

    let report = scripted.report();
    let totals = &report.totals;
    assert_eq!((totals.settled, totals.succeeded, totals.damaged, totals.adds_up), (60, 59, 1, Some(false)));
    assert!(!report.is_sound() && report.damage.len() == 1);
    let text = render(&report, Format::Markdown, Language::English).unwrap();
    for said in ["A PART OF THE JOURNAL CANNOT BE READ", "THE COUNTS DO NOT AGREE", "00000001.seg", "1 have an outcome"]
    {
        assert!(text.contains(said), "`{said}` is not said: {text}");
    }
    assert!(!text.contains("They add up"), "{text}");
}

#[test]
fn candidates_beyond_those_that_were_wanted_are_told_and_are_no_fault() {
    let mut scripted = Scripted::new();
    scripted.append([started(1_000_000, 0)]);
    for sample in 0..3 {
        let mut candidate = outcome(0);
        candidate.key.sample = sample;
        scripted.append([settled(candidate, "")]);
    }
    scripted.append([stopped(1_000_100, "finished")]);
    scripted.with(|manifest| manifest.n_records = BTreeMap::from([("label".to_owned(), 2)]));
    let report = scripted.report();
    assert_eq!((report.totals.adds_up, report.totals.surplus), (Some(true), 1));
    assert!(report.is_sound());
}

#[test]
fn entries_of_a_header_that_counts_nothing_change_no_count() {
    let scripted = Scripted::new();
    let noted = domain::Noted {
        id: outcome(0).key,
        members: Vec::new(),
        kind: domain::NoteKind::Intent,
        tag: String::new(),
        at: Timestamp(1_000_000),
    };
    scripted.append([domain::Entry { header: Header::Noted(noted), raw: Vec::new().into() }]);
    let report = scripted.report();
    assert_eq!((report.totals.settled, report.attempts.total), (0, 0));
}
