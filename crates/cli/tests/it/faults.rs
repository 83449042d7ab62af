//! The environment fails: disks, locks, keys, vendors. A clear message each, an exit status that a script can tell
//! apart, and nothing lost.

use std::{net::TcpListener, time::Duration};

use serde_json::json;
use simulate::{Answer, Fault, FaultKind, Script, Vendor};

use crate::story::{Pipeline, Ran, Story, can_mount, json_lines, loopback, models, records, settled, slow};

/// An answer of four kilobytes, so that a small disk fills soon.
fn bulky() -> (Script, Pipeline) {
    let answer = format!(r#"{{"label":"good","why":"{}"}}"#, "because ".repeat(500));
    let output = "{ label: { enum: [good, bad] }, why: { type: string } }";
    (Script { answer: Answer::Fixed(answer), ..Script::default() }, Pipeline { output, ..Pipeline::default() })
}

fn status(story: &Story, name: &str) -> i32 {
    story.text(name).trim().parse().expect("the script wrote a status")
}

/// What a command within a script left.
fn left(story: &Story, name: &str) -> Ran {
    Ran {
        status: status(story, &format!("{name}.status")),
        stdout: String::new(),
        stderr: story.text(&format!("{name}.err")),
    }
}

#[test]
fn a_full_state_disk_stops_the_run_and_loses_nothing() {
    if !can_mount() {
        return;
    }
    let (script, pipeline) = bulky();
    let story = Story::with(records(600), script, &pipeline);
    let ran = story.sh_with_mounts(
        r#"
        mkdir .tidemill
        mount -t tmpfs -o size=2m tmpfs .tidemill
        set +e
        "$TIDEMILL" run pipeline.yaml 2>first.err; echo $? >first.status
        "$TIDEMILL" runs export "$(ls .tidemill/runs)" >first.jsonl 2>export.err; echo $? >export.status
        "$TIDEMILL" run pipeline.yaml 2>full.err; echo $? >full.status
        mount -o remount,size=64m .tidemill
        "$TIDEMILL" run pipeline.yaml 2>second.err; echo $? >second.status
        "#,
    );
    assert_eq!(ran.status, 0, "{ran:?}");
    let said = [".tidemill", "No space left on device", "free some space", "everything acknowledged is safe"];
    left(&story, "first").says(3, &said);
    left(&story, "full").says(3, &said);
    left(&story, "export").says(0, &[]);
    left(&story, "second").says(0, &["going on", "600 succeeded"]);
    let settled = settled(&json_lines(&story.text("first.jsonl")));
    assert!((50..600).contains(&settled.len()), "the disk filled half-way: {}", settled.len());
    let twice: Vec<u64> = story.asks_of(&settled).into_iter().filter(|(_, n)| *n != 1).map(|(line, _)| line).collect();
    assert!(twice.is_empty(), "settled, and asked again: {twice:?}");
    assert_eq!(story.ids(), (1..=600).collect::<Vec<_>>());
    let admitted = story.accounting()["asked_again_after_crash"].as_u64().unwrap();
    assert!(
        story.asked() <= 600 + admitted,
        "the account admits what is asked again: {} of {}",
        admitted,
        story.asked()
    );
}

#[test]
fn a_disk_too_full_for_the_output_keeps_every_answer() {
    if !can_mount() {
        return;
    }
    let (script, pipeline) = bulky();
    let story = Story::with(records(600), script, &pipeline);
    // Room for the live output, and not for the final one beside it.
    let ran = story.sh_with_mounts(
        r#"
        mkdir out kept
        mount -t tmpfs -o size=4m tmpfs out
        set +e
        "$TIDEMILL" run pipeline.yaml 2>first.err; echo $? >first.status
        ls -A out >left
        mount -o remount,size=32m out
        "$TIDEMILL" run pipeline.yaml 2>second.err; echo $? >second.status
        cp out/* kept
        "#,
    );
    assert_eq!(ran.status, 0, "{ran:?}");
    left(&story, "first")
        .says(3, &["cannot write `out/labels.jsonl`: the disk is full", "free some space", "same command"]);
    assert_eq!(story.text("left"), "labels.partial.jsonl\n", "half a file is not left lying about");
    left(&story, "second").says(0, &["600 records are settled already", "600 succeeded"]);
    assert_eq!(story.asked(), 600, "nothing is asked again");
    assert_eq!(story.lines("kept/labels.jsonl").len(), 600);
}

#[test]
fn a_disk_too_full_for_the_live_output_keeps_every_answer() {
    if !can_mount() {
        return;
    }
    let (script, pipeline) = bulky();
    let story = Story::with(records(400), script, &pipeline);
    let ran = story.sh_with_mounts(
        r#"
        mkdir out kept
        mount -t tmpfs -o size=512k tmpfs out
        set +e
        "$TIDEMILL" run pipeline.yaml 2>first.err; echo $? >first.status
        "$TIDEMILL" runs export "$(ls .tidemill/runs)" >first.jsonl
        mount -o remount,size=32m out
        "$TIDEMILL" run pipeline.yaml 2>second.err; echo $? >second.status
        cp out/* kept
        "#,
    );
    assert_eq!(ran.status, 0, "{ran:?}");
    left(&story, "first")
        .says(3, &["cannot write `out/labels.partial.jsonl`: the disk is full", "what is settled is kept"]);
    left(&story, "second").says(0, &["400 succeeded"]);
    let settled = settled(&json_lines(&story.text("first.jsonl")));
    assert!(story.asks_of(&settled).values().all(|n| *n == 1), "what is settled and not shown is not asked again");
    let ids: Vec<u64> = story.lines("kept/labels.jsonl").iter().filter_map(|record| record["id"].as_u64()).collect();
    assert_eq!(ids, (1..=400).collect::<Vec<_>>());
}

#[test]
fn a_read_only_output_folder_is_told_before_anything_is_asked() {
    if !can_mount() {
        return;
    }
    let story = Story::of(records(3));
    let script = r#"mkdir out; mount -t tmpfs -o ro tmpfs out; exec "$TIDEMILL" run pipeline.yaml"#;
    let ran = story.sh_with_mounts(script);
    ran.says(3, &["`out/labels.jsonl`", "the file system is read-only", "write to another folder"]);
    assert_eq!(story.asked(), 0);
    story.run([]).says(0, &["3 succeeded"]);
}

#[test]
fn a_read_only_state_folder_is_told_before_anything_is_asked() {
    if !can_mount() {
        return;
    }
    let story = Story::of(records(3));
    let script = r#"mkdir .tidemill; mount -t tmpfs -o ro tmpfs .tidemill; exec "$TIDEMILL" run pipeline.yaml"#;
    let ran = story.sh_with_mounts(script);
    ran.says(3, &[".tidemill", "Read-only file system", "--state"]);
    assert_eq!(ran.stderr.matches("Read-only file system").count(), 1, "{ran:?}");
    assert_eq!(story.asked(), 0);
    story.run([]).says(0, &["3 succeeded"]);
}

#[test]
fn an_output_that_is_a_folder_is_told_before_anything_is_asked() {
    let story = Story::of(records(3));
    std::fs::create_dir_all(story.path("out/labels.jsonl")).unwrap();
    story.run([]).says(2, &["`out/labels.jsonl` is a folder", "name a file in it"]);
    assert_eq!(story.asked(), 0);
}

#[test]
fn a_run_is_worked_on_by_one_process() {
    let story = Story::with(records(24), slow(300), &Pipeline::default());
    let mut first = story.start([]);
    first.until("it is under way", |_| story.asked() > 0);
    let second = story.run([]);
    second.says(
        3,
        &["is being worked on by process", &first.id().to_string(), &story.run_id(), "wait for it, or stop it"],
    );
    first.wait().says(0, &["24 succeeded"]);
    assert_eq!(story.asked(), 24);
    assert_eq!(story.run_ids().len(), 1);
}

/// BUG: whoever looks for runs before the other's manifest is there begins one of their own: both pay, and both write
/// the same output. (`choose::choose` looks, creates and locks without a lock of its own.)
#[test]
fn two_starts_in_one_moment_are_one_run() {
    for round in 0..4 {
        let story = Story::with(records(16), slow(100), &Pipeline::default());
        let starts = [story.start([]), story.start([])];
        let ran = starts.map(crate::story::Running::wait);
        let mut statuses = ran.each_ref().map(|ran| ran.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [0, 3], "round {round}: {ran:#?}");
        assert_eq!(story.run_ids().len(), 1, "round {round}");
        assert_eq!(story.asked(), 16, "round {round}: nothing is paid for twice");
        assert_eq!(story.ids(), (1..=16).collect::<Vec<_>>());
    }
}

/// BUG: a second run of the same pipeline may begin beside one that is going on, and both write the same files.
#[test]
fn a_fresh_run_does_not_write_over_the_one_that_is_going_on() {
    let story = Story::with(records(24), slow(300), &Pipeline::default());
    let mut first = story.start([]);
    first.until("it is under way", |_| story.asked() > 0);
    story.run(["--fresh"]).says(3, &["is being worked on by process", &first.id().to_string()]);
    story.run(["--task-id", "another"]).says(3, &["is being worked on by process", &first.id().to_string()]);
    first.wait().says(0, &["24 succeeded"]);
    assert_eq!(story.asked(), 24);
}

/// A story whose vendor wants a key, and whose models file names the variable `KEY`.
fn with_key(n: u64, mut script: Script) -> Story {
    script.require_key = Some("sk-right".to_owned());
    let mut story = Story::with(records(n), script, &Pipeline::default());
    story.models(", key: { env: KEY }");
    story.set("KEY", "sk-right");
    story
}

#[test]
fn a_dead_key_stops_the_run_until_there_is_a_right_one() {
    let mut story = with_key(20, Script::default());
    story.run(["--limit", "5"]).says(0, &["5 succeeded"]);
    let output = story.text("out/labels.jsonl");
    story.set("KEY", "sk-wrong");
    let ran = story.run([]);
    ran.says(4, &["stopped:", "key", "model", "Everything settled is safe", "tidemill run pipeline.yaml"]);
    ran.does_not_say("sk-wrong");
    assert_eq!(story.text("out/labels.jsonl"), output);
    let turned_away = story.vendor.counts().turned_away;
    assert!((1..=8).contains(&turned_away), "a dead key is not tried for every record: {turned_away}");

    story.set("KEY", "sk-right");
    story.run([]).says(0, &["going on", "5 records are settled already", "20 succeeded"]);
    let account = &story.accounting()["steps"][0];
    assert_eq!(account["attempts"], 20, "the dead key cost no record an attempt");
    assert_eq!(story.asked(), 20 + turned_away);
}

#[test]
fn a_key_that_dies_again_and_again_loses_nothing() {
    let dies =
        |kind| Script { faults: vec![Fault { asks: Some(1), ..Fault::new(kind, 0.05) }], seed: 3, ..Script::default() };
    for (kind, said) in [(FaultKind::Unauthorized, "key"), (FaultKind::ExhaustedCredit, "credit")] {
        let story = Story::with(records(60), dies(kind), &Pipeline::default());
        let mut n_stops = 0;
        loop {
            let ran = story.run([]);
            if ran.status == 0 {
                break;
            }
            ran.says(4, &["stopped:", said, "Everything settled is safe"]);
            n_stops += 1;
            assert!(n_stops < 20, "it comes to an end");
        }
        assert!(n_stops > 0, "the script strikes");
        assert_eq!(story.ids(), (1..=60).collect::<Vec<_>>());
        let account = &story.accounting()["steps"][0];
        assert_eq!((&account["attempts"], &account["succeeded"]), (&json!(60), &json!(60)));
        let struck = story.vendor.counts().faults[&kind];
        assert_eq!(story.asked(), 60 + struck, "answers in flight when the key died are kept");
    }
}

#[test]
fn a_variable_without_a_key_is_told_before_anything_is_asked() {
    let mut story = with_key(3, Script::default());
    story.set("KEY", "");
    story.run([]).says(2, &["models.yaml:4:", "the environment variable `KEY` is not set", "export KEY="]);
    assert_eq!((story.asked(), story.has(".tidemill")), (0, false));
}

#[test]
fn a_vendor_that_is_down_is_waited_for() {
    let story = Story::of(records(20));
    let reserved = TcpListener::bind(loopback(0)).unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    story.write("models.yaml", models(address, ""));
    let mut running = story.start([]);
    running.until_it_says("waiting: no model can be reached");
    let vendor = Vendor::start(Script::default(), address).unwrap();
    let ran = running.wait();
    ran.says(0, &["20 succeeded"]);
    let account = &story.accounting()["steps"][0];
    assert_eq!(account["attempts"], 20, "an outage costs the lane, not the records");
    assert_eq!(vendor.counts().asked, 20);
    assert!(ran.stderr.contains("connect") || ran.stderr.contains("refused"), "why is said: {}", ran.stderr);
}

#[test]
fn an_outage_can_be_interrupted_and_gone_on_with() {
    let story = Story::of(records(5));
    let reserved = TcpListener::bind(loopback(0)).unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    story.write("models.yaml", models(address, ""));
    let mut running = story.start([]);
    running.until_it_says("waiting: no model can be reached");
    running.signal(rustix::process::Signal::INT);
    running.wait().says(130, &["interrupted"]);
    story.models("");
    story.run([]).says(0, &["5 succeeded"]);
    assert_eq!(story.asked(), 5, "another channel may serve the same run");
}

#[test]
fn faults_within_the_budget_leave_no_trace_in_the_output() {
    // A complaint is another request, and the vendor answers by the request.
    let pipeline = Pipeline { prompt: "answers: { complain: false }", ..Pipeline::default() };
    let plain = Story::with(records(100), Script::default(), &pipeline);
    plain.run([]).says(0, &[]);
    let fault = |kind, rate| Fault { asks: Some(1), ..Fault::new(kind, rate) };
    let wait = |millis| Some(simulate::Span(Duration::from_millis(millis)));
    let faults = vec![
        Fault { retry_after: wait(50), ..fault(FaultKind::Throttled, 0.05) },
        fault(FaultKind::Unavailable, 0.05),
        fault(FaultKind::Cut, 0.03),
        fault(FaultKind::Half, 0.02),
        fault(FaultKind::Garbage, 0.03),
        fault(FaultKind::GarbageBody, 0.02),
        fault(FaultKind::Empty, 0.02),
        fault(FaultKind::Length, 0.02),
    ];
    let story = Story::with(records(100), Script { faults, ..Script::default() }, &pipeline);
    story.run([]).says(0, &["100 succeeded"]);
    assert_eq!(story.text("out/labels.jsonl"), plain.text("out/labels.jsonl"));
    let struck: u64 = story.vendor.counts().faults.values().sum();
    assert!(struck > 5, "the script strikes: {struck}");
    assert_eq!(story.asked(), 100 + struck, "each fault is one more ask, and no more");
}
