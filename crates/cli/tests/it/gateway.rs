//! `tidemill gateway`: how it begins, changes and ends, and how its file is tried out.

mod crowd;

mod chaos;
mod check;
mod clock;
mod reload;
mod stop;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use simulate::{Answer, Latency, Ready, Script, Span, Vendor};

use crate::story::{Running, Story, finish, json_lines, loopback, slow};

/// A gateway that is at work.
struct Gateway {
    running: Running,
    address: SocketAddr,
}

impl Gateway {
    fn start<const N: usize>(story: &Story, more: [&str; N]) -> Self {
        let port: &[&str] = if more.contains(&"--port") { &[] } else { &["--port", "0"] };
        Self::begun(Running::of(story.command(["gateway"].iter().chain(port).chain(&more))))
    }

    /// Waits until it serves.
    fn begun(mut running: Running) -> Self {
        running.until("it tells where it is", |running| running.printed().contains("/v1\n"));
        let printed = running.printed();
        let address = printed.trim().strip_prefix("http://").and_then(|url| url.strip_suffix("/v1"));
        let address = address.and_then(|address| address.parse().ok()).expect("it tells its address");
        Self { running, address }
    }

    /// Asks model `name`; returns the status and all that came.
    fn ask(&self, name: &str) -> (u16, String) {
        let mut stream = send(self.address, &body(name, false));
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer can be read");
        (status(&answer), answer)
    }

    fn models(&self) -> Vec<String> {
        models(self.address)
    }
}

/// The names that are served at this address.
fn models(address: SocketAddr) -> Vec<String> {
    let list: Value = serde_json::from_str(&crowd::page(address, "/v1/models")).expect("the list is JSON");
    let names = list["data"].as_array().expect("it is a list").iter();
    names.filter_map(|model| model["id"].as_str().map(str::to_owned)).collect()
}

fn body(model: &str, is_stream: bool) -> String {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }], "stream": is_stream }).to_string()
}

fn send(address: SocketAddr, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the gateway listens");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).expect("it can be written to");
    stream
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: `{answer}`"))
}

/// A models file with one channel and these models on it.
fn file(vendor: SocketAddr, models: &str) -> String {
    format!("channels:\n  vendor: {{ url: \"http://{vendor}/v1\" }}\nmodels:\n{models}")
}

#[test]
fn a_changed_file_is_served_without_a_restart_and_a_mistaken_one_is_not() {
    let story = Story::of("");
    let vendor = story.vendor.address();
    let mut gateway = Gateway::start(&story, []);
    assert_eq!((gateway.models(), gateway.ask("b").0), (vec!["model".to_owned(), "auto".to_owned()], 404));

    // As editors do it: another file is put in its place.
    story.write("models.new", file(vendor, "  - { name: model, channel: vendor }\n  - { name: b, channel: vendor }\n"));
    fs::rename(story.path("models.new"), story.path("models.yaml")).unwrap();
    gateway.running.until_it_says("models added: `b`");
    gateway.running.until_it_says("models changed: `model`");
    assert_eq!(gateway.ask("b").0, 200);

    story.write("models.yaml", file(vendor, "  - { name: model, chanel: vendor }\n"));
    gateway.running.until_it_says("what was served before stays");
    let said = gateway.running.said();
    assert!(said.contains("unknown key `chanel`") && said.contains("--> models.yaml:4:"), "{said}");
    assert_eq!((gateway.ask("b").0, gateway.ask("model").0), (200, 200));

    story.write("models.yaml", file(vendor, "  - { name: b, channel: vendor }\n"));
    gateway.running.until_it_says("models removed: `model`");
    assert_eq!((gateway.ask("b").0, gateway.ask("model").0), (200, 404));

    gateway.running.signal(Signal::HUP);
    gateway.running.until_it_says("nothing has changed");
    gateway.running.signal(Signal::TERM);
    assert_eq!(gateway.running.wait().status, 0);
}

/// AI-DataFlux's gateway ended with exit code 3 where it was told to have several.
#[test]
fn so_many_workers_as_are_wanted_serve() {
    for workers in ["1", "4"] {
        let story = Story::of("");
        let gateway = Gateway::start(&story, ["--workers", workers]);
        let threads = fs::read_dir(format!("/proc/{}/task", gateway.running.id())).expect("it is there");
        let named = threads.filter(|thread| {
            let name = thread.as_ref().map(|thread| fs::read_to_string(thread.path().join("comm")).unwrap_or_default());
            name.is_ok_and(|name| name.trim_end().strip_prefix("gateway-").is_some_and(|n| n.parse::<u8>().is_ok()))
        });
        assert_eq!(named.count().to_string(), workers);
        for _ in 0..8 {
            assert_eq!(gateway.ask("model").0, 200);
        }
        gateway.running.signal(Signal::TERM);
        assert_eq!(gateway.running.wait().status, 0);
    }
}

