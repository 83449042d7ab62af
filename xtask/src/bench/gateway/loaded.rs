//! Starting the load, and reading what it found; telling the vendor what to say, and asking it what it was asked.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    Stage,
    peers::{Kind, Peer},
    processes,
};

/// The vendor in its process.
pub(super) struct Vendor {
    child: Child,
    /// Host and port.
    pub(super) address: String,
}

impl Vendor {
    pub(super) fn start(stage: &Stage) -> Result<Self> {
        let mut child = Command::new(&stage.xtask)
            .arg("bench-vendor")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("`{}` cannot be started", stage.xtask.display()))?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().context("the vendor has no output")?).read_line(&mut address)?;
        let vendor = Self { child, address: address.trim().to_owned() };
        ensure!(!vendor.address.is_empty(), "the vendor did not start");
        Ok(vendor)
    }

    /// Says how it is to answer from now on: `answer=BYTES&events=N&pace_us=N&delay_us=N`.
    pub(super) fn script(&self, query: &str) -> Result<()> {
        get(&self.address, &format!("/script?{query}")).map(drop)
    }

    /// Returns how many requests it has answered.
    pub(super) fn answered(&self) -> Result<u64> {
        let answer = get(&self.address, "/counts")?;
        let count = answer.rsplit_once("\"answered\":").and_then(|(_, count)| count.trim_end_matches('}').parse().ok());
        count.context("the vendor told no count")
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        // It keeps nothing; a vendor that is gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gets a small answer, which must have a length.
pub(super) fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&answer);
        let lower = text.to_ascii_lowercase();
        let length =
            lower.split("content-length:").nth(1).and_then(|rest| rest.split('\r').next()?.trim().parse().ok());
        if n == 0 || text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length.unwrap_or(0)) {
            return Ok(text.into_owned());
        }
    }
}

/// What a load found, and what the gateway took for it.
pub(super) struct Loaded {
    numbers: HashMap<String, f64>,
    /// Seconds of CPU of the gateway's processes.
    pub(super) cpu: f64,
}

impl Loaded {
    /// Returns a number that the load tool printed.
    pub(super) fn number(&self, name: &str) -> f64 {
        self.numbers.get(name).copied().unwrap_or(f64::NAN)
    }

    /// Answers a second.
    pub(super) fn rate(&self) -> f64 {
        self.number("answered") / self.number("seconds")
    }

    /// Microseconds of CPU for each of something that was counted.
    pub(super) fn cpu_us_per(&self, counted: &str) -> f64 {
        self.cpu / self.number(counted) * 1e6
    }
}

/// Returns the load tool with its arguments.
pub(super) fn tool(xtask: &Path, peer: &Peer, args: &str) -> Command {
    let mut tool = Command::new(xtask);
    let is_stream = args.contains("--stream");
    tool.arg("bench-load").args(["--to", if is_stream { &peer.stream_address } else { &peer.address }]);
    tool.args(args.split_whitespace());
    tool
}

/// Loads a peer, and checks with the vendor that each request was asked once.
pub(super) fn load(stage: &Stage, vendor: &Vendor, peer: &Peer, args: &str) -> Result<Loaded> {
    let asked = vendor.answered()?;
    let cpu = peer.cpu();
    let output = tool(&stage.xtask, peer, args).stdin(Stdio::null()).output()?;
    let cpu = peer.cpu() - cpu;
    let asked = vendor.answered()? - asked;
    if !output.status.success() {
        bail!("the load on {} with `{args}`: {}", peer.name, String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers = text.lines().filter_map(|line| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    });
    let loaded = Loaded { numbers: numbers.collect(), cpu };
    let answered = loaded.number("answered");
    ensure!(answered == asked as f64, "{}: {answered} answers, and the vendor gave {asked}", peer.name);
    Ok(loaded)
}

/// Returns the argument that has the lengths or events of answers checked; what `LiteLLM` makes of them is its own.
pub(super) fn exactly(peer: &Peer, args: &str) -> String {
    if peer.kind == Kind::LiteLlm { String::new() } else { args.to_owned() }
}

/// A load that holds its connections until it is dropped.
pub(super) struct Held(Child);

impl Held {
    /// Opens the connections, asks once on each, and returns when all are answered.
    pub(super) fn open(stage: &Stage, peer: &Peer, args: &str) -> Result<Self> {
        let mut child =
            tool(&stage.xtask, peer, args).arg("--hold").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("the load has no output")?;
        let held = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line.starts_with("held "), "{}: the connections could not be held", peer.name);
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the memory that is resident in a peer now, in MB.
pub(super) fn resident(peer: &Peer) -> f64 {
    peer.pid().map_or(f64::NAN, processes::resident)
}
