//! What the tests say in short: a folder with a pipeline, a vendor, and the binary run on them.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use simulate::{Latency, Script, Span, Vendor};
use tempfile::TempDir;

/// The binary under test.
pub(crate) const TIDEMILL: &str = env!("CARGO_BIN_EXE_tidemill");

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(40);

/// The pipeline file, part by part; each test changes the part that it is about.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    /// Behind `path: in.jsonl` in the source.
    pub(crate) source: &'static str,
    /// Beside `jsonl` in the source.
    pub(crate) beside_source: &'static str,
    pub(crate) template: &'static str,
    pub(crate) output: &'static str,
    /// Further keys of the prompt, one a line.
    pub(crate) prompt: &'static str,
    /// All of the sink.
    pub(crate) sink: &'static str,
    pub(crate) flow: &'static str,
    /// Further keys of the step.
    pub(crate) step: &'static str,
    pub(crate) finish: &'static str,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            source: "",
            beside_source: "",
            template: "Label this: {{ text }}",
            output: "{ label: { enum: [good, bad] }, score: { type: integer, minimum: 0, maximum: 9 } }",
            prompt: "",
            sink: "jsonl: { path: out/labels.jsonl }",
            flow: "{ backoff: { first: 20ms, max: 100ms } }",
            step: "",
            finish: "{ accounting: out/accounting.json }",
        }
    }
}

impl Pipeline {
    pub(crate) fn text(&self) -> String {
        let Self { source, beside_source, template, output, prompt, sink, flow, step, finish } = self;
        let beside_source = line(beside_source);
        let prompt = prompt.lines().fold(String::new(), |all, key| all + &format!("        {key}\n"));
        let step = step.lines().fold(String::new(), |all, key| all + &format!("    {key}\n"));
        format!(
            "version: 1\nname: story\nmodels: models.yaml\nsteps:\n  label:\n    source:\n      jsonl: {{ path: in.jsonl{source} \
             }}\n{beside_source}    work:\n      prompt:\n        template: \"{template}\"\n        output: {output}\n\
             {prompt}    sink:\n      {sink}\n    flow: {flow}\n{step}finish: {finish}\n"
        )
    }
}

fn line(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("      {text}\n") }
}

/// A folder with a pipeline, and the vendor that it asks.
pub(crate) struct Story {
    folder: TempDir,
    pub(crate) vendor: Vendor,
    environment: BTreeMap<String, String>,
}

impl Story {
    /// A story with the usual pipeline over these bytes, and a vendor that answers at once.
    pub(crate) fn of(source: impl AsRef<[u8]>) -> Self {
        Self::with(source, Script::default(), &Pipeline::default())
    }

    pub(crate) fn with(source: impl AsRef<[u8]>, script: Script, pipeline: &Pipeline) -> Self {
        let vendor = Vendor::start(script, loopback(0)).expect("a port on loopback is free");
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let story = Self { folder, vendor, environment: BTreeMap::new() };
        story.write("in.jsonl", source);
        story.write("pipeline.yaml", pipeline.text());
        story.models("");
        story
    }

