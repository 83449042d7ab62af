//! Lines of the failures file.

use std::borrow::Cow;

use domain::{End, Outcome, Record, json};
use serde_json::Value;

/// How much of a text that is not a record is shown, in characters.
const SHOWN: usize = 2_000;

/// A record that did not succeed.
pub(crate) struct Told<'a> {
    pub(crate) record: &'a Record,
    pub(crate) outcome: &'a Outcome,
    pub(crate) end: &'a End,
    /// The part that it stands in, where there are several.
    pub(crate) file: Option<&'a str>,
    /// How its place is called.
    pub(crate) noun: &'a str,
}

/// Returns how a record ended: the way, the kind within it, and what there is to say.
fn words_of(end: &End) -> (&'static str, &'static str, &str) {
    match end {
        End::Succeeded => ("succeeded", "succeeded", ""),
        End::Failed(failure) => ("failed", failure.kind.word(), &failure.message),
        End::Skipped { reason, message } => ("skipped", reason.word(), message),
        End::Cancelled => ("cancelled", "cancelled", "called off by the user"),
        End::Missing => ("missing", "missing", "the work came back without this record"),
    }
}

/// Returns what a column of the user's choice says of how a record ended; nothing where the pipeline left it out.
pub(crate) fn status_of(end: &End) -> Option<String> {
    let (status, kind, message) = words_of(end);
    match end {
        End::Skipped { reason, .. } if reason.is_expected() => None,
        End::Failed(_) | End::Skipped { .. } => Some(format!("{status}: {kind} - {message}")),
        End::Succeeded | End::Cancelled | End::Missing => Some(status.to_owned()),
    }
}

/// Returns the first `most` characters of a text, and a mark where there are more.
pub(crate) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Appends the line of a record that did not succeed.
pub(crate) fn push_failure(told: &Told<'_>, out: &mut Vec<u8>) {
    let Told { record, outcome, end, file, noun } = told;
    let (status, kind, message) = words_of(end);
    out.push(b'{');
    if let Some(file) = file {
        out.extend_from_slice(format!("\"file\":{},", Value::from(*file)).as_bytes());
    }
    out.extend_from_slice(format!("\"{noun}\":{},", outcome.line).as_bytes());
    if outcome.key.sample != 0 {
        out.extend_from_slice(format!("\"sample\":{},", outcome.key.sample).as_bytes());
    }
    let head = format!(
        "\"status\":\"{status}\",\"kind\":\"{kind}\",\"message\":{},\"attempts\":{},",
        Value::from(message),
        outcome.attempts
    );
    out.extend_from_slice(head.as_bytes());
    match str::from_utf8(&record.bytes).map(str::trim_ascii) {
        Ok(text) if json::members(text, |_, _| ()).is_ok() => {
            out.extend_from_slice(b"\"record\":");
            push_line(text, out);
        }
        _ => {
            out.extend_from_slice(b"\"text\":");
            out.extend_from_slice(Value::from(shown(&record.bytes)).to_string().as_bytes());
        }
    }
    out.extend_from_slice(b"}\n");
}

/// Appends a record, which may stand over several lines, on one.
fn push_line(text: &str, out: &mut Vec<u8>) {
    if memchr::memchr(b'\n', text.as_bytes()).is_none() {
        return out.extend_from_slice(text.as_bytes());
    }
    let mut line = String::with_capacity(text.len());
    json::compact(text, &mut line);
    out.extend_from_slice(line.as_bytes());
}

/// Returns what can be shown of bytes that are no record, cut where that is much.
fn shown(bytes: &[u8]) -> String {
    // A character has at most four bytes: what lies behind cannot be shown and need not be looked at.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN + 4)]);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} … (cut; {} bytes in all)", &text[..end], bytes.len()),
        None => text.into_owned(),
    }
}
