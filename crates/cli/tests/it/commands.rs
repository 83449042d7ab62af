//! The verbs around a run: checking a file, looking after runs, rehearsing with a vendor.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use simulate::Script;

use crate::story::{Pipeline, Running, Story, finish, json_lines, models, numbered, records, slow};

/// A pipeline file with mistakes in its lines 3, 7, 10 and 14.
const MISTAKEN: &str = "\
version: 1
name: story
modles: models.yaml
steps:
  label:
    source:
      jsonl: { path: in.jsonl, max_line: 7 apples }
    work:
      prompt:
        tempalte: x
        output: { label: { enum: [good, bad] } }
    sink:
      jsonl: { path: out.jsonl }
    flow: { max_in_flight: 0, retires: 3 }
";

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_a_suggestion() {
    let story = Story::of(records(1));
    story.write("pipeline.yaml", MISTAKEN);
    let said = [
        "unknown key `modles`",
        "did you mean `models`?",
        "--> pipeline.yaml:3:1",
        "`steps.label.source.jsonl.max_line` cannot be the text `7 apples`",
        "--> pipeline.yaml:7:42",
        "unknown key `tempalte`",
        "did you mean `template`?",
        "--> pipeline.yaml:10:9",
        "`steps.label.flow.max_in_flight`",
        "--> pipeline.yaml:14:28",
        "unknown key `retires`",
        "did you mean `retries`?",
        "--> pipeline.yaml:14:31",
        "6 mistakes",
    ];
    story.tidemill(["check", "pipeline.yaml"]).says(2, &said);
    story.run([]).says(2, &said);
    assert_eq!((story.asked(), story.has(".tidemill"), story.has("out.jsonl")), (0, false, false));

    let told = story.tidemill(["check", "pipeline.yaml", "--json"]);
    assert_eq!(told.status, 2);
    let mistakes = json_lines(&told.stdout);
    let lines: Vec<&Value> = mistakes.iter().map(|mistake| &mistake["line"]).collect();
    assert!(lines.contains(&&json!(3)) && lines.contains(&&json!(14)), "{mistakes:#?}");
    assert!(mistakes.iter().all(|mistake| mistake["file"] == "pipeline.yaml" && mistake["severity"] == "error"));
}

#[test]
fn mistakes_that_only_the_whole_shows_are_told_at_once_too() {
    let pipeline = Pipeline { source: ", max_line: 1MiB", ..Pipeline::default() };
    let story = Story::with(records(1), Script::default(), &pipeline);
    let text = pipeline
        .text()
        .replace(
            "template: \"Label this: {{ text }}\"",
            "model: gpt-9\n        template: |\n          Fine.\n          {{ text | uper }}",
        )
        .replace("in.jsonl", "inn.jsonl");
    story.write("pipeline.yaml", text);
    let said = [
        "the models file knows no model or route `gpt-9`; it has: model",
        "--> pipeline.yaml:10:16",
        "uper",
        "--> pipeline.yaml:13:1",
        "cannot read `inn.jsonl`",
        "did you mean `in.jsonl`?",
        "--> pipeline.yaml:7:22",
        "3 mistakes",
    ];
    story.tidemill(["check", "pipeline.yaml"]).says(2, &said);
    assert_eq!(story.asked(), 0);
}

#[test]
fn a_right_file_is_told_to_be_right_and_nothing_is_asked() {
    let story = Story::of(records(1));
    story.tidemill(["check", "pipeline.yaml"]).says(0, &["pipeline.yaml: no mistakes"]);
    let told = story.tidemill(["check", "pipeline.yaml", "--json"]);
    assert_eq!((told.status, told.stdout.as_str(), told.stderr.as_str()), (0, "", ""));
    assert_eq!((story.asked(), story.has(".tidemill")), (0, false));
    assert!(!story.has("out"), "checking leaves nothing behind, not even a folder");
}