    /// Writes the models file; `more` goes into the one model's entry: `, key: { env: KEY }`.
    pub(crate) fn models(&self, more: &str) {
        self.write("models.yaml", models(self.vendor.address(), more));
    }

    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.environment.insert(variable.to_owned(), value.to_owned());
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("every file of a story is in a folder")).expect("a folder can be made");
        fs::write(path, content).expect("a file can be written");
    }

    pub(crate) fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        let mut bytes = self.bytes(name);
        bytes.extend_from_slice(content.as_ref());
        self.write(name, bytes);
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("`{name}` should be there: {error}"))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).expect("outputs are text")
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// The lines of a file, each as JSON.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        json_lines(&self.text(name))
    }

    pub(crate) fn output(&self) -> Vec<Value> {
        self.lines("out/labels.jsonl")
    }

    pub(crate) fn failures(&self) -> Vec<Value> {
        self.lines("out/labels.failures.jsonl")
    }

    pub(crate) fn accounting(&self) -> Value {
        serde_json::from_str(&self.text("out/accounting.json")).expect("the account is JSON")
    }

    /// The values of `id` in the output, in its order.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.output().iter().map(|record| record["id"].as_u64().expect("every record has its id")).collect()
    }

    /// Requests that reached the vendor.
    pub(crate) fn asked(&self) -> u64 {
        self.vendor.counts().asked
    }

    pub(crate) fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(TIDEMILL);
        command.args(arguments);
        self.at_home(command)
    }

    /// Puts a command into the story: its folder, its environment, and nothing else of ours.
    pub(crate) fn at_home(&self, mut command: Command) -> Command {
        command.current_dir(self.folder()).env_clear().envs(&self.environment).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn tidemill<const N: usize>(&self, arguments: [&str; N]) -> Ran {
        finish(self.command(arguments))
    }

    /// `tidemill run pipeline.yaml ...` to its end.
    pub(crate) fn run<const N: usize>(&self, more: [&str; N]) -> Ran {
        finish(self.command(["run", "pipeline.yaml"].into_iter().chain(more)))
    }

    /// `tidemill run pipeline.yaml ...`, going on while the test does other things.
    pub(crate) fn start<const N: usize>(&self, more: [&str; N]) -> Running {
        Running::of(self.command(["run", "pipeline.yaml"].into_iter().chain(more)))
    }

    /// Runs `script` with `sh` where file systems can be mounted and nobody else sees them. `$TIDEMILL` is the binary.
    pub(crate) fn sh_with_mounts(&self, script: &str) -> Ran {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-euc", script]);
        let mut command = self.at_home(command);
        command.env("TIDEMILL", TIDEMILL);
        finish(command)
    }

    /// Runs until so many records are settled, then dies of `kill -9`.
    pub(crate) fn run_and_kill(&self, n_settled: usize) {
        let mut running = self.start([]);
        running.until("enough records are settled", |_| self.n_live() >= n_settled);
        running.kill();
    }

    /// Lines in the live output.
    pub(crate) fn n_live(&self) -> usize {
        let live = fs::read(self.path("out/labels.partial.jsonl")).unwrap_or_default();
        live.iter().filter(|byte| **byte == b'\n').count()
    }

    /// The ids of the runs, in order.
    pub(crate) fn run_ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = fs::read_dir(self.path(".tidemill/runs"))
            .map(|entries| entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
            .unwrap_or_default();
        ids.sort();
        ids
    }

    /// The id of the one run.
    pub(crate) fn run_id(&self) -> String {
        let ids = self.run_ids();
        assert_eq!(ids.len(), 1, "one run: {ids:?}");
        ids.into_iter().next().expect("it was counted")
    }

    /// The segments of the one run's journal, in order, relative to the story.
    pub(crate) fn segments(&self) -> Vec<String> {
        let folder = format!(".tidemill/runs/{}/journal", self.run_id());
        let mut names: Vec<String> = fs::read_dir(self.path(&folder))
            .expect("a run has a journal")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "seg"))
            .map(|name| format!("{folder}/{name}"))
            .collect();
        names.sort();
        names
    }

    /// Flips a byte in the middle of the one place in the journal where `text` stands; returns the file.
    pub(crate) fn flip(&self, text: &str) -> String {
        for name in self.segments() {
            let mut bytes = self.bytes(&name);
            if let Some(at) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) {
                bytes[at + text.len() / 2] ^= 0x20;
                self.write(&name, bytes);
                return name;
            }
        }
        panic!("`{text}` stands nowhere in the journal");
    }

    /// The journal of a run, as `runs export` tells it.
    pub(crate) fn export(&self, id: &str) -> Vec<Value> {
        let exported = self.tidemill(["runs", "export", id]);
        assert_eq!(exported.status, 0, "{exported:?}");
        json_lines(&exported.stdout)
    }

    /// The requests that the run's journal settled, by line of the source.
    pub(crate) fn settled(&self, id: &str) -> BTreeMap<u64, u128> {
        settled(&self.export(id))
    }

    /// How often the vendor was asked for each of these requests.
    pub(crate) fn asks_of(&self, requests: &BTreeMap<u64, u128>) -> BTreeMap<u64, u32> {
        let asked: HashMap<u128, u32> = self.vendor.asked();
        requests.iter().map(|(line, hash)| (*line, asked.get(hash).copied().unwrap_or(0))).collect()
    }
}

