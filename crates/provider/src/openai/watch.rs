//! Watching an answer go by: what it cost and whether it is whole, without touching it.
//!
//! Lines are looked at where they lie. The names that are looked for stand with their quotes, which within a text are
//! escaped, so nothing that a model says is taken for them.

use std::sync::LazyLock;

use domain::{Usage, json};
use memchr::memmem::{Finder, FinderRev};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest line that is kept when it comes in parts. What is longer is passed on all the same, and only its beginning
/// is looked at.
const LINE_MOST: usize = 1 << 20;

static FINISH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"finish_reason\":"));
static LAST_USAGE: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(b"\"usage\":"));
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\":"));

/// In which events an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// Those of chat completions and of completions: choices, then `[DONE]`.
    Choices,
    /// Those of responses, which name themselves.
    Responses,
}

impl Events {
    /// Says what an event is to somebody who waits.
    #[must_use]
    pub fn kind_of(self, data: &[u8]) -> Kind {
        if data == b"[DONE]" {
            // An answer that was given has said something before.
            return Kind::Opening;
        }
        match self {
            Self::Responses => match type_of(data) {
                Some(b"response.created" | b"response.in_progress" | b"response.queued") => Kind::Opening,
                Some(b"response.failed" | b"error") => Kind::Error,
                _ if is_error(data) => Kind::Error,
                _ => Kind::Content,
            },
            Self::Choices if is_error(data) => Kind::Error,
            Self::Choices => match serde_json::from_slice::<Chunk<'_>>(data) {
                Ok(chunk) if !chunk.says_something() => Kind::Opening,
                _ => Kind::Content,
            },
        }
    }
}

/// What an event is to somebody who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It says only that an answer will come.
    Opening,
    /// It is part of the answer.
    Content,
    /// It tells an error.
    Error,
}

/// An answer in events, watched.
#[derive(Debug)]
pub struct Watch {
    events: Events,
    /// A line whose end is not here yet.
    line: Vec<u8>,
    is_line_too_long: bool,
    /// Whether what came last was the blank line behind an event.
    is_between: bool,
    has_data: bool,
    n_choices: usize,
    n_finished: usize,
    is_done: bool,
    usage: Option<Usage>,
    error: Option<Vec<u8>>,
}

impl Watch {
    /// Watches an answer of so many choices.
    #[must_use]
    pub fn new(events: Events, n_choices: usize) -> Self {
        Self {
            events,
            line: Vec::new(),
            is_line_too_long: false,
            is_between: true,
            has_data: false,
            n_choices,
            n_finished: 0,
            is_done: false,
            usage: None,
            error: None,
        }
    }

    /// Looks at what goes by; `each` is told the data of every event.
    pub fn look(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.line.is_empty() && !self.is_line_too_long {
                self.take(line, each);
                continue;
            }
            let mut whole = std::mem::take(&mut self.line);
            if !self.is_line_too_long {
                whole.extend_from_slice(line);
            }
            // The beginning of one that is too long tells at least what it is.
            self.is_line_too_long = false;
            self.take(&whole, each);
            whole.clear();
            // The next line that comes in parts finds the room of this one.
            self.line = whole;
        }
        if !bytes.is_empty() {
            self.is_between = false;
            self.is_line_too_long |= self.line.len() + bytes.len() > LINE_MOST;
            if !self.is_line_too_long {
                self.line.extend_from_slice(bytes);
            }
        }
    }

    fn take(&mut self, line: &[u8], each: &mut dyn FnMut(&[u8])) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.is_between = line.is_empty();
        let Some(data) = line.strip_prefix(b"data:") else { return };
        let data = data.trim_ascii();
        each(data);
        self.has_data = true;
        if data == b"[DONE]" {
            self.is_done = true;
            return;
        }
        match self.events {
            Events::Choices => {
                // Some vendors put several choices into one event, and some an empty reason into every one.
                let reasons = FINISH.find_iter(data).map(|at| data[at + FINISH.needle().len()..].trim_ascii_start());
                let is_reason = |value: &&[u8]| !value.starts_with(b"null") && !value.starts_with(b"\"\"");
                self.n_finished += reasons.filter(is_reason).count();
                if let Some(value) = value_behind(&USAGE, data)
                    && value.starts_with(b"{")
                {
                    self.usage = usage_at(value).or(self.usage);
                }
                if is_error(data) {
                    self.error = Some(data.to_vec());
                }
            }
            Events::Responses => match type_of(data) {
                Some(b"response.completed" | b"response.incomplete") => {
                    self.is_done = true;
                    self.usage = usage_in(data).or(self.usage);
                }
                Some(b"response.failed" | b"error") => self.error = Some(data.to_vec()),
                _ => {}
            },
        }
    }

    /// Returns whether the answer is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match self.events {
            // Vendors leave out either; one who leaves out the finish reason was cut and does not know it.
            Events::Choices => self.error.is_none() && self.n_finished >= self.n_choices,
            Events::Responses => self.is_done,
        }
    }

    /// Returns whether the vendor has said that nothing more comes.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Returns what the answer cost, as far as it was said.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Returns the error that was told in an event.
    #[must_use]
    pub fn error(&self) -> Option<&[u8]> {
        self.error.as_deref()
    }

    /// Returns whether an event of ours may be put in here.
    #[must_use]
    pub fn is_between_events(&self) -> bool {
        self.is_between
    }
}

