//! The load: connections that ask again when they are answered (closed loop), or requests that are due at a fixed rate
//! whether or not earlier ones are answered (open loop; latencies count from when a request was due).

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Args;

use super::{
    answer::Answer,
    histogram::Histogram,
    poll::{Poll, Watch},
    talk,
};

/// Answers are waited for so long when the time is over.
const PATIENCE: Duration = Duration::from_secs(120);
/// So many failures end a run: it measures nothing any more.
const MOST_FAILURES: u64 = 1000;

/// What is asked, of whom, and what must come.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// Whom to ask.
    #[arg(long)]
    to: SocketAddr,
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    #[arg(long, default_value = "auto")]
    model: String,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Threads, each with a share of the connections.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Nothing is begun after so many seconds.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Requests a second, evenly; without it each connection asks again at once.
    #[arg(long)]
    rate: Option<f64>,
    /// Bytes of a request's body.
    #[arg(long, default_value_t = 700)]
    body: usize,
    #[arg(long)]
    stream: bool,
    /// Bytes that the body of each answer must have.
    #[arg(long)]
    length: Option<u64>,
    /// Events that each stream must have.
    #[arg(long)]
    events: Option<u64>,
    /// Microseconds between the first requests of two connections.
    #[arg(long, default_value_t = 0)]
    stagger_us: u64,
    /// Each connection asks once; then they are held until standard input ends.
    #[arg(long)]
    hold: bool,
}

/// What came.
#[derive(Default)]
struct Tally {
    answered: u64,
    failed: u64,
    first_failure: Option<String>,
    events: u64,
    /// From when a request was due to the end of its answer.
    whole: Histogram,
    /// From when it was due to the first event of its stream.
    first: Histogram,
    /// Between two events of a stream.
    gap: Histogram,
    seconds: f64,
}

/// Loads, and prints what came.
pub(super) fn run(load: &Load) -> Result<()> {
    let tally = load_with(load)?;
    let print = |name: &str, number: f64| println!("{name} {number}");
    print("answered", tally.answered as f64);
    print("failed", tally.failed as f64);
    print("seconds", tally.seconds);
    print("events", tally.events as f64);
    for (name, histogram) in [("whole", &tally.whole), ("first", &tally.first), ("gap", &tally.gap)] {
        for (percentile, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            print(&format!("{name}_{percentile}_us"), histogram.percentile(share) as f64 / 1000.0);
        }
    }
    if let Some(failure) = tally.first_failure {
        anyhow::bail!("{} requests failed, the first one because {failure}", tally.failed);
    }
    Ok(())
}

fn load_with(load: &Load) -> Result<Tally> {
    let threads = load.threads.clamp(1, load.connections.max(1));
    let began = Instant::now();
    let tallies: Vec<Result<Tally>> = std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|thread| {
                let mut share = load.clone();
                share.connections = load.connections / threads + usize::from(thread < load.connections % threads);
                share.rate = load.rate.map(|rate| rate / threads as f64);
                scope.spawn(move || Line::open(&share)?.run())
            })
            .collect();
        let gone = || Err(anyhow::anyhow!("a thread of the load panicked"));
        spawned.into_iter().map(|thread| thread.join().unwrap_or_else(|_| gone())).collect()
    });
    let mut all = Tally { seconds: began.elapsed().as_secs_f64(), ..Tally::default() };
    for tally in tallies {
        let tally = tally?;
        all.answered += tally.answered;
        all.failed += tally.failed;
        all.events += tally.events;
        all.first_failure = all.first_failure.or(tally.first_failure);
        all.whole.extend(&tally.whole);
        all.first.extend(&tally.first);
        all.gap.extend(&tally.gap);
        // Of the loading alone, without opening the connections.
        all.seconds = tally.seconds;
    }
    Ok(all)
}

/// What one thread asks.
struct Line<'a> {
    load: &'a Load,
    request: Vec<u8>,
    poll: Poll,
    asking: Vec<Asking>,
    tally: Tally,
    /// When connections are to ask for the first time (closed loop).
    starts: VecDeque<(Instant, usize)>,
    /// Connections without a request (open loop).
    free: Vec<usize>,
    /// When requests were due that found no connection free.
    late: VecDeque<Instant>,
    /// When the next request is due (open loop).
    next: Instant,
    end: Instant,
    in_flight: usize,
}

