//! AI-DataFlux's own `config.yaml` in the place of a pipeline: what became of its rows, and what is told of the file.

use std::{fmt::Write as _, fs};

use serde_json::Value;
use simulate::{Fault, FaultKind, Script};

use crate::story::{Pipeline, Ran, Story, records, slow};

/// What a test changes of the file.
struct File {
    source: &'static str,
    validation: &'static str,
    prompt: &'static str,
    more: &'static str,
}

impl Default for File {
    fn default() -> Self {
        Self {
            source: "csv: { input_path: in.csv, output_path: out/labels.csv }",
            validation: "{ enabled: true, field_rules: { label: [good, bad] } }",
            prompt: "required_fields: [label, why], template: \"Label this: {record_json}\"",
            more: "",
        }
    }
}

const CONCURRENCY: &str =
    "{ batch_size: 8, retry_limits: { api_error: 3 }, api_pause_duration: 0.05, api_error_trigger_window: 0.05 }";

impl File {
    fn text(&self, story: &Story) -> String {
        let Self { source, validation, prompt, more } = self;
        format!(
            "datasource: {{ type: csv, concurrency: {CONCURRENCY} }}\n{source}\ncolumns_to_extract: [text]\ncolumns_to_write: {{ \
             label: ai_label, note: ai_note }}\nvalidation: {validation}\nmodels:\n  - {{ id: 1, model: gpt-theirs, channel_id: c, \
             api_key: sk-planted-4711, safe_rps: 1000 }}\nchannels: {{ c: {{ base_url: \"http://{}\" }} }}\nprompt: {{ {prompt}, \
             use_json_schema: true }}\n{more}\n",
            story.vendor.address()
        )
    }

    fn story(&self, rows: &str, script: Script) -> Story {
        let story = Story::with(records(1), Script { remember: 1_000, ..script }, &Pipeline::default());
        story.write("in.csv", rows);
        story.write("config.yaml", self.text(&story));
        story
    }
}

fn story() -> Story {
    File::default().story(&rows(10), Script::default())
}

/// So many rows, whose ids begin with zeros.
fn rows(n: u64) -> String {
    (1..=n).fold("id,text,kind\n".to_owned(), |mut all, id| {
        let _ = writeln!(all, "00{id},message {id},{}", if id.is_multiple_of(2) { "even" } else { "" });
        all
    })
}

fn run<const N: usize>(story: &Story, more: [&str; N]) -> Ran {
    crate::story::finish(story.command(["run", "config.yaml"].into_iter().chain(more)))
}

/// The bodies that the vendor was sent.
fn bodies(story: &Story) -> Vec<Value> {
    let requests = story.vendor.requests();
    requests.iter().map(|request| serde_json::from_str(&request.body).expect("a body is JSON")).collect()
}

fn prompts(story: &Story) -> Vec<String> {
    let content = |body: &Value| body["messages"][0]["content"].as_str().expect("a prompt is text").to_owned();
    let mut prompts: Vec<String> = bodies(story).iter().map(content).collect();
    prompts.sort();
    prompts
}

#[test]
fn a_config_of_theirs_runs_as_it_is() {
    let story = story();
    run(&story, []).says(0, &["10 succeeded"]);
    let output = story.text("out/labels.csv");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "id,text,kind,ai_label,ai_note");
    assert!(lines[1].starts_with("001,message 1,,good,") || lines[1].starts_with("001,message 1,,bad,"), "{output}");
    assert_eq!(lines.len(), 11);
    for body in bodies(&story) {
        assert_eq!((&body["model"], &body["temperature"]), (&"gpt-theirs".into(), &0.7.into()), "{body}");
        let schema = &body["response_format"]["json_schema"]["schema"];
        assert_eq!(schema["properties"]["label"]["enum"], serde_json::json!(["good", "bad"]), "{body}");
    }
    assert_eq!(prompts(&story)[0], "Label this: {\"text\":\"message 1\"}");
}

