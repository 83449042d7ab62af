use std::{path::Path, sync::Mutex};

use domain::Usage;

use super::*;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_262_400_123)
    }
}

/// Somewhere to write that takes its time, and can be looked at.
#[derive(Clone, Default)]
struct Page {
    text: Arc<Mutex<Vec<u8>>>,
    /// Held while nothing can be written.
    is_stuck: Arc<Mutex<()>>,
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _free = self.is_stuck.lock().unwrap();
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}

fn ended(asked: &str) -> Ended<'_> {
    Ended {
        id: "mine-1",
        call: "chat",
        client: Some("team a"),
        client_number: Some(0),
        asked,
        upstream: Some("small"),
        upstream_number: Some(0),
        outcome: Outcome::Answered,
        status: 200,
        n_attempts: 2,
        took: Duration::from_micros(1_234_567),
        overhead: Some(Duration::from_nanos(83_900)),
        first_byte: Some(Duration::from_millis(250)),
        attempt_took: None,
        queued: Duration::from_millis(1),
        was_in_line: true,
        usage: Some(Usage { prompt_tokens: 12, completion_tokens: 34, cached_tokens: 5, reasoning_tokens: 0 }),
        bytes_in: 100,
        bytes_out: 2_000,
        is_stream: true,
        trouble: Some("throttled (429)"),
    }
}

fn open(format: LogFormat, page: &Page) -> AccessLog {
    AccessLog::open(format, LogTarget::Writer(Box::new(page.clone())), Arc::new(Noon), Box::new(|_| ())).unwrap()
}

#[test]
fn a_line_tells_how_a_request_ended() {
    let page = Page::default();
    open(LogFormat::Text, &page).write(&ended("gpt-4"));
    assert_eq!(
        page.text(),
        "2026-11-21T12:00:00.123Z answered chat status=200 id=mine-1 client=\"team a\" asked=gpt-4 upstream=small attempts=2 \
         took=1234.567ms first_byte=250ms queued=1ms overhead=83us prompt_tokens=12 completion_tokens=34 cached_tokens=5 \
         bytes_in=100 bytes_out=2000 stream=true trouble=\"throttled (429)\"\n"
    );
    let page = Page::default();
    open(LogFormat::Json, &page).write(&ended("gpt-4"));
    let line: serde_json::Value = serde_json::from_str(page.text().trim_end()).unwrap();
    let want = json!({
        "time": "2026-11-21T12:00:00.123Z", "id": "mine-1", "outcome": "answered", "status": 200, "call": "chat",
        "client": "team a", "asked": "gpt-4", "upstream": "small", "attempts": 2, "took_ms": 1234.567,
        "first_byte_ms": 250.0, "queued_ms": 1.0, "overhead_us": 83, "prompt_tokens": 12, "completion_tokens": 34,
        "cached_tokens": 5, "bytes_in": 100, "bytes_out": 2000, "stream": true, "trouble": "throttled (429)",
    });
    assert_eq!(line, want);
}

#[test]
fn what_a_client_writes_cannot_make_a_line_of_its_own() {
    let evil = format!("x\n2026-11-21T12:00:00.123Z answered \u{1b}[2J\"{}", "y".repeat(10_000));
    for format in [LogFormat::Text, LogFormat::Json] {
        let page = Page::default();
        open(format, &page).write(&ended(&evil));
        let text = page.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}') && text.len() < 1_000, "{text}");
    }
}

#[test]
fn without_a_format_nothing_is_written() {
    let page = Page::default();
    open(LogFormat::Off, &page).write(&ended("a"));
    assert_eq!(page.text(), "");
}

#[test]
fn a_file_that_is_moved_away_is_begun_anew() {
    let folder = std::env::temp_dir().join(format!("tidemill-log-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (path, moved) = (folder.join("access.log"), folder.join("access.log.1"));
    let log =
        AccessLog::open(LogFormat::Text, LogTarget::File(path.clone()), Arc::new(Noon), Box::new(|_| ())).unwrap();
    log.write(&ended("one"));
    let written = |path: &Path, word: &str| {
        let read = || std::fs::read_to_string(path).unwrap_or_default();
        let is_there = || read().contains(word);
        (0..1_000_000).any(|_| {
            std::thread::yield_now();
            is_there()
        })
    };
    assert!(written(&path, "asked=one"));
    std::fs::rename(&path, &moved).unwrap();
    log.reopen();
    log.write(&ended("two"));
    assert!(written(&path, "asked=two"));
    assert!(!std::fs::read_to_string(&moved).unwrap().contains("two"));
    drop(log);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_disk_that_is_slow_costs_lines_which_are_counted_and_no_request() {
    let page = Page::default();
    let stuck = page.is_stuck.lock().unwrap();
    let log = open(LogFormat::Text, &page);
    let n_written = 2 * WAITING as u64;
    for _ in 0..n_written {
        log.write(&ended("a"));
    }
    let n_dropped = log.n_dropped();
    assert!(n_dropped > 0);
    drop(stuck);
    drop(log);
    assert_eq!(page.text().lines().count() as u64 + n_dropped, n_written);
}

#[test]
fn times_are_those_of_the_calendar() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_799_999, "2000-02-29T23:59:59.999Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (1_798_761_599_000, "2026-12-31T23:59:59.000Z"),
    ] {
        assert_eq!(utc(Timestamp(ms)), text);
    }
}
