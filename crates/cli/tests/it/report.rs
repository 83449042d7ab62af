//! `tidemill report` and `tidemill runs diff`, of runs that are done, at work and killed.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;
use simulate::{Fault, FaultKind, Script};

use crate::story::{Pipeline, Story, numbered, records, slow};

const PLANTED: &str = "sk-planted-4712-do-not-print";
const PRICE: &str = ", price: { prompt: 2, cached: 0.5, completion: 8, currency: CNY }";

/// A pipeline that leaves its report in every format.
fn reporting() -> Pipeline {
    Pipeline {
        finish: "{ accounting: out/accounting.json, report: [markdown, html, json] }",
        flow: "{ backoff: { first: 20ms, max: 100ms }, retries: { api: 3, content: 1 } }",
        ..Pipeline::default()
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON: {error}: {text}"))
}

/// The report of the one run, as JSON.
fn reported(story: &Story) -> Value {
    let ran = story.tidemill(["report", &story.run_id(), "--format", "json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    json(&ran.stdout)
}

/// Every file of the run's journal.
fn journal(story: &Story) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = story.path(&format!(".tidemill/runs/{}/journal", story.run_id()));
    let files = fs::read_dir(folder).expect("a run has a journal");
    let files = files.map(|file| file.expect("it can be listed").path());
    files.map(|path| (path.clone(), fs::read(path).expect("it can be read"))).collect()
}

#[test]
fn a_finished_run_leaves_reports_that_agree_with_its_account_and_with_the_vendor() {
    let faults = vec![
        Fault { asks: Some(1), ..Fault::new(FaultKind::Unavailable, 0.1) },
        Fault::new(FaultKind::Garbage, 0.2),
        Fault::new(FaultKind::Refused, 0.1),
    ];
    let script = Script { seed: 3, faults, require_key: Some(PLANTED.to_owned()), ..Script::default() };
    let mut source = records(60);
    source.push_str("\n<script>alert(1)</script>\n{\"id\":63}\n");
    let mut story = Story::with(source, script, &reporting());
    story.models(&format!("{PRICE}, key: {{ env: KEY }}"));
    story.set("KEY", PLANTED);
    story.run([]).says(1, &["out/labels.report.md", "out/labels.report.html", "out/labels.report.json"]);

    let (report, account) = (json(&story.text("out/labels.report.json")), story.accounting());
    let (totals, of_account) = (&report["totals"], &account["steps"][0]);
    for count in ["records", "succeeded", "failed", "skipped", "cancelled", "missing", "adds_up"] {
        assert_eq!(totals[count], of_account[count], "{count}");
    }
    assert_eq!((totals["records"].as_u64(), &totals["adds_up"]), (Some(63), &Value::Bool(true)));
    assert_eq!(report["run"]["state"], "done");
    let attempts = report["attempts"]["total"].as_u64().expect("a number");
    assert_eq!(attempts, story.asked(), "every request is an attempt: nobody was throttled");
    assert_eq!(attempts, of_account["attempts"].as_u64().expect("a number"));

    // All answers were billed, those that failed and those of the attempts before them included.
    let tokens = &report["bill"]["tokens"];
    let (prompt, completion) =
        (tokens["prompt"].as_u64().expect("a number"), tokens["completion"].as_u64().expect("so"));
    assert_eq!(of_account["billed"]["model"]["prompt_tokens"].as_u64(), Some(prompt));
    let amount: f64 = report["bill"]["cost"][0]["amount"].as_str().expect("a text").parse().expect("a decimal");
    let expected = (prompt * 2 + completion * 8) as f64 / 1e6;
    assert!((amount - expected).abs() < 1e-9, "{amount} for {expected}");
    assert_eq!(report["bill"]["cost"][0]["currency"], "CNY");

    let failures = report["failures"].as_array().expect("some failed");
    let kinds: Vec<&str> = failures.iter().filter_map(|failure| failure["kind"].as_str()).collect();
    assert!(kinds.contains(&"invalid_output") && kinds.contains(&"refused"), "{kinds:?}");
    assert!(failures.iter().all(|failure| failure["examples"][0]["message"].is_string()), "{failures:?}");

    // What is made later is what was written then.
    assert_eq!(reported(&story), report);
    let html = story.text("out/labels.report.html");
    assert!(!html.contains("<script"), "what is in the data is text");
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("<svg") && html.contains("prefers-color-scheme"));
    assert!(!html.contains(PLANTED) && !story.text("out/labels.report.md").contains(PLANTED));
    assert!(!story.text("out/labels.report.json").contains(PLANTED));
    assert!(!story.has("out/labels.report.md.tmp"), "nothing is left aside");
}

#[test]
fn a_killed_run_has_a_report_that_says_so_and_goes_on_as_if_nobody_had_looked() {
    let story = Story::with(records(80), slow(20), &Pipeline::default());
    story.run_and_kill(20);
    let before = journal(&story);
    let report = reported(&story);
    assert_eq!(journal(&story), before, "a report changes nothing");
    assert_eq!(report["run"]["state"], "interrupted");
    assert_eq!(report["time"]["by_process"][0]["end"], "killed");
    let settled = report["totals"]["settled"].as_u64().expect("a number");
    assert!((20..80).contains(&settled), "{settled}");
    assert_eq!(report["totals"]["records"], Value::Null, "nobody has counted them yet");
    let text = story.tidemill(["report", "latest"]);
    assert!(text.stdout.contains("It is not finished."), "{text:?}");

    story.run([]).says(0, &[]);
    let report = reported(&story);
    assert_eq!((report["run"]["state"].as_str(), report["totals"]["succeeded"].as_u64()), (Some("done"), Some(80)));
    assert_eq!((report["time"]["processes"].as_u64(), report["time"]["killed"].as_u64()), (Some(2), Some(1)));
    assert_eq!(report["time"]["asked_again_after_crash"], story.accounting()["asked_again_after_crash"]);
}

#[test]
fn a_run_at_work_has_a_report_and_is_not_disturbed() {
    let story = Story::with(records(120), slow(40), &Pipeline::default());
    let mut running = story.start([]);
    running.until("some records are settled", |_| story.n_live() >= 10);
    let report = reported(&story);
    assert_eq!(report["run"]["state"], "running");
    assert_eq!(report["time"]["by_process"][0]["end"], "running");
    assert!(report["totals"]["settled"].as_u64().is_some_and(|n| n >= 10), "{report}");
    let text = story.tidemill(["report", "latest", "--lang", "zh"]);
    assert!(text.stdout.contains("有进程正在处理这次运行"), "{text:?}");
    running.wait().says(0, &[]);
    assert_eq!(story.asked(), 120);
}

#[test]
fn a_report_goes_where_it_is_told_in_the_format_that_the_name_says() {
    let story = Story::of(records(5));
    story.run([]).says(0, &[]);
    let id = story.run_id();
    story.tidemill(["report", &id, "--out", "made/here.html"]).says(0, &["made/here.html"]);
    assert!(story.text("made/here.html").starts_with("<!DOCTYPE html>"));
    story.tidemill(["report", &id, "--out", "here.json"]).says(0, &[]);
    assert_eq!(json(&story.text("here.json"))["totals"]["succeeded"], 5);
    story.tidemill(["report", &id, "--out", "here.txt", "--format", "markdown"]).says(0, &[]);
    assert!(story.text("here.txt").starts_with("# Report of run"));
    let chinese = story.tidemill(["report", &id, "--lang", "zh"]);
    assert!(chinese.stdout.contains("账目相符：5 成功 = 5 条记录。"), "{chinese:?}");
    story.tidemill(["report", "stroy"]).says(2, &["there is no run `stroy`", "did you mean"]);
}

#[test]
fn a_report_of_a_run_whose_journal_is_damaged_says_so_and_its_exit_status_does() {
    let story = Story::of(records(40));
    story.run([]).says(0, &[]);
    story.flip("\"line\":7,");
    let ran = story.tidemill(["report", "latest"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.contains("A PART OF THE JOURNAL CANNOT BE READ"), "{ran:?}");
}

#[test]
fn two_runs_are_compared_record_by_record() {
    let story = Story::with(records(30), Script { seed: 1, ..Script::default() }, &Pipeline::default());
    story.run(["--task-id", "first"]).says(0, &[]);
    let changed = Pipeline { template: "Judge this: {{ text }}", ..Pipeline::default() };
    story.write("pipeline.yaml", changed.text());
    story.append("in.jsonl", numbered(31, 33));
    story.run(["--task-id", "second", "--fresh"]).says(0, &[]);

    let ran = story.tidemill(["runs", "diff", "first", "second", "--json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let difference = json(&ran.stdout);
    let parts: Vec<&str> = difference["pipeline_parts"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|part| part["part"].as_str())
        .collect();
    assert_eq!(parts, ["steps.label.work.prompt.template"]);
    assert!(difference["pipeline_file"].as_str().is_some_and(|text| text.contains("+        template: \"Judge this")));
    let records = &difference["records"];
    assert_eq!((records["common"].as_u64(), records["only_b"].as_u64()), (Some(30), Some(3)));
    // The vendor's answers are drawn from the request: another question, another answer to most.
    let n = |name: &str| records[name].as_u64().expect("a number");
    assert!(n("different") > 0 && n("equal") + n("different") == 30, "{records}");
    let of = |id: &str| {
        let ran = story.tidemill(["runs", "export", id]);
        let lines: Vec<Value> = ran.stdout.lines().map(json).collect();
        let outcomes = lines.iter().filter_map(|line| line["entry"].get("outcome"));
        outcomes.map(|outcome| (outcome["line"].as_u64(), outcome["output"].clone())).collect::<BTreeMap<_, _>>()
    };
    let (first, second) = (of("first"), of("second"));
    let equal = first.iter().filter(|(line, output)| second.get(*line) == Some(output)).count() as u64;
    assert_eq!(n("equal"), equal);

    let text = story.tidemill(["runs", "diff", "first", "second"]);
    assert!(text.stdout.contains("-        template: \"Label this"), "{text:?}");
    let chinese = story.tidemill(["runs", "diff", "first", "second", "--lang", "zh"]);
    assert!(chinese.stdout.contains("逐条比较"), "{chinese:?}");
    story.tidemill(["runs", "diff", "first", "third"]).says(2, &["there is no run `third`"]);
}
