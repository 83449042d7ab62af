//! Walking over two journals side by side, in the order of their records.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use domain::{End, EndClass, Header, Outcome};
use serde_json::{Map, Value};
use store::{Journal, LocalDisk, RunFolder, Settled, Walk};

use super::{EndChange, Example, Field, Records};
use crate::report::examples::cut;

/// So many records are shown that came out differently.
const SHOWN: usize = 10;
/// And of each field, so that one that always differs leaves room for the others.
const SHOWN_OF_FIELD: usize = 3;
/// So many fields are told one by one.
const FIELDS: usize = 200;
/// A value that is shown is no longer than this (characters).
const VALUE: usize = 200;

/// Compares the outcomes of two runs.
pub(super) fn compare(a: &RunFolder, b: &RunFolder, step_names: &[String]) -> anyhow::Result<Records> {
    let mut comparing =
        Comparing { records: Records::default(), fields: BTreeMap::new(), ends: BTreeMap::new(), step_names };
    let (Some(mut walk_a), Some(mut walk_b)) = (walk(a)?, walk(b)?) else {
        // A run that was killed in its first moment has no journal, and nothing in common with anything.
        for (folder, n) in [(a, 0), (b, 1)] {
            let Some(mut walk) = walk(folder)? else { continue };
            while walk.next_settled()?.is_some() {
                *(if n == 0 { &mut comparing.records.only_a } else { &mut comparing.records.only_b }) += 1;
            }
        }
        return Ok(comparing.finish());
    };
    let (mut next_a, mut next_b) = (walk_a.next_settled()?, walk_b.next_settled()?);
    loop {
        let order = match (&next_a, &next_b) {
            (Some(a), Some(b)) => a.key.cmp(&b.key),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        if let (Ordering::Equal, Some(a), Some(b)) = (order, &next_a, &next_b) {
            comparing.records.common += 1;
            comparing.pair(outcome(&mut walk_a, a)?, outcome(&mut walk_b, b)?);
        }
        comparing.records.only_a += u64::from(order == Ordering::Less);
        comparing.records.only_b += u64::from(order == Ordering::Greater);
        if order != Ordering::Greater {
            next_a = walk_a.next_settled()?;
        }
        if order != Ordering::Less {
            next_b = walk_b.next_settled()?;
        }
    }
    Ok(comparing.finish())
}

fn walk(folder: &RunFolder) -> anyhow::Result<Option<Walk>> {
    if !folder.journal().exists() {
        return Ok(None);
    }
    Ok(Some(Journal::walk(Arc::new(LocalDisk), &folder.journal())?))
}

fn outcome(walk: &mut Walk, settled: &Settled) -> anyhow::Result<Option<Box<Outcome>>> {
    Ok(walk.read(settled)?.and_then(|entry| match entry.header {
        Header::Outcome(outcome) => Some(outcome),
        _ => None,
    }))
}

struct Comparing<'a> {
    records: Records,
    fields: BTreeMap<String, Field>,
    ends: BTreeMap<(&'static str, &'static str), u64>,
    step_names: &'a [String],
}

impl Comparing<'_> {
    fn pair(&mut self, a: Option<Box<Outcome>>, b: Option<Box<Outcome>>) {
        let (Some(a), Some(b)) = (a, b) else {
            self.records.unreadable += 1;
            return;
        };
        if a.hash != b.hash {
            self.records.other_content += 1;
            return;
        }
        let (word_a, word_b) = (word(&a.end), word(&b.end));
        if word_a != word_b {
            *self.ends.entry((word_a, word_b)).or_default() += 1;
            if self.records.end_examples.len() < SHOWN {
                let example = self.example(&a, None, Some(told(&a.end)), Some(told(&b.end)));
                self.records.end_examples.push(example);
            }
        }
        if a.end == End::Succeeded && b.end == End::Succeeded {
            self.answers(&a, &b);
        }
    }

    fn answers(&mut self, a: &Outcome, b: &Outcome) {
        self.records.compared += 1;
        let (text_a, text_b) = (text(a), text(b));
        if text_a == text_b {
            self.records.equal += 1;
            return;
        }
        let (fields_a, fields_b) = (fields(text_a), fields(text_b));
        // The same fields in another order, or with other blanks between them, are the same answer.
        if fields_a == fields_b {
            self.records.equal += 1;
            return;
        }
        self.records.different += 1;
        let names = fields_a.keys().chain(fields_b.keys().filter(|name| !fields_a.contains_key(*name)));
        for name in names {
            let (value_a, value_b) = (fields_a.get(name), fields_b.get(name));
            if value_a == value_b {
                continue;
            }
            if self.fields.len() >= FIELDS && !self.fields.contains_key(name) {
                continue;
            }
            let empty = || Field { field: name.clone(), changed: 0, only_a: 0, only_b: 0 };
            let field = self.fields.entry(name.clone()).or_insert_with(empty);
            match (value_a, value_b) {
                (Some(_), Some(_)) => field.changed += 1,
                (Some(_), None) => field.only_a += 1,
                _ => field.only_b += 1,
            }
            let is_rare = field.changed + field.only_a + field.only_b <= SHOWN_OF_FIELD as u64;
            if is_rare && self.records.examples.len() < SHOWN {
                let example = self.example(a, Some(name.clone()), value_a.map(shown), value_b.map(shown));
                self.records.examples.push(example);
            }
        }
    }

    fn example(&self, outcome: &Outcome, field: Option<String>, a: Option<String>, b: Option<String>) -> Example {
        let number = usize::from(outcome.key.step);
        let step = self.step_names.get(number).cloned().unwrap_or_else(|| (number + 1).to_string());
        Example { step, line: outcome.line, sample: outcome.key.sample, field, a, b }
    }

    fn finish(mut self) -> Records {
        self.records.fields = self.fields.into_values().collect();
        self.records.fields.sort_by_key(|field| std::cmp::Reverse(field.changed + field.only_a + field.only_b));
        let changes = self.ends.into_iter().map(|((a, b), count)| EndChange { a, b, count });
        self.records.ends = changes.collect();
        self.records.ends.sort_by_key(|change| std::cmp::Reverse(change.count));
        self.records
    }
}

fn text(outcome: &Outcome) -> &str {
    outcome.output.as_ref().map_or("", |output| output.get())
}

/// The fields of an answer. One that is no object counts as one field without a name.
fn fields(text: &str) -> Map<String, Value> {
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => fields,
        Ok(value) => Map::from_iter([(String::new(), value)]),
        Err(_) => Map::new(),
    }
}

fn shown(value: &Value) -> String {
    cut(&value.to_string(), VALUE)
}

fn told(end: &End) -> String {
    match end {
        End::Failed(failure) => format!("failed: {}: {}", failure.kind, cut(&failure.message, VALUE)),
        End::Skipped { reason, message } => format!("skipped: {}: {}", reason.word(), cut(message, VALUE)),
        end => word(end).to_owned(),
    }
}

fn word(end: &End) -> &'static str {
    match end.class() {
        EndClass::Succeeded => "succeeded",
        EndClass::Failed(_) => "failed",
        EndClass::Skipped(_) => "skipped",
        EndClass::Cancelled => "cancelled",
        EndClass::Missing => "missing",
    }
}