#[test]
fn mistakes_in_the_models_file_are_told_in_the_models_file() {
    let story = Story::of(records(1));
    let text = models(story.vendor.address(), "").replace("channel: vendor,", "channel: vendro,");
    story.write("models.yaml", text);
    story.run([]).says(2, &["there is no channel `vendro`", "--> models.yaml:4:", "`vendor`"]);
    story.write("models.yaml", "channels: {}\nmodels: []\n");
    story.run([]).says(2, &["--> models.yaml:2:", "`models`"]);
    fs::remove_file(story.path("models.yaml")).unwrap();
    story.run([]).says(2, &["the models file `models.yaml` cannot be read", "--> pipeline.yaml:3:"]);
    story.write("pipeline.yaml", Pipeline::default().text().replace("models: models.yaml\n", ""));
    story.run([]).says(2, &["names no models file", "--models"]);
    assert_eq!(story.asked(), 0);
}

#[test]
fn another_models_file_can_be_named() {
    let story = Story::of(records(2));
    fs::create_dir(story.path("elsewhere")).unwrap();
    fs::rename(story.path("models.yaml"), story.path("elsewhere/other.yaml")).unwrap();
    story.run(["--models", "elsewhere/other.yaml"]).says(0, &["2 succeeded"]);
}

#[test]
fn a_file_that_is_no_pipeline_is_told_with_what_to_do() {
    let story = Story::of("");
    story.tidemill(["run", "nowhere.yaml"]).says(2, &["cannot read the pipeline file `nowhere.yaml`", "quickstart"]);
    story.tidemill(["run", "."]).says(2, &["name the file in it"]);
    story.write("bytes.yaml", b"version: 1\nname: \xff\n");
    story.tidemill(["run", "bytes.yaml"]).says(2, &["bytes.yaml:2:7", "UTF-8"]);
    story.write("broken.yaml", "version: 1\nname: [unclosed\n");
    story.tidemill(["check", "broken.yaml"]).says(2, &["broken.yaml:"]);
    story.tidemill(["run"]).says(2, &["Usage"]);
    story.tidemill(["rnu", "pipeline.yaml"]).says(2, &["rnu", "run"]);
}

#[test]
fn a_path_is_relative_to_the_pipeline_and_not_to_the_shell() {
    let story = Story::of(records(2));
    fs::create_dir(story.path("deep")).unwrap();
    let mut command = story.command(["run", "../pipeline.yaml", "--state", "../state"]);
    command.current_dir(story.path("deep"));
    finish(command).says(0, &["2 succeeded", "out/labels.jsonl"]);
    assert_eq!(story.output().len(), 2);
    assert!(story.has("state/runs") && !story.has("deep/.tidemill"), "but the state is where it was asked to be");
}

#[test]
fn the_account_adds_up_and_goes_to_standard_output_on_request() {
    let source = format!("{}\nno record\n{}", records(5), numbered(6, 6));
    let story =
        Story::with(source, Script::default(), &Pipeline { step: "tolerate: { skipped: 1 }", ..Pipeline::default() });
    let ran = story.run(["--json"]);
    ran.says(0, &["8 records: 6 succeeded, 2 skipped (bad_record 1, blank 1)"]);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let account = story.accounting();
    assert_eq!(told, account);
    let step = &account["steps"][0];
    let n = |key: &str| step[key].as_u64().unwrap();
    assert_eq!(n("records"), n("succeeded") + n("failed") + n("skipped") + n("cancelled") + n("missing"));
    assert_eq!((n("records"), n("unsettled"), n("damaged"), &step["adds_up"]), (8, 0, 0, &json!(true)));
    assert_eq!((&account["done"], &account["simulated_models"]), (&json!(true), &json!([])));
    assert!(n("attempts") == 6 && step["usage"]["prompt_tokens"].as_u64().unwrap() > 0);
    let artefacts = step["artefacts"].as_array().unwrap();
    for (artefact, (name, n)) in artefacts.iter().zip([("out/labels.jsonl", 6), ("out/labels.failures.jsonl", 1)]) {
        assert_eq!((&artefact["path"], &artefact["records"]), (&json!(name), &json!(n)));
        assert_eq!(artefact["bytes"].as_u64().unwrap(), story.bytes(name).len() as u64);
    }
    assert_eq!(ran.stdout.lines().count(), 1, "standard output is data and nothing else");
}

