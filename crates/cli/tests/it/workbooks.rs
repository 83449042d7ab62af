//! Workbooks that openpyxl made and that openpyxl looks at again: what was in them stays in them.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use simulate::Script;

use crate::story::{Pipeline, Story, finish, records, slow};

fn pipeline(source: &str, sink: &str) -> String {
    format!(
        "version: 1\nname: story\nmodels: models.yaml\nsteps:\n  label:\n    source: {{ {source} }}\n    work:\n      prompt:\n        \
         template: \"Label this: {{{{ text }}}} {{{{ when }}}}\"\n        output: {{ label: {{ enum: [good, bad] }}, n: {{ type: integer }} }}\n    \
         sink: {{ {sink} }}\n    flow: {{ max_in_flight: 8, backoff: {{ first: 20ms, max: 100ms }} }}\nfinish: {{ accounting: out/accounting.json }}\n"
    )
}

fn story(script: Script, source: &str, sink: &str) -> Story {
    let story = Story::with(records(1), script, &Pipeline::default());
    story.write("pipeline.yaml", pipeline(source, sink));
    story
}

/// Runs one of the scripts beside this file; nothing where there is no Python for it, which in CI is a failure.
#[expect(clippy::print_stderr, reason = "a test that leaves itself out says so")]
fn python(story: &Story, script: &str, arguments: &[&str]) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python: PathBuf = root.join("../../target/tools/python/bin/python");
    if !python.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "`cargo xtask test` makes {}", python.display());
        eprintln!("left out: {} is not there; `cargo xtask test` makes it", python.display());
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root.join("tests/it/workbooks").join(script)).args(arguments);
    let ran = finish(story.at_home(command));
    assert_eq!(ran.status, 0, "{ran:?}");
    Some(ran.stdout)
}

/// Returns the answers in a workbook that is the other one but for them.
fn answers(story: &Story, before: &str, after: &str, columns: [&str; 2]) -> Vec<(Option<String>, Option<i64>)> {
    let told = python(story, "compare.py", &[before, after, "数据", columns[0], columns[1]]).expect("it ran before");
    let told: Value = serde_json::from_str(&told).expect("it prints JSON");
    assert_eq!(told["differences"], Value::Array(Vec::new()));
    // The same answers make the same sheet.
    assert!([json!([]), json!(["xl/worksheets/sheet3.xml"])].contains(&told["changed"]), "{}", told["changed"]);
    serde_json::from_value(told["answers"].clone()).expect("they are a label and a number each")
}

const SOURCE: &str = "excel: { path: in.xlsx, sheet: 数据, key: id }, where: \"text is not none\"";
const SINK: &str = "excel: { path: out/labels.xlsx, columns: { label: 标签 } }";

#[test]
fn a_workbook_comes_out_with_answers_and_all_that_was_in_it() {
    let story = story(Script::default(), SOURCE, SINK);
    if python(&story, "make.py", &["in.xlsx", "20"]).is_none() {
        return;
    }
    story.tidemill(["check", "pipeline.yaml"]).says(0, &["no mistakes"]);
    story.run([]).says(0, &["20 records: 18 succeeded", "out/labels.xlsx (18 records)"]);
    let answers = answers(&story, "in.xlsx", "out/labels.xlsx", ["标签", "n"]);
    assert_eq!(answers.len(), 20);
    for (i, (label, n)) in answers.iter().enumerate() {
        let is_asked = (i + 1) % 7 != 0;
        assert_eq!((label.is_some(), n.is_some()), (is_asked, is_asked), "row {}", i + 2);
    }
    // The next step reads what this one wrote, and may write over its own answers.
    story.write(
        "pipeline.yaml",
        pipeline(
            "excel: { path: out/labels.xlsx, sheet: 3 }, where: \"text is not none\"",
            "excel: { path: out/again.xlsx, overwrite: true, columns: { label: 标签 } }",
        ),
    );
    story.run([]).says(0, &["18 succeeded"]);
    assert_eq!(self::answers(&story, "out/labels.xlsx", "out/again.xlsx", ["标签", "n"]).len(), 20);
}

#[test]
fn a_workbook_is_finished_after_kills_and_nothing_is_asked_twice() {
    let story = story(slow(30), SOURCE, SINK);
    if python(&story, "make.py", &["in.xlsx", "150"]).is_none() {
        return;
    }
    for _ in 0..3 {
        let mut running = story.start([]);
        running.until("something is asked", |_| story.vendor.counts().in_flight > 0);
        std::thread::sleep(Duration::from_millis(120));
        running.kill();
        assert!(!story.has("out/labels.xlsx"), "nothing half-made is seen");
    }
    story.run([]).says(0, &["150 records: 129 succeeded"]);
    let answers = answers(&story, "in.xlsx", "out/labels.xlsx", ["标签", "n"]);
    assert_eq!(answers.iter().filter(|(label, n)| label.is_some() && n.is_some()).count(), 129);
    assert!(story.asked() <= 129 + 3 * 16, "{}", story.asked());
    // The workbook is another one now, and a run does not go on over it.
    python(&story, "make.py", &["in.xlsx", "151"]).unwrap();
    story.run([]).says(3, &["in.xlsx"]);
}

#[test]
fn a_workbook_becomes_any_other_table() {
    let story = story(Script::default(), SOURCE, "csv: { path: out/labels.csv }");
    if python(&story, "make.py", &["in.xlsx", "3"]).is_none() {
        return;
    }
    story.run([]).says(0, &["3 succeeded"]);
    let csv = story.text("out/labels.csv");
    let mut rows = csv.lines();
    assert_eq!(rows.next(), Some("id,phone,text,score,when,done,total,label,n"));
    assert!(
        csv.contains("\n00001,+8613800000000,\"message 1 & <b>, 你好\nsecond line\",0.1,2024-03-01T13:05:00,false,,"),
        "{csv}"
    );
    // And any other table a workbook, which is read as what was written.
    story.write(
        "pipeline.yaml",
        pipeline("csv: { path: out/labels.csv }", "excel: { path: out/new.xlsx, overwrite: true }"),
    );
    story.run([]).says(0, &["3 succeeded"]);
    let source = "excel: { path: out/new.xlsx }";
    story.write("pipeline.yaml", pipeline(source, "csv: { path: out/again.csv, overwrite: true }"));
    story.run([]).says(0, &["3 succeeded"]);
    assert_eq!(story.text("out/again.csv"), csv);
    // Who else reads them finds the same.
    let script = "import openpyxl, sys; print([[c.value for c in r] for r in openpyxl.load_workbook('out/new.xlsx').active.rows][1][:3])";
    std::fs::write(story.path("show.py"), script).expect("a file can be written");
    let shown = python(&story, story.path("show.py").to_str().expect("it is text"), &[]);
    assert_eq!(
        shown.as_deref().map(str::trim),
        Some("['00001', '+8613800000000', 'message 1 & <b>, 你好\\nsecond line']")
    );
    story.write("pipeline.yaml", pipeline("excel: { path: in.xlsx, sheet: 3 }", "csv: { path: in.xlsx }"));
    story.tidemill(["check", "pipeline.yaml"]).says(2, &["cannot be written in place"]);
}