#[test]
fn the_pipeline_that_import_prints_gives_the_same_run() {
    let theirs = story();
    run(&theirs, []).says(0, &["10 succeeded"]);

    let ours = story();
    let imported = ours.tidemill(["import", "config.yaml"]);
    assert_eq!(imported.status, 0, "{imported:?}");
    assert!(!imported.stdout.contains("planted"), "{imported:?}");
    ours.write("mine.yaml", &imported.stdout);
    ours.tidemill(["check", "mine.yaml"]).says(0, &["no mistakes"]);
    ours.tidemill(["run", "mine.yaml"]).says(0, &["10 succeeded"]);
    assert_eq!(theirs.text("out/labels.csv"), ours.text("out/labels.csv"));
    assert_eq!(prompts(&theirs), prompts(&ours));
}

#[test]
fn a_run_that_was_killed_goes_on_and_finished_rows_are_not_paid_for_twice() {
    let story = File::default().story(&rows(60), slow(40));
    let mut running = crate::story::Running::of(story.command(["run", "--config", "config.yaml"]));
    let live = story.path("out/labels.partial.jsonl");
    let n_live = || fs::read(&live).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
    running.until("some rows are settled", |_| n_live() >= 10);
    running.kill();
    let before = story.asked();
    run(&story, []).says(0, &["60 succeeded"]);
    assert!(story.asked() <= 60 + 8 + 1, "{before} asked before, {} in all", story.asked());
}

#[test]
fn rows_with_answers_are_left_alone_and_what_failed_is_no_error_text_in_its_columns() {
    let rows = "id,text,ai_label,ai_note\n1,a,good,n\n2,b,,\n3,c,bad,\n4,,,\n";
    let file = File { source: "csv: { input_path: in.csv }", ..File::default() };
    let all_bad = Fault::new(FaultKind::Rejected, 1.0);
    let story = file.story(rows, Script { faults: vec![all_bad], ..Script::default() });
    run(&story, []).says(1, &["2 failed"]);
    assert_eq!(story.text("in.csv"), rows, "nothing was answered, and nothing is changed");
    assert_eq!(story.asked(), 2, "those with an empty answer column, and of them those with a text");
}

#[test]
fn rows_that_the_old_tool_gave_up_are_asked_again_where_that_is_wanted() {
    let rows = "id,text,ai_label,ai_note\n1,a,good,n\n2,b,ERROR: api_error - timeout,ERROR: api_error - timeout\n";
    let file = File { source: "csv: { input_path: in.csv }", ..File::default() };
    let story = file.story(rows, Script::default());
    run(&story, []).says(0, &["2 skipped (answered 2)"]);
    assert_eq!(story.text("in.csv"), rows);
    run(&story, ["--errors-again"]).says(0, &["1 succeeded"]);
    let after = story.text("in.csv");
    assert!(after.contains("1,a,good,n") && !after.contains("ERROR"), "{after}");
    assert_eq!(story.asked(), 1);
}

#[test]
fn rows_are_routed_and_those_without_a_value_get_the_main_prompt() {
    let file = File {
        more: "routing: { enabled: true, field: kind, subtasks: [{ match: even, profile: profiles/even.yaml }] }",
        ..File::default()
    };
    let story = file.story(&rows(4), Script::default());
    story.write(
        "profiles/even.yaml",
        "prompt: { template: \"Weigh: {record_json}\" }\nvalidation: { field_rules: { label: [light, heavy] } }\n",
    );
    run(&story, []).says(0, &["4 succeeded"]);
    let wanted: Vec<String> = [("Label this", 1), ("Label this", 3), ("Weigh", 2), ("Weigh", 4)]
        .map(|(ask, id)| format!("{ask}: {{\"text\":\"message {id}\"}}"))
        .into();
    assert_eq!(prompts(&story), wanted);
    let output = story.text("out/labels.csv");
    for (i, line) in output.lines().skip(1).enumerate() {
        let label = line.split(',').nth(3).expect("there is a label");
        let wanted = if i % 2 == 1 { ["light", "heavy"] } else { ["good", "bad"] };
        assert!(wanted.contains(&label), "{output}");
    }
    run(&story, ["--validate"]).says(0, &["other prompts where `kind` is `even`", "`label` as `ai_label`"]);
    // Another prompt for some rows is another run.
    story.write("profiles/even.yaml", "prompt: { template: \"Count: {record_json}\" }\n");
    run(&story, ["--resume"]).says(2, &["work.prompt.by.cases.even.template"]);
}

