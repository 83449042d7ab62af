//! The log of requests: a line for each, when it ended, without anything of what was asked or answered.
//!
//! A line is made where the request ended and written by a thread of its own, through a bounded line: a disk that is slow
//! costs lines, which are counted, and no request.

mod pen;

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use domain::{Clock, Timestamp};
use pen::Pen;
use serde_json::json;

use super::account::{Ended, Outcome};
use crate::LogFormat;

/// Lines that wait to be written.
const WAITING: usize = 8_192;
/// The most of a name that a client wrote.
const NAME: usize = 200;

/// Where the lines go.
pub enum LogTarget {
    /// To the end of a file, which may be moved away while it is written: the next line goes into a new one. Its folder
    /// is made where there is none.
    File(PathBuf),
    /// Anywhere else.
    Writer(Box<dyn Write + Send>),
}

/// Told when lines begin to be lost because they cannot be written, with the reason, and when they can be again.
pub type LogTrouble = Box<dyn Fn(Option<&io::Error>) + Send>;

/// The log of requests.
pub struct AccessLog {
    format: LogFormat,
    clock: Arc<dyn Clock>,
    /// Nothing once it is closed.
    lines: Option<SyncSender<String>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    must_reopen: AtomicBool,
    n_dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Opens a log. `trouble` is called on the thread that writes.
    ///
    /// # Errors
    /// Where the file cannot be opened, or the system gives no thread.
    pub fn open(format: LogFormat, target: LogTarget, clock: Arc<dyn Clock>, trouble: LogTrouble) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let shared = Arc::new(Shared::default());
        let mut pen = Pen::new(target)?;
        let there = Arc::clone(&shared);
        let write = move || pen.write_all_of(&waiting, &there, &trouble);
        let thread = std::thread::Builder::new().name("gateway-log".to_owned()).spawn(write)?;
        Ok(Self { format, clock, lines: Some(lines), shared, thread: Some(thread) })
    }

    /// Opens the file again before the next line: it was moved away.
    pub fn reopen(&self) {
        self.shared.must_reopen.store(true, Ordering::Relaxed);
    }

    /// Returns how many lines were lost, since they came faster than they could be written, or could not be at all.
    #[must_use]
    pub fn n_dropped(&self) -> u64 {
        self.shared.n_dropped.load(Ordering::Relaxed)
    }

    /// Returns the count of lost lines, for whoever counts longer than this log is written.
    pub(super) fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.n_dropped)
    }

    /// Writes how a request ended.
    pub(super) fn write(&self, ended: &Ended<'_>) {
        let now = self.clock.now();
        let line = match self.format {
            LogFormat::Off => return,
            LogFormat::Text => text(now, ended),
            LogFormat::Json => json(now, ended),
        };
        let sent = self.lines.as_ref().map(|lines| lines.try_send(line));
        if let Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) = sent {
            self.shared.n_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        // The thread writes what waits, and ends.
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").field("format", &self.format).finish_non_exhaustive()
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::Refused => "refused",
        Outcome::Cut => "cut",
        Outcome::HungUp => "hung_up",
    }
}

fn shortened(name: &str) -> &str {
    name.char_indices().nth(NAME).map_or(name, |(at, _)| &name[..at])
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Makes a line of `name=value`, as people and their tools read it.
fn text(now: Timestamp, ended: &Ended<'_>) -> String {
    let mut line = String::with_capacity(320);
    // Writing into a string cannot fail; so for all that follow.
    let _ = write!(line, "{} {} {}", utc(now), outcome(ended.outcome), ended.call);
    let mut put = |name: &str, value: &str| {
        let is_plain = |c: char| c.is_alphanumeric() || "-_.:/@*+".contains(c);
        if !value.is_empty() && value.chars().all(is_plain) {
            let _ = write!(line, " {name}={value}");
        } else {
            // In JSON's quotes nothing can end the line, or begin another one.
            let _ = write!(line, " {name}={}", serde_json::Value::from(value));
        }
    };
    put("status", &ended.status.to_string());
    put("id", ended.id);
    ended.client.into_iter().for_each(|client| put("client", client));
    if !ended.asked.is_empty() {
        put("asked", shortened(ended.asked));
    }
    ended.upstream.into_iter().for_each(|upstream| put("upstream", upstream));
    put("attempts", &ended.n_attempts.to_string());
    put("took", &format!("{}ms", millis(ended.took)));
    ended.first_byte.into_iter().for_each(|time| put("first_byte", &format!("{}ms", millis(time))));
    if ended.was_in_line {
        put("queued", &format!("{}ms", millis(ended.queued)));
    }
    ended.overhead.into_iter().for_each(|time| put("overhead", &format!("{}us", time.as_micros())));
    if let Some(usage) = ended.usage {
        put("prompt_tokens", &usage.prompt_tokens.to_string());
        put("completion_tokens", &usage.completion_tokens.to_string());
        put("cached_tokens", &usage.cached_tokens.to_string());
    }
    put("bytes_in", &ended.bytes_in.to_string());
    put("bytes_out", &ended.bytes_out.to_string());
    if ended.is_stream {
        put("stream", "true");
    }
    ended.trouble.into_iter().for_each(|trouble| put("trouble", trouble));
    line.push('\n');
    line
}

/// Makes a line that is a JSON object.
fn json(now: Timestamp, ended: &Ended<'_>) -> String {
    let mut line = json!({
        "time": utc(now),
        "id": ended.id,
        "outcome": outcome(ended.outcome),
        "status": ended.status,
        "call": ended.call,
        "client": ended.client,
        "asked": shortened(ended.asked),
        "upstream": ended.upstream,
        "attempts": ended.n_attempts,
        "took_ms": millis(ended.took),
        "first_byte_ms": ended.first_byte.map(millis),
        "queued_ms": millis(ended.queued),
        "overhead_us": ended.overhead.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        "prompt_tokens": ended.usage.map(|usage| usage.prompt_tokens),
        "completion_tokens": ended.usage.map(|usage| usage.completion_tokens),
        "cached_tokens": ended.usage.map(|usage| usage.cached_tokens),
        "bytes_in": ended.bytes_in,
        "bytes_out": ended.bytes_out,
        "stream": ended.is_stream,
        "trouble": ended.trouble,
    })
    .to_string();
    line.push('\n');
    line
}

/// Writes a time in UTC: `2026-11-21T09:15:00.123Z`.
fn utc(at: Timestamp) -> String {
    let (days, ms) = (at.0 / 86_400_000, at.0 % 86_400_000);
    // Counted from the first of March of a year that begins a cycle of 400, the leap day comes last.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = cycle * 400 + year + u64::from(month <= 2);
    let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests;
