//! Seeing a run and steering it: the bar on a terminal, lines in a log, JSON for programs, and other terminals that
//! watch, pause and call off through the control socket.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::PathBuf,
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{self, OpenptFlags},
    termios::{Winsize, tcsetwinsize},
};
use serde_json::{Value, json};
use testkit::Terminal;

use crate::story::{Pipeline, Ran, Running, Story, finish, json_lines, records, slow};

const PATIENCE: Duration = Duration::from_secs(40);

/// Why what the tests themselves lean on is not expected to fail.
const WORKS: &str = "sockets and pseudo-terminals work here";

/// A story whose answers take so long each, eight at a time.
fn taking(millis: u64, n: u64) -> Story {
    Story::with(records(n), slow(millis), &Pipeline::default())
}

/// A process on a pseudo-terminal, and what its screen shows.
struct OnTerminal {
    child: Child,
    side: File,
    screen: Arc<Mutex<(Terminal, String)>>,
    reader: Option<JoinHandle<()>>,
}

impl OnTerminal {
    fn start(mut command: Command, columns: u16, term: &str) -> Self {
        let side = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect(WORKS);
        pty::grantpt(&side).expect(WORKS);
        pty::unlockpt(&side).expect(WORKS);
        let name = pty::ptsname(&side, Vec::new()).expect(WORKS).into_string().expect(WORKS);
        let side = File::from(side);
        tcsetwinsize(&side, size(columns)).expect(WORKS);
        let open = || File::options().read(true).write(true).open(&name).expect(WORKS);
        command.env("TERM", term).stdin(open()).stdout(open()).stderr(open());
        let child = command.spawn().expect(WORKS);
        // The command holds the other side open, which would keep the terminal from ending with the process.
        drop(command);
        let screen = Arc::new(Mutex::new((Terminal::new(columns.into()), String::new())));
        let reader = std::thread::spawn({
            let (screen, mut side) = (Arc::clone(&screen), side.try_clone().expect(WORKS));
            move || {
                let mut bytes = [0; 4096];
                // It ends with an error when nobody holds the other side any more.
                while let Ok(n @ 1..) = side.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..n]);
                    let mut screen = screen.lock().expect(WORKS);
                    screen.0.write(&text);
                    screen.1.push_str(&text);
                }
            }
        });
        Self { child, side, screen, reader: Some(reader) }
    }

    fn resize(&self, columns: u16) {
        let mut screen = self.screen.lock().expect(WORKS);
        tcsetwinsize(&self.side, size(columns)).expect(WORKS);
        screen.0.resize(columns.into());
        drop(screen);
        // The terminal is not the child's controlling one, so that nobody else tells it.
        self.signal(Signal::WINCH);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).expect(WORKS)).expect(WORKS), signal).expect(WORKS);
    }

    fn shows(&self) -> Vec<String> {
        self.screen.lock().expect(WORKS).0.lines().to_vec()
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let lines = self.shows();
            if is_so(&lines) {
                return lines;
            }
            assert!(begun.elapsed() < PATIENCE, "waiting for {what}: {lines:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end: the status, what the screen shows then, and everything that was ever written to it.
    fn wait(mut self) -> (Option<i32>, Vec<String>, String) {
        let status = self.child.wait().expect(WORKS);
        self.reader.take().expect(WORKS).join().expect(WORKS);
        let screen = self.screen.lock().expect(WORKS);
        assert!(screen.0.is_as_usual(), "the terminal is left as it was: {:#?}", screen.0);
        (status.code(), screen.0.lines().to_vec(), screen.1.clone())
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: 24, ws_xpixel: 0, ws_ypixel: 0 }
}

fn is_bar(lines: &[String]) -> bool {
    lines.iter().any(|line| line.starts_with("label [")) && lines.iter().any(|line| line.contains(" in flight"))
}

#[test]
fn a_terminal_shows_a_bar_and_at_the_end_a_line() {
    let story = taking(150, 60);
    let terminal = OnTerminal::start(story.command(["run", "pipeline.yaml"]), 80, "xterm");
    let lines = terminal.until("a bar with a rate", |lines| {
        is_bar(lines) && lines.iter().any(|line| line.contains("ETA") && !line.contains(" 0/s"))
    });
    let bar = &lines[lines.len() - 3..];
    assert!(bar[0].contains("/60 (") && bar[1].contains("8 in flight") && bar[2].contains("elapsed"), "{lines:#?}");
    assert!(bar.iter().all(|line| line.len() < 80), "{bar:#?}");
    let (status, lines, _) = terminal.wait();
    assert_eq!(status, Some(0), "{lines:#?}");
    assert!(!is_bar(&lines), "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("label: 60/60 (100.0 %)")).count(), 1, "{lines:#?}");
    assert!(lines.iter().any(|line| line == "step label: 60 records: 60 succeeded"), "{lines:#?}");
}

#[test]
fn a_window_that_is_resized_again_and_again_keeps_one_bar_and_every_message() {
    let story = taking(150, 120);
    let terminal = OnTerminal::start(story.command(["run", "pipeline.yaml"]), 200, "xterm");
    terminal.until("a bar", is_bar);
    for columns in [120, 60, 30, 17, 40, 90, 200, 33, 70, 25, 110] {
        terminal.resize(columns);
        std::thread::sleep(Duration::from_millis(30));
    }
    terminal.resize(100);
    let lines =
        terminal.until("a bar in the new width", |lines| is_bar(lines) && lines.last().is_some_and(|l| l.len() < 100));
    let n = lines.iter().filter(|line| line.contains("in flight")).count();
    assert_eq!((n, lines.len()), (1, 4), "what began, and one bar: {lines:#?}");
    assert!(lines[0].starts_with("run story-") && lines[1].starts_with("label ["), "{lines:#?}");

    terminal.signal(Signal::INT);
    let (status, lines, _) = terminal.wait();
    assert_eq!(status, Some(130));
    let whole = "stopping: nothing new is asked; waiting for answers in flight (again: stop at once)";
    assert_eq!(lines.iter().filter(|line| *line == whole).count(), 1, "a message is not torn: {lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("label: ")) && !is_bar(&lines), "{lines:#?}");
}

#[test]
fn colour_and_drawing_are_for_those_who_want_them() {
    let mut story = taking(60, 100);
    let run = |story: &Story, more: &[&str], term: &str| {
        let command = story.command(["run", "pipeline.yaml", "--fresh"].iter().chain(more));
        let (status, lines, raw) = OnTerminal::start(command, 80, term).wait();
        assert_eq!(status, Some(0), "{lines:#?}");
        raw
    };
    assert!(run(&story, &[], "xterm").contains("\x1b[32m"));
    assert!(!run(&story, &[], "dumb").contains('\x1b'), "a dumb terminal gets plain lines");
    assert!(!run(&story, &["--progress", "plain"], "xterm").contains('\x1b'));
    let quiet = run(&story, &["--progress", "none"], "xterm");
    assert!(!quiet.contains('\x1b') && !quiet.contains("\nlabel: ") && quiet.contains("100 succeeded"), "{quiet}");
    story.set("NO_COLOR", "1");
    let plain = run(&story, &[], "xterm");
    assert!(plain.contains("\x1b[J") && !plain.contains("\x1b[32m"), "drawn, and without colour");
}

#[test]
fn without_a_terminal_there_are_lines_and_no_drawing() {
    let story = taking(250, 120);
    let ran = story.run(["--progress", "bar"]);
    ran.says(0, &["/s, ", " in flight, 0 retried, ", " tokens in, ", "label: 120/120 (100.0 %), ", "/s overall"]);
    // All eight answers come at once: a line may fall between them and the next eight.
    let in_flight = ran.stderr.split(" in flight").next().and_then(|before| before.rsplit(' ').next());
    assert!(in_flight.is_some_and(|n| n.parse().is_ok_and(|n: u32| n <= 8)), "{}", ran.stderr);
    ran.does_not_say("\x1b");
    let lines = ran.stderr.lines().filter(|line| line.starts_with("label: ")).count();
    assert!((2..=4).contains(&lines), "a line every two seconds, and one at the end:\n{}", ran.stderr);
}

#[test]
fn progress_for_programs_is_json_and_nothing_else() {
    let story = taking(200, 60);
    let ran = story.run(["--progress", "json"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""));
    let lines = json_lines(&ran.stderr);
    let progress: Vec<&Value> = lines.iter().filter(|line| line["type"] == "progress").collect();
    assert!(progress.len() >= 3, "{lines:#?}");
    let last = progress.last().unwrap();
    assert_eq!((&last["phase"], &last["settled"], &last["total"]), (&json!("over"), &json!(60), &json!(60)));
    assert_eq!((&last["succeeded"], &last["failed"], &last["percent"]), (&json!(60), &json!(0), &json!(100.0)));
    assert_eq!(last["run"], story.run_id());
    for line in &progress {
        for name in ["elapsed_seconds", "rate_per_second", "rate_overall_per_second", "in_flight", "retried"] {
            assert!(line[name].is_number(), "{name}: {line}");
        }
        assert!(line["tokens"]["prompt"].is_u64() && line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    }
    assert!(
        lines.iter().any(|line| line["type"] == "message" && line["text"].as_str().unwrap().contains("60 succeeded"))
    );

    story.write("pipeline.yaml", "version: 1\nnam: x\n");
    let ran = story.run(["--progress", "json"]);
    assert_eq!(ran.status, 2);
    assert!(
        json_lines(&ran.stderr).iter().all(|line| line["type"] == "message"),
        "mistakes are JSON too: {}",
        ran.stderr
    );
    fs::remove_file(story.path("pipeline.yaml")).unwrap();
    let ran = story.run(["--progress", "json"]);
    assert_eq!((ran.status, &json_lines(&ran.stderr).last().unwrap()["text"].is_string()), (2, &true));
}

/// The control socket of the one run, as a client sees it.
struct Socket {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Socket {
    fn path(story: &Story) -> PathBuf {
        story.path(&format!(".tidemill/runs/{}/control.sock", story.run_id()))
    }

    fn open(story: &Story) -> Self {
        let writer = UnixStream::connect(Self::path(story)).expect(WORKS);
        writer.set_read_timeout(Some(PATIENCE)).expect(WORKS);
        Self { reader: BufReader::new(writer.try_clone().expect(WORKS)), writer }
    }

    fn ask(&mut self, line: &str) -> Value {
        self.writer.write_all(format!("{line}\n").as_bytes()).expect(WORKS);
        self.next().expect(WORKS)
    }

    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let n = self.reader.read_line(&mut line).expect(WORKS);
        (n > 0).then(|| serde_json::from_str(&line).expect(WORKS))
    }
}

/// A run that is under way: its first records are settled.
fn under_way(story: &Story) -> Running {
    let mut running = story.start([]);
    running.until("the first records are settled", |_| story.n_live() > 0);
    running
}

#[test]
fn a_run_tells_where_it_stands_and_takes_wishes() {
    let story = taking(100, 400);
    let running = under_way(&story);
    let mode = fs::metadata(Socket::path(&story)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it is its owner's only");
    let mut socket = Socket::open(&story);
    let mut status = socket.ask(r#"{"do":"status"}"#);
    while status["starting"] == true {
        status = socket.ask(r#"{"do":"status"}"#);
    }
    assert_eq!(
        (&status["type"], &status["step"], &status["phase"]),
        (&json!("progress"), &json!("label"), &json!("working"))
    );
    for (request, part) in [
        ("{\"do\":\"dance\"}", "unknown variant `dance`"),
        ("{\"do\":\"status\",\"twice\":true}", "unknown field `twice`"),
        ("not JSON", "not understood"),
        ("\u{fffd}\u{0}", "not understood"),
        ("{\"do\":\"status\"", "not understood"),
    ] {
        let answer = socket.ask(request);
        assert!(answer["error"].as_str().unwrap().contains(part), "{request}: {answer}");
    }
    assert_eq!(socket.ask(r#"{"do":"pause"}"#), json!({ "ok": true }));
    assert_eq!(socket.ask(r#"{"do":"pause"}"#), json!({ "ok": true }), "a wish may be said twice");
    let begun = Instant::now();
    while socket.ask(r#"{"do":"status"}"#)["in_flight"] != 0 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = story.asked();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(story.asked(), asked, "a paused run asks nothing");
    let paused = socket.ask(r#"{"do":"status"}"#);
    assert_eq!((&paused["phase"], &paused["waiting_for"]["reason"]), (&json!("paused"), &json!("paused")), "{paused}");
    assert_eq!(socket.ask(r#"{"do":"unpause"}"#), json!({ "ok": true }));
    let mut watching = Socket::open(&story);
    let first = watching.ask(r#"{"do":"watch"}"#);
    assert_eq!(socket.ask(r#"{"do":"stop"}"#), json!({ "ok": true }));
    assert_eq!(socket.ask(r#"{"do":"unpause"}"#)["error"], "the run is stopping");
    let mut told = vec![first];
    while let Some(line) = watching.next() {
        told.push(line);
    }
    let ended = &told.pop().unwrap()["ended"];
    assert_eq!(ended["exit_status"], 130, "{ended}");
    assert!(told.len() >= 2 && told.iter().all(|line| line["type"] == "progress"), "{told:#?}");
    running.wait().says(130, &["paused from another terminal", "going on", "stopping, as another terminal wishes"]);
    assert!(!Socket::path(&story).exists(), "it goes with the run");
}

#[test]
fn clients_that_misbehave_cost_the_run_nothing() {
    let story = taking(100, 240);
    let running = under_way(&story);
    let mut long = Socket::open(&story);
    let answer = long.ask(&"x".repeat(5000));
    assert!(answer["error"].as_str().unwrap().contains("at most 4096 bytes"), "{answer}");
    // What was sent beyond the limit is not read, which may break the connection: it is closed in either way.
    let mut rest = Vec::new();
    let _ = long.reader.read_to_end(&mut rest);
    assert_eq!(rest, b"");

    let mut silent: Vec<Socket> = (0..15).map(|_| Socket::open(&story)).collect();
    let mut watching = Socket::open(&story);
    watching.ask(r#"{"do":"watch"}"#);
    let mut one_too_many = Socket::open(&story);
    let answer = one_too_many.next().unwrap();
    assert!(answer["error"].as_str().unwrap().contains("16 clients are connected"), "{answer}");
    silent.pop();
    let begun = Instant::now();
    let mut next = loop {
        let mut socket = Socket::open(&story);
        // Where there is no room yet, it is told so, and the connection is closed.
        if socket.writer.write_all(b"{\"do\":\"status\"}\n").is_ok()
            && socket.next().is_some_and(|told| told["type"] == "progress")
        {
            break socket;
        }
        assert!(begun.elapsed() < PATIENCE, "a place that was left is free");
    };
    // A watcher that never reads fills its buffer; a run does not wait for it.
    next.writer.write_all(b"{\"do\":\"watch\"}\n").unwrap();
    running.wait().says(0, &["240 succeeded"]);
    drop((silent, next));
}

#[test]
fn another_terminal_watches_a_run_to_its_end() {
    let story = taking(150, 200);
    let running = under_way(&story);
    let monitor = Running::of(story.command(["monitor", "latest", "--progress", "plain"]));
    let json = Running::of(story.command(["monitor", &story.run_id(), "--progress", "json"]));
    let bar = OnTerminal::start(story.command(["monitor", "story"]), 80, "xterm");
    bar.until("a bar", is_bar);
    let left = OnTerminal::start(story.command(["monitor", "story"]), 80, "xterm");
    left.until("a bar", is_bar);
    left.signal(Signal::INT);
    let (status, lines, _) = left.wait();
    assert_eq!(status, Some(130));
    assert!(lines.iter().any(|line| line.ends_with("which goes on")) && !is_bar(&lines), "{lines:#?}");

    running.wait().says(0, &["200 succeeded"]);
    let ran = monitor.wait();
    ran.says(0, &["label: 200/200 (100.0 %)", "over: everything is settled"]);
    let ran = json.wait();
    assert_eq!(ran.status, 0);
    let told = json_lines(&ran.stdout);
    assert!(told.len() >= 2 && told.iter().all(|line| line["type"] == "progress"), "{told:#?}");
    let (status, lines, _) = bar.wait();
    assert_eq!(status, Some(0));
    assert!(!is_bar(&lines) && lines.iter().any(|line| line.starts_with("label: 200/200")), "{lines:#?}");

    let after = story.tidemill(["monitor", "latest"]);
    after.says(0, &["it was not being worked on"]);
    assert!(after.stdout.contains("state     done") && after.stdout.contains("200 succeeded"), "{}", after.stdout);
}

#[test]
fn a_killed_run_is_told_to_be_dead_and_its_socket_is_replaced() {
    let story = taking(100, 300);
    let mut running = under_way(&story);
    let mut monitor = Running::of(story.command(["monitor", "latest", "--progress", "plain"]));
    monitor.until_it_says("label: ");
    running.kill();
    let ran = monitor.wait();
    ran.says(4, &["ended without a word", "Everything settled is safe", "go on with it: tidemill run pipeline.yaml"]);
    assert!(ran.stdout.contains("state     interrupted"), "{}", ran.stdout);
    assert!(Socket::path(&story).exists(), "the dead leave it behind");

    let run = story.run_id();
    story.tidemill(["monitor", &run]).says(4, &["it was not being worked on", "go on with it"]);
    for verb in ["pause", "unpause"] {
        story.tidemill([verb, &run]).says(2, &["is not being worked on", "tidemill run pipeline.yaml"]);
    }
    let mut running = story.start([]);
    running.until_it_says("are settled already");
    let told = Socket::open(&story).ask(r#"{"do":"status"}"#);
    assert!(told["run"] == run || told["starting"] == true, "{told}");
    running.signal(Signal::INT);
    running.wait().says(130, &["going on"]);
    story.tidemill(["monitor", "nobody"]).says(2, &["there is no run `nobody`"]);
}

#[test]
fn a_folder_that_is_too_deep_for_a_socket_has_one_all_the_same() {
    let story = taking(100, 200);
    let deep = format!("{}/state", ["a-folder-with-a-long-name"; 8].join("/"));
    let absolute = story.path(&deep);
    assert!(absolute.as_os_str().len() > 200);
    let state = absolute.to_str().unwrap();
    let mut running = Running::of(story.command(["run", "pipeline.yaml", "--state", state]));
    running.until("the first records are settled", |_| story.n_live() > 0);
    story.tidemill(["pause", "latest", "--state", state]).says(0, &["is paused"]);
    story.tidemill(["unpause", "latest", "--state", &deep]).says(0, &["goes on"]);
    running.wait().says(0, &["200 succeeded"]);
}

#[test]
fn a_paused_run_is_stopped_by_ctrl_c_and_goes_on_where_it_was() {
    let story = taking(100, 100);
    let running = under_way(&story);
    story.tidemill(["pause", "latest"]).says(0, &["is paused: nothing new is asked", "tidemill unpause story-"]);
    running.signal(Signal::INT);
    running.wait().says(130, &["stopping: nothing new is asked", "interrupted; everything settled is safe"]);
    story.run([]).says(0, &["100 succeeded"]);
    assert_eq!(story.asked(), 100, "nothing was asked twice");
}

#[test]
fn a_run_is_called_off_from_another_terminal() {
    let story = taking(100, 400);
    let running = under_way(&story);
    let cancelled: Ran = finish(story.command(["cancel", "latest", "--progress", "plain"]));
    cancelled.says(1, &["is being cancelled", "400/400", "over: "]);
    let ran = running.wait();
    ran.says(1, &["cancelling, as another terminal wishes", " cancelled"]);
    let account = &story.accounting()["steps"][0];
    assert_eq!((&account["records"], &account["adds_up"]), (&json!(400), &json!(true)), "{account}");
    assert_eq!(account["succeeded"], story.asked(), "what was asked was waited for: {account}");
    assert_eq!(account["cancelled"], 400 - story.asked());

    let running = {
        story.run(["--fresh", "--limit", "8"]).says(0, &[]);
        let mut running = story.start(["--fresh"]);
        running.until_it_says("begins");
        running.until("the first records are settled", |_| story.n_live() > 0);
        running
    };
    let begun = Instant::now();
    story.tidemill(["cancel", "latest", "--no-wait"]).says(0, &["is being cancelled"]);
    assert!(begun.elapsed() < Duration::from_secs(2), "it does not wait");
    running.wait().says(1, &[" cancelled"]);
}

#[test]
fn every_shell_is_completed() {
    let story = Story::of("");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = story.tidemill(["completions", shell]);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{shell}");
        for word in ["tidemill", "unpause", "reask-damaged"] {
            assert!(ran.stdout.contains(word), "{shell}: `{word}`");
        }
    }
    story.tidemill(["completions", "tcl"]).says(2, &["tcl", "powershell"]);
}

#[test]
fn a_disk_that_the_step_will_not_fit_on_is_told_before() {
    if !crate::story::can_mount() {
        return;
    }
    let story = Story::with(records(2000), slow(1), &Pipeline::default());
    let ran = story.sh_with_mounts(
        r#"
        mkdir .tidemill
        mount -t tmpfs -o size=1m tmpfs .tidemill
        set +e
        "$TIDEMILL" run pipeline.yaml 2>run.err; echo $? >run.status
        "#,
    );
    assert_eq!(ran.status, 0, "{ran:?}");
    let said = story.text("run.err");
    assert!(said.contains("warning: this step needs about ") && said.contains(" in `.tidemill`, where "), "{said}");
    let (warned, stopped) = (said.find("warning: this step"), said.find("No space left"));
    assert!(warned.unwrap() < stopped.expect("it was right"), "{said}");
}
