//! Figures, on request: `cargo test --release -p connect -- --ignored --nocapture`.

use std::{io::Write as _, time::Instant};

use domain::ports::{Sink as _, Source as _, Starts};
use serde_json::json;

use super::{Tickets, all, succeeded};

#[test]
#[ignore = "prints figures"]
#[expect(clippy::print_stderr, reason = "that is what it is for")]
fn figures() {
    let line =
        format!("{{\"id\": 4711, \"subject\": \"hello\", \"body\": \"{}\", \"score\": 1.10}}\n", "x".repeat(640));
    let n = 1_500_000;
    let tickets = Tickets::new(line.repeat(n));
    let bytes = (line.len() * n) as f64;
    let gigabytes_per_s = |from: Instant| bytes / 1e9 / from.elapsed().as_secs_f64();
    std::io::stderr().flush().unwrap();

    let from = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let source = tickets.source();
    let n_read = runtime.block_on(async {
        let (mut n_read, mut records) = (0, source.open(&Starts::from([(0, (0, 0))])).unwrap());
        loop {
            match records.next(256).await.unwrap().len() {
                0 => return n_read,
                some => n_read += some,
            }
        }
    });
    assert_eq!(n_read, n);
    eprintln!("read: {:.2} GB/s", gigabytes_per_s(from));

    let from = Instant::now();
    tickets.source().fingerprint().unwrap();
    eprintln!("fingerprint: {:.2} ms", from.elapsed().as_secs_f64() * 1e3);

    let tickets = Tickets::new(line.repeat(n / 5));
    let reads = all(tickets.source().open(&Starts::from([(0, (0, 0))])).unwrap());
    let per_record = |from: Instant| from.elapsed().as_secs_f64() * 1e6 / reads.len() as f64;
    let source = tickets.source();
    let from = Instant::now();
    for read in &reads {
        source.inspect(&read.record).unwrap();
    }
    eprintln!("inspect: {:.2} µs per record", per_record(from));

    let mut sink = tickets.sink(json!({"path": "out.jsonl"}), &["category", "urgent", "score2", "reason"]);
    let output = r#"{"category":"billing","urgent":true,"score2":17,"reason":"the customer asks for a refund"}"#;
    let outcome = succeeded(&reads[0].record, output);
    let from = Instant::now();
    let mut merge = sink.merge().unwrap();
    for read in &reads {
        merge.write(&read.record, &outcome).unwrap();
    }
    eprintln!("merge: {:.2} µs per record", per_record(from));
    merge.finish().unwrap();
    eprintln!("merge with fsync: {:.2} µs per record", per_record(from));
}
