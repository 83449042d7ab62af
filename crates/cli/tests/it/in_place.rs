//! Answers that go into the table they are about: nothing else in it changes, whatever happens meanwhile.

use std::fs;

use simulate::{Fault, FaultKind, Script};

use crate::story::{Pipeline, Story, can_mount, records, slow};

fn pipeline(source: &str, sink: &str) -> String {
    format!(
        "version: 1\nname: story\nmodels: models.yaml\nsteps:\n  label:\n    source: {{ {source} }}\n    work:\n      prompt:\n        \
         template: \"Label this: {{{{ text }}}}\"\n        output: {{ label: {{ enum: [good, bad] }}, n: {{ type: integer }} }}\n    \
         sink: {{ {sink} }}\n    flow: {{ max_in_flight: 8, retries: {{ api: 0 }}, backoff: {{ first: 20ms, max: 100ms }} }}\n\
         finish: {{ accounting: out/accounting.json }}\n"
    )
}

const CSV: &str = "csv: { path: in.csv, key: id }, pending: true";
const INTO_CSV: &str = "csv: { path: in.csv, columns: { label: ai_label, n: ai_n } }";

fn story(script: Script, source: &str, sink: &str) -> Story {
    let story = Story::with(records(1), script, &Pipeline::default());
    story.write("pipeline.yaml", pipeline(source, sink));
    story
}

/// A table of `n` rows: `id,phone,text`.
fn table(n: u64) -> String {
    let row = |i: u64| format!("{i:05},+86138{i:08},\"message {i}, \"\"quoted\"\"\"\r\n");
    "id,phone,text\r\n".to_owned() + &(1..=n).map(row).collect::<String>()
}

/// The rows of `in.csv` behind the header, each with what stands in its answer columns.
fn answered(story: &Story) -> Vec<(String, String)> {
    let text = story.text("in.csv");
    let mut lines = text.split("\r\n");
    assert_eq!(lines.next(), Some("id,phone,text,ai_label,ai_n"));
    let split = |line: &str| {
        let mut at = line.match_indices(',').rev().map(|(at, _)| at);
        let at = at.nth(1).expect("a row has five cells");
        (line[..at].to_owned(), line[at + 1..].to_owned())
    };
    lines.filter(|line| !line.is_empty()).map(split).collect()
}

fn n_answers(story: &Story) -> usize {
    answered(story).iter().filter(|(_, answer)| answer != ",").count()
}

#[test]
fn a_row_with_more_cells_than_the_header_is_told_before_anything_is_asked_and_no_cell_is_taken_for_an_answer() {
    let story = story(Script::default(), CSV, INTO_CSV);
    let wide = "id,phone,text\n1,+86,hello\n2,+86,hello, again\n3,+86,hi\n";
    story.write("in.csv", wide);
    for command in ["check", "run"] {
        let what = "in.csv row 3: the row has more cells than the header has (3), and the new column `ai_label` would stand over them";
        story.tidemill([command, "pipeline.yaml"]).says(2, &[what]);
    }
    assert_eq!((story.asked(), story.text("in.csv")), (0, wide.to_owned()));
    // With columns for the answers it is a bad record, of which nothing is changed in this run nor in the next.
    story.write("in.csv", "id,phone,text,ai_label,ai_n\n1,+86,hello\n2,+86,hello, again,,mine\n3,+86,hi\n");
    story.run([]).says(1, &["2 succeeded, 1 skipped", "bad_record 1"]);
    let asked = story.asked();
    story.run([]).says(1, &["3 skipped", "bad_record 1", "answered 2"]);
    assert_eq!(story.asked(), asked);
    assert!(story.text("in.csv").contains("\n2,+86,hello, again,,mine\n3,+86,hi,"), "{}", story.text("in.csv"));
}

/// A vendor that breaks whenever it is asked for one in five of the messages.
fn failing() -> Script {
    Script { faults: vec![Fault::new(FaultKind::Unavailable, 0.2)], ..Script::default() }
}