/// A connection and what was asked on it.
struct Asking {
    stream: TcpStream,
    due: Option<Instant>,
    /// Bytes of the request that were written.
    written: usize,
    watch: Watch,
    answer: Answer,
    /// When the last event came.
    last_event: Option<Instant>,
}

impl<'a> Line<'a> {
    fn open(load: &'a Load) -> Result<Self> {
        let request = talk::request(&load.to.to_string(), &load.path, &load.model, load.stream, load.body);
        let poll = Poll::new()?;
        let mut asking = Vec::with_capacity(load.connections);
        for index in 0..load.connections {
            let asked = Asking::connect(load.to, &poll, index);
            asking.push(asked.with_context(|| format!("connection {index} of {}", load.connections))?);
        }
        let now = Instant::now();
        let stagger = Duration::from_micros(load.stagger_us);
        let is_open = load.rate.is_some();
        let starts =
            (0..load.connections).filter(|_| !is_open).map(|index| (now + stagger * index as u32, index)).collect();
        let free = (0..load.connections).filter(|_| is_open).collect();
        let end = now + Duration::from_secs_f64(load.seconds);
        let (late, tally) = (VecDeque::new(), Tally::default());
        Ok(Self { load, request, poll, asking, tally, starts, free, late, next: now, end, in_flight: 0 })
    }

    fn run(mut self) -> Result<Tally> {
        let began = Instant::now();
        let interval = self.load.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        let (mut ready, mut buffer) = (Vec::new(), vec![0; 256 * 1024]);
        loop {
            let now = Instant::now();
            while let Some(&(due, index)) = self.starts.front()
                && due <= now
            {
                self.starts.pop_front();
                self.ask(index, Instant::now())?;
            }
            if let Some(interval) = interval {
                while self.next <= now && self.next < self.end {
                    match self.free.pop() {
                        Some(index) => self.ask(index, self.next)?,
                        None => self.late.push_back(self.next),
                    }
                    self.next += interval;
                }
            }
            let is_begun = self.starts.is_empty() && (interval.is_none() || self.next >= self.end);
            if is_begun && self.in_flight == 0 && self.late.is_empty() {
                break;
            }
            let give_up = self.end.max(began) + PATIENCE;
            if now >= give_up {
                let left = self.in_flight + self.late.len();
                self.tally.failed += left as u64;
                self.tally.first_failure.get_or_insert(format!("{left} answers did not come in {PATIENCE:?}"));
                break;
            }
            let start = self.starts.front().map(|start| start.0);
            let next = interval.map(|_| self.next).filter(|next| *next < self.end);
            let until = start.into_iter().chain(next).chain([give_up]).min();
            self.poll.wait(until, &mut ready)?;
            for &token in &ready {
                self.go_on(token as usize, &mut buffer)?;
            }
            if self.tally.failed > MOST_FAILURES {
                break;
            }
        }
        self.tally.seconds = began.elapsed().as_secs_f64();
        if self.load.hold && self.tally.failed == 0 {
            println!("held {}", self.asking.len());
            // Whoever started this says when it is enough.
            for _ in io::stdin().lock().lines() {}
        }
        Ok(self.tally)
    }

    /// Asks on a connection that is free.
    fn ask(&mut self, index: usize, due: Instant) -> Result<()> {
        let asking = &mut self.asking[index];
        asking.due = Some(due);
        asking.written = 0;
        asking.last_event = None;
        self.in_flight += 1;
        if let Err(error) = asking.write(&self.request, &self.poll, index) {
            self.fail(index, &format!("the request could not be written: {error}"))?;
        }
        Ok(())
    }

