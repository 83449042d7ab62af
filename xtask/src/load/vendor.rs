//! A vendor that costs next to nothing: answers that were made before, in one write.
//!
//! `GET /script?answer=BYTES&events=N&pace_us=N&delay_us=N` changes what it says, and `GET /counts` tells how many requests
//! it has answered.

use std::{
    collections::BinaryHeap,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Args;
use memchr::memmem;

use super::{
    poll::{Poll, Watch},
    talk,
};

/// The token of the listener, which no connection has.
const LISTENER: u64 = u64::MAX - 1;
/// So much of a body is kept, to see whether a stream is asked for.
const LOOKED_AT: usize = 64 * 1024;
/// Events of a stream, 11.7 kB altogether.
const EVENTS: usize = 66;

/// How the vendor is run.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Threads, each with a share of the connections.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// What it says, made ready.
struct Script {
    /// Waits before the first byte of an answer.
    delay: Duration,
    /// Waits before each further event of a stream; 0: all at once.
    pace: Duration,
    whole: Arc<[u8]>,
    stream: Arc<[u8]>,
    events: Vec<Arc<[u8]>>,
}

impl Script {
    fn read(query: &str) -> Self {
        let number = |name: &str, otherwise: u64| {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).unwrap_or(otherwise)
        };
        let mut events = talk::events(number("events", EVENTS as u64) as usize);
        events[0].splice(0..0, talk::STREAM_HEAD.iter().copied());
        Self {
            delay: Duration::from_micros(number("delay_us", 0)),
            pace: Duration::from_micros(number("pace_us", 0)),
            whole: talk::whole(number("answer", 1024) as usize).into(),
            stream: events.concat().into(),
            events: events.into_iter().map(Arc::from).collect(),
        }
    }
}

struct Shared {
    script: RwLock<Arc<Script>>,
    answered: AtomicU64,
}

/// Serves until the process is killed.
pub(super) fn run(serve: &Serve) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    serve_on(&listener, serve.threads)
}

/// Serves on a listener with some threads.
pub(super) fn serve_on(listener: &TcpListener, threads: usize) -> Result<()> {
    listener.set_nonblocking(true)?;
    let shared = Shared { script: RwLock::new(Arc::new(Script::read(""))), answered: AtomicU64::new(0) };
    std::thread::scope(|scope| {
        let shared = &shared;
        let threads: Vec<_> =
            (0..threads.max(1)).map(|_| scope.spawn(|| Floor::open(listener, shared)?.run())).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread of the vendor panicked"))??;
        }
        Ok(())
    })
}

/// What one thread serves.
struct Floor<'a> {
    listener: &'a TcpListener,
    shared: &'a Shared,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// What is to be said later, the soonest on top.
    later: BinaryHeap<std::cmp::Reverse<(Instant, usize, u64)>>,
    /// Counts connections, so that what was meant for one is not said to the next one in its place.
    opened: u64,
}

struct Connection {
    stream: TcpStream,
    number: u64,
    request: Vec<u8>,
    /// Bytes of the body that were counted and not kept.
    dropped: usize,
    saying: Saying,
    /// What could not be written yet, from this byte on.
    unsent: Option<(Arc<[u8]>, usize)>,
    watch: Watch,
}

/// What a connection is in the middle of.
enum Saying {
    Nothing,
    Whole(Arc<Script>),
    /// With the number of the next event and when it is due.
    Stream(Arc<Script>, usize, Instant),
}

impl<'a> Floor<'a> {
    fn open(listener: &'a TcpListener, shared: &'a Shared) -> Result<Self> {
        let poll = Poll::new()?;
        poll.add(listener, LISTENER)?;
        let later = BinaryHeap::new();
        Ok(Self { listener, shared, poll, connections: Vec::new(), free: Vec::new(), later, opened: 0 })
    }