#[test]
fn a_key_that_was_mended_at_the_vendor_is_tried_again_on_sighup() {
    let script = |key: &str| Script { require_key: Some(key.to_owned()), ..Script::default() };
    let story = Story::with("", script("another"), &crate::story::Pipeline::default());
    story.write("key.txt", "the-key\n");
    story.models(", key: { file: key.txt }");
    let mut gateway = Gateway::start(&story, []);
    assert_eq!(gateway.ask("model").0, 503);

    story.vendor.play(script("the-key")).unwrap();
    let n_asked = story.vendor.counts().asked;
    assert_eq!(gateway.ask("model").0, 503);
    assert_eq!(story.vendor.counts().asked, n_asked, "it is not asked any more");
    gateway.running.signal(Signal::HUP);
    gateway.running.until_it_says("nothing has changed");
    assert_eq!(gateway.ask("model").0, 200);
}

/// It was read before it was watched, and what came between was never seen.
#[test]
fn a_file_that_is_changed_while_the_gateway_begins_is_served_as_it_is() {
    let story = Story::of("");
    let vendor = story.vendor.address();
    for millis in 0..40 {
        story.write("models.yaml", file(vendor, "  - { name: a, channel: vendor }\n"));
        story.write("models.new", file(vendor, "  - { name: b, channel: vendor }\n"));
        let running = Running::of(story.command(["gateway", "--port", "0"]));
        std::thread::sleep(Duration::from_millis(millis));
        fs::rename(story.path("models.new"), story.path("models.yaml")).unwrap();
        let mut gateway = Gateway::begun(running);
        let address = gateway.address;
        gateway.running.until("it is served", |_| models(address).contains(&"b".to_owned()));
    }
}

#[test]
fn a_key_is_read_again_from_its_file() {
    let script = |key: &str| Script { require_key: Some(key.to_owned()), ..Script::default() };
    let story = Story::with("", script("old-key"), &crate::story::Pipeline::default());
    story.write("key.txt", "old-key\n");
    story.models(", key: { file: key.txt }");
    let mut gateway = Gateway::start(&story, []);
    assert_eq!(gateway.ask("model").0, 200);

    story.vendor.play(script("new-key")).unwrap();
    let (status, answer) = gateway.ask("model");
    assert!(status == 503 && !answer.contains("old-key"), "{answer}");
    // The upstream is dead now; another key makes it another one.
    story.write("key.txt", "new-key\n");
    gateway.running.until_it_says("models changed: `model`");
    assert_eq!(gateway.ask("model").0, 200);
    assert!(!gateway.running.said().contains("new-key"), "{}", gateway.running.said());
}

#[test]
fn a_simulated_vendor_goes_on_when_something_else_is_changed() {
    let story = Story::of("");
    let models = |weight: u32, model: &str| {
        format!(
            "channels:\n  a: {{ simulated: {{ model: {model} }} }}\nmodels:\n  - {{ name: m, channel: a, weight: {weight} }}\n"
        )
    };
    story.write("models.yaml", models(1, "one"));
    let mut gateway = Gateway::start(&story, []);
    let answered = |gateway: &Gateway| gateway.ask("m").0;
    assert_eq!(answered(&gateway), 200);
    story.write("models.yaml", models(2, "one"));
    gateway.running.until_it_says("is served from now on");
    assert_eq!(answered(&gateway), 200);
    story.write("models.yaml", models(2, "two"));
    gateway.running.until("it was read twice", |it| it.said().matches("is served from now on").count() == 2);
    assert_eq!(answered(&gateway), 200);
}

