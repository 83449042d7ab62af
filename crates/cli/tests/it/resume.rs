//! Going on: after a signal, a crash, a damaged journal, and after somebody changed what the run was about.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;
use simulate::{Fault, FaultKind, Script};

use crate::story::{Pipeline, Story, numbered, records, slow};

/// A vendor that never answers what it is asked for the first time.
fn hanging() -> Script {
    Script { faults: vec![Fault { asks: Some(1), ..Fault::new(FaultKind::Hang, 1.0) }], ..Script::default() }
}

/// Interrupts a run of 40 records half-way, by a signal that lets it drain.
fn interrupted(story: &Story, signal: Signal) {
    let mut running = story.start([]);
    running.until("some are answered and some are asked", |_| {
        let counts = story.vendor.counts();
        counts.answered >= 8 && counts.in_flight >= 4
    });
    running.signal(signal);
    running.until_it_says("stopping: nothing new is asked");
    let ran = running.wait();
    ran.says(130, &["interrupted; everything settled is safe", "Go on with: tidemill run pipeline.yaml"]);
}

fn drains(signal: Signal) {
    let story = Story::with(records(40), slow(200), &Pipeline::default());
    interrupted(&story, signal);
    let settled = story.settled(&story.run_id());
    let asked = story.asked();
    assert!(asked < 40, "it was interrupted before the end");
    assert_eq!(settled.len() as u64, asked, "every answer that was in flight is kept");
    assert!(!story.has("out/labels.jsonl"), "half an output is no output");
    assert_eq!(story.n_live() as u64, asked, "what is settled can be seen in the live output");

    let ran = story.run([]);
    ran.says(0, &["going on", &format!("{asked} records are settled already"), "40 succeeded"]);
    ran.does_not_say("asked again");
    assert_eq!(story.ids(), (1..=40).collect::<Vec<_>>(), "the output is in the order of the source");
    assert_eq!(story.asked(), 40, "nothing was asked twice");
    assert_eq!(story.accounting()["asked_again_after_crash"], 0);
    assert!(!story.has("out/labels.partial.jsonl"), "the live output has done its work");
}

#[test]
fn ctrl_c_keeps_what_is_in_flight() {
    drains(Signal::INT);
}

#[test]
fn a_polite_kill_keeps_what_is_in_flight() {
    drains(Signal::TERM);
}

fn stops_at_once(signal: Signal) {
    let story = Story::with(records(16), slow(1500), &Pipeline::default());
    let mut running = story.start([]);
    running.until("eight are settled and eight are asked", |_| {
        story.n_live() == 8 && story.vendor.counts().in_flight == 8
    });
    running.signal(signal);
    running.until_it_says("waiting for answers in flight (again: stop at once)");
    let begun = Instant::now();
    running.signal(signal);
    running.wait().says(130, &["everything settled is safe", "Go on with: tidemill run pipeline.yaml"]);
    assert!(begun.elapsed() < Duration::from_millis(750), "it does not wait for what is in flight");
    let settled = story.settled(&story.run_id());
    assert_eq!(settled.len(), 8);

    story.run([]).says(0, &["8 requests were in flight", "they are asked again", "16 succeeded"]);
    assert_eq!(story.ids(), (1..=16).collect::<Vec<_>>());
    assert!(story.asks_of(&settled).values().all(|n| *n == 1), "what was settled is not asked again");
    assert_eq!(story.asked(), 24);
    assert_eq!(story.accounting()["asked_again_after_crash"], 8, "the account admits what was paid for twice");
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    stops_at_once(Signal::INT);
}

#[test]
fn a_second_polite_kill_does_not_wait() {
    stops_at_once(Signal::TERM);
}

#[test]
fn a_drain_waits_no_longer_than_the_grace_period() {
    let flow = "{ grace: 300ms }";
    let story = Story::with(records(8), hanging(), &Pipeline { flow, ..Pipeline::default() });
    let mut running = story.start([]);
    running.until("all hang", |_| story.vendor.counts().in_flight == 8);
    running.signal(Signal::INT);
    running.wait().says(130, &["interrupted"]);
    story.run([]).says(0, &["8 requests were in flight", "8 succeeded"]);
    let account = story.accounting();
    assert_eq!(account["asked_again_after_crash"], 8, "the account admits what was paid for twice");
}

