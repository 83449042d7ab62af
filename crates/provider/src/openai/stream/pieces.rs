//! The pieces of a completion, put together.
//!
//! Texts are joined as they stand in JSON, escapes and all: nothing is read and written again, and half of a character
//! that was escaped in two events becomes a whole one.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Fault, events::Event};

/// What a choice or a call costs besides its texts, towards the limit.
const ENTRY: usize = 64;

/// What came so far.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Whether the vendor has said that nothing more comes.
    pub(super) is_done: bool,
    /// How much is kept.
    pub(super) n_bytes: usize,
    n_choices: usize,
    /// Members of the whole answer, the first of each that came, in this order.
    head: [Option<Box<str>>; HEAD.len()],
    usage: Option<Box<str>>,
    choices: Vec<Choice>,
}

/// Members that are taken from the first event that has them.
const HEAD: [&str; 5] = ["id", "created", "model", "service_tier", "system_fingerprint"];

#[derive(Debug, Default)]
struct Choice {
    index: u64,
    content: Text,
    reasoning_content: Text,
    // The same under the name that OpenRouter, Ollama and newer vLLM give it.
    reasoning: Text,
    refusal: Text,
    calls: Vec<Call>,
    function: Function,
    logprobs: Text,
    finish_reason: Option<Box<str>>,
}

#[derive(Debug, Default)]
struct Call {
    index: u64,
    id: Option<Box<str>>,
    kind: Option<Box<str>>,
    function: Function,
}

#[derive(Debug, Default)]
struct Function {
    name: Text,
    arguments: Text,
}

/// The inside of a JSON string, or of a list, that grows; nothing where none of it came.
#[derive(Debug, Default)]
struct Text(Option<String>);

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    system_fingerprint: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Vec<PieceOfChoice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<Groq<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Groq's own place for the usage. <https://console.groq.com/docs/api-reference#chat-create>
#[derive(Deserialize)]
struct Groq<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PieceOfChoice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    /// In place of `delta`, where a server sends all of the answer in one event.
    #[serde(borrow)]
    message: Option<Delta<'a>>,
    #[serde(borrow)]
    logprobs: Option<Logprobs<'a>>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
    /// Moonshot's place for it. <https://github.com/earendil-works/pi/issues/2017>
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<Vec<PieceOfCall<'a>>>,
    #[serde(borrow)]
    function_call: Option<PieceOfFunction<'a>>,
}

#[derive(Deserialize)]
struct PieceOfCall<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<PieceOfFunction<'a>>,
}

#[derive(Deserialize)]
struct PieceOfFunction<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Logprobs<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// A part of a content that comes as a list: <https://docs.mistral.ai/capabilities/reasoning/>.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
}

impl Pieces {
    /// Expects so many choices.
    pub(super) fn new(n_choices: usize) -> Self {
        Self { n_choices, ..Self::default() }
    }

    /// Returns whether every choice that began has come to its end, and all that were asked for began, unless the vendor
    /// has said that nothing more comes: some do not care how many were asked for.
    pub(super) fn is_whole(&self) -> bool {
        !self.choices.is_empty()
            && (self.is_done || self.choices.len() >= self.n_choices)
            && self.choices.iter().all(|choice| choice.finish_reason.is_some())
    }

    /// Adds what an event says.
    pub(super) fn add(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let Event { data, is_error } = event;
        if is_error {
            return Err(Fault::Told(data.to_owned()));
        }
        match data {
            b"" => return Ok(()),
            b"[DONE]" => {
                self.is_done = true;
                return Ok(());
            }
            _ => {}
        }
        let piece: Piece<'_> = serde_json::from_slice(data).map_err(|e| Fault::Garbled(garbled(&e)))?;
        let is_told = piece.error.is_some()
            || piece.x_groq.as_ref().is_some_and(|groq| groq.error.is_some())
            || piece.object.is_some_and(|object| object.get() == "\"error\"");
        if is_told {
            return Err(Fault::Told(data.to_owned()));
        }
        let head = [piece.id, piece.created, piece.model, piece.service_tier, piece.system_fingerprint];
        for (kept, came) in self.head.iter_mut().zip(head) {
            if let (None, Some(came)) = (&kept, came) {
                self.n_bytes += came.get().len();
                *kept = Some(came.get().into());
            }
        }
        let mut usage = piece.usage.or(piece.x_groq.and_then(|groq| groq.usage));
        for choice in piece.choices.into_iter().flatten() {
            usage = usage.or(choice.usage);
            if choice.finish_reason.is_some_and(|reason| reason.get() == "\"error\"") {
                return Err(Fault::Told(data.to_owned()));
            }
            self.n_bytes += self.choice(choice.index.unwrap_or(0)).add(choice);
        }
        if let Some(usage) = usage {
            // It may come with every event, each time for all that came so far.
            self.usage = Some(usage.get().into());
        }
        Ok(())
    }