#[test]
fn reloads_under_load_lose_no_request() {
    let story = Story::with("", slow(30), &crate::story::Pipeline::default());
    let vendor = story.vendor.address();
    let models = |weight: u32| {
        file(vendor, &format!("  - {{ name: model, channel: vendor, weight: {weight}, max_in_flight: 100 }}\n"))
    };
    story.write("models.yaml", models(1));
    let mut gateway = Gateway::start(&story, []);
    let (is_over, n_asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let (is_over, n_asked, address) = (Arc::clone(&is_over), Arc::clone(&n_asked), gateway.address);
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let mut answer = String::new();
                    send(address, &body("model", false)).read_to_string(&mut answer).expect("an answer can be read");
                    assert_eq!(status(&answer), 200, "{answer}");
                    n_asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for n in 1..=20 {
        let before = n_asked.load(Ordering::Relaxed);
        story.write("models.yaml", models(n + 1));
        let n_told = usize::try_from(n).expect("it is small");
        let read = |it: &Running| it.said().matches("is served from now on").count() >= n_told;
        gateway.running.until("it is read again", read);
        gateway.running.until("requests went by", |_| n_asked.load(Ordering::Relaxed) > before);
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("every request was answered");
    }
    let n_asked = n_asked.load(Ordering::Relaxed) as u64;
    assert_eq!(story.asked(), n_asked, "each was asked once");
}

#[test]
fn a_stream_in_flight_at_the_end_is_finished_and_nobody_else_is_let_in() {
    let ready = Ready { events: 20, ..Ready::default() };
    let script = Script {
        stream_pause: Span(Duration::from_millis(50)),
        answer: Answer::Ready(ready),
        latency: Latency::Fixed(Span(Duration::ZERO)),
        ..Script::default()
    };
    let story = Story::with("", script, &crate::story::Pipeline::default());
    let mut gateway = Gateway::start(&story, []);
    // Somebody who has only knocked does not hold up the end.
    let _idle = TcpStream::connect(gateway.address).unwrap();
    let mut stream = BufReader::new(send(gateway.address, &body("model", true)));
    let mut answer = String::new();
    while !answer.contains("data: ") {
        assert!(stream.read_line(&mut answer).unwrap() > 0, "{answer}");
    }
    gateway.running.signal(Signal::TERM);
    gateway.running.until_it_says("waiting for answers in flight");
    let begun = Instant::now();
    while TcpStream::connect(gateway.address).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it lets clients in");
    }
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("data: [DONE]"), "{answer}");
    assert_eq!(gateway.running.wait().status, 0);
}

#[test]
fn what_does_not_end_in_time_is_cut_at_the_end() {
    let story = Story::with("", slow(60_000), &crate::story::Pipeline::default());
    let gateway = Gateway::start(&story, ["--drain", "300ms"]);
    let mut stream = send(gateway.address, &body("model", false));
    let begun = Instant::now();
    while story.vendor.counts().asked == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    gateway.running.signal(Signal::TERM);
    gateway.running.wait().says(1, &["stopped after 300ms (--drain)", "connections that were cut: 1"]);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is told");
    assert!(status(&answer) == 503 && answer.contains("gateway_stopping"), "{answer}");
}

