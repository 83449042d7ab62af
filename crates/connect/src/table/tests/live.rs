//! The live output of parts and samples.

use std::fs;

use domain::ports::{Projection, Sink as _};
use serde_json::json;

use crate::tests::{Job, succeeded};

#[test]
fn lines_say_which_part_and_sample_they_are_of_and_are_found_by_it() {
    let job = Job::of("csv", "d/*.csv").into("csv", json!({"path": "out.csv"}));
    job.write("d/a.csv", "k\n1\n2\n");
    job.write("d/b.csv", "k\n1\n2\n");
    let records: Vec<_> = job.read().into_iter().map(|read| read.record).collect();
    let mut sink = job.sink();
    sink.open(true).unwrap();
    let sampled = |record: &domain::Record, sample| {
        let mut record = record.clone();
        record.key.sample = sample;
        record
    };
    let all: Vec<_> = records.iter().flat_map(|record| (0..3).map(|sample| sampled(record, sample))).collect();
    // Settled in another order than read.
    for (i, record) in all.iter().enumerate().rev() {
        let outcome = succeeded(record, &format!("{{\"x\":{i}}}"));
        sink.project(&[Projection { record: record.clone(), outcome }]).unwrap();
    }
    let text = job.text("out.partial.jsonl");
    let lines: Vec<&str> = text.lines().rev().collect();
    assert_eq!(lines[0], r#"{"k":"1","x":0,"_position":0}"#);
    assert_eq!(lines[2], r#"{"k":"1","x":2,"_position":0,"_sample":2}"#);
    assert_eq!(lines[6], r#"{"k":"1","x":6,"_position":0,"_part":1}"#);
    assert_eq!(lines[11], r#"{"k":"2","x":11,"_position":1,"_part":1,"_sample":2}"#);
    for (i, record) in all.iter().enumerate() {
        let restored = sink.restore(record).unwrap().map(|output| output.get().to_owned());
        assert_eq!(restored, Some(format!("{{\"x\":{i}}}")));
    }
    assert!(sink.restore(&sampled(&records[0], 3)).unwrap().is_none());
}

#[test]
fn fields_that_are_called_like_the_marks_are_the_records_own() {
    let lines = "{\"_position\":7,\"_part\":8,\"_sample\":9}\n{}\n";
    let job = Job::of("jsonl", "in.jsonl").file("in.jsonl", lines).fields(&[]);
    let records: Vec<_> = job.read().into_iter().map(|read| read.record).collect();
    let mut sink = job.sink();
    sink.open(true).unwrap();
    for record in &records {
        sink.project(&[Projection { record: record.clone(), outcome: succeeded(record, "{}") }]).unwrap();
    }
    assert_eq!(
        job.text("out.partial.jsonl"),
        "{\"_position\":7,\"_part\":8,\"_sample\":9,\"_position\":0}\n{\"_position\":1}\n"
    );
    assert!(sink.restore(&records[0]).unwrap().is_some() && sink.restore(&records[1]).unwrap().is_some());
    fs::remove_file(job.path().join("out.partial.jsonl")).unwrap();
}