pub(crate) fn models(vendor: SocketAddr, more: &str) -> String {
    format!(
        "channels:\n  vendor: {{ url: \"http://{vendor}/v1\" }}\nmodels:\n  - {{ name: model, channel: vendor, max_in_flight: \
         8{more} }}\n"
    )
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// So many records: `{"id":1,"text":"message 1"}`.
pub(crate) fn records(n: u64) -> String {
    numbered(1, n)
}

/// The records with the ids `from..=to`.
pub(crate) fn numbered(from: u64, to: u64) -> String {
    (from..=to).fold(String::new(), |mut all, id| {
        let _ = writeln!(all, "{{\"id\":{id},\"text\":\"message {id}\"}}");
        all
    })
}

/// A vendor that takes this long for every answer.
pub(crate) fn slow(millis: u64) -> Script {
    Script { latency: Latency::Fixed(Span(Duration::from_millis(millis))), ..Script::default() }
}

pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}: {line}")))
        .collect()
}

/// The requests that an exported journal settled, by line of the source. The vendor names each in a header.
pub(crate) fn settled(journal: &[Value]) -> BTreeMap<u64, u128> {
    let outcomes = journal.iter().filter_map(|line| line["entry"].get("outcome"));
    outcomes
        .filter_map(|outcome| {
            let name = outcome["meta"]["request_id"].as_str()?.strip_prefix("req_")?;
            Some((outcome["line"].as_u64()?, u128::from_str_radix(name.split('_').next()?, 16).ok()?))
        })
        .collect()
}

/// Returns whether the system lets us mount file systems. Where it must (CI runs as root), not being able to is a
/// failure and not a reason to leave a test out.
#[expect(clippy::print_stderr, reason = "what is left out is never left out silently")]
pub(crate) fn can_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", "mount -t tmpfs -o size=64k tmpfs /mnt"]);
    let works = command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success());
    if !works {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to mount a tmpfs: `unshare --mount` and root");
        eprintln!("LEFT OUT: this test mounts a tmpfs, which needs root and `unshare`");
    }
    works
}

/// What a command left: its exit status, and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit status; 128 and the signal's number where a signal ended it, as in a shell.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Makes sure of the exit status, and that each of these stands in what was said to people.
    #[track_caller]
    pub(crate) fn says(&self, status: i32, said: &[&str]) -> &Self {
        assert_eq!(self.status, status, "the exit status\n{}{}", self.stderr, self.stdout);
        for what in said {
            assert!(self.stderr.contains(what), "`{what}` is not said:\n{}", self.stderr);
        }
        self
    }

    #[track_caller]
    pub(crate) fn does_not_say(&self, what: &str) -> &Self {
        assert!(!self.stderr.contains(what) && !self.stdout.contains(what), "`{what}` is said:\n{self:?}");
        self
    }
}

/// Runs a command to its end.
pub(crate) fn finish(command: Command) -> Ran {
    Running::of(command).wait()
}

/// What a process says, line by line as it comes.
struct Reading {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Reading {
    fn of(pipe: impl std::io::Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&text);
        let mut pipe = BufReader::new(pipe);
        let reader = std::thread::spawn(move || {
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                said.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        self.text.lock().expect("no reader panics").clone()
    }

    fn drain(&mut self) {
        self.reader.take().expect("it is read once").join().expect("the reader does not panic");
    }
}

/// A process that goes on while the test does other things. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    stdout: Reading,
    stderr: Reading,
}

impl Running {
    pub(crate) fn of(mut command: Command) -> Self {
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = Reading::of(child.stdout.take().expect("it was piped"));
        let stderr = Reading::of(child.stderr.take().expect("it was piped"));
        Self { child, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn said(&self) -> String {
        self.stderr.so_far()
    }

    /// What stands on standard output so far.
    pub(crate) fn printed(&self) -> String {
        self.stdout.so_far()
    }

    /// Waits until `is_so`; panics when the process ends before, or patience does.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "waiting until {what}, it ended with {ended:?}:\n{}", self.said());
            assert!(begun.elapsed() < PATIENCE, "waiting until {what} took too long:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub(crate) fn until_it_says(&mut self, what: &str) {
        self.until(&format!("it says `{what}`"), |running| running.said().contains(what));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
        kill_process(id, signal).expect("a child can be signalled");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Ran {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(2));
        };
        self.stdout.drain();
        self.stderr.drain();
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ran { status, stdout: self.printed(), stderr: self.said() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