    /// Writes and reads what can be on a connection that is ready.
    fn go_on(&mut self, index: usize, buffer: &mut [u8]) -> Result<()> {
        let asking = &mut self.asking[index];
        if asking.due.is_some()
            && asking.written < self.request.len()
            && let Err(error) = asking.write(&self.request, &self.poll, index)
        {
            return self.fail(index, &format!("the request could not be written: {error}"));
        }
        let asking = &mut self.asking[index];
        let n = match asking.stream.read(buffer) {
            // An idle connection that the other side has closed is opened again, and is no failure.
            Ok(0) if asking.due.is_none() => return self.reconnect(index),
            Ok(0) => return self.fail(index, "the connection was closed within an answer"),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return self.fail(index, &format!("the answer could not be read: {error}")),
        };
        let Some(due) = asking.due else { return self.fail(index, "bytes came that nobody had asked for") };
        let had = asking.answer.events;
        let is_complete = match asking.answer.feed(&buffer[..n]) {
            Ok(is_complete) => is_complete,
            Err(why) => return self.fail(index, &why),
        };
        let came = asking.answer.events - had;
        if self.load.stream && came > 0 {
            let now = Instant::now();
            let last = asking.last_event.replace(now);
            match last {
                Some(last) => self.tally.gap.add(now - last),
                None => self.tally.first.add(now - due),
            }
            // What came together came without a gap.
            (1..came).for_each(|_| self.tally.gap.add(Duration::ZERO));
        }
        if is_complete { self.complete(index, due, buffer) } else { Ok(()) }
    }

    fn complete(&mut self, index: usize, due: Instant, buffer: &[u8]) -> Result<()> {
        let answer = &self.asking[index].answer;
        if let Some(wrong) = wrong_with(self.load, answer) {
            let text = String::from_utf8_lossy(&buffer[..buffer.len().min(400)]).into_owned();
            return self.fail(index, &format!("{wrong}: {}", text.trim_end_matches('\0')));
        }
        self.tally.answered += 1;
        self.tally.events += answer.events;
        self.tally.whole.add(due.elapsed());
        let closes = answer.closes;
        self.free(index);
        if closes {
            self.reconnect(index)?;
        }
        self.ask_again(index)
    }

    fn free(&mut self, index: usize) {
        let asking = &mut self.asking[index];
        asking.due = None;
        asking.answer.clear();
        self.in_flight -= 1;
    }

    /// Asks what is to be asked next on a connection that has become free.
    fn ask_again(&mut self, index: usize) -> Result<()> {
        if self.load.rate.is_some() {
            match self.late.pop_front() {
                Some(due) => self.ask(index, due)?,
                None => self.free.push(index),
            }
            return Ok(());
        }
        let now = Instant::now();
        if now < self.end && !self.load.hold { self.ask(index, now) } else { Ok(()) }
    }

    fn fail(&mut self, index: usize, why: &str) -> Result<()> {
        self.tally.failed += 1;
        self.tally.first_failure.get_or_insert_with(|| why.to_owned());
        if self.asking[index].due.is_some() {
            self.free(index);
        }
        self.reconnect(index)?;
        if self.tally.failed > MOST_FAILURES {
            return Ok(());
        }
        // Later and not at once, so that a peer that refuses does not make us recurse.
        if self.load.rate.is_some() {
            self.free.push(index);
        } else if Instant::now() < self.end && !self.load.hold {
            self.starts.push_back((Instant::now(), index));
        }
        Ok(())
    }

    fn reconnect(&mut self, index: usize) -> Result<()> {
        self.asking[index] = Asking::connect(self.load.to, &self.poll, index).context("connecting again")?;
        Ok(())
    }
}