#[test]
fn kill_nine_loses_nothing_that_is_settled() {
    let story = Story::with(records(60), slow(80), &Pipeline::default());
    story.run_and_kill(20);
    let settled = story.settled(&story.run_id());
    assert!(settled.len() >= 20, "what is shown is settled");
    story.run([]).says(0, &["going on", "in flight when the last process ended", "60 succeeded"]);
    assert_eq!(story.ids(), (1..=60).collect::<Vec<_>>());
    assert!(story.asks_of(&settled).values().all(|n| *n == 1), "no settled record is asked again");
    assert!(story.asked() <= 60 + 2 * 8, "at most what was in flight is repeated: {}", story.asked());
}

#[test]
fn a_torn_tail_is_told_kept_and_harmless() {
    let story = Story::with(records(30), slow(80), &Pipeline::default());
    story.run_and_kill(10);
    let settled = story.settled(&story.run_id());
    let last = story.segments().pop().unwrap();
    let whole = story.bytes(&last);
    // Half of a frame, as a crash leaves it.
    let start = whole.windows(4).position(|window| window == b"TMJ1").unwrap_or(16);
    story.append(&last, &whole[start..start + 40]);
    story
        .run([])
        .says(0, &["the journal ended in a write that was cut short", "nothing settled is lost", "30 succeeded"]);
    assert!(story.asks_of(&settled).values().all(|n| *n == 1));
    let folder = story.path(&last).parent().unwrap().to_owned();
    let is_kept =
        fs::read_dir(folder).unwrap().any(|file| file.unwrap().file_name().to_string_lossy().contains("torn-"));
    assert!(is_kept, "what was cut off is kept aside");
    assert_eq!(story.ids(), (1..=30).collect::<Vec<_>>());
}

#[test]
fn damage_in_the_open_segment_stops_the_run_until_asking_again_is_allowed() {
    let story = Story::with(records(40), slow(80), &Pipeline::default());
    story.run_and_kill(20);
    let settled = story.settled(&story.run_id());
    assert!(settled.contains_key(&5));
    story.flip("\"line\":5,");
    let asked = story.asked();
    let ran = story.run([]);
    ran.says(3, &["damaged:", ".seg", "a part of the journal cannot be read", "backup", "--reask-damaged"]);
    assert_eq!(story.asked(), asked, "nothing is paid for twice without leave");

    let ran = story.run(["--reask-damaged"]);
    ran.says(0, &["40 succeeded"]);
    for (line, asks) in story.asks_of(&settled) {
        assert_eq!(asks, if line == 5 { 2 } else { 1 }, "line {line}");
    }
    assert_eq!(story.ids(), (1..=40).collect::<Vec<_>>());
    story.run([]).says(0, &["going on"]).does_not_say("damaged");
    // BUG: it says "0 damaged records are asked again": what was in a damaged stretch of the open segment has no key.
    ran.does_not_say("0 damaged records");
}

#[test]
fn an_answer_whose_journal_is_damaged_comes_back_from_the_live_output() {
    let story = Story::of(records(20));
    // A folder that stands where the output is written aside: the run is answered, and cannot finish.
    fs::create_dir_all(story.path("out/.labels.jsonl.r1.tmp")).unwrap();
    story.run(["--task-id", "r1"]).says(3, &["cannot write `out/labels.jsonl`"]);
    assert_eq!(story.n_live(), 20, "every answer is in the live output");
    story.flip("\"line\":5,");
    fs::remove_dir(story.path("out/.labels.jsonl.r1.tmp")).unwrap();

    story.run([]).says(0, &["20 succeeded", "1 restored from the live output"]);
    assert_eq!(story.asked(), 20, "nothing is asked again");
    assert_eq!(story.ids(), (1..=20).collect::<Vec<_>>());
    assert_eq!(story.accounting()["steps"][0]["restored"], 1, "the account admits that the raw answer is lost");
    let output = story.text("out/labels.jsonl");
    fs::remove_file(story.path("out/labels.jsonl")).unwrap();
    story.run([]).says(0, &["1 restored"]);
    assert_eq!(story.text("out/labels.jsonl"), output, "once restored, it is in the journal again");
    assert_eq!(story.asked(), 20);
}

