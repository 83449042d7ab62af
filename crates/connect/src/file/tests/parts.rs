//! Patterns, and how parts change.

use domain::ports::{Change, Source as _, Starts};
use serde_json::json;

use crate::tests::{Job, all};

fn jsonl(pattern: &str, files: &[(&str, &str)]) -> Job {
    let job = Job::of("jsonl", pattern);
    for (name, content) in files {
        job.write(name, content);
    }
    job
}

#[test]
fn the_files_that_match_are_parts_in_the_order_of_their_names() {
    let job = jsonl(
        "d/*.jsonl",
        &[
            ("d/b.jsonl", "{\"i\":3}\n"),
            ("d/a.jsonl", "{\"i\":1}\n{\"i\":2}"),
            ("d/.hidden.jsonl", "{}"),
            ("d/c.txt", "{}"),
            ("d/sub.jsonl/x.jsonl", "{}"),
        ],
    );
    let reads = job.read();
    let found: Vec<_> = reads.iter().map(|read| (read.record.key.part, read.record.key.position)).collect();
    assert_eq!(found, [(0, 0), (0, 1), (1, 0)]);
    assert_eq!(job.texts(), ["{\"i\":1}", "{\"i\":2}", "{\"i\":3}"]);
    assert_eq!(job.source().parts().unwrap(), ["d/a.jsonl", "d/b.jsonl"]);
    assert_eq!(job.source().count().unwrap(), Some(3));
    assert_eq!(job.source().place_of(&reads[2].record), "d/b.jsonl line 1");
    assert_eq!(job.source().name(), "d/*.jsonl");
    let fingerprint = job.source().fingerprint().unwrap();
    assert_eq!((fingerprint.parts, fingerprint.lengths), (vec!["d/a.jsonl".into(), "d/b.jsonl".into()], vec![15, 8]));
}

#[test]
fn patterns_reach_where_they_say() {
    let files = [("a[1].jsonl", "{}"), ("d/x1.jsonl", "{}"), ("d/x2.jsonl", "{}"), ("d/e/x3.jsonl", "{}")];
    for (pattern, expected) in [
        ("a[1].jsonl", vec!["a[1].jsonl"]),
        ("**/x*.jsonl", vec!["d/e/x3.jsonl", "d/x1.jsonl", "d/x2.jsonl"]),
        ("d/x?.jsonl", vec!["d/x1.jsonl", "d/x2.jsonl"]),
        ("d/x[13].jsonl", vec!["d/x1.jsonl"]),
        ("./d/*.jsonl", vec!["d/x1.jsonl", "d/x2.jsonl"]),
        ("d/../d/e/*.jsonl", vec!["d/../d/e/x3.jsonl"]),
    ] {
        let job = jsonl(pattern, &files);
        assert_eq!(job.source().parts().unwrap(), expected, "{pattern}");
        assert_eq!(job.read().len(), expected.len());
    }
    assert_eq!(jsonl("q/*.jsonl", &files).error(), "no file matches `q/*.jsonl`; see what is in its folder");
    let error = jsonl("d/x[.jsonl", &files).error();
    assert!(error.starts_with("`d/x[.jsonl` is no pattern for files: "), "{error}");
}

#[test]
fn a_folder_whose_name_has_wildcards_is_that_folder() {
    let job = Job::of("jsonl", "*.jsonl");
    let folder = job.path().join("we[i]rd *");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.jsonl"), "{}\n").unwrap();
    let config = crate::tests::source_config(json!({"jsonl": {"path": "*.jsonl"}}));
    let source = config.source(crate::tests::place(&folder, "*.jsonl"), 0, crate::AnswerColumns::default()).unwrap();
    assert_eq!(source.parts().unwrap(), ["a.jsonl"]);
}

#[test]
fn each_part_goes_on_where_it_is_said_to() {
    let job = jsonl("*.jsonl", &[("a.jsonl", "{\"i\":1}\n{\"i\":2}\n"), ("b.jsonl", "{\"i\":3}\n{\"i\":4}\n")]);
    let texts = |starts: Starts| -> Vec<String> {
        let reads = job.read_from(&starts);
        reads.iter().map(|read| String::from_utf8(read.record.bytes.to_vec()).unwrap()).collect()
    };
    assert_eq!(texts(Starts::from([(0, (1, 8))])), ["{\"i\":2}", "{\"i\":3}", "{\"i\":4}"]);
    assert_eq!(texts(Starts::from([(1, (1, 8))])), ["{\"i\":1}", "{\"i\":2}", "{\"i\":4}"]);
    assert_eq!(texts(Starts::from([(0, (2, 16)), (1, (1, 8))])), ["{\"i\":4}"]);
    let Err(error) = job.source().open(&Starts::from([(0, (1, 3))])) else { panic!("byte 3 is within a line") };
    assert!(error.0.contains("`a.jsonl` has no line that begins at byte 3"), "{error}");
    let reads = job.read_from(&Starts::from([(1, (1, 8))]));
    assert_eq!((reads[2].record.key.part, reads[2].record.key.position, reads[2].record.origin.line), (1, 1, 2));
}