#[test]
fn a_table_gets_its_answers_in_its_own_place_and_every_other_byte_stays() {
    let odd = "\u{feff}id;text;phone\n001;\"two\nlines; one cell\";+8613800000000\n\n002;1e5;00123\n003;no text: #;\n004;short\n\
               005;'it''s';\"\"\n";
    let story = story(
        Script::default(),
        "csv: { path: in.csv }, pending: true",
        "csv: { path: in.csv, columns: { label: ai_label, n: ai_n } }",
    );
    let bad = |text: &str| text.bytes().map(|byte| if byte == b'#' { 0xff } else { byte }).collect::<Vec<u8>>();
    story.write("in.csv", bad(odd));
    let ran = story.run([]);
    ran.says(1, &["4 succeeded, 2 skipped", "bad_text 1"]);
    let after = String::from_utf8_lossy(&story.bytes("in.csv")).into_owned();
    let mut lines = after.lines();
    assert_eq!(lines.next(), Some("\u{feff}id;text;phone;ai_label;ai_n"));
    let expected = [
        "001;\"two",
        "lines; one cell\";+8613800000000;",
        "",
        "002;1e5;00123;",
        "003;no text: \u{fffd};",
        "004;short;;",
    ];
    for (begin, line) in expected.into_iter().zip(lines.by_ref()) {
        let is_bare = begin.is_empty() || begin.starts_with("003") || begin == "001;\"two";
        assert!(line.starts_with(begin) && (line.len() > begin.len()) != is_bare, "{line}");
    }
    assert!(lines.next().is_some_and(|line| line.starts_with("005;'it''s';\"\";")), "{after}");
    assert!(!story.has("in.partial.jsonl"));

    // Whoever runs it again has nothing to do: the file is not touched, and nothing is asked.
    let before = (fs::metadata(story.path("in.csv")).unwrap().modified().unwrap(), story.asked());
    story.run([]).says(1, &["a new run looks for what is pending now", "0 succeeded", "answered 4"]);
    let now = (fs::metadata(story.path("in.csv")).unwrap().modified().unwrap(), story.asked());
    assert_eq!((now, String::from_utf8_lossy(&story.bytes("in.csv")).into_owned()), (before, after));
}

#[test]
fn what_failed_is_empty_and_pending_for_the_next_run() {
    let story = story(failing(), CSV, INTO_CSV);
    story.write("in.csv", table(60));
    story.run([]).says(1, &["60 records", "unavailable"]);
    let n = n_answers(&story);
    assert!((20..60).contains(&n), "{n}");
    for (row, answer) in answered(&story) {
        assert!(table(60).contains(&format!("{row}\r\n")), "the cells of the user: {row}");
        assert!(!answer.contains("ERROR"), "{answer}");
    }
    assert_eq!(story.lines("in.failures.jsonl").len(), 60 - n);
    // The vendor is asked by another text now, and has fresh luck with every one.
    let asked = story.asked();
    story.write("pipeline.yaml", pipeline(CSV, INTO_CSV).replace("Label this", "Please label"));
    let ran = story.run([]);
    assert!(ran.stderr.contains(&format!("answered {n}")), "{}", ran.stderr);
    assert_eq!(story.asked() - asked, 60 - n as u64, "only what is pending is asked for");
    assert!(n_answers(&story) > n);
}

