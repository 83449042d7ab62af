//! The channels of OpenAI's harmony format, as they leak from servers that do not take them apart.
//!
//! `<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|>`. Servers that drop
//! special tokens leave `analysis…assistantfinal…` of that.

use std::borrow::Cow;

use super::{Said, reader::is_blank, thought::Prose, work::Work};

const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const START: &str = "<|start|>";
const END: &str = "<|end|>";
const ENDS: [&str; 5] = [END, "<|return|>", "<|call|>", START, CHANNEL];

/// Takes a text of channels apart; `None` where it is none.
pub(super) fn said<'a>(content: &'a str, work: &mut Work) -> Option<Said<'a>> {
    let text = content.trim_start_matches(is_blank);
    if text.starts_with("analysis") {
        return without_marks(text);
    }
    let begins = [CHANNEL, START, MESSAGE].iter().any(|mark| text.starts_with(mark));
    // The first mark may stand in the prompt; then the text begins within a message.
    let has_marks = |text: &str| text.contains("<|end|><|start|>") || text.contains("<|channel|>final");
    if !(begins || text.contains("<|") && has_marks(text)) {
        return None;
    }
    let mut messages = Messages { text, at: 0, prose: Prose::new(text) };
    let (mut thoughts, mut others, mut answer) = (Vec::new(), Vec::new(), None);
    if !begins {
        thoughts.push(messages.body(work));
    }
    let mut is_any = false;
    while let Some((header, body)) = messages.next(work) {
        is_any = true;
        match header.split([' ', '\n', '<']).next().unwrap_or_default() {
            "final" => answer = Some(body),
            "commentary" | "assistant" if !header.contains(" to=") => others.push(body),
            _ => thoughts.push(body),
        }
    }
    // Marks within JSON are none, and half a header is no message.
    if !is_any {
        return None;
    }
    // What is said besides a final message is said to the user, too, but is the answer only where there is no other.
    let answer = answer.or_else(|| others.pop());
    thoughts.extend(others);
    thoughts.retain(|thought| !thought.is_empty());
    let thought = match thoughts[..] {
        [] => None,
        [one] => Some(Cow::Borrowed(one)),
        _ => Some(thoughts.join("\n\n").into()),
    };
    Some(Said { thought, answer: answer.unwrap_or_default().into() })
}

struct Messages<'a> {
    text: &'a str,
    at: usize,
    prose: Prose<'a>,
}

impl<'a> Messages<'a> {
    /// Returns the channel line of the next message, and its body.
    fn next(&mut self, work: &mut Work) -> Option<(&'a str, &'a str)> {
        let rest = &self.text[self.at..];
        let message = rest.find(MESSAGE)?;
        let header = &rest[..message];
        // A malformed header may name a channel twice; the last one counts. One without a channel is a final one.
        let channel = match header.rfind(CHANNEL) {
            Some(at) => header[at + CHANNEL.len()..].trim(),
            None => "final",
        };
        self.at += message + MESSAGE.len();
        Some((channel, self.body(work)))
    }

    /// Returns the text up to the mark that ends it.
    fn body(&mut self, work: &mut Work) -> &'a str {
        let from = self.at;
        let mut at = from;
        while let Some(length) = self.text[at..].find("<|") {
            at += length;
            let ends = ENDS.iter().any(|end| self.text[at..].starts_with(end));
            if ends && !self.prose.is_json(at, work) {
                self.at = at;
                return self.text[from..at].trim_matches(is_blank);
            }
            at += 2;
        }
        self.at = self.text.len();
        self.text[from..].trim_matches(is_blank)
    }
}

/// Takes apart what is left of channels when the marks are dropped.
fn without_marks(text: &str) -> Option<Said<'_>> {
    const FINAL: &str = "assistantfinal";
    let rest = text.strip_prefix("analysis")?;
    if let Some(at) = rest.rfind(FINAL) {
        let (thought, answer) = (&rest[..at], &rest[at + FINAL.len()..]);
        // `<|constrain|>json` leaves the word.
        let answer = answer.strip_prefix("json").filter(|rest| rest.starts_with(['{', '['])).unwrap_or(answer);
        return Some(Said { thought: Some(thought.trim().into()), answer: answer.trim().into() });
    }
    // `analysisWe need …` is no English: a thought that did not get to its end. `analysisResults = …` is code.
    let (first, then) = rest.split_once(' ')?;
    let is_word =
        first.starts_with(|c: char| c.is_uppercase()) && first.chars().all(|c| c.is_alphabetic() || c == '\'');
    let is_cut = is_word && then.starts_with(|c: char| c.is_alphanumeric());
    is_cut.then(|| Said { thought: Some(rest.trim().into()), answer: "".into() })
}