    fn run(mut self) -> Result<()> {
        let (mut ready, mut buffer) = (Vec::new(), vec![0; 256 * 1024]);
        loop {
            self.poll.wait(self.later.peek().map(|due| due.0.0), &mut ready)?;
            for &token in &ready {
                if token == LISTENER {
                    self.accept()?;
                } else {
                    self.serve(token as usize, &mut buffer);
                }
            }
            while let Some(due) = self.later.peek().map(|due| due.0)
                && due.0 <= Instant::now()
            {
                self.later.pop();
                let is_same = self.connections[due.1].as_ref().is_some_and(|connection| connection.number == due.2);
                if is_same {
                    self.say(due.1);
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Gone before it was accepted.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.connections.len());
            self.poll.add(&stream, index as u64)?;
            self.opened += 1;
            let connection = Connection {
                stream,
                number: self.opened,
                request: Vec::new(),
                dropped: 0,
                saying: Saying::Nothing,
                unsent: None,
                watch: Watch::Read,
            };
            if index == self.connections.len() {
                self.connections.push(Some(connection));
            } else {
                self.connections[index] = Some(connection);
            }
        }
    }

    fn close(&mut self, index: usize) {
        self.connections[index] = None;
        self.free.push(index);
    }

    fn serve(&mut self, index: usize, buffer: &mut [u8]) {
        let Some(connection) = &mut self.connections[index] else { return };
        if connection.unsent.is_some() {
            match connection.write(&self.poll, index) {
                Ok(true) => self.say_on(index),
                Ok(false) => {}
                Err(_) => self.close(index),
            }
            return;
        }
        match connection.stream.read(buffer) {
            Ok(0) => self.close(index),
            Ok(n) => match connection.take(&buffer[..n]) {
                Ok(false) => {}
                Ok(true) => self.answer(index),
                Err(()) => self.close(index),
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.close(index),
        }
    }

    /// Begins to answer a request that is complete.
    fn answer(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else { return };
        let request = std::mem::take(&mut connection.request);
        connection.dropped = 0;
        if request.starts_with(b"GET ") {
            let text = self.shared.command(&request);
            connection.unsent = Some((text.into_bytes().into(), 0));
            let written = connection.write(&self.poll, index);
            if written.is_err() {
                self.close(index);
            }
            return;
        }
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
        let script = Arc::clone(&self.shared.script.read().unwrap_or_else(PoisonError::into_inner));
        let is_stream = memmem::find(&request, b"\"stream\":true").is_some()
            || memmem::find(&request, b"\"stream\": true").is_some();
        connection.request = request;
        connection.request.clear();
        let (delay, due) = (script.delay, Instant::now() + script.delay);
        connection.saying = if is_stream { Saying::Stream(script, 0, due) } else { Saying::Whole(script) };
        if delay.is_zero() {
            self.say(index);
        } else {
            self.later.push(std::cmp::Reverse((due, index, connection.number)));
        }
    }

    /// Says what is due.
    fn say(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else { return };
        let said = match std::mem::replace(&mut connection.saying, Saying::Nothing) {
            Saying::Nothing => return,
            Saying::Whole(script) => Arc::clone(&script.whole),
            Saying::Stream(script, 0, _) if script.pace.is_zero() => Arc::clone(&script.stream),
            Saying::Stream(script, event, due) => {
                let said = Arc::clone(&script.events[event]);
                if event + 1 < script.events.len() {
                    let next = due + script.pace;
                    connection.saying = Saying::Stream(script, event + 1, next);
                }
                said
            }
        };
        connection.unsent = Some((said, 0));
        match connection.write(&self.poll, index) {
            Ok(true) => self.say_on(index),
            Ok(false) => {}
            Err(_) => self.close(index),
        }
    }

    /// Sets the time of the next event, where there is one.
    fn say_on(&mut self, index: usize) {
        if let Some(Connection { saying: Saying::Stream(_, _, due), number, .. }) = &self.connections[index] {
            self.later.push(std::cmp::Reverse((*due, index, *number)));
        }
    }
}

impl Shared {
    /// Does what a `GET` asks for and returns the answer.
    fn command(&self, request: &[u8]) -> String {
        let line = request.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        if let Some(query) = line.strip_prefix("/script?") {
            *self.script.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Script::read(query));
        }
        let body = format!("{{\"answered\":{}}}", self.answered.load(Ordering::Relaxed));
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }
}

impl Connection {
    /// Takes bytes of a request and returns whether it is complete. What this vendor cannot read is an error.
    fn take(&mut self, bytes: &[u8]) -> Result<bool, ()> {
        let room = LOOKED_AT.saturating_sub(self.request.len());
        let kept = bytes.len().min(room);
        self.request.extend_from_slice(&bytes[..kept]);
        self.dropped += bytes.len() - kept;
        let Some(end) = memmem::find(&self.request, b"\r\n\r\n") else {
            return if room == 0 { Err(()) } else { Ok(false) };
        };
        let mut length = 0;
        for line in self.request[..end].split(|byte| *byte == b'\n') {
            const NAME: &[u8] = b"content-length:";
            if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
                let value = std::str::from_utf8(line[NAME.len()..].trim_ascii()).map_err(|_| ())?;
                length = value.parse().map_err(|_| ())?;
            } else if line.to_ascii_lowercase().starts_with(b"transfer-encoding:") {
                return Err(());
            }
        }
        let body = self.request.len() + self.dropped - end - 4;
        if body > length { Err(()) } else { Ok(body == length) }
    }

    /// Writes what is to be written, and returns whether that was all.
    fn write(&mut self, poll: &Poll, index: usize) -> io::Result<bool> {
        let Some((bytes, at)) = &mut self.unsent else { return Ok(true) };
        while *at < bytes.len() {
            match (&self.stream).write(&bytes[*at..]) {
                Ok(n) => *at += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.watch == Watch::Read {
                        self.watch = Watch::Both;
                        poll.change(&self.stream, index as u64, Watch::Both)?;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.unsent = None;
        if self.watch == Watch::Both {
            self.watch = Watch::Read;
            poll.change(&self.stream, index as u64, Watch::Read)?;
        }
        Ok(true)
    }
}