#[test]
fn a_killed_run_in_place_asks_for_nothing_twice_and_ends_as_if_it_had_not_been() {
    let kills = ["before_write:2", "before_sync:3", "before_projection:2", "behind_outputs:1"];
    for (source, sink, file) in [(CSV, INTO_CSV, "in.csv"), (EXCEL, INTO_EXCEL, "in.xlsx")] {
        let mut outputs = Vec::new();
        for kill in [&[][..], &kills] {
            let mut story = story(slow(20), source, sink);
            story.write("in.csv", table(60));
            if file == "in.xlsx" {
                story.tidemill(["data", "convert", "in.csv", "in.xlsx"]).says(0, &[]);
            }
            let before = story.bytes(file);
            for kill in kill {
                story.set("TIDEMILL_KILL", kill);
                let ran = story.run([]);
                assert_eq!(ran.status, 128 + 9, "{kill}: {ran:?}");
                let is_published = story.bytes(file) != before;
                assert_eq!(is_published, *kill == "behind_outputs:1", "{kill}: a half-made output is never seen");
                story.set("TIDEMILL_KILL", "");
            }
            let asked = story.asked();
            story.run([]).says(0, &["60 succeeded"]);
            if !kill.is_empty() {
                assert_eq!(
                    story.asked(),
                    asked,
                    "the last process was killed behind its outputs: nothing was left to ask"
                );
                assert!(asked <= 60 + 3 * 8, "at most what was in flight at a kill is repeated: {asked}");
                assert_eq!(
                    story.run_ids().len(),
                    1,
                    "the run knows its own work again, and takes it for nobody else's"
                );
            }
            outputs.push(story.bytes(file));
        }
        assert!(outputs[0] == outputs[1], "{file}");
    }
}

#[test]
fn a_row_that_somebody_changes_meanwhile_keeps_what_they_wrote() {
    let story = story(slow(150), CSV, INTO_CSV);
    story.write("in.csv", table(40));
    let mut running = story.start([]);
    running.until("some are answered", |_| story.vendor.counts().answered >= 10);
    // Somebody mends one row, answers another by hand, takes the last one away and adds two.
    let changed = table(39).replace("\"message 3, ", "\"a better message, ") + "00050,1,new\r\n00051,2,newer\r\n";
    let mut lines: Vec<String> = changed.lines().map(|line| format!("{line},")).collect();
    lines[0] = "id,phone,text,ai_label".to_owned();
    lines[7].push_str("by hand");
    story.write("in.csv", lines.join("\r\n") + "\r\n");
    let ran = running.wait();
    ran.says(1, &["37 succeeded, 3 failed (conflict 3)"]);
    let rows = answered(&story);
    assert_eq!(rows.len(), 41);
    assert_eq!(rows[2], ("00003,+8613800000003,\"a better message, \"\"quoted\"\"\"".to_owned(), ",".to_owned()));
    assert!(rows[6].1.starts_with("by hand,"), "{:?}", rows[6]);
    assert_eq!((rows[39].1.as_str(), rows[40].0.as_str()), (",", "00051,2,newer"));
    assert_eq!(n_answers(&story), 37 + 1);
    let failures = story.lines("in.failures.jsonl");
    let told: Vec<&str> = failures.iter().filter_map(|line| line["message"].as_str()).collect();
    assert!(told[0].contains("`text` was `message 3, \"quoted\"` and is `a better message, \"quoted\"`"), "{told:?}");
    assert!(told[1].contains("`ai_label` was ``, is `by hand`, and was to become `"), "{told:?}");
    // The row of the fortieth record is another one now.
    assert!(told[2].contains("was changed"), "{told:?}");
    assert!(failures.iter().all(|line| line["kind"] == "conflict"));

    // The next run is about the rows as they are now.
    let asked = story.asked();
    story.run([]).says(0, &["a new run", "answered 37"]);
    assert_eq!((story.asked() - asked, n_answers(&story)), (4, 41));
}

