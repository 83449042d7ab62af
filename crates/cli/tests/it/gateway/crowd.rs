//! Clients that ask a gateway all the time and judge each answer, and vendors that are processes of their own.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::story::{Running, Story, loopback};

/// No answer takes longer in these tests; one that does is a hang.
const PATIENCE: Duration = Duration::from_secs(40);

/// How a request ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All of the answer, and to this request.
    Answered { model: String },
    /// A stream broke off, and said so.
    Cut,
    /// There is no answer, and the client was told when to ask again.
    Refused { status: u16, code: String, wait: Option<u64> },
    /// The gateway takes no connections.
    NotLetIn,
    /// The system took back a connection that was new.
    TakenBack,
    /// What must not be.
    Wrong(String),
}

/// What a client saw of one request.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) is_stream: bool,
    pub(super) end: End,
}

/// Many clients, each with one request after the other: a third of them as streams, and every fourth client with a
/// connection for each request.
pub(super) struct Crowd {
    is_over: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Seen>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    pub(super) fn start(address: SocketAddr, n_clients: usize, model: &'static str) -> Self {
        let (is_over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let client = |number: usize| {
            let (is_over, seen) = (Arc::clone(&is_over), Arc::clone(&seen));
            std::thread::spawn(move || {
                let mut client = Client::new(address, number, model);
                while !is_over.load(Ordering::Relaxed) {
                    let one = client.ask();
                    let is_shut = matches!(one.end, End::NotLetIn | End::TakenBack);
                    // Who is told to come back does so a little earlier, so that there is a storm.
                    let pause = if matches!(one.end, End::Refused { .. }) {
                        Duration::from_millis(100)
                    } else {
                        Duration::ZERO
                    };
                    seen.lock().expect("no client panics with it").push(one);
                    if is_shut {
                        return;
                    }
                    std::thread::sleep(pause);
                }
            })
        };
        let clients = (0..n_clients).map(client).collect();
        Self { is_over, seen, clients }
    }

    /// How many requests have ended.
    pub(super) fn n_ended(&self) -> usize {
        self.seen.lock().expect("no client panics with it").len()
    }

    /// How many requests this model has answered.
    pub(super) fn n_answered_by(&self, name: &str) -> usize {
        let seen = self.seen.lock().expect("no client panics with it");
        seen.iter().filter(|one| matches!(&one.end, End::Answered { model } if model == name)).count()
    }

    /// Lets every client get the answer that it waits for; returns what all of them saw.
    #[track_caller]
    pub(super) fn end(self) -> Vec<Seen> {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client does not panic");
        }
        let seen = std::mem::take(&mut *self.seen.lock().expect("all have ended"));
        let wrong: Vec<&Seen> = seen.iter().filter(|one| matches!(one.end, End::Wrong(_))).collect();
        assert!(
            wrong.is_empty(),
            "{} of {} are wrong, among them:\n{:#?}",
            wrong.len(),
            seen.len(),
            &wrong[..wrong.len().min(5)]
        );
        seen
    }
}

/// Counts how requests ended.
pub(super) fn counted(seen: &[Seen]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for one in seen {
        let word = match &one.end {
            End::Refused { status, code, .. } => format!("{status} {code}"),
            other => format!("{other:?}"),
        };
        *counts.entry(word).or_default() += 1;
    }
    counts
}

/// One client.
pub(super) struct Client {
    address: SocketAddr,
    number: usize,
    model: &'static str,
    n_asked: usize,
    /// A connection that is kept.
    open: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(super) fn new(address: SocketAddr, number: usize, model: &'static str) -> Self {
        Self { address, number, model, n_asked: 0, open: None }
    }

    pub(super) fn ask(&mut self) -> Seen {
        let id = format!("request-{}-{}-", self.number, self.n_asked);
        self.n_asked += 1;
        let is_stream = self.number.is_multiple_of(3);
        let was_kept = self.open.is_some();
        let end = match self.exchange(&id, is_stream) {
            Ok(end) => end,
            Err(error) if !was_kept && error.kind() == io::ErrorKind::ConnectionReset => End::TakenBack,
            Err(error) => End::Wrong(format!("no answer: {error}")),
        };
        Seen { id, is_stream, end }
    }

    fn exchange(&mut self, id: &str, is_stream: bool) -> io::Result<End> {
        let keeps = !self.number.is_multiple_of(4);
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match TcpStream::connect(self.address) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_nodelay(true)?;
                    BufReader::new(stream)
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(End::NotLetIn),
                Err(error) => return Err(error),
            },
        };
        let words = format!("{id} of many words that come in many events, one after the other");
        let body =
            json!({ "model": self.model, "stream": is_stream, "messages": [{ "role": "user", "content": words }] });
        let body = body.to_string();
        let connection = if keeps { "keep-alive" } else { "close" };
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: {connection}\r\n\
             x-request-id: {id}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        open.get_mut().write_all((head + &body).as_bytes())?;
        let got = Got::read(&mut open)?;
        let is_kept = got.header("connection").is_none_or(|how| how != "close");
        if keeps && is_kept && got.is_whole {
            self.open = Some(open);
        }
        Ok(got.judged(id, is_stream))
    }
}

/// What came over the wire.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
    pub(super) is_whole: bool,
}