#[test]
fn an_answer_that_is_damaged_everywhere_is_asked_again_only_with_leave() {
    // All answers come in one moment, so that most are in one commit.
    let story = Story::with(records(8), slow(200), &Pipeline::default());
    story.run([]).says(0, &["8 succeeded"]);
    let output = story.text("out/labels.jsonl");
    let requests = story.settled(&story.run_id());
    let file = story.flip("\"line\":1,");
    let id = story.run_id();
    let shown = story.tidemill(["runs", "show", &id, "--verify"]);
    assert_eq!(shown.status, 1, "{shown:?}");
    assert!(shown.stdout.contains("damaged") && shown.stdout.contains(file.rsplit('/').next().unwrap()), "{shown:?}");

    story.run([]).says(0, &["done already, the outputs are in place"]);
    assert_eq!(story.text("out/labels.jsonl"), output, "as long as the outputs are there, nothing is missing");
    fs::remove_file(story.path("out/labels.jsonl")).unwrap();
    story.run([]).says(1, &["1 damaged", "the outputs are not written", "backup", "--reask-damaged"]);
    assert_eq!((story.asked(), story.has("out/labels.jsonl")), (8, false));

    let ran = story.run(["--reask-damaged"]);
    ran.says(0, &["8 succeeded"]);
    // BUG: where the damaged frame lies in the segment's last commit, every sound frame behind it is taken for damaged
    // too, and asked again. (store/src/journal/recover.rs, `verify`: a sealed segment has no torn tail; ask `read_one`.)
    ran.says(0, &["1 record with a damaged outcome: asked again"]);
    for (line, asks) in story.asks_of(&requests) {
        assert_eq!(asks, if line == 1 { 2 } else { 1 }, "line {line}");
    }
    assert_eq!(story.text("out/labels.jsonl"), output, "the same question has the same answer");
}

#[test]
fn a_source_that_changed_under_a_run_stops_it() {
    let edited = records(40).replace("message 7\"", "massage 7\"");
    for (now, said) in [
        (records(30), "is shorter: it had"),
        (edited.clone(), "the content of `in.jsonl` differs"),
        (edited + &numbered(41, 42), "the content of `in.jsonl` differs"),
    ] {
        let story = Story::with(records(40), slow(200), &Pipeline::default());
        interrupted(&story, Signal::INT);
        let asked = story.asked();
        story.write("in.jsonl", now);
        story.run([]).says(3, &["`in.jsonl`", said, "Put the old file back to go on", "--fresh"]);
        assert_eq!(story.asked(), asked, "nothing is asked about a file that is not the one");
        story.write("in.jsonl", records(40));
        story.run([]).says(0, &["40 succeeded"]);
        assert_eq!(story.asked(), 40, "with the old file back it goes on");
    }
}

#[test]
fn a_change_that_no_sample_sees_is_seen_by_the_record() {
    // Four megabytes: more than is compared when a run goes on. Line 5 lies between two samples.
    let source = |word: &str| {
        (1..=200).fold(String::new(), |all, id| {
            let text = if id == 5 { word } else { "message" }.repeat(20_000 / 7);
            all + &format!("{{\"id\":{id},\"text\":\"{text}\"}}\n")
        })
    };
    let story = Story::of(source("message"));
    story.run(["--limit", "10"]).says(0, &["10 records"]);
    let output = story.text("out/labels.jsonl");
    story.write("in.jsonl", source("massage"));
    story.run([]).says(3, &["`in.jsonl` line 5 is not what it was", "put the old file back", "--fresh"]);
    assert_eq!(story.text("out/labels.jsonl"), output, "an answer never stands beside another record");
    story.write("in.jsonl", source("message"));
    story.run([]).says(0, &["200 succeeded"]);
    assert_eq!(story.asked(), 200);
}

#[test]
fn lines_appended_to_a_source_are_what_the_next_run_does() {
    let story = Story::of(records(20));
    story.run([]).says(0, &["20 succeeded"]);
    story.append("in.jsonl", numbered(21, 25));
    story
        .run([])
        .says(0, &["the source has grown at its end; the new records are worked on", "25 records: 25 succeeded"]);
    assert_eq!(story.asked(), 25, "only the new lines are asked");
    assert_eq!(story.ids(), (1..=25).collect::<Vec<_>>());
    assert_eq!(story.run_ids().len(), 1);
    story.run([]).says(0, &["done already, the outputs are in place (25 records)"]);
    assert_eq!(story.asked(), 25);
}

