//! Bad input: every flaw is named with file, line, field and what to do, and spoils nothing beside it.

use std::{fs, os::unix::fs::symlink};

use serde_json::json;
use simulate::{Answer, Script};

use crate::story::{Pipeline, Story, numbered, records};

const FINE: &str = r#"{"id":1,"text":"fine"}"#;

/// Runs `source` with the usual pipeline; all but the flawed line 2 succeed. Returns what the failures file says of it.
#[track_caller]
fn second_line_is_skipped(source: impl AsRef<[u8]>, pipeline: &Pipeline, kind: &str) -> serde_json::Value {
    let story = Story::with(source, Script::default(), pipeline);
    story.run([]).says(1, &["more failed or were skipped than the pipeline tolerates", "`tolerate:`", kind]);
    assert_eq!(story.ids(), [1, 3], "the lines around it are answered");
    assert_eq!(story.asked(), 2, "nobody is asked about a line that cannot be used");
    let account = &story.accounting()["steps"][0];
    assert_eq!(account["skipped_by_reason"], json!({ kind: 1 }));
    assert_eq!((&account["records"], &account["succeeded"], &account["adds_up"]), (&json!(3), &json!(2), &json!(true)));
    let failures = story.failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    let failure = failures.into_iter().next().expect("it was counted");
    let told = [&failure["line"], &failure["status"], &failure["kind"], &failure["attempts"]];
    assert_eq!(told, [&json!(2), &json!("skipped"), &json!(kind), &json!(0)]);
    failure
}

#[track_caller]
fn message_says(failure: &serde_json::Value, said: &[&str]) {
    let message = failure["message"].as_str().expect("every failure has a message");
    for what in said {
        assert!(message.contains(what), "`{what}` is not in `{message}`");
    }
}

fn three(second: &[u8]) -> Vec<u8> {
    let third = r#"{"id":3,"text":"fine too"}"#;
    [FINE.as_bytes(), second, third.as_bytes()].join(&b'\n')
}

#[test]
fn an_empty_file_is_a_run_of_no_records() {
    let story = Story::of("");
    story.run([]).says(0, &["0 records"]);
    assert_eq!(
        (story.text("out/labels.jsonl"), story.text("out/labels.failures.jsonl")),
        (String::new(), String::new())
    );
    let account = story.accounting();
    assert_eq!((&account["done"], &account["exit_status"]), (&json!(true), &json!(0)));
    assert_eq!((&account["steps"][0]["records"], &account["steps"][0]["adds_up"]), (&json!(0), &json!(true)));
    assert_eq!(story.asked(), 0);
    let again = story.run([]);
    again.says(0, &["going on"]);
    assert_eq!(story.run_ids().len(), 1, "an empty run that is done is done");
}

#[test]
fn blank_lines_are_no_failures() {
    let story = Story::of(format!("\n{FINE}\n\n   \t\n{}\r\n\r\n", FINE.replace('1', "2")));
    story.run([]).says(0, &["6 records", "2 succeeded", "4 skipped (blank 4)"]);
    assert_eq!(story.ids(), [1, 2]);
    assert!(story.failures().is_empty(), "there was nothing to do, so nothing failed");
    assert_eq!(story.accounting()["steps"][0]["skipped_by_reason"], json!({ "blank": 4 }));
}

#[test]
fn a_line_of_fifty_megabytes_works() {
    let long = "x".repeat(50 << 20);
    let source = format!("{FINE}\n{{\"id\":2,\"text\":\"{long}\"}}\n{{\"id\":3,\"text\":\"fine\"}}\n");
    let story = Story::of(&source);
    story.run([]).says(0, &["3 succeeded"]);
    let output = story.text("out/labels.jsonl");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), 3);
    let untouched = source.lines().nth(1).expect("there are three lines").trim_end_matches('}');
    assert!(lines[1].starts_with(untouched), "the long line came out as it went in");
    assert!(lines[1][untouched.len()..].starts_with(",\"label\":"), "{}", &lines[1][untouched.len()..]);
}