/// A piece of a completion, as far as it is looked at.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
}

impl Chunk<'_> {
    fn says_something(&self) -> bool {
        let is_something = |value: &RawValue| !matches!(value.get(), "null" | "\"\"" | "[]" | "{}");
        self.choices.iter().any(|choice| {
            let mut is_said = [choice.text, choice.finish_reason].into_iter().flatten().any(is_something);
            if let Some(delta) = choice.delta {
                // All but the role is part of the answer: text, thought, calls of tools, sound.
                let members =
                    json::members(delta.get(), |name, value| is_said |= name != "role" && is_something(value));
                is_said |= members.is_err() && is_something(delta);
            }
            is_said
        })
    }
}

/// Returns what an answer that came whole says that it cost.
#[must_use]
pub fn usage_in(body: &[u8]) -> Option<Usage> {
    // It stands near the end; an earlier one would be in a part of the answer that has a usage of its own.
    let at = LAST_USAGE.rfind(body)?;
    let value = body[at + b"\"usage\":".len()..].trim_ascii_start();
    usage_at(value)
}

fn value_behind<'a>(name: &Finder<'_>, data: &'a [u8]) -> Option<&'a [u8]> {
    let at = name.find(data)? + name.needle().len();
    Some(data[at..].trim_ascii_start())
}

/// Returns whether an event tells an error and nothing of an answer.
fn is_error(data: &[u8]) -> bool {
    let Some(members) = data.strip_prefix(b"{") else { return false };
    let members = members.trim_ascii_start();
    if let Some(value) = members.strip_prefix(b"\"error\"") {
        let value = value.trim_ascii_start().strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        return !value.starts_with(b"null");
    }
    // vLLM: {"object":"error","message":...}
    members.starts_with(b"\"object\":\"error\"") || members.starts_with(b"\"object\": \"error\"")
}

/// Returns the type by which an event names itself.
fn type_of(data: &[u8]) -> Option<&[u8]> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<&'a str>,
    }
    // Nearly all say it first.
    if let Some(rest) = data.strip_prefix(b"{\"type\":\"") {
        return memchr::memchr(b'"', rest).map(|end| &rest[..end]);
    }
    let typed: Typed<'_> = serde_json::from_slice(data).ok()?;
    typed.kind.map(str::as_bytes)
}

#[derive(Deserialize)]
struct Counts {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Option<f64>,
    #[serde(alias = "output_tokens")]
    completion_tokens: Option<f64>,
    total_tokens: Option<f64>,
    #[serde(alias = "input_tokens_details")]
    prompt_tokens_details: Option<Details>,
    #[serde(alias = "output_tokens_details")]
    completion_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<f64>,
    reasoning_tokens: Option<f64>,
}