#[test]
fn a_workbook_that_is_open_elsewhere_is_told_of_and_not_written_over() {
    let story = story(slow(150), EXCEL, INTO_EXCEL);
    story.write("in.csv", table(20));
    story.tidemill(["data", "convert", "in.csv", "in.xlsx"]).says(0, &[]);
    let before = story.bytes("in.xlsx");
    story.write(".~lock.in.xlsx#", ",somebody,desk,;");
    story.run([]).says(3, &["`in.xlsx` is open in another program", ".~lock.in.xlsx#"]);
    assert_eq!(story.asked(), 0);
    fs::remove_file(story.path(".~lock.in.xlsx#")).unwrap();

    let mut running = story.start([]);
    running.until("some are answered", |_| story.vendor.counts().answered >= 8);
    story.write("~$in.xlsx", "somebody");
    running.wait().says(3, &["`in.xlsx` is open in another program", "what is settled is kept"]);
    assert_eq!(story.bytes("in.xlsx"), before);
    fs::remove_file(story.path("~$in.xlsx")).unwrap();
    story.run([]).says(0, &["20 succeeded"]);
    assert_eq!(story.asked(), 20, "nothing is asked again");
    let shown = story.tidemill(["data", "head", "in.xlsx"]);
    assert!(shown.stdout.contains("\"ai_label\":\""), "{shown:?}");
}

const EXCEL: &str = "excel: { path: in.xlsx, key: id }, pending: true";
const INTO_EXCEL: &str = "excel: { path: in.xlsx, columns: { label: ai_label, n: ai_n } }";

#[test]
fn a_disk_that_is_full_at_the_save_leaves_the_table_as_it_was() {
    if !can_mount() {
        return;
    }
    let into = "csv: { path: mnt/in.csv, columns: { label: ai_label, n: ai_n } }";
    let story = story(Script::default(), "csv: { path: mnt/in.csv, key: id }, pending: true", into);
    story.write("in.csv", table(1000));
    fs::create_dir(story.path("mnt")).unwrap();
    // 44 kB of table fit, and the live output, and a second copy with answers does not.
    let script = "mount -t tmpfs -o size=200k tmpfs mnt; cp in.csv mnt; cp in.csv before.csv\n\
                  $TIDEMILL run pipeline.yaml && exit 90; echo \"exit status $?\" >&2\n\
                  cmp mnt/in.csv before.csv || exit 91\n\
                  ls -A mnt >&2\n\
                  mount -o remount,size=1m mnt; $TIDEMILL run pipeline.yaml || exit 92; cp mnt/in.csv in.csv";
    let ran = story.sh_with_mounts(script);
    ran.says(0, &["exit status 3", "cannot write `mnt/in.csv`", "the disk is full", "what is settled is kept"]);
    assert_eq!((n_answers(&story), story.asked()), (1000, 1000));
}

#[test]
fn texts_of_errors_that_another_tool_left_are_no_answers_where_that_is_said() {
    let left = "id,phone,text,ai_label,ai_n\r\n1,1,a,good,2\r\n2,2,b,ERROR: api_error - timeout,ERROR: api_error - timeout\r\n3,3,c,,\r\n4,4,d, ,7\r\n";
    let story = story(Script::default(), CSV, INTO_CSV);
    story.write("in.csv", left);
    story.run([]).says(0, &["2 succeeded, 2 skipped (answered 2)"]);
    assert!(story.text("in.csv").contains("2,2,b,ERROR: api_error - timeout,ERROR"));
    story.write("pipeline.yaml", pipeline("csv: { path: in.csv, key: id }, pending: { errors: true }", INTO_CSV));
    story.run([]).says(0, &["1 succeeded, 3 skipped (answered 3)"]);
    assert!(!story.text("in.csv").contains("ERROR"), "{}", story.text("in.csv"));
    assert!(story.text("in.csv").contains("\r\n1,1,a,good,2\r\n"), "an answer that is there stays");
}