#[test]
fn a_line_over_the_limit_is_skipped_with_its_number() {
    let pipeline = Pipeline { source: ", max_line: 1KiB", ..Pipeline::default() };
    let long = format!("{{\"id\":2,\"text\":\"{}\"}}", "y".repeat(100_000));
    let failure = second_line_is_skipped(three(long.as_bytes()), &pipeline, "too_long");
    message_says(&failure, &["in.jsonl line 2", "100018 bytes", "1 KiB", "raise `max_line`"]);
    assert!(failure["text"].as_str().is_some_and(|text| text.starts_with("{\"id\":2") && text.len() < 2_000));
}

#[test]
fn a_nul_byte_is_named_with_its_place() {
    let failure = second_line_is_skipped(three(b"{\"id\":2,\"text\":\"a\0b\"}"), &Pipeline::default(), "bad_text");
    message_says(&failure, &["in.jsonl line 2", "NUL byte at byte 18"]);
}

#[test]
fn text_that_is_not_utf8_is_named_with_its_place() {
    let failure = second_line_is_skipped(three(b"{\"id\":2,\"text\":\"caf\xe9\"}"), &Pipeline::default(), "bad_text");
    message_says(&failure, &["in.jsonl line 2", "not valid UTF-8 from byte 20", "convert the file to UTF-8"]);
    assert_eq!(failure["text"], "{\"id\":2,\"text\":\"caf\u{fffd}\"}", "what can be read of it is shown");
}

#[test]
fn what_is_no_object_is_called_what_it_is() {
    for (second, said) in [
        ("[1,2]", "an array, not a JSON object"),
        ("\"text\"", "a string, not a JSON object"),
        ("{\"id\":2,\"text\":", "not valid JSON: it ends too early, at column 15"),
        ("{\"id\":2 \"text\":1}", "not valid JSON: expected `,` or `}` at column 9"),
        ("id,text", "not valid JSON"),
    ] {
        let failure = second_line_is_skipped(three(second.as_bytes()), &Pipeline::default(), "bad_record");
        message_says(&failure, &["in.jsonl line 2", said]);
        assert_eq!(failure["text"], second);
    }
}

#[test]
fn a_user_key_that_comes_twice_names_both_lines() {
    let pipeline = Pipeline { source: ", key: id", ..Pipeline::default() };
    let failure = second_line_is_skipped(three(b"{\"id\":1,\"text\":\"again\"}"), &pipeline, "duplicate_key");
    message_says(&failure, &["in.jsonl line 2", "record 1 of in.jsonl has the key `1` already", "make keys unique"]);
    assert_eq!(failure["record"], json!({ "id": 1, "text": "again" }), "the record is kept for whoever mends it");
}

#[test]
fn a_user_key_that_is_not_there_is_named() {
    let pipeline = Pipeline { source: ", key: id", ..Pipeline::default() };
    let failure = second_line_is_skipped(three(b"{\"text\":\"no id\"}"), &pipeline, "missing_field");
    message_says(&failure, &["in.jsonl line 2", "the key field `id` is missing"]);
}

#[test]
fn a_field_that_the_template_needs_is_named_with_those_that_are_there() {
    let failure = second_line_is_skipped(three(b"{\"id\":2,\"txet\":\"typo\"}"), &Pipeline::default(), "missing_field");
    message_says(&failure, &["in.jsonl line 2", "the template needs the field `text`", "its fields are: `id`, `txet`"]);
}

#[test]
fn a_field_that_is_required_and_empty_is_nothing_to_do() {
    let pipeline =
        Pipeline { beside_source: "fields: [text]", template: "Label {{ record_json }}", ..Pipeline::default() };
    let failure = second_line_is_skipped(three(b"{\"id\":2}"), &pipeline, "missing_field");
    message_says(&failure, &["in.jsonl line 2", "no field `text`"]);
    let story = Story::with(three(b"{\"id\":2,\"text\":\" \"}"), Script::default(), &pipeline);
    story.run([]).says(0, &["1 skipped (filtered 1)"]);
}

#[test]
fn a_name_that_is_taken_is_told_before_anything_is_asked_about_it() {
    let source = three(b"{\"id\":2,\"label\":\"mine\",\"text\":\"x\"}");
    let failure = second_line_is_skipped(&source, &Pipeline::default(), "name_taken");
    message_says(&failure, &["in.jsonl line 2", "already has a field `label`", "`columns:`", "`overwrite: true`"]);

    // Where the first one has it, most likely all have.
    let story = Story::with("{\"id\":1,\"label\":\"mine\",\"text\":\"x\"}\n", Script::default(), &Pipeline::default());
    story
        .tidemill(["check", "pipeline.yaml"])
        .says(0, &["warning: ", "already has a field `label`", "the first record"]);
}

