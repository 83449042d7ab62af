//! What a model meant by what it said: its thought apart from its answer, and the JSON in the answer.
//!
//! Which of several values is meant: the last one in the answer that names the fields that were asked for. Models show an
//! example, echo the schema, draft and correct themselves *before* they answer; what they write *behind* an answer is
//! notes. A value that is broken or cut off takes part in that choice, so that a draft never stands in for an answer that
//! did not work. Why, and how others do it: `docs/design/2026-11-21-messy-answers.md`.
//!
//! Nothing is guessed: what can be read in two ways is no answer, and a cut answer is never closed. What was valid from
//! the start is handed on byte by byte.

mod candidates;
mod escaped;
mod harmony;
mod marks;
mod reader;
mod strings;
mod thought;
mod work;

use std::borrow::Cow;

use domain::json;
use serde_json::value::RawValue;

use reader::is_blank;
use work::Work;

/// A model's text in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// What stood in think blocks, trimmed; `None` where there was no mark of one, empty where a block was empty.
    pub(super) thought: Option<Cow<'a, str>>,
    /// The rest: the whole text, to the byte, where there was no thought. Empty where the text ended within the thought.
    pub(super) answer: Cow<'a, str>,
}

/// What kind of JSON was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Object,
    Array,
    /// An object or an array; any other value only where it is the whole answer.
    Any,
}

impl Wanted {
    /// Says whether a value that begins like `json` is of this kind.
    fn has(self, json: &str) -> bool {
        match self {
            Self::Object => json.starts_with('{'),
            Self::Array => json.starts_with('['),
            Self::Any => json.starts_with(['{', '[']),
        }
    }
}

/// Takes the think block off the front of a model's text.
pub(super) fn said(content: &str) -> Said<'_> {
    thought::said(content, &mut Work::on(content))
}

/// Returns the JSON that was meant by `answer`, as strict JSON text: borrowed as it stands, owned where it was mended.
///
/// `fields` are the names that were asked for, where an object was; they help to choose where the answer holds several,
/// and tell a wrapper (`{"result": {…}}`, `[{…}]`) from the answer in it.
pub(super) fn json_in<'a>(answer: &'a str, wanted: Wanted, fields: &[&str]) -> Option<Cow<'a, str>> {
    within(answer, wanted, fields, &mut Work::on(answer))
}

/// Returns how many bytes were looked at to find the JSON in `answer`.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn work_on(answer: &str, wanted: Wanted, fields: &[&str]) -> usize {
    let mut work = Work::on(answer);
    within(answer, wanted, fields, &mut work);
    work.done()
}

fn within<'a>(answer: &'a str, wanted: Wanted, fields: &[&str], work: &mut Work) -> Option<Cow<'a, str>> {
    let whole = answer.trim_matches(is_blank);
    if let Some(found) = whole_value(whole, wanted, fields) {
        return Some(Cow::Borrowed(found));
    }
    let found = candidates::best(whole, wanted, fields, work)?;
    // What was mended is strict by construction; a mistake in that must not become somebody's data.
    serde_json::from_str::<&RawValue>(&found).is_ok().then_some(found)
}

/// Returns the value that the whole text is, taken out of its wrapper.
fn whole_value<'a>(text: &'a str, wanted: Wanted, fields: &[&str]) -> Option<&'a str> {
    if text.starts_with('{') && wanted != Wanted::Array {
        let mut n_declared = 0;
        json::members(text, |name, _| n_declared += usize::from(fields.contains(&&*name))).ok()?;
        return Some(if n_declared == 0 { unwrapped(text, fields).unwrap_or(text) } else { text });
    }
    let is_value = wanted == Wanted::Any || (wanted == Wanted::Array && text.starts_with('['));
    if is_value && serde_json::from_str::<&RawValue>(text).is_ok() {
        return Some(text);
    }
    (wanted == Wanted::Object && text.starts_with('[')).then(|| unwrapped(text, fields)).flatten()
}

/// Members that models put an answer in, beside others that say what it is.
const WRAPPERS: [&str; 3] = ["arguments", "parameters", "properties"];

/// Returns the object with all `fields` that is all there is in strict JSON: in an array of one, in an object of one
/// member, in the arguments of a call.
fn unwrapped<'j>(outer: &'j str, fields: &[&str]) -> Option<&'j str> {
    if fields.is_empty() {
        return None;
    }
    if outer.starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(outer).ok()?;
        let [only] = elements[..] else { return None };
        return has_all(only.get(), fields).then(|| only.get());
    }
    let (mut n_members, mut inner) = (0, None);
    json::members(outer, |name, value| {
        n_members += 1;
        let is_known = WRAPPERS.contains(&&*name);
        if n_members == 1 || is_known {
            inner = Some((value.get(), is_known));
        }
    })
    .ok()?;
    let (inner, is_known) = inner?;
    ((n_members == 1 || is_known) && has_all(inner, fields)).then_some(inner)
}

fn has_all(object: &str, fields: &[&str]) -> bool {
    n_named(object, fields) == Some(fields.len())
}

/// Returns how many of `fields` an object has; `None` where `object` is none.
fn n_named(object: &str, fields: &[&str]) -> Option<usize> {
    let mut seen = vec![false; fields.len()];
    json::members(object, |name, _| {
        if let Some(i) = fields.iter().position(|field| *field == name) {
            seen[i] = true;
        }
    })
    .ok()?;
    Some(seen.into_iter().filter(|seen| *seen).count())
}
