//! `tidemill gateway top` and the log of requests.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use serde_json::{Value, json};

use crate::story::{Running, Story, finish, json_lines};

const MODELS: &str = "channels:\n  rehearsal: { simulated: {} }\nmodels:\n  - { name: small, channel: rehearsal }\n";

/// A port that nobody listens on.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address")
}

/// A gateway that logs, and a client that asks it all the time.
struct Busy {
    gateway: Running,
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    client: Option<JoinHandle<()>>,
}

impl Busy {
    fn start(story: &Story) -> Self {
        story.write("models.yaml", MODELS);
        let address = free();
        let port = address.port().to_string();
        let mut gateway = Running::of(story.command(["gateway", "--log", "json", "--port", &*port]));
        gateway.until("it listens", |_| TcpStream::connect(address).is_ok());
        let is_over = Arc::new(AtomicBool::new(false));
        let client = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    ask(address);
                }
            }
        });
        Self { gateway, address, is_over, client: Some(client) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let asked = self.client.take().map(JoinHandle::join);
        // A client that failed has said so.
        drop(asked);
    }
}

fn ask(address: SocketAddr) {
    let body = json!({ "model": "small", "messages": [{ "role": "user", "content": "planted words" }] }).to_string();
    let mut stream = TcpStream::connect(address).expect("the gateway listens");
    let length = body.len();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).expect("it can be written to");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer can be read");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn top_tells_what_each_upstream_does_and_the_log_what_became_of_each_request() {
    let story = Story::of("");
    let mut busy = Busy::start(&story);
    let url = format!("http://{}/v1", busy.address);
    let ran = finish(story.command(["gateway", "top", "--once", "--json", "--url", &*url]));
    ran.says(0, &[]);
    let lines = json_lines(&ran.stdout);
    assert_eq!(lines.len(), 1);
    let small = &lines[0]["upstreams"][0];
    assert_eq!((&small["name"], &small["state"], &small["available"]), (&json!("small"), &json!("well"), &json!(true)));
    for positive in ["requests_per_second", "tokens_per_second", "p50_seconds", "p99_seconds"] {
        assert!(small[positive].as_f64().is_some_and(|n| n > 0.0), "{positive}: {small}");
    }
    assert_eq!(small["errors_per_second"], 0.0);
    let ran = finish(story.command(["gateway", "top", "--once", "--url", &*url]));
    ran.says(0, &[]);
    assert!(ran.stdout.contains("the gateway's own part") && ran.stdout.contains("\nsmall  ready"), "{}", ran.stdout);
    busy.gateway.until_it_says("\"outcome\"");
    let said = busy.gateway.said();
    let line = said.lines().find(|line| line.contains("\"outcome\"")).expect("it says so");
    let line: Value = serde_json::from_str(line).expect("a line is JSON");
    assert_eq!((&line["status"], &line["upstream"], &line["asked"]), (&json!(200), &json!("small"), &json!("small")));
    assert!(!said.contains("planted"));
}

#[test]
fn top_without_a_gateway_says_what_to_start() {
    let story = Story::of("");
    let url = format!("http://{}", free());
    finish(story.command(["gateway", "top", "--once", "--url", &*url]))
        .says(3, &["no gateway answers at", "tidemill gateway"]);
    finish(story.command(["gateway", "top", "--url", "nonsense"])).says(2, &["(--url)"]);
    finish(story.command(["gateway", "top", "--key", "NOBODY_HAS_SET_THIS"])).says(2, &["`NOBODY_HAS_SET_THIS`"]);
}