#[test]
fn overwriting_keeps_the_place_and_columns_give_other_names() {
    let source = three(b"{\"id\":2,\"label\":\"mine\",\"text\":\"x\"}");
    let script = || Script { answer: Answer::Fixed(r#"{"label":"good","score":7}"#.to_owned()), ..Script::default() };
    let sink = "jsonl: { path: out/labels.jsonl, overwrite: true }";
    let story = Story::with(&source, script(), &Pipeline { sink, ..Pipeline::default() });
    story.run([]).says(0, &[]);
    let expected = r#"{"id":2,"label":"good","text":"x","score":7}"#;
    assert_eq!(story.text("out/labels.jsonl").lines().nth(1), Some(expected));

    let sink = "jsonl: { path: out/labels.jsonl, columns: { label: ai_label } }";
    let story = Story::with(&source, script(), &Pipeline { sink, ..Pipeline::default() });
    story.run([]).says(0, &[]);
    let expected = r#"{"id":2,"label":"mine","text":"x","ai_label":"good","score":7}"#;
    assert_eq!(story.text("out/labels.jsonl").lines().nth(1), Some(expected));
}

#[test]
fn untouched_fields_come_out_byte_for_byte() {
    // Precision, spelling, order, white space, a name that comes twice: whatever a parser would lose.
    let odd = [
        r#"{"z":1.10,"a":12345678901234567890123,"id":1,"text":"a\/b \u00e9 é","n":1e400,"m":-0.0,"d":0.1000}"#,
        r#"{ "text" : "spaces" ,  "id":2, "o" : { "b" : [ 1 , 2 ] , "a" : null } }"#,
        r#"{"id":3,"text":"x","text":"y","zip":"007"}"#,
    ];
    let script = Script { answer: Answer::Fixed(r#"{"label":"bad","score":0}"#.to_owned()), ..Script::default() };
    let story = Story::with(odd.join("\n") + "\n", script, &Pipeline::default());
    story.run([]).says(0, &[]);
    let output = story.text("out/labels.jsonl");
    for (line, was) in output.lines().zip(odd) {
        let was = was.strip_suffix('}').expect("an object ends in a brace").trim_end();
        let new = line.strip_prefix(was).unwrap_or_else(|| panic!("{line}\nwas\n{was}"));
        assert_eq!(new.replace(' ', ""), r#","label":"bad","score":0}"#);
    }
    assert_eq!(output.lines().count(), 3);
}

#[test]
fn line_ends_and_byte_order_marks_are_no_content() {
    let plain = Story::of(records(3));
    plain.run([]).says(0, &[]);
    let expected = plain.text("out/labels.jsonl");
    for (what, source) in [
        ("no line end at the end", records(3).trim_end().to_owned()),
        ("CRLF", records(3).replace('\n', "\r\n")),
        ("a byte order mark", format!("\u{feff}{}", records(3))),
    ] {
        let story = Story::of(source);
        story.run([]).says(0, &["3 succeeded"]);
        assert_eq!(story.text("out/labels.jsonl"), expected, "{what}");
    }
}

#[test]
fn tolerating_skipped_records_is_for_the_pipeline_to_say() {
    let source = format!("{}no record\n", records(9));
    for (step, status) in [
        ("", 1),
        ("tolerate: { skipped: 0 }", 1),
        ("tolerate: { skipped: 5% }", 1),
        ("tolerate: { failed: any }", 1),
        ("tolerate: { skipped: 1 }", 0),
        ("tolerate: { skipped: 10% }", 0),
        ("tolerate: { skipped: any }", 0),
    ] {
        let story = Story::with(&source, Script::default(), &Pipeline { step, ..Pipeline::default() });
        story.run([]).says(status, &["9 succeeded", "1 skipped (bad_record 1)"]);
        assert_eq!(story.accounting()["exit_status"], json!(status), "{step}");
        assert_eq!(story.failures().len(), 1, "tolerated or not, it is told");
    }
}

#[test]
fn answers_that_do_not_fit_are_failures_with_the_record_beside_them() {
    let answer = Answer::Fixed(r#"{"label":"so-so","score":3}"#.to_owned());
    let flow = "{ retries: { content: 1 }, backoff: { first: 1ms, max: 1ms } }";
    let script = Script { answer, ..Script::default() };
    let story = Story::with(records(2), script, &Pipeline { flow, ..Pipeline::default() });
    story.run([]).says(1, &["2 failed (invalid_output 2)", "more failed"]);
    assert_eq!(story.asked(), 4, "one retry means one retry");
    let failure = &story.failures()[0];
    assert_eq!(
        (&failure["line"], &failure["status"], &failure["kind"]),
        (&json!(1), &json!("failed"), &json!("invalid_output"))
    );
    assert_eq!((&failure["attempts"], &failure["record"]), (&json!(2), &json!({ "id": 1, "text": "message 1" })));
    message_says(failure, &["label"]);
    assert!(story.output().is_empty(), "a failure never stands among the answers");
}

#[test]
fn a_folder_is_no_source() {
    let story = Story::of("");
    fs::remove_file(story.path("in.jsonl")).unwrap();
    story.write("in.jsonl/part-1.jsonl", records(1));
    story.run([]).says(2, &["pipeline.yaml:7:", "`in.jsonl`", "it is a folder", "name a file in it"]);
    assert!(!story.has(".tidemill"), "a run that cannot begin leaves nothing");
}

#[test]
fn a_missing_source_is_told_with_the_name_that_was_meant() {
    let story = Story::of("");
    fs::rename(story.path("in.jsonl"), story.path("ni.jsonl")).unwrap();
    story
        .run([])
        .says(2, &["pipeline.yaml:7:", "cannot read `in.jsonl`: there is no such file", "did you mean `ni.jsonl`?"]);
}

#[test]
fn something_that_cannot_be_read_twice_is_no_source() {
    let story = Story::of("");
    fs::remove_file(story.path("in.jsonl")).unwrap();
    symlink("/dev/null", story.path("in.jsonl")).unwrap();
    story.run([]).says(2, &["`in.jsonl`", "not a regular file"]);
}

#[test]
fn what_is_not_written_in_place_may_not_be_the_input_by_whatever_name() {
    type Link = fn(&Story);
    let cases: [(&str, &str, Link); 3] = [
        ("failures behind a symbolic link", "jsonl: { path: out.jsonl, failures: link.jsonl }", |story| {
            symlink("in.jsonl", story.path("link.jsonl")).unwrap()
        }),
        ("a hard link", "jsonl: { path: hard.jsonl }", |story| {
            fs::hard_link(story.path("in.jsonl"), story.path("hard.jsonl")).unwrap();
        }),
        ("the failures", "jsonl: { path: out.jsonl, failures: in.jsonl }", |_| {}),
    ];
    for (what, sink, link) in cases {
        let story = Story::with(records(3), Script::default(), &Pipeline { sink, ..Pipeline::default() });
        link(&story);
        let ran = story.run([]);
        ran.says(2, &["is the input `in.jsonl`", "name another file", "pipeline.yaml:"]);
        assert_eq!(story.asked(), 0, "{what}");
        assert_eq!(story.text("in.jsonl"), records(3), "{what}");
    }
}

#[test]
fn output_and_failures_may_not_be_one_file() {
    let sink = "jsonl: { path: out.jsonl, failures: out.jsonl }";
    let story = Story::with(numbered(1, 2), Script::default(), &Pipeline { sink, ..Pipeline::default() });
    story.run([]).says(2, &["both `out.jsonl`", "name another `failures` file"]);
    assert_eq!(story.asked(), 0);
}

#[test]
fn a_template_that_the_first_record_does_not_fit_is_warned_of() {
    let pipeline = Pipeline {
        template: "Label {{ txt[:10] }}{% if more is defined %}{{ more }}{% endif %}",
        ..Pipeline::default()
    };
    let story = Story::with(records(3), Script::default(), &pipeline);
    let said =
        ["warning: in.jsonl line 1: the template needs the field `txt`", "its fields are: `id`, `text`", "no mistakes"];
    story.tidemill(["check", "pipeline.yaml"]).says(0, &said);
    story.write("pipeline.yaml", Pipeline { template: "{{ text.split(',') }}", ..Pipeline::default() }.text());
    story.tidemill(["check", "pipeline.yaml"]).says(2, &["values have no method `split`; use a filter: `|split`"]);
    assert_eq!(story.asked(), 0);
}
