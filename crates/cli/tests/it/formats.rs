//! Other tables than JSON lines, through the real binary: what is untouched stays byte for byte, whatever happens.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use simulate::Script;

use crate::story::{Pipeline, Story, finish, json_lines, records, slow};

/// A pipeline that labels a column `text`.
fn pipeline(source: &str, sink: &str) -> String {
    format!(
        "version: 1\nname: story\nmodels: models.yaml\nsteps:\n  label:\n    source: {{ {source} }}\n    work:\n      prompt:\n        \
         template: \"Label this: {{{{ text }}}}\"\n        output: {{ label: {{ enum: [good, bad] }} }}\n    sink: {{ {sink} }}\n    \
         flow: {{ backoff: {{ first: 20ms, max: 100ms }} }}\nfinish: {{ accounting: out/accounting.json }}\n"
    )
}

fn story(script: Script, source: &str, sink: &str) -> Story {
    let story = Story::with(records(1), script, &crate::story::Pipeline::default());
    story.write("pipeline.yaml", pipeline(source, sink));
    story
}

fn gzip(text: &str) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is everywhere");
    child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends").stdout
}

#[test]
fn every_untouched_cell_of_a_csv_file_is_the_text_it_was() {
    let csv = "\u{feff}id,phone,text,price\r\n001,+86 138,\"he said \"\"no\"\"\",1.10\r\n002,'07,\"two\r\nlines, and a comma\",\
               1e3\r\n003,,plain ,007\r\n";
    let story =
        story(Script::default(), "csv: { path: in.csv }", "csv: { path: out/labels.csv, columns: { label: 标签 } }");
    story.write("in.csv", csv);
    story.run([]).says(0, &["3 succeeded"]);
    let out = story.text("out/labels.csv");
    let mut expected = csv.replace("price\r\n", "price,标签\r\n");
    for (line, cell) in [("1.10", 0), ("1e3", 1), ("007", 2)] {
        let label = out.split("\r\n").filter(|l| l.ends_with("good") || l.ends_with("bad")).nth(cell);
        let label = label.and_then(|l| l.rsplit(',').next()).expect("each row has a label");
        expected = expected.replace(&format!("{line}\r\n"), &format!("{line},{label}\r\n"));
    }
    assert_eq!(out, expected);
    assert_eq!(story.asked(), 3);
}