#[test]
fn lines_are_appended_behind_a_last_line_without_end() {
    let story = Story::of(records(3).trim_end());
    story.run([]).says(0, &["3 succeeded"]);
    story.append("in.jsonl", format!("\n{}", numbered(4, 5)));
    story.run([]).says(0, &["5 records: 5 succeeded"]);
    assert_eq!(story.ids(), [1, 2, 3, 4, 5]);
    story.append("in.jsonl", numbered(6, 6).trim_end());
    story.run([]).says(0, &["6 succeeded"]);
    // Continuing a line that is settled changes a record.
    story.append("in.jsonl", "trailing");
    story.run([]).says(3, &["the last line of `in.jsonl` had no line end and was continued"]);
    assert_eq!(story.asked(), 6);
}

#[test]
fn an_unfinished_run_is_not_gone_on_with_another_question() {
    let story = Story::with(records(40), slow(200), &Pipeline::default());
    interrupted(&story, Signal::INT);
    let asked = story.asked();
    let other = Pipeline {
        template: "Judge this: {{ text }}",
        output: "{ label: { enum: [good, bad, odd] } }",
        ..Pipeline::default()
    };
    story.write("pipeline.yaml", other.text());
    let ran = story.run([]);
    ran.says(2, &["is not finished, and the pipeline has changed", "steps.label.work.prompt.template", "--fresh"]);
    ran.says(2, &["steps.label.work.prompt.output", "undo the change"]);
    assert_eq!(story.asked(), asked);

    // Width, retries, grace, tolerance and where the output goes do not change what is asked.
    let other = Pipeline {
        flow: "{ max_in_flight: 3, retries: { api: 9 }, deadline: 9m }",
        step: "tolerate: { failed: 3 }",
        sink: "jsonl: { path: out/other.jsonl }",
        ..Pipeline::default()
    };
    story.write("pipeline.yaml", other.text());
    story.run([]).says(0, &["going on", "40 succeeded"]);
    assert_eq!(story.asked(), 40);
    assert_eq!(story.lines("out/other.jsonl").len(), 40, "the whole output stands where it was asked for last");
}

#[test]
fn another_question_after_a_run_is_done_is_another_run() {
    let story = Story::of(records(5));
    story.run([]).says(0, &[]);
    let other = Pipeline { template: "Judge this: {{ text }}", ..Pipeline::default() };
    story.write("pipeline.yaml", other.text());
    let said = ["the pipeline has changed", "steps.label.work.prompt.template", "a new run begins", "begins"];
    story.run([]).says(0, &said);
    assert_eq!(story.asked(), 10);
    assert_eq!(story.run_ids().len(), 2, "the old run is kept");
}

#[test]
fn starting_over_keeps_the_old_run() {
    let story = Story::of(records(5));
    story.run(["--task-id", "first"]).says(0, &["run first: begins"]);
    let journal = story.export("first");
    story.run(["--fresh"]).says(0, &["begins", "5 succeeded"]);
    assert_eq!(story.asked(), 10);
    assert_eq!(story.run_ids().len(), 2);
    assert_eq!(story.export("first"), journal, "nothing was done to the old run");
    story.run([]).says(0, &["going on"]).does_not_say("run first");
    assert_eq!(story.asked(), 10, "the newer one is the one to go on with");
    let listed = story.tidemill(["runs"]);
    assert_eq!(listed.stdout.lines().filter(|line| line.contains(" done ")).count(), 2, "{listed:?}");
}

#[test]
fn a_limit_is_a_taste_of_the_whole() {
    let story = Story::of(records(30));
    story.run(["--limit", "10"]).says(0, &["10 records: 10 succeeded"]);
    assert_eq!((story.asked(), story.ids()), (10, (1..=10).collect()));
    story.run(["--limit", "10"]).says(0, &["done already, the outputs are in place (10 records)"]);
    assert_eq!(story.asked(), 10);
    story.run(["--limit", "12"]).says(0, &["12 succeeded"]);
    assert_eq!(story.asked(), 12);
    story.run([]).says(0, &["30 records: 30 succeeded"]);
    assert_eq!((story.asked(), story.ids()), (30, (1..=30).collect()));
    assert_eq!(story.run_ids().len(), 1);
}