#[test]
fn a_file_without_models_asks_the_gateway_that_it_names() {
    let story = story();
    let theirs = story.text("config.yaml");
    let without: Vec<&str> = theirs
        .lines()
        .filter(|line| !["models:", "  - {", "channels:"].iter().any(|key| line.starts_with(key)))
        .collect();
    let global = format!("global: {{ flux_api_url: \"http://{}\" }}", story.vendor.address());
    story.write("config.yaml", format!("{}\n{global}\n", without.join("\n")));
    run(&story, []).says(0, &["10 succeeded"]);
    assert!(bodies(&story).iter().all(|body| body["model"] == "auto"));
    // Rows that are routed ask for the model of their profile.
    let routing = "routing: { enabled: yes, field: kind, subtasks: [{ match: even, profile: p.yaml }] }";
    story.write("p.yaml", "prompt: { model: heavy }\n");
    story.write("config.yaml", format!("{}\n{global}\n{routing}\n", without.join("\n")));
    fs::remove_dir_all(story.path("out")).expect("the outputs of the first run");
    run(&story, []).says(0, &["10 succeeded"]);
    let asked = bodies(&story).split_off(10);
    for body in &asked {
        let text = body["messages"].to_string();
        let is_routed = [2, 4, 6, 8, 10].iter().any(|id| text.contains(&format!("message {id}\\\"")));
        assert_eq!(body["model"], if is_routed { "heavy" } else { "auto" }, "{body}");
    }
    assert!(asked.iter().any(|body| body["model"] == "heavy"), "a row was routed");
    // A gateway of its own cannot be made of it.
    story.tidemill(["gateway", "check", "--config", "config.yaml"]).says(2, &["names no model"]);
}

#[test]
fn mistakes_are_told_with_the_line_of_their_file() {
    let story = story();
    let config = story.text("config.yaml");
    story.write("config.yaml", config.replace("columns_to_extract: [text]", "columns_to_extract: [tekst]"));
    run(&story, []).says(2, &["the table has no column `tekst`", "config.yaml:3:22", "did you mean `text`?"]);
    story.write("config.yaml", config.replace("type: csv", "type: cvs"));
    run(&story, ["--validate"])
        .says(2, &["`cvs` is no type of a data source", "config.yaml:1:21", "did you mean `csv`?"]);
    story.write("config.yaml", config.replace("in.csv", "inn.csv"));
    let ran = run(&story, []);
    ran.says(2, &["`inn.csv`", "config.yaml:2:"]).does_not_say("planted");
    story.write("config.yaml", config.replace("columns_to_write", "colums_to_write"));
    run(&story, []).says(2, &["did you mean `columns_to_write`?", "`columns_to_write` names no column"]);
    story.write("config.yaml", "a: [b\n");
    run(&story, ["--validate"]).says(2, &["config.yaml:"]);
    assert_eq!(story.asked(), 0);
}

#[test]
fn paths_may_be_those_of_the_folder_in_which_the_old_tool_was_started() {
    let story = story();
    fs::create_dir(story.path("configs")).expect("a folder can be made");
    fs::rename(story.path("config.yaml"), story.path("configs/config.yaml")).expect("a file can be moved");
    story.tidemill(["run", "configs/config.yaml"]).says(0, &["10 succeeded"]);
    assert!(story.has("out/labels.csv"));
}

#[test]
fn keys_and_passwords_of_the_file_stand_nowhere_else() {
    let story = story();
    run(&story, []).says(0, &["10 succeeded"]);
    run(&story, ["--validate"]).does_not_say("planted");
    let mut folders = vec![story.path(".tidemill"), story.path("out")];
    let mut n = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the run") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                n += 1;
                let is_there = bytes.windows(7).any(|window| window == b"planted");
                assert!(!is_there, "{}", path.display());
            }
        }
    }
    assert!(n > 3);
}

