//! Figures, on request: `cargo test --release -p connect -- --ignored --nocapture`.

use std::time::Instant;

use domain::ports::{Sink as _, Source as _, Starts};
use serde_json::json;

use crate::tests::{Job, succeeded};

#[test]
#[ignore = "prints figures"]
#[expect(clippy::print_stderr, reason = "that is what it is for")]
fn figures() {
    let row = format!("4711,hello,\"{}\",1.10\n", "x".repeat(640));
    let n = 500_000;
    let job = Job::of("csv", "in.csv")
        .file("in.csv", format!("id,subject,body,score\n{}", row.repeat(n)))
        .into("csv", json!({"path": "out.csv"}));
    let bytes = (row.len() * n) as f64;
    let gigabytes_per_s = |from: Instant| bytes / 1e9 / from.elapsed().as_secs_f64();
    let source = job.source();

    let from = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let n_read = runtime.block_on(async {
        let (mut n_read, mut records) = (0, source.open(&Starts::new()).unwrap());
        loop {
            match records.next(256).await.unwrap().len() {
                0 => return n_read,
                some => n_read += some,
            }
        }
    });
    assert_eq!(n_read, n);
    eprintln!(
        "read: {:.2} GB/s, {:.2} µs per record",
        gigabytes_per_s(from),
        from.elapsed().as_secs_f64() * 1e6 / n as f64
    );

    let from = Instant::now();
    assert_eq!(source.count().unwrap(), Some(n as u64));
    eprintln!("count: {:.2} GB/s", gigabytes_per_s(from));

    let reads = job.read();
    let from = Instant::now();
    for read in &reads {
        source.inspect(&read.record).unwrap();
    }
    eprintln!("inspect: {:.2} µs per record", from.elapsed().as_secs_f64() * 1e6 / n as f64);

    for (format, path) in
        [("csv", "out.csv"), ("tsv", "out.tsv"), ("jsonl", "out.jsonl"), ("csv", "out.csv.gz"), ("csv", "out.csv.zst")]
    {
        let job = Job::of("csv", "in.csv").file("in.csv", job.bytes("in.csv")).into(format, json!({"path": path}));
        let outcome = succeeded(&reads[0].record, r#"{"x":"billing"}"#);
        let mut sink = job.sink();
        let from = Instant::now();
        let mut merge = sink.merge().unwrap();
        for read in &reads {
            merge.write(&read.record, &outcome).unwrap();
        }
        merge.finish().unwrap();
        eprintln!("merge to {path}: {:.2} µs per record", from.elapsed().as_secs_f64() * 1e6 / n as f64);
    }
}
