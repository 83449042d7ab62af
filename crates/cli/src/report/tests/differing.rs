//! Two scripted journals side by side.

use std::{collections::BTreeMap, fs};

use domain::{End, FailureKind, Outcome, RecordKey};
use serde_json::value::RawValue;

use super::{Scripted, failed, outcome, settled, started, stopped};
use crate::{
    language::Language,
    report::{
        between,
        difference::{Change, Difference},
        shown,
    },
};

fn answered(position: u64, output: &str) -> Outcome {
    Outcome { output: Some(RawValue::from_string(output.to_owned()).unwrap()), ..outcome(position) }
}

fn scripted(outcomes: impl IntoIterator<Item = Outcome>) -> Scripted {
    let scripted = Scripted::new();
    scripted.append([started(1_000_000, 0)]);
    scripted.append(outcomes.into_iter().map(|outcome| settled(outcome, "")));
    scripted.append([stopped(1_001_000, "finished")]);
    scripted
}

fn difference(a: &Scripted, b: &Scripted) -> Difference {
    between(&a.folder, &b.folder).unwrap()
}

#[test]
fn answers_are_compared_record_by_record_and_field_by_field() {
    let a = scripted([
        answered(0, r#"{"label":"good","score":1}"#),
        answered(1, r#"{"label":"good","score":2}"#),
        answered(2, r#"{"label":"bad","score":3}"#),
        failed(3, FailureKind::Timeout, "no answer"),
        answered(4, r#"{"label":"good","score":5}"#),
        answered(5, r#"{"label":"good","score":6}"#),
    ]);
    let other_content = Outcome { hash: 77, ..answered(5, r#"{"label":"bad","score":0}"#) };
    let b = scripted([
        // In another order, with other blanks, and of other segments: the same answer.
        answered(2, r#"{"label":"good","score":4}"#),
        answered(1, r#"{ "score": 2, "label": "good" }"#),
        answered(0, r#"{"label":"bad"}"#),
        answered(3, r#"{"label":"good","score":1}"#),
        failed(4, FailureKind::Refused, "the model declined"),
        other_content,
        answered(6, "{}"),
    ]);
    let records = difference(&a, &b).records;
    assert_eq!((records.common, records.only_a, records.only_b, records.other_content), (6, 0, 1, 1));
    assert_eq!((records.compared, records.equal, records.different), (3, 1, 2));
    let fields: Vec<_> = records.fields.iter().map(|f| (f.field.as_str(), f.changed, f.only_a, f.only_b)).collect();
    assert_eq!(fields, [("label", 2, 0, 0), ("score", 1, 1, 0)]);
    let ends: Vec<_> = records.ends.iter().map(|change| (change.a, change.b, change.count)).collect();
    assert_eq!(ends, [("failed", "succeeded", 1), ("succeeded", "failed", 1)]);
    let example = &records.examples[0];
    assert_eq!((example.line, example.field.as_deref()), (1, Some("label")));
    assert_eq!((example.a.as_deref(), example.b.as_deref()), (Some("\"good\""), Some("\"bad\"")));
    assert_eq!(records.end_examples[0].a.as_deref(), Some("failed: timeout: no answer"));
    assert_eq!(records.end_examples[1].line, 5);
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let a = scripted((0..50).map(|n| answered(n, r#"{"label":"good"}"#)));
    let difference = difference(&a, &a);
    assert!(difference.pipeline_parts.is_empty() && difference.pipeline_file.is_empty());
    let records = &difference.records;
    assert_eq!((records.common, records.equal, records.different), (50, 50, 0));
    assert!(records.ends.is_empty() && records.examples.is_empty());
    let text = shown(&difference, Language::English);
    assert!(text.contains("50 answers are equal, 0 differ"), "{text}");
}

#[test]
fn examples_of_one_field_leave_room_for_those_of_others() {
    let a = scripted((0..60).map(|n| answered(n, r#"{"always":1,"rarely":1}"#)));
    let b = scripted((0..60).map(|n| {
        let rarely = u8::from(n % 20 == 19) + 1;
        answered(n, &format!(r#"{{"always":2,"rarely":{rarely}}}"#))
    }));
    let records = difference(&a, &b).records;
    let n = |field: &str| records.examples.iter().filter(|e| e.field.as_deref() == Some(field)).count();
    assert_eq!((n("always"), n("rarely"), records.fields[0].changed), (3, 3, 60));
}

#[test]
fn what_differs_in_the_pipeline_is_named_and_shown_line_by_line() {
    let (mut a, mut b) = (scripted([outcome(0)]), scripted([outcome(0)]));
    let parts = |parts: &[(&str, &str)]| -> BTreeMap<String, String> {
        parts.iter().map(|(part, hash)| ((*part).to_owned(), (*hash).to_owned())).collect()
    };
    a.with(|manifest| {
        manifest.frozen = "name: x\ntemplate: old\n".to_owned();
        manifest.identity_parts = parts(&[("same", "1"), ("template", "1"), ("system", "1")]);
    });
    b.with(|manifest| {
        manifest.frozen = "name: x\ntemplate: new\n".to_owned();
        manifest.identity_parts = parts(&[("same", "1"), ("template", "2"), ("parameters", "1")]);
    });
    let difference = difference(&a, &b);
    let changes: Vec<_> = difference.pipeline_parts.iter().map(|part| (part.part.as_str(), part.change)).collect();
    let expected = [("system", Change::OnlyA), ("template", Change::Changed), ("parameters", Change::OnlyB)];
    assert_eq!(changes, expected);
    assert_eq!(difference.pipeline_file, "@@ -1,2 +1,2 @@\n name: x\n-template: old\n+template: new\n");
    for language in [Language::English, Language::Chinese] {
        let text = shown(&difference, language);
        assert!(text.contains("-template: old\n+template: new"), "{text}");
    }
}

#[test]
fn samples_and_steps_are_told_apart_and_the_last_outcome_counts() {
    let at = |step, sample, position, output: &str| Outcome {
        key: RecordKey { step, part: 0, sample, position },
        ..answered(position, output)
    };
    let a = scripted([at(0, 0, 0, "{\"x\":1}"), at(0, 1, 0, "{\"x\":2}"), at(1, 0, 0, "{\"x\":3}")]);
    let b = scripted([
        at(0, 0, 0, "{\"x\":9}"),
        at(0, 1, 0, "{\"x\":2}"),
        at(1, 0, 0, "{\"x\":3}"),
        at(0, 0, 0, "{\"x\":1}"),
    ]);
    let records = difference(&a, &b).records;
    assert_eq!((records.common, records.equal), (3, 3));
}

#[test]
fn a_run_without_a_journal_has_nothing_in_common_with_anything() {
    let a = scripted((0..3).map(|n| answered(n, r#"{"label":"good"}"#)));
    let b = Scripted::new();
    fs::remove_dir_all(b.folder.journal()).unwrap();
    let records = difference(&a, &b).records;
    assert_eq!((records.common, records.only_a, records.only_b), (0, 3, 0));

    let mut called_off = answered(1, "{}");
    called_off.end = End::Cancelled;
    let c = scripted([answered(0, r#"{"label":"good"}"#), called_off]);
    let records = difference(&a, &c).records;
    assert_eq!((records.common, records.only_a, records.compared), (2, 1, 1));
    assert_eq!(records.ends[0].b, "cancelled");
}

#[test]
fn an_outcome_that_cannot_be_read_is_told_as_such_and_not_compared() {
    let long = "x".repeat(300);
    let outcomes = || (0..40).map(|n| answered(n, &format!(r#"{{"label":"answer {n} {long}"}}"#)));
    let (a, b) = (scripted(outcomes()), scripted(outcomes()));
    let segment = b.folder.journal().join("00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(9).position(|window| window == b"answer 3 ").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let records = difference(&a, &b).records;
    assert_eq!((records.common, records.unreadable, records.compared, records.equal), (40, 1, 39, 39));
}