    fn choice(&mut self, index: u64) -> &mut Choice {
        let at = self.choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
            self.n_bytes += ENTRY;
            self.choices.push(Choice { index, ..Choice::default() });
            self.choices.len() - 1
        });
        &mut self.choices[at]
    }

    /// Writes the completion.
    pub(super) fn completion(mut self) -> Bytes {
        let mut out = String::with_capacity(self.n_bytes + 256 * self.choices.len() + 256);
        out.push('{');
        for (name, value) in HEAD.iter().zip(&self.head) {
            if let Some(value) = value {
                push(&mut out, &["\"", name, "\":", value, ","]);
            }
            if *name == "id" {
                out.push_str("\"object\":\"chat.completion\",");
            }
        }
        out.push_str("\"choices\":[");
        self.choices.sort_by_key(|choice| choice.index);
        for (n, choice) in self.choices.iter().enumerate() {
            out.push_str(if n == 0 { "" } else { "," });
            choice.write(&mut out);
        }
        out.push(']');
        if let Some(usage) = &self.usage {
            push(&mut out, &[",\"usage\":", usage]);
        }
        out.push('}');
        out.into()
    }
}

impl Choice {
    /// Adds a piece; returns how much of it is kept.
    fn add(&mut self, piece: PieceOfChoice<'_>) -> usize {
        let mut n = 0;
        if let Some(delta) = piece.delta.or(piece.message) {
            n += self.add_content(delta.content);
            n += self.reasoning_content.string(delta.reasoning_content);
            n += self.reasoning.string(delta.reasoning);
            n += self.refusal.string(delta.refusal);
            for call in delta.tool_calls.into_iter().flatten() {
                n += self.add_call(&call);
            }
            n += delta.function_call.map_or(0, |piece| self.function.add(&piece));
        }
        n += self.logprobs.items(piece.logprobs.and_then(|logprobs| logprobs.content));
        // Some vendors say that there is none yet with an empty text.
        if let Some(reason) = piece.finish_reason.filter(|reason| reason.get() != "\"\"") {
            self.finish_reason = Some(reason.get().into());
        }
        n
    }