#[test]
fn a_run_has_the_id_that_it_is_given() {
    let story = Story::of(records(3));
    story.run(["--task-id", "nightly.2026-11-21_a"]).says(0, &["run nightly.2026-11-21_a: begins"]);
    assert_eq!(story.run_ids(), ["nightly.2026-11-21_a"]);
    assert_eq!(story.accounting()["run"], "nightly.2026-11-21_a");
    story.run(["--task-id", "nightly.2026-11-21_a"]).says(0, &["going on"]);
    story.run(["--task-id", "nightly.2026-11-21_a", "--fresh"]).says(2, &["a run with the id", "exists", "runs rm"]);
    for id in ["", "../x", ".hidden", "a/b", "a b", "ä"] {
        story.run(["--fresh", "--task-id", id]).says(2, &["cannot be a run's id", "letters, digits"]);
    }
    assert_eq!((story.asked(), story.run_ids().len()), (3, 1));
}

#[test]
fn an_id_belongs_to_one_pipeline() {
    let story = Story::of(records(3));
    story.run(["--task-id", "mine"]).says(0, &[]);
    let output = story.text("out/labels.jsonl");
    let other = Pipeline { template: "Other: {{ text }}", ..Pipeline::default() }.text();
    story.write("other.yaml", other.replace("name: story", "name: other").replace("out/labels", "out/others"));
    let ran = story.tidemill(["run", "other.yaml", "--task-id", "mine"]);
    ran.says(2, &["mine"]);
    assert_eq!(story.text("out/labels.jsonl"), output);
    assert_eq!(story.asked(), 3);
}

#[test]
fn resuming_needs_something_to_resume() {
    let story = Story::of(records(3));
    story.run(["--resume"]).says(2, &["there is no run of `story` to go on with", "leave --resume out"]);
    assert_eq!((story.asked(), story.run_ids().len()), (0, 0));
    story.run([]).says(0, &[]);
    story.run(["--resume"]).says(0, &["going on"]);
    story.run(["--resume", "--fresh"]).says(2, &["cannot be used with"]);
    assert_eq!(story.asked(), 3);
}

#[test]
fn a_done_run_whose_output_is_wanted_otherwise_is_written_otherwise() {
    for (sink, name, field) in [
        ("jsonl: { path: out/other.jsonl }", "out/other.jsonl", "label"),
        ("jsonl: { path: out/labels.jsonl, columns: { label: verdict } }", "out/labels.jsonl", "verdict"),
    ] {
        let story = Story::of(records(5));
        story.run([]).says(0, &[]);
        story.write("pipeline.yaml", Pipeline { sink, ..Pipeline::default() }.text());
        let ran = story.run([]);
        ran.says(0, &[]);
        assert_eq!(story.asked(), 5, "the answers are there");
        // BUG: it says "done already, the outputs are in place", and the output that is asked for is not there.
        assert!(story.has(name) && story.lines(name)[0].get(field).is_some(), "{sink}: {}", ran.stderr);
        assert_eq!(story.lines(name).len(), 5);
    }
}

#[test]
fn an_output_that_somebody_changed_is_written_again() {
    let story = Story::of(records(5));
    story.run([]).says(0, &[]);
    let output = story.text("out/labels.jsonl");
    story.write("out/labels.jsonl", &output[..output.len() / 2]);
    story.run([]).says(0, &["5 succeeded"]);
    assert_eq!((story.text("out/labels.jsonl"), story.asked()), (output, 5));
}

#[test]
fn a_done_run_can_be_run_again_for_nothing() {
    let story = Story::of(records(5));
    story.run([]).says(0, &[]);
    let output = story.text("out/labels.jsonl");
    fs::remove_dir_all(story.path("out")).unwrap();
    story.run([]).says(0, &["5 succeeded"]);
    assert_eq!(story.text("out/labels.jsonl"), output, "an output that was lost is written again from the journal");
    assert_eq!(story.asked(), 5);
    assert_eq!(story.accounting()["steps"][0]["adds_up"], json!(true));
}