impl Asking {
    fn connect(to: SocketAddr, poll: &Poll, index: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, index as u64)?;
        let answer = Answer::default();
        Ok(Self { stream, due: None, written: 0, watch: Watch::Read, answer, last_event: None })
    }

    fn write(&mut self, request: &[u8], poll: &Poll, index: usize) -> io::Result<()> {
        while self.written < request.len() {
            match self.stream.write(&request[self.written..]) {
                Ok(n) => self.written += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.watch == Watch::Read {
                        self.watch = Watch::Both;
                        poll.change(&self.stream, index as u64, Watch::Both)?;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        if self.watch == Watch::Both {
            self.watch = Watch::Read;
            poll.change(&self.stream, index as u64, Watch::Read)?;
        }
        Ok(())
    }
}

/// Returns what is wrong with an answer, if anything is.
fn wrong_with(load: &Load, answer: &Answer) -> Option<String> {
    if answer.status != 200 {
        return Some(format!("the status was {}", answer.status));
    }
    if load.length.is_some_and(|length| length != answer.length) {
        return Some(format!("the answer had {} bytes", answer.length));
    }
    if answer.length == 0 {
        return Some("the answer was empty".to_owned());
    }
    if load.stream && !answer.is_done {
        return Some("the stream ended without `[DONE]`".to_owned());
    }
    if load.events.is_some_and(|events| events != answer.events) {
        return Some(format!("the stream had {} events", answer.events));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use clap::Parser;

    use super::{
        super::{relay, vendor},
        *,
    };

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        load: Load,
    }

    /// Starts the vendor, tells it what to say, and loads it.
    fn loaded(script: &str, args: &str) -> Tally {
        loaded_through(|vendor| vendor, script, args)
    }

    fn relayed(vendor: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || relay::relay_on(&listener, &relay::Relay { to: vendor, threads: 2 }));
        address
    }

    fn loaded_through(gateway: impl Fn(SocketAddr) -> SocketAddr, script: &str, args: &str) -> Tally {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("an address");
        std::thread::spawn(move || vendor::serve_on(&listener, 2));
        let mut stream = TcpStream::connect(to).expect("a connection");
        write!(stream, "GET /script?{script} HTTP/1.1\r\n\r\n").expect("written");
        assert!(stream.read(&mut [0; 200]).expect("read") > 0);
        let to = gateway(to).to_string();
        let args = ["load", "--to", &to].into_iter().chain(args.split_whitespace());
        let tally = load_with(&Line::parse_from(args).load).expect("loaded");
        write!(stream, "GET /counts HTTP/1.1\r\n\r\n").expect("written");
        let mut counts = [0; 200];
        let n = stream.read(&mut counts).expect("read");
        let counts = String::from_utf8_lossy(&counts[..n]).into_owned();
        assert!(counts.ends_with(&format!("{{\"answered\":{}}}", tally.answered + tally.failed)), "{counts}");
        tally
    }

    #[test]
    fn whole_answers_are_counted_as_the_vendor_counts_them() {
        let tally = loaded("", "--connections 8 --seconds 0.2 --length 1024 --threads 2");
        assert_eq!((tally.failed, tally.whole.n()), (0, tally.answered));
        assert!(tally.answered > 50, "{}", tally.answered);
    }

    #[test]
    fn great_bodies_go_both_ways() {
        let tally = loaded("answer=3000000", "--connections 3 --seconds 0.2 --body 2000000 --length 3000000");
        assert_eq!(tally.failed, 0, "{:?}", tally.first_failure);
        assert!(tally.answered >= 3);
    }

    #[test]
    fn the_relay_loses_nothing_of_bodies_that_do_not_fit_into_its_sockets() {
        let tally =
            loaded_through(relayed, "answer=3000000", "--connections 3 --seconds 0.2 --body 2000000 --length 3000000");
        assert_eq!(tally.failed, 0, "{:?}", tally.first_failure);
        let tally = loaded_through(relayed, "", "--connections 8 --seconds 0.1 --stream --events 66");
        assert!(tally.failed == 0 && tally.answered > 8, "{:?}", tally.first_failure);
    }

    #[test]
    fn a_paced_stream_is_timed_event_by_event() {
        let tally =
            loaded("pace_us=4000&events=10", "--connections 4 --seconds 0 --stream --events 10 --stagger-us 700");
        assert_eq!((tally.answered, tally.events), (4, 40), "{:?}", tally.first_failure);
        let gap = tally.gap.percentile(0.5);
        assert!((3_000_000..6_000_000).contains(&gap), "{gap} ns between two events");
        assert!(tally.whole.percentile(1.0) >= 35_500_000);
    }

    #[test]
    fn an_open_loop_counts_from_when_a_request_was_due() {
        // Two connections and 40 ms for each answer: 50 of the 100 asked for in a second can be had.
        let tally = loaded("delay_us=40000", "--connections 2 --rate 100 --seconds 0.5");
        assert_eq!((tally.answered, tally.failed), (50, 0));
        let worst = tally.whole.percentile(1.0);
        assert!(worst > 400_000_000, "the last one waited half a second, and {worst} ns were told");
    }

    #[test]
    fn a_wrong_length_or_count_is_a_failure() {
        assert!(loaded("", "--connections 1 --seconds 0 --length 1000").failed > 0);
        let tally = loaded("events=5", "--connections 1 --seconds 0 --stream --events 6");
        assert!(tally.first_failure.expect("a failure").contains("5 events"));
    }
}
