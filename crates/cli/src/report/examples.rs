//! A few records of each kind that did not succeed, to look at.

use std::collections::BTreeMap;

use domain::{End, FailureKind, Outcome, Reason, RecordKey, SkipReason};

use super::said;

/// So many are shown of each kind.
pub(super) const SHOWN: usize = 3;
/// So many are held while the journal is read: some of them turn out to have been asked again and to have succeeded.
const HELD: usize = 12;
/// An excerpt of an answer is no longer than this (characters).
const EXCERPT: usize = 400;
/// Nor is a message.
const MESSAGE: usize = 600;

/// Why a record did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// It failed.
    Failed(FailureKind, Option<Reason>),
    /// It was skipped.
    Skipped(SkipReason),
}

/// A record that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) key: RecordKey,
    pub(super) line: u64,
    pub(super) attempts: u32,
    pub(super) upstream: Option<String>,
    pub(super) message: String,
    pub(super) excerpt: Option<String>,
    /// It took the answer to another record's request, which says the same and has more to show.
    is_duplicate: bool,
}

/// Examples of each kind, the first ones in the order of the journal.
#[derive(Debug, Default)]
pub(super) struct Examples {
    held: BTreeMap<Why, Vec<Example>>,
}

impl Examples {
    /// Takes the outcome of a record, and forgets an earlier one.
    pub(super) fn settle(&mut self, outcome: &Outcome, raw: &[u8]) {
        self.reopen(&outcome.key);
        let (why, message) = match &outcome.end {
            End::Failed(failure) => (Why::Failed(failure.kind, failure.reason), &failure.message),
            End::Skipped { reason, message } => (Why::Skipped(*reason), message),
            _ => return,
        };
        let held = self.held.entry(why).or_default();
        let is_duplicate = outcome.same_as.is_some();
        if held.len() >= HELD
            && !is_duplicate
            && let Some(other) = held.iter().rposition(|example| example.is_duplicate)
        {
            held.remove(other);
        }
        if held.len() < HELD {
            held.push(Example {
                key: outcome.key,
                line: outcome.line,
                attempts: outcome.attempts,
                upstream: outcome.meta.upstream.clone(),
                message: cut(message, MESSAGE),
                excerpt: excerpt(raw),
                is_duplicate,
            });
        }
    }

    /// Forgets a record: it is open again.
    pub(super) fn reopen(&mut self, key: &RecordKey) {
        for held in self.held.values_mut() {
            held.retain(|example| example.key != *key);
        }
    }

    /// Returns how many are at hand of one kind.
    pub(super) fn n(&self, why: Why) -> usize {
        self.held.get(&why).map_or(0, Vec::len)
    }

    /// Returns the examples of one kind: before all others those that were asked for, and that say different things.
    pub(super) fn of(&self, why: Why) -> Vec<&Example> {
        let Some(held) = self.held.get(&why) else { return Vec::new() };
        let is_first = |n: usize| held[..n].iter().all(|other| other.message != held[n].message);
        let mut order: Vec<usize> = (0..held.len()).collect();
        order.sort_by_key(|n| (held[*n].is_duplicate, !is_first(*n)));
        order.truncate(SHOWN);
        order.sort_unstable();
        order.into_iter().map(|n| &held[n]).collect()
    }
}

/// Cuts a text to `n` characters, and says that it did.
pub(super) fn cut(text: &str, n: usize) -> String {
    match text.char_indices().nth(n) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Returns the beginning of what a model said, or of whatever came instead of it; nothing where nothing came.
fn excerpt(raw: &[u8]) -> Option<String> {
    if raw.is_empty() {
        return None;
    }
    let text = said::text_of(raw).filter(|text| !text.trim().is_empty());
    // The first few bytes are enough, however long it is; a character that is cut in two is no matter.
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(&raw[..raw.len().min(4 * EXCERPT)]).into_owned());
    Some(cut(text.trim(), EXCERPT))
}

#[cfg(test)]
mod tests {
    use domain::Failure;

    use super::*;
    use crate::report::tests::outcome;

    fn failed(position: u64, message: &str) -> Outcome {
        let end = End::Failed(Failure::new(FailureKind::Timeout, message));
        Outcome { end, ..outcome(position) }
    }

    #[test]
    fn examples_say_different_things_and_are_of_records_that_still_failed() {
        let mut examples = Examples::default();
        for (position, message) in [(0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "c")] {
            examples.settle(&failed(position, message), &[]);
        }
        let why = Why::Failed(FailureKind::Timeout, None);
        let lines = |examples: &Examples| examples.of(why).iter().map(|e| e.key.position).collect::<Vec<_>>();
        assert_eq!(lines(&examples), [0, 3, 4]);
        examples.settle(&outcome(3), &[]);
        examples.reopen(&outcome(4).key);
        assert_eq!(lines(&examples), [0, 1, 5]);
    }

    #[test]
    fn records_that_were_asked_for_are_shown_rather_than_those_that_took_their_answers() {
        let mut examples = Examples::default();
        for position in 0..40 {
            let mut outcome = failed(position, &format!("the identical request of line {position} failed"));
            outcome.same_as = Some(outcome.key);
            examples.settle(&outcome, &[]);
        }
        for position in [50, 60] {
            examples.settle(&failed(position, "no answer"), &[]);
        }
        let shown = examples.of(Why::Failed(FailureKind::Timeout, None));
        assert_eq!(shown.iter().map(|example| example.key.position).collect::<Vec<_>>(), [0, 50, 60]);
    }

    #[test]
    fn an_excerpt_is_what_the_model_said_or_what_came_instead() {
        for (raw, text) in [
            (r#"{"choices":[{"message":{"content":"  hello "}}],"usage":{}}"#, "hello"),
            (r#"{"choices":[{"message":{"content":[{"type":"text","text":"in parts"}]}}]}"#, "in parts"),
            (r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#, "no"),
            (r#"{"choices":[{"message":{"content":null}}]}"#, r#"{"choices":[{"message":{"content":null}}]}"#),
            ("<html>bad gateway</html>", "<html>bad gateway</html>"),
        ] {
            assert_eq!(excerpt(raw.as_bytes()).unwrap(), text);
        }
        assert_eq!(excerpt(b""), None);
        let long = excerpt("é".repeat(5000).as_bytes()).unwrap();
        assert_eq!((long.chars().count(), long.ends_with('…')), (EXCERPT + 1, true));
        assert!(excerpt(&[0xff; 9]).is_some());
    }
}