#[test]
fn what_cannot_be_served_is_told_before_anything_is() {
    let story = Story::of("");
    let refused = |more: &[&str], said: &[&str]| {
        let ran = finish(story.command(["gateway"].iter().chain(more)));
        ran.says(2, said);
        assert_eq!(ran.stdout, "");
    };
    refused(&["--host", "0.0.0.0", "--port", "0"], &["0.0.0.0 can be reached by others", "--allow-anonymous"]);
    let taken = TcpListener::bind(loopback(0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refused(&["--port", &port], &["something listens there already", "--port"]);
    refused(
        &["--host", "192.0.2.1", "--port", "0", "--allow-anonymous"],
        &["this machine has no such address", "--host"],
    );
    story.write("models.yaml", "channels: {}\nmodels: []\n");
    refused(&[], &["--> models.yaml:2:"]);
    refused(&["--config", "other.yaml"], &["there is no models file `other.yaml`", "--config", "examples/gateway"]);
    refused(&["--host", "gateway.example.com"], &["write it in numbers", "`127.0.0.1`"]);
    // Keys of clients are named with their places, all of them at once.
    let clients =
        "gateway:\n  keys:\n    - { name: web, key: { env: NOT_SET } }\n    - { name: night, key: { file: no.txt } }\n";
    story.write("models.yaml", file(story.vendor.address(), "  - { name: model, channel: vendor }\n") + clients);
    refused(&[], &["`NOT_SET` is not set", "--> models.yaml:7:", "`no.txt`", "--> models.yaml:8:", "2 mistakes"]);
    finish(story.command(["gateway", "check"])).says(2, &["--> models.yaml:7:"]);
    // A log that cannot be written is told before anybody is served; a folder that is not there is made.
    story.write("taken", "");
    let log = |path: &str| format!("gateway: {{ log: {{ format: text, file: {path} }} }}\n");
    story.write(
        "models.yaml",
        file(story.vendor.address(), "  - { name: model, channel: vendor }\n") + &log("taken/log.txt"),
    );
    refused(&["--port", "0"], &["the log of requests `taken/log.txt` cannot be opened", "`gateway: log: file:`"]);
    story.write(
        "models.yaml",
        file(story.vendor.address(), "  - { name: model, channel: vendor }\n") + &log("new/logs/log.txt"),
    );
    let gateway = Gateway::start(&story, ["--host", "localhost"]);
    assert!(gateway.ask("model").0 == 200 && story.has("new/logs/log.txt"));
}

#[test]
fn the_change_that_opens_the_gateway_to_everybody_is_not_made() {
    let mut story = Story::of("");
    story.set("TEAM", "team-key");
    let vendor = story.vendor.address();
    let keys = "gateway: { keys: [{ name: team, key: { env: TEAM } }] }\n";
    story.write("models.yaml", file(vendor, "  - { name: model, channel: vendor }\n") + keys);
    let mut gateway = Gateway::start(&story, ["--host", "0.0.0.0"]);
    story.write("models.yaml", file(vendor, "  - { name: model, channel: vendor }\n"));
    gateway.running.until_it_says("what was served before stays");
    assert!(gateway.running.said().contains("can be reached by others"));
    let address = loopback(gateway.address.port());
    let mut answer = String::new();
    send(address, &body("model", false)).read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 401, "{answer}");
}

#[test]
fn each_model_is_tried_out_and_what_is_wrong_is_told_with_what_helps() {
    let mut story = Story::with(
        "",
        Script { require_key: Some("good-key".to_owned()), model: "small".to_owned(), ..Script::default() },
        &crate::story::Pipeline::default(),
    );
    let free = TcpListener::bind(loopback(0)).unwrap().local_addr().unwrap();
    story.set("GOOD", "good-key");
    story.set("BAD", "bad-planted-key");
    let channels = format!(
        "channels:\n  vendor: {{ url: \"http://{}/v1\" }}\n  closed: {{ url: \"http://{free}/v1\" }}\nmodels:\n",
        story.vendor.address()
    );
    let well = "  - { name: good, channel: vendor, model: small, key: { env: GOOD } }\n";
    story.write("models.yaml", format!("{channels}{well}"));
    let ran = story.tidemill(["gateway", "check"]);
    ran.says(0, &[]);
    let row: Vec<&str> = ran.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(row[..2] == ["good", "vendor"] && row[3..] == ["ms", "accepted", "yes"], "{}", ran.stdout);
    assert_eq!(story.vendor.counts().asked, 0, "it costs nothing");

    let ill = "  - { name: bad, channel: vendor, model: small, key: { env: BAD } }\n  - { name: away, channel: closed }\n  \
               - { name: other, channel: vendor, model: large, key: { env: GOOD } }\n";
    story.write("models.yaml", format!("{channels}{well}{ill}"));
    let ran = story.tidemill(["gateway", "check"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    for said in ["nothing listens there", "see that it runs", "refused", "look at `key`", "does not list `large`"] {
        assert!(ran.stdout.contains(said), "`{said}` is not said:\n{}", ran.stdout);
    }
    ran.does_not_say("bad-planted-key").does_not_say("good-key");

    let told = json_lines(&story.tidemill(["gateway", "check", "--json", "--ask"]).stdout);
    let found = |name: &str| told.iter().find(|one| one["model"] == name).unwrap().clone();
    let good = found("good");
    assert_eq!((&good["ok"], &good["key"], &good["answers"]), (&json!(true), &json!("accepted"), &json!(true)));
    assert_eq!((&found("bad")["key"], &found("bad")["ok"]), (&json!("refused"), &json!(false)));
    assert_eq!((&found("away")["reached_ms"], &found("away")["ok"]), (&Value::Null, &json!(false)));
    // It answers to any name, so it can be asked, though it lists another one.
    assert_eq!((&found("other")["listed"], &found("other")["ok"]), (&json!(false), &json!(true)));

    story.write("models.yaml", "channels: {}\nmodels: []\n");
    story.tidemill(["gateway", "check"]).says(2, &["--> models.yaml:2:"]);
}

#[test]
fn a_vendor_that_hangs_up_is_no_vendor() {
    let vendor = Vendor::start(Script { dead: true, ..Script::default() }, loopback(0)).unwrap();
    let story = Story::of("");
    story.write("models.yaml", file(vendor.address(), "  - { name: model, channel: vendor }\n"));
    let ran = story.tidemill(["gateway", "check"]);
    assert!(ran.status == 1 && ran.stdout.contains("no such vendor"), "{ran:?}");
}
