//! Outcomes out.

use std::fs;

use domain::{
    End, Record, SkipReason,
    ports::{Projection, Sink as _},
};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::{Tickets, failed, outcome, skipped, succeeded};

fn three() -> Tickets {
    Tickets::new("{\"id\": 1.10}\n\nbroken\n{\"id\":3}\r\n{\"id\":4}\n")
}

fn names(tickets: &Tickets) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(tickets.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn read(tickets: &Tickets, name: &str) -> String {
    fs::read_to_string(tickets.path().join(name)).unwrap()
}

fn projections(records: &[Record]) -> Vec<Projection> {
    let project = |record: &Record| Projection { record: record.clone(), outcome: succeeded(record, "{\"x\":1}") };
    records.iter().map(project).collect()
}

#[test]
fn a_merge_shows_every_record_in_source_order_and_only_when_it_is_whole() {
    let tickets = three();
    let records = tickets.records();
    let mut sink = tickets.sink(json!({"path": "out.jsonl"}), &["x"]);
    fs::write(tickets.path().join("out.jsonl"), "old").unwrap();
    fs::write(tickets.path().join("out.failures.jsonl"), "old").unwrap();
    sink.prepare().unwrap();
    sink.open(true).unwrap();
    sink.project(&projections(&records[3..4])).unwrap();

    let mut merge = sink.merge().unwrap();
    merge.write(&records[0], &succeeded(&records[0], "{\"x\":1}")).unwrap();
    assert_eq!(read(&tickets, "out.jsonl"), "old");
    assert_eq!(
        names(&tickets),
        [
            ".out.failures.jsonl.run-7.tmp",
            ".out.jsonl.run-7.tmp",
            "out.failures.jsonl",
            "out.jsonl",
            "out.partial.jsonl",
            "tickets.jsonl"
        ]
    );
    drop(merge);
    assert_eq!(names(&tickets), ["out.failures.jsonl", "out.jsonl", "out.partial.jsonl", "tickets.jsonl"]);

    let mut merge = sink.merge().unwrap();
    merge.write(&records[0], &succeeded(&records[0], "{\"x\":1}")).unwrap();
    merge.write(&records[1], &skipped(&records[1], SkipReason::Blank, "blank")).unwrap();
    merge.write(&records[2], &skipped(&records[2], SkipReason::BadRecord, "tickets.jsonl line 3: \"no\"")).unwrap();
    merge.write(&records[3], &failed(&records[3])).unwrap();
    merge.write(&records[4], &outcome(&records[4], End::Cancelled, None)).unwrap();
    let artefacts = merge.finish().unwrap();

    assert_eq!(read(&tickets, "out.jsonl"), "{\"id\": 1.10,\"x\":1}\n");
    assert_eq!(
        read(&tickets, "out.failures.jsonl").lines().collect::<Vec<_>>(),
        [
            r#"{"line":3,"status":"skipped","kind":"bad_record","message":"tickets.jsonl line 3: \"no\"","attempts":3,"text":"broken"}"#,
            r#"{"line":4,"status":"failed","kind":"timeout","message":"no answer within 60 s","attempts":3,"record":{"id":3}}"#,
            r#"{"line":5,"status":"cancelled","kind":"cancelled","message":"called off by the user","attempts":3,"record":{"id":4}}"#,
        ]
    );
    assert_eq!(names(&tickets), ["out.failures.jsonl", "out.jsonl", "tickets.jsonl"]);
    for (artefact, (name, n)) in artefacts.iter().zip([("out.jsonl", 1), ("out.failures.jsonl", 3)]) {
        let content = read(&tickets, name);
        let sha256: String = sha2::Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!((artefact.path.as_str(), artefact.records, artefact.bytes), (name, n, content.len() as u64));
        assert_eq!(artefact.sha256, sha256);
    }
}

#[test]
fn a_run_without_failures_leaves_an_empty_failures_file() {
    let tickets = Tickets::new("");
    let mut sink = tickets.sink(json!({"path": "out/deep/labels.jsonl", "failures": "bad.jsonl"}), &["x"]);
    sink.prepare().unwrap();
    let artefacts = sink.merge().unwrap().finish().unwrap();
    assert_eq!((read(&tickets, "out/deep/labels.jsonl"), read(&tickets, "bad.jsonl")), (String::new(), String::new()));
    assert_eq!((artefacts[1].path.as_str(), artefacts[1].records), ("bad.jsonl", 0));
}

#[test]
fn text_that_is_no_record_is_shown_as_far_as_it_goes() {
    for (line, expected) in [
        (b"a\0\xff\"".to_vec(), json!("a\0\u{fffd}\"")),
        ("é".repeat(2_000).into_bytes(), json!("é".repeat(2_000))),
        ("é".repeat(2_001).into_bytes(), json!(format!("{} … (cut; 4002 bytes in all)", "é".repeat(2_000)))),
        (b"[1]".to_vec(), json!("[1]")),
    ] {
        let tickets = Tickets::new(line);
        let record = &tickets.records()[0];
        let mut sink = tickets.sink(json!({"path": "out.jsonl"}), &["x"]);
        let mut merge = sink.merge().unwrap();
        merge.write(record, &skipped(record, SkipReason::BadText, "bad")).unwrap();
        merge.finish().unwrap();
        let found: Value = serde_json::from_str(&read(&tickets, "out.failures.jsonl")).unwrap();
        assert_eq!(found["text"], expected);
    }
}

#[test]
fn the_live_output_goes_on_behind_its_last_whole_line() {
    let tickets = three();
    let records = tickets.records();
    let open = |is_new| {
        let mut sink = tickets.sink(json!({"path": "out.jsonl"}), &["x"]);
        sink.open(is_new).unwrap();
        sink
    };
    let first = "{\"id\":3,\"x\":1,\"_position\":3}\n";
    open(true).project(&projections(&records[3..4])).unwrap();
    assert_eq!(read(&tickets, "out.partial.jsonl"), first);

    fs::write(tickets.path().join("out.partial.jsonl"), [first, "{\"id\"", &"x".repeat(100_000)].concat()).unwrap();
    let mut sink = open(false);
    assert_eq!(read(&tickets, "out.partial.jsonl"), first);
    sink.project(&projections(&records[4..])).unwrap();
    let second = "{\"id\":4,\"x\":1,\"_position\":4}\n";
    assert_eq!(read(&tickets, "out.partial.jsonl"), [first, second].concat());
    open(true);
    assert_eq!(read(&tickets, "out.partial.jsonl"), "");
}

#[test]
fn an_answer_is_taken_back_from_the_live_output_only_for_the_record_that_it_belongs_to() {
    let tickets = three();
    let records = tickets.records();
    let config = json!({"path": "out.jsonl", "columns": {"x": "ai_x"}, "overwrite": true});
    let mut sink = tickets.sink(config, &["x", "y"]);
    sink.prepare().unwrap();
    sink.open(true).unwrap();
    let project =
        |record: &Record, output: &str| Projection { record: record.clone(), outcome: succeeded(record, output) };
    sink.project(&[project(&records[4], "{\"x\":1.10,\"y\":[1]}"), project(&records[0], "{\"x\":null,\"y\":\"\"}")])
        .unwrap();
    let restored = |sink: &mut crate::FileSink, record| sink.restore(record).unwrap().map(|o| o.get().to_owned());
    assert_eq!(restored(&mut sink, &records[4]).as_deref(), Some("{\"x\":1.10,\"y\":[1]}"));
    assert_eq!(restored(&mut sink, &records[0]).as_deref(), Some("{\"x\":null,\"y\":\"\"}"));
    assert_eq!(restored(&mut sink, &records[3]), None);
    let mut other = records[4].clone();
    other.bytes = "{\"id\":5}".into();
    assert_eq!(restored(&mut sink, &other), None);
    sink.project(&[project(&records[3], "{\"x\":2}")]).unwrap();
    assert_eq!(restored(&mut sink, &records[3]).as_deref(), Some("{\"x\":2}"));
    sink.project(&[project(&records[3], "{\"x\":3}")]).unwrap();
    assert_eq!(restored(&mut sink, &records[3]).as_deref(), Some("{\"x\":3}"));
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_the_work() {
    let tickets = three();
    let prepared = |config: Value| {
        let mut sink = tickets.sink(config, &["x"]);
        let checked = sink.check().unwrap_err();
        let prepared = sink.prepare().unwrap_err();
        assert_eq!((checked.message, checked.is_environment), (prepared.message.clone(), prepared.is_environment));
        prepared.message
    };
    let link = |name: &str| tickets.path().join(name);
    std::os::unix::fs::symlink("tickets.jsonl", link("symbolic.jsonl")).unwrap();
    fs::hard_link(link("tickets.jsonl"), link("hard.jsonl")).unwrap();
    for name in ["tickets.jsonl", "./tickets.jsonl", "symbolic.jsonl"] {
        let mut sink = tickets.sink(json!({"path": name}), &["x"]);
        sink.check().unwrap();
        sink.prepare().unwrap();
    }
    let error = prepared(json!({"path": "out.jsonl", "failures": "hard.jsonl"}));
    assert!(error.starts_with("the file `hard.jsonl` is the input `tickets.jsonl`"), "{error}");
    let error = prepared(json!({"path": "out.jsonl", "failures": "out.jsonl"}));
    assert_eq!(error, "the output and the failures are both `out.jsonl`; name another `failures` file");

    let way_round = tickets.sink(json!({"path": "new/er/../../tickets.jsonl"}), &["x"]).check().unwrap_err();
    assert!(way_round.message.contains("is the input `tickets.jsonl`"), "{way_round}");
    tickets.sink(json!({"path": "new/out.jsonl"}), &["x"]).check().unwrap();
    assert!(!link("new").exists(), "looking creates nothing");

    fs::create_dir(link("folder.jsonl")).unwrap();
    assert_eq!(prepared(json!({"path": "folder.jsonl"})), "`folder.jsonl` is a folder; name a file in it");
    let error = prepared(json!({"path": "tickets.jsonl/out.jsonl"}));
    assert!(error.starts_with("cannot create the folder `tickets.jsonl`: "), "{error}");
    fs::write(link("kept.jsonl"), "").unwrap();
    let mut permissions = fs::metadata(link("kept.jsonl")).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(link("kept.jsonl"), permissions).unwrap();
    assert_eq!(
        prepared(json!({"path": "kept.jsonl"})),
        "`kept.jsonl` is read-only; make it writable, or name another file"
    );
}

#[test]
fn a_full_disk_is_told_with_the_file_and_what_to_do() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let place = super::place(std::path::Path::new("/"), "out/labels.jsonl");
    assert_eq!(
        crate::file::cannot("write", &place, &full),
        "cannot write `out/labels.jsonl`: the disk is full; free some space there and run the same command again: what \
         is settled is kept"
    );
}