#[test]
fn progress_stands_in_a_file_until_the_run_is_over() {
    let story = File::default().story(&rows(40), slow(100));
    let mut running =
        crate::story::Running::of(story.command(["run", "config.yaml", "--progress-file", "p/progress.json"]));
    let path = story.path("p/progress.json");
    running.until("there is a progress file", |_| path.exists());
    let told: Value =
        serde_json::from_slice(&fs::read(&path).unwrap_or_else(|_| b"null".to_vec())).expect("it is whole");
    let keys: Vec<&String> = told.as_object().expect("the run is not over yet").keys().collect();
    assert_eq!(keys, ["total", "processed", "active", "shard", "errors", "ts"]);
    assert_eq!(running.wait().status, 0);
    assert!(!path.exists() && fs::read_dir(story.path("p")).expect("the folder stays").count() == 0);
}

#[test]
fn tokens_of_prompts_and_answers_are_told_as_they_differ() {
    let story = File { more: "token_estimation: { mode: io }", ..File::default() }.story(&rows(10), Script::default());
    let estimate = |more: &[&str]| {
        let ran = crate::story::finish(story.command(["estimate", "config.yaml", "--json"].iter().chain(more)));
        assert_eq!(ran.status, 0, "{ran:?}");
        let json: Value = serde_json::from_str(&ran.stdout).expect("it prints JSON");
        json["steps"][0].clone()
    };
    let before = estimate(&[]);
    assert_eq!((&before["input"]["counted"], &before["output"]), (&10.into(), &Value::Null), "{before}");
    let first = estimate(&["--mode", "in", "--sample", "2"]);
    assert_eq!(first["input"]["counted"], 2);
    let total = first["input"]["average"].as_f64().expect("an average") * 10.0;
    assert!((first["input"]["total"].as_f64().expect("a total") - total).abs() < 1.0, "{first}");
    run(&story, []).says(0, &["10 succeeded"]);
    let after = estimate(&["--mode", "out", "--sample", "-1"]);
    assert_eq!((&after["input"], &after["output"]["counted"]), (&Value::Null, &10.into()), "{after}");
    for key in ["total", "average", "least", "most", "p50", "p90", "p99"] {
        assert!(after["output"][key].as_f64().is_some_and(|n| n > 0.0), "{key}: {after}");
    }
    let words = story.tidemill(["estimate", "config.yaml"]);
    words.says(0, &["answers that are there: ", " on average, "]);
}

#[test]
fn answers_that_are_columns_already_are_counted() {
    let story = File { source: "csv: { input_path: in.csv }", ..File::default() }
        .story("text,ai_label,ai_note\na,good,n\nb,bad,\nc,,\n", Script::default());
    let ran = story.tidemill(["estimate", "config.yaml", "--mode", "io", "--json"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(json["steps"][0]["output"]["counted"], 1, "{json}");
    assert_eq!(json["steps"][0]["input"]["counted"], 2, "{json}");
    // The answers of a run that is over are in the table, and those of the next one that looked for more too.
    run(&story, []).says(0, &["2 succeeded"]);
    run(&story, []).says(0, &["3 skipped"]);
    let ran = story.tidemill(["estimate", "config.yaml", "--mode", "out", "--json"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(json["steps"][0]["output"]["counted"], 3, "{json}");
}

#[test]
fn only_a_file_of_theirs_is_imported() {
    let story = story();
    story.tidemill(["import", "pipeline.yaml"]).says(2, &["this is no file of AI-DataFlux's"]);
    story.tidemill(["import", "nowhere.yaml"]).says(2, &["cannot read"]);
    story.tidemill(["run"]).says(2, &[]);
}

#[test]
fn mended_rules_of_a_profile_are_applied_to_answers_that_were_paid_for() {
    let file = File {
        more: "routing: { enabled: true, field: kind, subtasks: [{ match: even, profile: even.yaml }] }",
        ..File::default()
    };
    let story = file.story(&rows(6), Script::default());
    let profile =
        |rules: &str| story.write("even.yaml", format!("validation: {{ field_rules: {{ label: {rules} }} }}\n"));
    profile("[light, heavy]");
    run(&story, []).says(0, &["6 succeeded"]);
    // What is there is judged by the wider rules, and nothing is asked.
    profile("[light, heavy, even]");
    run(&story, ["--resume"]).says(2, &["only in how answers are judged: ", "by.cases.even.output"]);
    story.tidemill(["reparse", "latest"]).says(0, &["6 succeeded"]);
    assert_eq!(story.asked(), 6);
}