#[test]
fn a_run_that_is_done_already_still_tells_its_account() {
    let story = Story::of(records(5));
    let first: Value = serde_json::from_str(&story.run(["--json"]).stdout).unwrap();
    let again = story.run(["--json"]);
    again.says(0, &["done already, the outputs are in place (5 records)"]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&again["done"], &again["run"]), (&json!(true), &first["run"]));
    // BUG: `steps` is empty: a script that reads the account of a done run finds no records in it.
    assert_eq!(again["steps"][0]["records"], 5, "{again}");
    assert_eq!(story.accounting(), first, "and the file stays as it is");
}

#[test]
fn a_done_run_beyond_its_tolerance_says_so_again() {
    let story = Story::of(format!("{}junk\n", records(4)));
    story.run([]).says(1, &["4 succeeded"]);
    story.run([]).says(1, &["done already"]);
    story.write("pipeline.yaml", Pipeline { step: "tolerate: { skipped: 1 }", ..Pipeline::default() }.text());
    story.run([]).says(0, &["done already"]);
    assert_eq!(story.asked(), 4);
}

#[test]
fn runs_are_listed_and_shown() {
    let story = Story::with(format!("{}junk\n", records(4)), Script::default(), &Pipeline::default());
    story.tidemill(["runs"]).says(0, &["no runs in `.tidemill`"]);
    let none = story.tidemill(["runs", "--json"]);
    assert_eq!((none.status, none.stdout.as_str()), (0, ""));
    story.run(["--task-id", "r1"]).says(1, &[]);

    let listed = story.tidemill(["runs"]);
    assert!(listed.stdout.starts_with("r1 ") && listed.stdout.contains(" done "), "{listed:?}");
    let listed = json_lines(&story.tidemill(["runs", "--json"]).stdout);
    assert_eq!(listed.len(), 1);
    let run = &listed[0];
    assert_eq!((&run["id"], &run["pipeline"], &run["state"]), (&json!("r1"), &json!("story"), &json!("done")));
    assert_eq!(
        (&run["settled"], &run["succeeded"], &run["skipped"]),
        (&json!(5), &json!(4), &json!({ "bad_record": 1 }))
    );

    let shown = story.tidemill(["runs", "show", "r1"]);
    for said in
        ["run       r1", "pipeline  story (", "state     done", "settled   5 (4 succeeded)", "skipped   1 bad_record"]
    {
        assert!(shown.stdout.contains(said), "`{said}` is not in\n{}", shown.stdout);
    }
    assert!(shown.stdout.contains("out/labels.jsonl (4 records)"), "{}", shown.stdout);
    let shown = story.tidemill(["runs", "show", "r1", "--verify", "--json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!((&shown["id"], &shown["damaged"], &shown["state"]), (&json!("r1"), &json!([]), &json!("done")));

    story.tidemill(["runs", "show", "r2"]).says(2, &["there is no run `r2` in `.tidemill`", "did you mean `r1`?"]);
    story.tidemill(["runs", "export", "r2"]).says(2, &["did you mean `r1`?"]);
    assert_eq!(story.asked(), 4, "looking asks nobody");
}

#[test]
fn looking_at_a_run_changes_nothing_of_it() {
    let story = Story::with(records(40), slow(100), &Pipeline::default());
    story.run_and_kill(8);
    let before: Vec<Vec<u8>> = story.segments().iter().map(|name| story.bytes(name)).collect();
    let shown = story.tidemill(["runs", "show", &story.run_id(), "--verify"]);
    assert!(shown.status == 0 && shown.stdout.contains("state     interrupted"), "{shown:?}");
    story.tidemill(["runs"]).says(0, &[]);
    story.export(&story.run_id());
    let after: Vec<Vec<u8>> = story.segments().iter().map(|name| story.bytes(name)).collect();
    assert_eq!(after, before);
}

#[test]
fn a_journal_is_exported_line_by_line() {
    let source = format!("{}junk\n\n", records(7));
    let story = Story::with(source, Script::default(), &Pipeline::default());
    story.run(["--task-id", "r1"]).says(1, &[]);
    let journal = story.export("r1");
    let outcomes: Vec<&Value> = journal.iter().filter_map(|line| line["entry"].get("outcome")).collect();
    assert_eq!(outcomes.len(), 9, "each record has one outcome");
    let mut lines: Vec<u64> = outcomes.iter().map(|outcome| outcome["line"].as_u64().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (1..=9).collect::<Vec<_>>());
    let raw: Vec<&str> = journal.iter().filter_map(|line| line["raw"].as_str()).filter(|raw| !raw.is_empty()).collect();
    assert_eq!(raw.len(), 7, "each answer is there as it came");
    assert!(raw.iter().all(|raw| serde_json::from_str::<Value>(raw).is_ok()), "{raw:?}");
    assert!(journal.iter().any(|line| line["entry"].get("started").is_some()));
}

#[test]
fn an_export_of_a_damaged_journal_leaves_out_what_is_damaged_and_says_so() {
    let story = Story::with(records(8), slow(200), &Pipeline::default());
    story.run([]).says(0, &["8 succeeded"]);
    story.flip("\"line\":1,");
    let exported = story.tidemill(["runs", "export", &story.run_id()]);
    let lines = json_lines(&exported.stdout);
    let n = lines.iter().filter(|line| line["entry"].get("outcome").is_some()).count();
    // BUG: where the damaged frame lies in the segment's last commit, every sound frame behind it is left out too,
    // without a word and with status 0. (store/src/journal/recover.rs, `replay`: a sealed segment has no torn tail.)
    exported.says(1, &["damaged:", "are left out"]);
    assert_eq!(n, 7);
}

#[test]
fn a_removed_run_is_gone_and_its_output_is_not() {
    let story = Story::of(records(3));
    story.run(["--task-id", "r1"]).says(0, &[]);
    story.run(["--task-id", "r2", "--fresh"]).says(0, &[]);
    story.tidemill(["runs", "rm", "r1", "r3"]).says(2, &["there is no run `r3`"]);
    assert_eq!(story.run_ids(), ["r1", "r2"], "a slip in one name removes none");
    story.tidemill(["runs", "rm", "r1", "r2"]).says(0, &["removed r1 (", "removed r2 ("]);
    assert!(story.run_ids().is_empty());
    assert_eq!(story.output().len(), 3);
    story.run([]).says(0, &["begins"]);
    assert_eq!(story.asked(), 9);
}

#[test]
fn a_running_run_is_shown_and_not_removed() {
    let story = Story::with(records(40), slow(200), &Pipeline::default());
    let mut running = story.start(["--task-id", "busy"]);
    running.until("it is under way", |_| story.vendor.counts().answered >= 8);
    let listed = json_lines(&story.tidemill(["runs", "--json"]).stdout);
    assert_eq!(listed[0]["state"], "running");
    let shown = story.tidemill(["runs", "show", "busy"]);
    assert!(shown.stdout.contains("state     running"), "{shown:?}");
    story
        .tidemill(["runs", "rm", "busy"])
        .says(3, &["`busy`", "being worked on by process", &running.id().to_string()]);
    story.tidemill(["runs", "gc", "--keep", "0"]).says(0, &["0 runs"]);
    running.signal(Signal::INT);
    running.wait().says(130, &[]);
    assert_eq!(story.run_ids(), ["busy"]);
    story.run([]).says(0, &["40 succeeded"]);
    assert_eq!(story.asked(), 40);
}

#[test]
fn old_runs_are_collected_and_unfinished_ones_are_kept() {
    let story = Story::with(records(40), slow(60), &Pipeline::default());
    for id in ["a", "b", "c"] {
        story.run(["--fresh", "--task-id", id]).says(0, &[]);
    }
    let mut unfinished = story.start(["--fresh", "--task-id", "d"]);
    unfinished.until("something is settled", |_| story.n_live() > 0);
    unfinished.kill();
    story.tidemill(["runs", "gc", "--keep", "1", "--dry-run"]).says(0, &["would remove a", "would remove b", "2 runs"]);
    assert_eq!(story.run_ids(), ["a", "b", "c", "d"], "told, and not done");
    story.tidemill(["runs", "gc", "--keep", "1"]).says(0, &["removed a", "removed b", "2 runs"]);
    assert_eq!(story.run_ids(), ["c", "d"]);
    story.tidemill(["runs", "gc", "--keep", "1"]).says(0, &["0 runs"]);
    story.tidemill(["runs", "gc", "--keep", "0"]).says(0, &["removed c"]);
    assert_eq!(story.run_ids(), ["d"]);
    story.run([]).says(0, &["run d: going on"]);
}

#[test]
fn a_run_of_a_limit_is_done_with_what_it_was_asked() {
    let story = Story::of(records(9));
    story.run(["--limit", "4", "--task-id", "r"]).says(0, &[]);
    let listed = json_lines(&story.tidemill(["runs", "--json"]).stdout);
    assert_eq!((&listed[0]["state"], &listed[0]["settled"]), (&json!("done"), &json!(4)));
}

#[test]
fn a_vendor_can_be_rehearsed_with_from_the_command_line() {
    let story = Story::of(records(6));
    story.write("script.yaml", "faults:\n  - { kind: throttled, rate: 0.5, asks: 1, retry_after: 20ms }\n");
    let mut vendor = story.command(["simulate", "--script", "script.yaml"]);
    vendor.arg("--port").arg("0");
    // Its address is on standard output, which is a pipe here: it must not wait for more to say.
    let address = story.path("address");
    vendor.stdout(fs::File::create(&address).unwrap());
    let mut child = vendor.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let url = loop {
        let text = fs::read_to_string(&address).unwrap();
        if text.ends_with('\n') {
            break text.trim().to_owned();
        }
        assert!(child.try_wait().unwrap().is_none(), "the vendor ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let text = models(story.vendor.address(), "").replace(&story.vendor.base_url(), &url);
    story.write("models.yaml", text);
    let ran = story.run([]);
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    ran.says(0, &["6 succeeded"]);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("nothing it says comes from a model") && said.contains("\"answered\":6"), "{said}");
    assert_eq!(ended.status.code(), Some(0));

    story.write("script.yaml", "faults:\n  - { kind: throttled, rate: 2 }\nsede: 1\n");
    let ran = finish(story.command(["simulate", "--script", "script.yaml"]));
    ran.says(2, &["script.yaml:2:", "script.yaml:3:1", "did you mean `seed`?"]);
}

#[test]
fn progress_is_said_while_it_goes_on() {
    let story = Story::with(records(50), slow(400), &Pipeline::default());
    let mut running: Running = story.start([]);
    running.until_it_says("label: ");
    running.until_it_says("in flight");
    running.until_it_says("/50 (");
    running.wait().says(0, &["50 succeeded"]);
}

#[test]
fn version_and_help_are_there() {
    let story = Story::of("");
    let version = story.tidemill(["--version"]);
    assert_eq!((version.status, version.stdout.trim()), (0, concat!("tidemill ", env!("CARGO_PKG_VERSION"))));
    let help = story.tidemill(["--help"]);
    assert!(help.status == 0 && help.stdout.contains("Exit status"), "{help:?}");
}