/// Reads the object with which `value` begins; what stands behind it is nobody's business here.
fn usage_at(value: &[u8]) -> Option<Usage> {
    let counts = serde_json::Deserializer::from_slice(value).into_iter::<Counts>().next()?.ok()?;
    let count = |count: Option<f64>| count.map(|count| if count > 0.0 { count as u64 } else { 0 });
    let prompt = count(counts.prompt_tokens);
    let completion = count(counts.completion_tokens);
    if prompt.is_none() && completion.is_none() && counts.total_tokens.is_none() {
        return None;
    }
    let prompt_tokens = prompt.or_else(|| count(counts.total_tokens)).unwrap_or(0);
    Some(Usage {
        prompt_tokens,
        completion_tokens: completion.unwrap_or(0),
        cached_tokens: counts.prompt_tokens_details.and_then(|it| count(it.cached_tokens)).unwrap_or(0),
        reasoning_tokens: counts.completion_tokens_details.and_then(|it| count(it.reasoning_tokens)).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = concat!(
        ": a comment\n\n",
        "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"say \\\"finish_reason\\\":1 世界\"},\"finish_reason\": null}]}\r\n\r\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\": \"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\": {\"prompt_tokens\":12,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n",
        "data: [DONE]\n\n",
    );

    fn watched(text: &str, n_at_once: usize) -> (Watch, Vec<String>) {
        let (mut watch, mut seen) = (Watch::new(Events::Choices, 1), Vec::new());
        for bytes in text.as_bytes().chunks(n_at_once) {
            watch.look(bytes, &mut |data| seen.push(String::from_utf8(data.to_vec()).unwrap()));
        }
        (watch, seen)
    }

    #[test]
    fn an_answer_is_whole_when_it_says_so_however_it_is_cut_into_pieces() {
        for n_at_once in [1, 2, 7, 64, 10_000] {
            let (watch, seen) = watched(ANSWER, n_at_once);
            assert!(watch.is_whole() && watch.is_done() && watch.is_between_events());
            let usage = watch.usage().unwrap();
            assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens), (12, 3, 4));
            assert_eq!(seen.len(), 5);
        }
    }

    #[test]
    fn a_cut_answer_is_not_whole_whatever_it_ends_with() {
        let finish = ANSWER.find("data: {\"choices\":[{\"index\":0,\"delta\":{},").unwrap();
        let line_end = finish + ANSWER[finish..].find('\n').unwrap();
        for end in 0..=line_end {
            if let Some(cut) = ANSWER.get(..end) {
                assert!(!watched(cut, 50).0.is_whole(), "{cut}");
            }
        }
        // Somebody closed it politely and did not know that something was missing.
        let (watch, _) = watched(&format!("{}data: [DONE]\n\n", &ANSWER[..finish]), 50);
        assert!(watch.is_done() && !watch.is_whole());
        let (watch, _) = watched("data: {\"error\":{\"message\":\"boom\"}}\n\ndata: [DONE]\n\n", 50);
        assert!(!watch.is_whole() && watch.error().is_some());
    }

    #[test]
    fn the_first_word_is_told_from_the_opening() {
        let check = |data: &str, kind: Kind| assert_eq!(Events::Choices.kind_of(data.as_bytes()), kind, "{data}");
        check(r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#, Kind::Opening);
        check(r#"{"choices":[],"prompt_filter_results":[]}"#, Kind::Opening);
        check("[DONE]", Kind::Opening);
        check(r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#, Kind::Content);
        check(r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, Kind::Content);
        check(r#"{"choices":[{"text":"a"}]}"#, Kind::Content);
        check(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, Kind::Content);
        check(r#"{"error":{"message":"overloaded"}}"#, Kind::Error);
        check(r#"{"error":null,"choices":[{"delta":{"content":"a"}}]}"#, Kind::Content);
        check(r#"{"object":"error","message":"cuda"}"#, Kind::Error);
        let check = |data: &str, kind: Kind| assert_eq!(Events::Responses.kind_of(data.as_bytes()), kind, "{data}");
        check(r#"{"type":"response.created","response":{}}"#, Kind::Opening);
        check(r#"{"sequence_number":4,"type":"response.output_text.delta","delta":"a"}"#, Kind::Content);
        check(r#"{"type":"response.failed","response":{}}"#, Kind::Error);
    }

    #[test]
    fn an_empty_reason_is_none_and_several_choices_may_end_in_one_event() {
        let (watch, _) =
            watched("data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"\"}]}\n\n", 50);
        assert!(!watch.is_whole());
        let mut watch = Watch::new(Events::Choices, 2);
        let both = "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"},{\"index\":1,\"finish_reason\":\"stop\"}]}\n\n";
        watch.look(both.as_bytes(), &mut |_| {});
        assert!(watch.is_whole());
    }

    #[test]
    fn the_last_event_of_a_response_with_images_is_known_by_its_beginning() {
        let mut watch = Watch::new(Events::Responses, 1);
        let image = "x".repeat(3 << 20);
        let event = format!("data: {{\"type\":\"response.completed\",\"response\":{{\"output\":[\"{image}\"]}}}}\n\n");
        event.as_bytes().chunks(16 << 10).for_each(|piece| watch.look(piece, &mut |_| {}));
        assert!(watch.is_whole() && watch.is_between_events() && watch.line.len() <= LINE_MOST);
    }

    #[test]
    fn responses_end_with_their_own_word_and_bill() {
        let mut watch = Watch::new(Events::Responses, 1);
        watch.look(
            b"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n",
            &mut |_| {},
        );
        assert!(!watch.is_whole());
        watch.look(b"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":7,\"total_tokens\":12}}}\n\n", &mut |_| {});
        assert!(watch.is_whole());
        assert_eq!(watch.usage().map(|it| (it.prompt_tokens, it.completion_tokens)), Some((5, 7)));
    }

    #[test]
    fn the_bill_of_a_whole_answer_is_found_at_its_end() {
        let usage = usage_in(br#"{"choices":[{"message":{"content":"\"usage\":{}"}}],"usage": {"prompt_tokens":9,"completion_tokens":1,"total_tokens":10},"x":1}"#);
        assert_eq!(usage.map(|it| it.total()), Some(10));
        assert_eq!(usage_in(br#"{"choices":[]}"#), None);
        assert_eq!(usage_in(br#"{"usage":null}"#), None);
        assert_eq!(usage_in(br#"{"data":[],"usage":{"total_tokens":8}}"#).map(|it| it.prompt_tokens), Some(8));
    }
}
