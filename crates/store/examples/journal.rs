//! The journal alone, measured: `cargo run --release -p store --example journal -- RECORDS FOLDER`.
//!
//! Appends outcomes of about 700 bytes, one in a hundred of them half a million records late, as a run with stragglers
//! does; opens the journal again; reads every outcome in source order. Beside it the floor: the same bytes appended raw
//! with one fdatasync per 256 records. Prints one JSON object a line.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use domain::{
    AnswerMeta, End, Entry, Header, Outcome, RecordKey, Timestamp, Usage,
    ports::{Disk, Found, Journal as _},
};
use store::{Journal, LocalDisk, Options};

// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Outcomes in flight at once: what an engine with a few thousand requests has.
const IN_FLIGHT: usize = 2048;
const DELAY: u64 = 500_000;

fn main() {
    let mut args = std::env::args().skip(1);
    let n: u64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| "target/journal-bench".to_owned()));
    fs::create_dir_all(&folder).expect("the folder can be made");
    floor(n.min(1_000_000), &folder);
    build(n.min(1_000_000));
    let journal_folder = folder.join("journal");
    fs::remove_dir_all(&journal_folder).ok();
    append(n, &journal_folder);
    reopen(n, &journal_folder);
    fs::remove_dir_all(&folder).ok();
}

/// The same bytes, raw.
fn floor(n: u64, folder: &Path) {
    let path = folder.join("floor");
    let mut file = File::create(&path).expect("the folder is writable");
    let group = vec![b'x'; 256 * 700];
    let begun = Measured::begin();
    for _ in 0..n / 256 {
        file.write_all(&group).expect("there is space");
        file.sync_data().expect("it syncs");
    }
    begun.print("floor: raw append, fdatasync per 256", n / 256 * 256);
    fs::remove_file(path).ok();
}

/// What the measurement itself costs: making the outcomes and the tasks, without a journal.
fn build(n: u64) {
    let begun = Measured::begin();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for position in 0..n {
            if tasks.len() >= IN_FLIGHT {
                tasks.join_next().await;
                while tasks.try_join_next().is_some() {}
            }
            tasks.spawn(async move {
                std::hint::black_box(outcome(position));
            });
        }
        while tasks.join_next().await.is_some() {}
    });
    begun.print("the measurement itself: outcomes and tasks", n);
}

fn append(n: u64, folder: &Path) {
    let (journal, _) = open(folder);
    let begun = Measured::begin();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(async {
        let mut late: VecDeque<u64> = VecDeque::new();
        let mut tasks = tokio::task::JoinSet::new();
        let mut position = 0;
        while position < n || !late.is_empty() {
            let is_due = late.front().is_some_and(|first| position >= n || first + DELAY <= position);
            let next = if is_due { late.pop_front() } else { None };
            let next = next.unwrap_or_else(|| {
                position += 1;
                position - 1
            });
            if next % 100 == 37 && !is_due {
                late.push_back(next);
                continue;
            }
            if tasks.len() >= IN_FLIGHT {
                tasks.join_next().await;
                while tasks.try_join_next().is_some() {}
            }
            let journal = journal.clone();
            tasks.spawn(async move { journal.append(vec![outcome(next)]).await.expect("it appends") });
        }
        while tasks.join_next().await.is_some() {}
    });
    begun.print("append", n);
    let begun = Measured::begin();
    let mut outcomes = journal.outcomes(0).expect("it indexes");
    begun.print("index for reading in order", n);
    let begun = Measured::begin();
    for position in 0..n {
        let found = outcomes.of(&key(position)).expect("it reads");
        assert!(matches!(found, Found::Outcome(_)), "{position} is there");
    }
    begun.print("read in source order", n);
}

fn reopen(n: u64, folder: &Path) {
    let begun = Measured::begin();
    let (_, recovered) = open(folder);
    assert_eq!(recovered.settled.n_settled(0), n);
    begun.print("open again", n);
    let bytes: u64 = fs::read_dir(folder)
        .expect("it lists")
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .sum();
    println!("{}", serde_json::json!({ "what": "disk", "bytes": bytes, "per_record": bytes / n }));
}

fn open(folder: &Path) -> (Journal, domain::ports::Recovered) {
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
    Journal::open(disk, folder, 1, Options::default()).expect("it opens")
}

fn key(position: u64) -> RecordKey {
    RecordKey { step: 0, part: 0, sample: 0, position }
}

/// An outcome as a prompt leaves it: 300 bytes of verdict and meta, the rest the raw answer.
fn outcome(position: u64) -> Entry {
    let output =
        format!(r#"{{"category":"technical","confidence":{},"urgent":false,"reason":"short"}}"#, position % 100);
    let outcome = Outcome {
        key: key(position),
        line: position + 1,
        offset: position * 700,
        hash: position.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        request: Some(u128::from(position) << 64),
        end: End::Succeeded,
        output: Some(serde_json::value::RawValue::from_string(output).expect("it is JSON")),
        attempts: 1,
        meta: AnswerMeta {
            usage: Some(Usage { prompt_tokens: 250, completion_tokens: 40, ..Usage::default() }),
            model: Some("m".to_owned()),
            upstream: Some("u".to_owned()),
            latency_ms: Some(50),
            finish_reason: Some("stop".to_owned()),
            request_id: None,
            characters: None,
        },
        derived: None,
        at: Timestamp(1_700_000_000_000 + position),
        same_as: None,
        reparsed: false,
        restored: false,
    };
    Entry { header: Header::Outcome(Box::new(outcome)), raw: Bytes::from_static(&[b'r'; 270]) }
}

struct Measured {
    begun: Instant,
    cpu: (f64, f64),
}

impl Measured {
    fn begin() -> Self {
        Self { begun: Instant::now(), cpu: cpu_seconds() }
    }

    fn print(&self, what: &str, n: u64) {
        let wall = self.begun.elapsed().as_secs_f64();
        let (user, system) = cpu_seconds();
        let per_record = |seconds: f64| (seconds / n as f64 * 1e8).round() / 100.0;
        let line = serde_json::json!({
            "what": what,
            "records": n,
            "seconds": wall,
            "records_per_second": (n as f64 / wall).round(),
            "user_us_per_record": per_record(user - self.cpu.0),
            "system_us_per_record": per_record(system - self.cpu.1),
            "anonymous_mb": anonymous_mb(),
        });
        println!("{line}");
    }
}

/// User and system time of this process, from the kernel's own account (hundredths of a second).
fn cpu_seconds() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |n: usize| fields.get(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) / 100.0, ticks(12) / 100.0)
}

/// Anonymous memory now, in MB: page cache does not count.
fn anonymous_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kb = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    kb.and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1000
}