#[test]
fn every_row_stands_in_the_output_with_how_it_ended_where_that_is_wanted() {
    let story = story(failing(), "csv: { path: in.csv, key: id }, where: \"id != '00007'\"", STATUS);
    story.write("in.csv", table(30));
    story.run([]).says(1, &["30 records", "filtered 1"]);
    assert_eq!(story.text("in.csv"), table(30), "another file is written");
    let out = story.text("out/all.csv");
    let rows: Vec<&str> = out.lines().collect();
    assert_eq!((rows.len(), rows[0]), (31, "id,phone,text,label,n,status"));
    assert!(rows[7].ends_with(",,,"), "{}", rows[7]);
    let n = |what: &str| rows.iter().filter(|row| row.contains(what)).count();
    let n_failed = n(",,,failed: unavailable - ") + n(",,,\"failed: unavailable - ");
    assert_eq!((n(",succeeded") + n_failed, n_failed > 0), (29, true), "{out}");

    story.write("pipeline.yaml", pipeline(CSV, INTO_CSV).replace("template:", "samples: 2\n        template:"));
    story.tidemill(["check", "pipeline.yaml"]).says(2, &["each is asked about several times"]);
}

const STATUS: &str = "csv: { path: out/all.csv, status: status }";

#[test]
fn what_is_settled_is_saved_while_the_run_goes_on_unless_somebody_has_the_table_open() {
    for (source, sink, file) in [(CSV, INTO_CSV, "in.csv"), (EXCEL, INTO_EXCEL, "in.xlsx")] {
        let story = story(slow(100), source, sink);
        story.write("in.csv", table(240));
        if file == "in.xlsx" {
            story.tidemill(["data", "convert", "in.csv", "in.xlsx"]).says(0, &[]);
        }
        // Slow, so that there is time for several saves whatever else the machine does.
        let slow_flow = "flow: { save_every: 150ms, max_in_flight: 2,";
        story.write("pipeline.yaml", pipeline(source, sink).replace("flow: { max_in_flight: 8,", slow_flow));
        let shown = || {
            let head = story.tidemill(["data", "head", file, "-n", "500"]);
            head.stdout.lines().filter(|line| line.contains(":\"good\"") || line.contains(":\"bad\"")).count()
        };
        let mut running = story.start([]);
        running.until("some answers can be seen in the table", |_| shown() > 10);
        story.write(&format!("~${file}"), "somebody");
        running.until_it_says("not saved this time, and the run goes on: `in.");
        fs::remove_file(story.path(&format!("~${file}"))).unwrap();
        let n = shown();
        running.until("more can be seen", |_| shown() > n);
        running.kill();
        story.write("pipeline.yaml", pipeline(source, sink));
        // What a killed run saved is its own, and goes on being the table that it writes to.
        story.run([]).says(0, &["going on", "240 succeeded"]).does_not_say("was changed since");
        assert_eq!(shown(), 240);
        assert!(story.asked() <= 240 + 8);
    }
}

#[test]
fn a_text_too_long_for_a_cell_costs_its_own_row_alone() {
    let story = story(Script::default(), EXCEL, INTO_EXCEL);
    let long = "x".repeat(40_000);
    story.write("in.csv", table(3));
    story.tidemill(["data", "convert", "in.csv", "in.xlsx"]).says(0, &[]);
    let text = pipeline(EXCEL, INTO_EXCEL).replace("columns: {", "columns: { said: ai_said,");
    let derive = format!("derive: {{ said: \"{{{{ '{long}' if id == '00002' else 'short' }}}}\" }}\n        template:");
    story.write("pipeline.yaml", text.replacen("template:", &derive, 1));
    story.run([]).says(1, &["2 succeeded, 1 failed (write_rejected 1)"]);
    let failures = story.lines("in.failures.jsonl");
    assert!(failures[0]["message"].as_str().is_some_and(|told| told.contains("40000 characters")), "{failures:?}");
    // Mended, it is written without asking again.
    story.write("pipeline.yaml", text.replacen("template:", "derive: { said: \"{{ id }}\" }\n        template:", 1));
    story.tidemill(["reparse", "latest", "--no-ask"]).says(0, &["3 succeeded"]);
    assert_eq!(story.asked(), 3);
}
