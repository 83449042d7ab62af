//! The real binary, killed again and again over real questions, against a vendor that fails as real ones do.
//!
//! Kills come at three points of an append (before the write, before the sync, before the projection) and at random
//! from outside. Each must meet a request in flight and new settlements since the last one; at each the journal is
//! copied, and nothing in it is ever asked again.
#![expect(clippy::disallowed_methods, reason = "the test starts and kills the real program")]
#![expect(clippy::print_stderr, reason = "the seed is printed, so that a failure can be repeated")]

use std::{
    collections::HashMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use domain::Header;
use simulate::{Fault, FaultKind, Latency, Script, Span, Vendor};
use store::{Journal, LocalDisk};
use testkit::Draw;

const N_KILLS: usize = 24;
const SEED: u64 = 20_261_121;

/// Without complaints: with one a second try is another request, and whether a record needs a second try depends on how
/// often it was asked, which a kill changes.
const PIPELINE: &str = r#"
version: 1
name: crash
models: models.yaml
steps:
  grade:
    source: { jsonl: { path: questions.jsonl } }
    work:
      prompt:
        model: m
        template: |
          How hard is this question? {{ question }}
        output:
          grade: { type: integer, minimum: 1, maximum: 12 }
          topic: { enum: [money, time, counting, geometry, other] }
          is_clear: { type: boolean }
          hint: { type: string, min_length: 1, max_length: 80 }
        answers: { complain: false }
    sink: { jsonl: { path: out/graded.jsonl } }
    flow:
      retries: { api: 3, content: 1, system: 2 }
      backoff: { first: 20ms, max: 100ms }
      deadline: 2s
finish: { accounting: out/accounting.json }
"#;

/// 5 % 429, 5 % 5xx, 3 % garbage, 1 % hangs, 1 % cut connections: within the budget of every record.
fn script() -> Script {
    let fault = |kind, rate, asks| Fault { asks: Some(asks), ..Fault::new(kind, rate) };
    Script {
        seed: SEED,
        latency: Latency::Uniform { from: Span(Duration::from_millis(20)), to: Span(Duration::from_millis(100)) },
        faults: vec![
            Fault { retry_after: Some(Span(Duration::from_millis(30))), ..fault(FaultKind::Throttled, 0.05, 5) },
            fault(FaultKind::Unavailable, 0.05, 3),
            fault(FaultKind::Garbage, 0.03, 1),
            fault(FaultKind::Hang, 0.01, 3),
            fault(FaultKind::Cut, 0.01, 3),
        ],
        ..Script::default()
    }
}

struct Place {
    folder: tempfile::TempDir,
    vendor: Vendor,
}

impl Place {
    fn new(questions: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let vendor =
            Vendor::start(script(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("the vendor starts on loopback");
        let models = format!(
            "channels: {{ v: {{ url: \"{}\" }} }}\nmodels:\n  - {{ name: m, channel: v, max_in_flight: 32 }}\n",
            vendor.base_url()
        );
        for (name, content) in
            [("pipeline.yaml", PIPELINE.as_bytes()), ("models.yaml", models.as_bytes()), ("questions.jsonl", questions)]
        {
            fs::write(folder.path().join(name), content).expect("the folder is writable");
        }
        Self { folder, vendor }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.current_dir(self.folder.path()).args(["run", "pipeline.yaml", "--task-id", "r"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn journal(&self) -> PathBuf {
        self.path(".tidemill/runs/r/journal")
    }
}

/// The questions of GSM8K's test set where they lie beside the checkout, and our own messages otherwise.
fn questions() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if let Ok(questions) = fs::read(root.join("../shared/data/gsm8k-test.jsonl")) {
        return questions;
    }
    let messages = fs::read_to_string(root.join("examples/quickstart/messages.jsonl")).expect("our own file is there");
    let mut questions = String::new();
    for round in 0..4 {
        for line in messages.lines() {
            let message: serde_json::Value = serde_json::from_str(line).expect("our own file is sound");
            let question = format!("{} ({round})", message["text"].as_str().unwrap_or_default());
            questions.push_str(&serde_json::json!({ "question": question }).to_string());
            questions.push('\n');
        }
    }
    questions.into_bytes()
}

/// What a journal says at a moment: settled requests, and how often lost answers were counted, process by process.
#[derive(Default)]
struct Told {
    /// How many records have an outcome with this request.
    settled: HashMap<u128, u32>,
    asked_again: Vec<u64>,
}

fn told(journal: &Path) -> Told {
    let mut told = Told::default();
    let damage = Journal::replay(&LocalDisk, journal, &mut |entry| match entry.header {
        Header::Outcome(outcome) => {
            *told.settled.entry(outcome.request.expect("each record was asked")).or_default() += 1;
        }
        Header::Started(started) => told.asked_again.push(started.asked_again),
        _ => {}
    })
    .expect("the journal can be read");
    assert!(damage.is_empty(), "a kill is not damage: {damage:?}");
    told
}

/// Starts the binary and kills it, from within at a point or from outside after a while. Returns whether it was killed,
/// or ended by itself.
fn live(place: &Place, life: usize, draw: &mut Draw) -> bool {
    let mut command = place.command();
    let nth = 5 + draw.below(6);
    let points = ["before_write", "before_sync", "before_projection"];
    if let Some(point) = points.get(life % 4) {
        command.env("TIDEMILL_KILL", format!("{point}:{nth}"));
    }
    let mut child = command.spawn().expect("the binary starts");
    if life % 4 == 3 {
        // From outside: when so many have been answered, and a little later, whatever it does then.
        let wanted = place.vendor.counts().answered + 20 + draw.below(40);
        let until = Instant::now() + Duration::from_secs(30);
        while place.vendor.counts().answered < wanted && Instant::now() < until {
            if child.try_wait().expect("it can be waited for").is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("it can be killed");
    }
    let output = child.wait_with_output().expect("it can be waited for");
    if output.status.code().is_some() {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "it ended by itself, and badly: {said}");
        return false;
    }
    true
}

/// **Invariants 1 and 2**: killed at any moment and started again, a run ends with the same results, and no settled
/// record is asked again.
#[test]
fn a_killed_run_ends_as_if_it_had_not_been_killed() {
    let questions = questions();
    let n_records = questions.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64;
    eprintln!("seed {SEED}, {n_records} records");
    let place = Place::new(&questions);
    let mut draw = Draw::new(SEED);
    let mut n_settled_before = 0;
    // At each kill: what was settled, and how often the vendor had been asked for each request by then.
    let mut kills: Vec<(Told, HashMap<u128, u32>)> = Vec::new();
    let mut is_running = true;
    while is_running && kills.len() < N_KILLS {
        is_running = live(&place, kills.len(), &mut draw);
        if !is_running {
            break;
        }
        let copy = place.path(&format!("copy-{}", kills.len()));
        fs::create_dir(&copy).expect("a copy can be made");
        for file in fs::read_dir(place.journal()).expect("the journal is there") {
            let file = file.expect("the journal can be listed").path();
            fs::copy(&file, copy.join(file.file_name().expect("files have names"))).expect("a copy can be made");
        }
        let told = told(&copy);
        let n_settled: usize = told.settled.values().map(|n| *n as usize).sum();
        assert!(n_settled > n_settled_before, "kill {}: nothing was settled since the last one", kills.len());
        n_settled_before = n_settled;
        kills.push((told, place.vendor.asked()));
    }
    assert_eq!(kills.len(), N_KILLS, "the run ended before it was killed often enough");
    let finished = place.command().output().expect("the binary starts");
    assert_eq!(finished.status.code(), Some(0), "{}", String::from_utf8_lossy(&finished.stderr));

    let asked_at_end = place.vendor.asked();
    let end = told(&place.journal());
    for (n, (told, asked)) in kills.iter().enumerate() {
        for request in told.settled.keys() {
            // Two records may ask the same; then one of them may have been settled and the other not yet.
            if end.settled[request] == 1 {
                assert_eq!(asked_at_end[request], asked[request], "kill {n}: a settled record was asked again");
            }
        }
    }
    // The first process had nobody before it; every other one follows a kill, with requests in flight.
    assert_eq!(end.asked_again.len(), N_KILLS + 1);
    assert!(end.asked_again[1..].iter().all(|n| *n > 0), "a kill met nothing in flight: {:?}", end.asked_again);
    let counts = place.vendor.counts();
    let n_faults: u64 = counts.faults.values().sum();
    let n_lost: u64 = end.asked_again.iter().sum();
    let allowed = n_records + n_faults + n_lost;
    assert!(counts.asked <= allowed, "asked {} times, {n_records} + {n_faults} + {n_lost} allowed", counts.asked);
    for kind in [FaultKind::Throttled, FaultKind::Unavailable, FaultKind::Garbage, FaultKind::Hang, FaultKind::Cut] {
        assert!(counts.faults.get(&kind).is_some_and(|n| *n > 0), "no {kind:?} was met");
    }

    let account: serde_json::Value = read_json(&place.path("out/accounting.json"));
    let step = &account["steps"][0];
    assert_eq!(step["records"], n_records);
    assert_eq!(step["succeeded"], n_records, "the faults are within the budgets: {account:#}");
    assert_eq!(account["asked_again_after_crash"], n_lost);

    // And what comes out is what an undisturbed run makes.
    let calm = Place::new(&questions);
    let run = calm.command().output().expect("the binary starts");
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    for name in ["out/graded.jsonl", "out/graded.failures.jsonl"] {
        let [disturbed, calm] = [&place, &calm].map(|p| fs::read(p.path(name)).expect("the output is there"));
        assert!(disturbed == calm, "{name} differs from that of an undisturbed run");
    }
    assert!(!place.path("out/graded.partial.jsonl").exists(), "the live output is gone when the output is in place");
}

fn read_json(path: &Path) -> serde_json::Value {
    let text = fs::read(path).expect("the account is there");
    serde_json::from_slice(&text).expect("the account is JSON")
}