    fn add_content(&mut self, content: Option<&RawValue>) -> usize {
        let Some(list) = content.filter(|content| content.get().starts_with('[')) else {
            return self.content.string(content);
        };
        let parts: Vec<Part<'_>> = serde_json::from_str(list.get()).unwrap_or_default();
        let mut n = 0;
        for part in parts {
            n += self.content.string(part.text);
            let Some(thinking) = part.thinking else { continue };
            match serde_json::from_str::<Vec<Part<'_>>>(thinking.get()) {
                Ok(parts) => n += parts.iter().map(|part| self.reasoning_content.string(part.text)).sum::<usize>(),
                Err(_) => n += self.reasoning_content.string(Some(thinking)),
            }
        }
        n
    }

    fn add_call(&mut self, piece: &PieceOfCall<'_>) -> usize {
        let id = piece.id.map(RawValue::get).filter(|id| *id != "\"\"");
        // Where a vendor counts all calls as the first, they differ by their id.
        let is_same = |call: &Call| {
            piece.index.is_none_or(|index| call.index == index)
                && (id.is_none() || call.id.is_none() || id == call.id.as_deref())
        };
        let mut n = 0;
        let at = self.calls.iter().rposition(is_same).unwrap_or_else(|| {
            n += ENTRY;
            let index = piece.index.unwrap_or(self.calls.len() as u64);
            self.calls.push(Call { index, ..Call::default() });
            self.calls.len() - 1
        });
        let call = &mut self.calls[at];
        for (kept, came) in [(&mut call.id, id), (&mut call.kind, piece.kind.map(RawValue::get))] {
            if let (None, Some(came)) = (&kept, came) {
                n += came.len();
                *kept = Some(came.into());
            }
        }
        n + piece.function.as_ref().map_or(0, |piece| call.function.add(piece))
    }

    fn write(&self, out: &mut String) {
        push(out, &["{\"index\":", &self.index.to_string(), ",\"message\":{\"role\":\"assistant\",\"content\":"]);
        self.content.write(out);
        let reasoning = if self.reasoning_content.is_empty() { &self.reasoning } else { &self.reasoning_content };
        for (name, text) in [(",\"reasoning_content\":", reasoning), (",\"refusal\":", &self.refusal)] {
            if text.0.is_some() {
                out.push_str(name);
                text.write(out);
            }
        }
        if !self.calls.is_empty() {
            out.push_str(",\"tool_calls\":[");
            for (n, call) in self.calls.iter().enumerate() {
                let id = call.id.as_deref().unwrap_or("null");
                let kind = call.kind.as_deref().unwrap_or("\"function\"");
                push(out, &[if n == 0 { "" } else { "," }, "{\"id\":", id, ",\"type\":", kind, ",\"function\":"]);
                call.function.write(out);
                out.push('}');
            }
            out.push(']');
        }
        if self.function.name.0.is_some() {
            out.push_str(",\"function_call\":");
            self.function.write(out);
        }
        out.push('}');
        if let Text(Some(items)) = &self.logprobs {
            push(out, &[",\"logprobs\":{\"content\":[", items, "]}"]);
        }
        push(out, &[",\"finish_reason\":", self.finish_reason.as_deref().unwrap_or("null"), "}"]);
    }
}

impl Function {
    fn add(&mut self, piece: &PieceOfFunction<'_>) -> usize {
        let mut n = 0;
        // Vendors that send the name with every piece send all of it.
        let is_again = piece.name.is_some_and(|name| self.name.0.as_deref() == Some(inside(name)));
        if !is_again {
            n += self.name.string(piece.name);
        }
        match piece.arguments {
            // Arguments are a text that holds JSON; some vendors send the JSON itself.
            Some(object) if object.get().starts_with('{') => {
                let quoted = serde_json::Value::from(object.get()).to_string();
                n + self.arguments.push(&quoted[1..quoted.len() - 1])
            }
            arguments => n + self.arguments.string(arguments),
        }
    }

    fn write(&self, out: &mut String) {
        let text = |text: &Text| text.0.clone().unwrap_or_default();
        push(out, &["{\"name\":\"", &text(&self.name), "\",\"arguments\":\"", &text(&self.arguments), "\"}"]);
    }
}

impl Text {
    fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(String::is_empty)
    }

    /// Adds a string; anything else says nothing.
    fn string(&mut self, value: Option<&RawValue>) -> usize {
        match value {
            Some(value) if value.get().starts_with('"') => self.push(inside(value)),
            _ => 0,
        }
    }

    /// Adds the items of a list.
    fn items(&mut self, value: Option<&RawValue>) -> usize {
        let Some(items) = value.map(inside).map(str::trim).filter(|items| !items.is_empty()) else { return 0 };
        if !self.is_empty() {
            self.push(",");
        }
        self.push(items)
    }

    fn push(&mut self, text: &str) -> usize {
        self.0.get_or_insert_default().push_str(text);
        text.len()
    }

    fn write(&self, out: &mut String) {
        match &self.0 {
            Some(text) => push(out, &["\"", text, "\""]),
            None => out.push_str("null"),
        }
    }
}

/// Returns what stands between the quotes of a string, or the brackets of a list.
fn inside(value: &RawValue) -> &str {
    let text = value.get();
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
}

fn push(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

fn garbled(error: &serde_json::Error) -> String {
    if error.is_data() { format!("no piece of a completion ({error})") } else { domain::json::in_words(error) }
}