#[test]
fn several_zipped_files_are_one_source_through_kills() {
    let story = story(slow(30), "csv: { path: \"data/*.csv.gz\" }", "jsonl: { path: out/labels.jsonl.gz }");
    for part in 0..3 {
        let rows: String = (0..40).map(|row| format!("{},message {part} {row}\n", part * 40 + row)).collect();
        story.write(&format!("data/{part}.csv.gz"), gzip(&format!("id,text\n{rows}")));
    }
    for _ in 0..3 {
        let mut running = story.start([]);
        running.until("something is asked", |_| story.vendor.counts().in_flight > 0);
        std::thread::sleep(Duration::from_millis(90));
        running.kill();
    }
    story.run([]).says(0, &["120 records: 120 succeeded"]);
    let mut unzip = Command::new("gzip");
    unzip.args(["-dc", "out/labels.jsonl.gz"]);
    let rows = json_lines(&finish(story.at_home(unzip)).stdout);
    let ids: Vec<String> = rows.iter().map(|row| row["id"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(ids, (0..120).map(|id| id.to_string()).collect::<Vec<_>>(), "in the order of the files");
    // Eight in flight, and eight whose answers waited for their commit while the next ones were sent.
    assert!(story.asked() <= 120 + 3 * 16, "{}", story.asked());
    story.write("data/1.csv.gz", gzip("id,text\n1,other\n"));
    story.run([]).says(3, &["data/1.csv.gz"]);
}

#[test]
fn a_file_in_another_encoding_comes_out_in_it() {
    let story = story(
        Script::default(),
        "csv: { path: in.csv, encoding: gb18030 }",
        "csv: { path: out/labels.csv, encoding: gb18030 }",
    );
    // 编号,text / 一,颜色不对 in GB18030.
    let in_gb18030 = b"\xb1\xe0\xba\xc5,text\n\xd2\xbb,\xd1\xd5\xc9\xab\xb2\xbb\xb6\xd4\n";
    story.write("in.csv", in_gb18030);
    story.run([]).says(0, &["1 succeeded"]);
    let out = story.bytes("out/labels.csv");
    assert!(out.starts_with(b"\xb1\xe0\xba\xc5,text,label\n\xd2\xbb,\xd1\xd5\xc9\xab\xb2\xbb\xb6\xd4,"), "{out:?}");

    story.write("pipeline.yaml", pipeline("csv: { path: in.csv }", "csv: { path: out/labels.csv }"));
    let checked = story.tidemill(["check", "pipeline.yaml"]);
    assert!(checked.stderr.contains("encoding"), "it should say what to declare: {checked:?}");
}

#[test]
fn a_pipeline_stands_in_a_pipe() {
    let story = story(slow(20), "jsonl: { path: \"-\" }", "jsonl: { path: \"-\" }");
    let run = |text: &str| {
        let mut command = story.command(["run", "pipeline.yaml"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
        child.wait_with_output().expect("it ends")
    };
    let first = run(&records(5));
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let rows = json_lines(&String::from_utf8_lossy(&first.stdout));
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row["label"].is_string()));
    let second = run(&crate::story::numbered(6, 8));
    let rows = json_lines(&String::from_utf8_lossy(&second.stdout));
    assert_eq!(rows.iter().map(|row| row["id"].as_u64()).collect::<Vec<_>>(), [Some(6), Some(7), Some(8)]);
    assert_eq!((story.asked(), story.run_ids().len()), (8, 2), "what comes through a pipe is another input each time");
}

#[test]
fn an_array_of_objects_is_read_and_written_as_one() {
    let story = story(Script::default(), "json: { path: in.json }", "json: { path: out/labels.json }");
    story.write(
        "in.json",
        "[\n  {\"id\": 1, \"text\": \"a\", \"n\": 1.10},\n  {\"id\": 2, \"text\": \"b\", \"o\": {\"x\": [1, 2]}}\n]\n",
    );
    story.run([]).says(0, &["2 succeeded"]);
    let out = story.text("out/labels.json");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&out).expect("it is an array");
    assert_eq!((rows.len(), &rows[1]["o"]["x"][1]), (2, &serde_json::json!(2)));
    assert!(out.contains("\"n\": 1.10"), "{out}");

    story.write("pipeline.yaml", pipeline("json: { path: in.json }", "csv: { path: out/labels.csv }"));
    story.run(["--fresh"]).says(0, &["2 succeeded"]);
    let csv = story.text("out/labels.csv");
    assert!(csv.starts_with("id,text,n,label,o\n") || csv.starts_with("id,text,n,o,label\n"), "{csv}");
    assert!(csv.contains("\"{\"\"x\"\":[1,2]}\"") || csv.contains("\"{\"\"x\"\": [1, 2]}\""), "{csv}");
}

#[test]
fn nothing_that_a_run_writes_is_read_by_the_next_one() {
    let story = story(Script::default(), "json: { path: \"data/*.json\" }", "csv: { path: data/labels.csv }");
    story.write("data/1.json", "[{\"text\": \"a\"}]");
    story.run([]).says(0, &["1 succeeded"]);
    let text = story.text("pipeline.yaml");
    let beside = text.replace("finish: { accounting: out/accounting.json }\n", "");
    story.write("pipeline.yaml", beside);
    story.run([]).says(2, &["pipeline.yaml:11:", "the file `data/labels.accounting.json` would be one of the files"]);
    story.write("pipeline.yaml", text.replace("out/accounting.json", "data/sums.json"));
    story.run([]).says(2, &["pipeline.yaml:13:", "the file `data/sums.json` would be one of the files"]);
}

#[test]
fn a_record_of_several_files_is_called_by_its_own_file() {
    let of_many = pipeline(
        "jsonl: { path: in/*.jsonl, key: id }",
        "jsonl: { path: out/labels.jsonl, failures: out/labels.failures.jsonl }",
    );
    let story = Story::with("", Script::default(), &Pipeline::default());
    story.write("pipeline.yaml", of_many);
    story.write("in/a.jsonl", "{\"id\":1,\"text\":\"a\"}\n{\"id\":2,\"text\":\"b\"}\n");
    // The same key in the same line of another file, and a record that cannot be asked about.
    story.write("in/b.jsonl", "{\"id\":1,\"text\":\"c\"}\n{\"id\":3}\n");
    story.run([]).says(1, &["2 succeeded", "2 skipped"]);
    let messages: Vec<String> =
        story.failures().iter().map(|failure| failure["message"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(
        messages[0].starts_with("in/b.jsonl line 1: record 1 of in/a.jsonl has the key `1` already"),
        "{messages:?}"
    );
    assert!(messages[1].starts_with("in/b.jsonl line 2: the template needs the field `text`"), "{messages:?}");
    let chinese = story.tidemill(["--lang", "zh", "report", "latest"]);
    for said in ["in/b.jsonl 第 1 行：in/a.jsonl 的第 1 条记录已经用了键 `1`", "in/b.jsonl 第 2 行："] {
        assert!(chinese.stdout.contains(said), "{said}\n{}", chinese.stdout);
    }
}