#[test]
fn a_change_of_any_part_is_told() {
    let files = [("b.jsonl", "{\"i\":1}\n"), ("d.jsonl", "{\"i\":2}\n")];
    let job = jsonl("*.jsonl", &files);
    let before = job.source().fingerprint().unwrap();
    let compared = |job: &Job| job.source().compare(&before).unwrap();
    let changed = |job: &Job| match compared(job) {
        Change::Changed(what) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(compared(&job), Change::Unchanged);

    job.write("e.jsonl", "{\"i\":3}\n");
    let source = job.source();
    assert!(matches!(source.compare(&before).unwrap(), Change::Appended { now } if now.parts.len() == 3));
    assert_eq!(all(source.open(&Starts::new()).unwrap()).len(), 3);

    job.write("b.jsonl", "{\"i\":1}\n{\"i\":9}\n");
    assert!(matches!(compared(&job), Change::Appended { .. }), "positions count within a part");
    job.write("b.jsonl", "{\"i\":1}\n");

    job.write("c.jsonl", "{}\n");
    let what = changed(&job);
    assert!(
        what.starts_with("`c.jsonl` was not there when the run was begun, and stands before other parts"),
        "{what}"
    );
    std::fs::remove_file(job.path().join("c.jsonl")).unwrap();

    job.write("d.jsonl", "{\"i\":4}\n");
    assert_eq!(changed(&job), "the content of `d.jsonl` differs from what the run was begun with");
    job.write("d.jsonl", "{}");
    assert_eq!(changed(&job), "`d.jsonl` is shorter: it had 8 bytes and has 2");
    std::fs::remove_file(job.path().join("d.jsonl")).unwrap();
    assert_eq!(changed(&job), "`d.jsonl` is a part of what the run was begun with, and is not there any more");
}

#[test]
fn files_that_come_or_go_during_a_run_are_not_taken_for_its_own() {
    let job = jsonl("*.jsonl", &[("a.jsonl", "{}\n"), ("c.jsonl", "{}\n")]);
    let source = job.source();
    source.fingerprint().unwrap();
    job.write("b.jsonl", "{}\n{}\n{}\n");
    let keys: Vec<_> = all(source.open(&Starts::new()).unwrap()).iter().map(|read| read.record.key.part).collect();
    assert_eq!(keys, [0, 1]);
    std::fs::remove_file(job.path().join("c.jsonl")).unwrap();
    let error = crate::tests::try_all(source.open(&Starts::new()).unwrap()).map(|reads| reads.len()).unwrap_err();
    assert!(error.starts_with("cannot read `c.jsonl`: there is no such file"), "{error}");
}

#[test]
fn an_output_that_the_pattern_matches_is_refused() {
    for (pattern, output, message) in [
        (
            "*.jsonl",
            "out.jsonl",
            "the output `out.jsonl` would be one of the files that `*.jsonl` matches; write it to another folder",
        ),
        ("*.jsonl", "a.jsonl", "the output `a.jsonl` is the input `a.jsonl`; name another file"),
        (
            "./**/*.jsonl",
            "deep/er/out.jsonl",
            "the output `deep/er/out.jsonl` would be one of the files that `./**/*.jsonl` matches; write it to another folder",
        ),
    ] {
        let job = jsonl(pattern, &[("a.jsonl", "{}\n")]).into("jsonl", json!({ "path": output }));
        assert_eq!(job.sink().check().unwrap_err().message, message);
    }
    let job = jsonl("*.jsonl", &[("a.jsonl", "{}\n")]).into("csv", json!({ "path": "out.csv" }));
    let error = job.sink().check().unwrap_err().message;
    assert!(error.starts_with("the file `out.failures.jsonl` would be one of the files"), "{error}");
    jsonl("*.jsonl", &[("a.jsonl", "{}\n")]).into("jsonl", json!({ "path": "out/o.jsonl" })).sink().check().unwrap();
}