impl Got {
    pub(super) fn read(from: &mut BufReader<TcpStream>) -> io::Result<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed behind `{head}`")));
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in `{head}`")))?;
        let mut got = Self { status, head, body: String::new(), is_whole: true };
        let mut body = Vec::new();
        if got.header("transfer-encoding").is_some() {
            got.is_whole = chunks(from, &mut body).is_ok();
        } else {
            let length: u64 = got.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            from.take(length).read_to_end(&mut body)?;
            got.is_whole = body.len() as u64 == length;
        }
        got.body = String::from_utf8_lossy(&body).into_owned();
        Ok(got)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Looks whether it is a true answer to this request.
    fn judged(&self, id: &str, is_stream: bool) -> End {
        let wrong = |what: &str| End::Wrong(format!("{what}: {}{}", self.head, self.body));
        if self.header("x-request-id") != Some(id) {
            return wrong("another's id");
        }
        if !self.is_whole {
            return wrong("half an answer");
        }
        if self.status != 200 {
            let error: Value = serde_json::from_str(&self.body).unwrap_or_default();
            let wait = self.header("retry-after").and_then(|wait| wait.parse().ok());
            let code = error["error"]["code"].as_str().unwrap_or_default().to_owned();
            return match (error["error"]["message"].is_string(), self.status, wait) {
                (false, ..) => wrong("no error in OpenAI's shape"),
                (_, 429 | 502..=504, None | Some(0)) => wrong("no word of when to come back"),
                _ => End::Refused { status: self.status, code, wait },
            };
        }
        let (said, is_done, has_error) = if is_stream {
            (said(&self.body), self.body.contains("data: [DONE]"), self.body.contains("data: {\"error\""))
        } else {
            let answer: Value = serde_json::from_str(&self.body).unwrap_or_default();
            (answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned(), true, false)
        };
        match (is_done, has_error) {
            (true, false) if said.starts_with(id) && said.trim_end().ends_with("the other") => {
                End::Answered { model: self.header("x-tidemill-model").unwrap_or_default().to_owned() }
            }
            (true, false) => wrong("another's answer, or half of it"),
            (true, true) => wrong("an error, and called whole"),
            (false, true) => End::Cut,
            (false, false) => wrong("cut without a word"),
        }
    }
}

fn chunks(from: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let before = body.len() as u64;
        from.take(size).read_to_end(body)?;
        if body.len() as u64 - before < size || from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if size == 0 {
            return Ok(());
        }
    }
}

/// Joins the words of a stream.
fn said(text: &str) -> String {
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let read = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    read.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

/// Gets a page of a server on this machine.
pub(super) fn page(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be limited");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it can be written to");
    Got::read(&mut BufReader::new(stream)).expect("there is an answer").body
}

/// A vendor that is a process of its own.
pub(super) struct Simulated {
    pub(super) running: Running,
    pub(super) address: SocketAddr,
    script: String,
}

impl Simulated {
    /// Starts `tidemill simulate` with a script that is written into the story.
    pub(super) fn start(story: &Story, name: &str, script: &Value) -> Self {
        let file = format!("{name}.script.yaml");
        story.write(&file, script.to_string());
        Self::at(story, 0, file)
    }

    fn at(story: &Story, port: u16, script: String) -> Self {
        let port = port.to_string();
        let mut running = Running::of(story.command(["simulate", "--port", &*port, "--script", &*script]));
        running.until("the vendor tells where it is", |running| running.printed().contains("/v1\n"));
        let printed = running.printed();
        let address = printed.trim().strip_prefix("http://").and_then(|url| url.strip_suffix("/v1"));
        let address = address.and_then(|address| address.parse().ok()).expect("it tells its address");
        Self { running, address, script }
    }

    /// Kills it as nobody can mind.
    pub(super) fn kill(&mut self) {
        self.running.kill();
    }

    /// Starts it again where it was.
    pub(super) fn again(&mut self, story: &Story) {
        let again = Self::at(story, self.address.port(), self.script.clone());
        *self = again;
    }

    /// Lets it hang, connections and all.
    pub(super) fn freeze(&self) {
        self.running.signal(Signal::STOP);
    }

    pub(super) fn thaw(&self) {
        self.running.signal(Signal::CONT);
    }

    /// What it counted since it was started.
    pub(super) fn counts(&self) -> Value {
        serde_json::from_str(&page(self.address, "/v1/simulate/counts")).expect("counts are JSON")
    }
}

/// The counters of a gateway, by their names and labels: what never falls.
pub(super) fn counters(address: SocketAddr) -> BTreeMap<String, f64> {
    let text = page(address, "/metrics");
    let mut kinds = BTreeMap::new();
    let mut counters = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kinds.insert(name.to_owned(), kind.to_owned());
        } else if let Some((sample, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) {
            let name = sample.split('{').next().unwrap_or_default();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let kind = kinds.get(name).or_else(|| kinds.get(family)).map_or("", String::as_str);
            if kind != "gauge" {
                counters.insert(sample.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")));
            }
        }
    }
    counters
}

/// Makes sure that no counter is gone or has fallen.
#[track_caller]
pub(super) fn assert_grown(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) {
    for (name, was) in before {
        let is = after.get(name);
        assert!(is.is_some_and(|is| is >= was), "`{name}` was {was} and is {is:?}");
    }
}

/// A port that nobody listens on.
pub(super) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(loopback(0)).expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}
