//! What an output that keeps every record is made of: the records of its source, or those of the file as it is now.

use std::iter::Peekable;

use domain::{
    Read, Record, json,
    ports::{SinkError, SourceError},
};
use serde_json::value::RawValue;

use super::{Composer, FileSource, cut, read::Rows};

/// How much of a value is shown where two differ, in characters.
const SHOWN: usize = 80;

/// The records that an output is made of, read beside those that are merged.
pub(super) struct Original {
    rows: Peekable<Rows>,
    /// What compares each record with what it was when it was worked on, where the file may have been changed since.
    guard: Option<Composer>,
    name: String,
    noun: &'static str,
}

/// What stands where a record was read.
pub(super) enum Now {
    /// The record.
    Same,
    /// The record, as it is written in the file of now.
    Other(Record),
    /// Another one, and how it differs.
    Conflict(Record, String),
    /// Nothing.
    Gone(String),
}

impl Original {
    /// Begins with the first record of `source`. With a `guard` each one is compared with what it was. `takes_rows` says whether
    /// it will be written as the row that it is.
    pub(super) fn begin(source: &FileSource, guard: Option<Composer>, takes_rows: bool) -> Result<Self, SinkError> {
        let are_bare = takes_rows && guard.is_none();
        let rows = source.rows(are_bare).map_err(unreadable)?.peekable();
        Ok(Self { rows, guard, name: source.files().name().to_owned(), noun: source.noun() })
    }

    /// Returns whether each record is compared with what it was.
    pub(super) fn compares(&self) -> bool {
        self.guard.is_some()
    }

    /// Goes on to where `record` was read; what lies before that is passed to `keep`.
    pub(super) fn reach(
        &mut self,
        record: &Record,
        answer: Option<&RawValue>,
        keep: &mut dyn FnMut(&Record) -> Result<(), SinkError>,
    ) -> Result<Now, SinkError> {
        let place = (record.key.part, record.key.position);
        loop {
            let Some(read) = self.next_before(place)? else { break };
            keep_read(read, keep)?;
        }
        let is_there = |read: &Result<Read, SourceError>| {
            read.as_ref().is_ok_and(|read| (read.record.key.part, read.record.key.position) == place)
        };
        let Some(now) = self.rows.next_if(is_there).transpose().map_err(unreadable)? else {
            let Self { name, noun, .. } = self;
            return Ok(Now::Gone(format!(
                "`{name}` was changed meanwhile: {noun} {} is not there any more; the answer is kept in the journal",
                record.origin.line
            )));
        };
        let Some(guard) = &self.guard else { return Ok(Now::Same) };
        Ok(match difference(record, &now.record, answer, guard) {
            None => Now::Other(now.record),
            Some(what) => Now::Conflict(
                now.record,
                format!(
                    "the {} was changed while it was worked on: {what}; the answer is kept in the journal",
                    self.noun
                ),
            ),
        })
    }

    /// Passes what is left to `keep`.
    pub(super) fn rest(&mut self, keep: &mut dyn FnMut(&Record) -> Result<(), SinkError>) -> Result<(), SinkError> {
        while let Some(read) = self.rows.next().transpose().map_err(unreadable)? {
            keep_read(read, keep)?;
        }
        Ok(())
    }

    fn next_before(&mut self, place: (u32, u64)) -> Result<Option<Read>, SinkError> {
        let is_before = |read: &Result<Read, SourceError>| {
            read.as_ref().is_ok_and(|read| (read.record.key.part, read.record.key.position) < place)
        };
        if let Some(Err(_)) = self.rows.peek() {
            return self.rows.next().transpose().map_err(unreadable);
        }
        self.rows.next_if(is_before).transpose().map_err(unreadable)
    }
}

fn keep_read(read: Read, keep: &mut dyn FnMut(&Record) -> Result<(), SinkError>) -> Result<(), SinkError> {
    if let Some((domain::SkipReason::TooLong, message)) = &read.flaw {
        return Err(SinkError::new(format!("{message}; until then the file cannot be written in place")));
    }
    keep(&read.record)
}

fn unreadable(error: SourceError) -> SinkError {
    SinkError::environment(error.0)
}

/// Says how a record differs from what it was when it was worked on, in what the work saw of it and in the columns that
/// the answer goes to. What stands there may be what stood there before, or the answer.
fn difference(before: &Record, now: &Record, answer: Option<&RawValue>, guard: &Composer) -> Option<String> {
    if before.bytes == now.bytes {
        return None;
    }
    let (Ok(before), Ok(now)) = (str::from_utf8(&before.bytes), str::from_utf8(&now.bytes)) else {
        return Some("it is no text any more".to_owned());
    };
    let of = |text| {
        let mut members: Vec<(String, &RawValue)> = Vec::new();
        let _ = json::members(text, |name, value| members.push((name.into_owned(), value)));
        members
    };
    let (old, new) = (of(before), of(now));
    let mut written: Vec<(String, &RawValue)> = Vec::new();
    if let Some(answer) = answer {
        let _ = json::members(answer.get(), |field, value| {
            if let Some(column) = guard.columns().iter().find(|column| column.field == field) {
                written.push((column.name.clone(), value));
            }
        });
    }
    let find = |members: &[(String, &RawValue)], name: &str| -> Option<String> {
        members.iter().find(|(of, _)| of == name).map(|(_, value)| as_cell(value))
    };
    for (name, value) in &old {
        let is_answer = guard.columns().iter().any(|column| column.name == *name);
        let (was, is) = (as_cell(value), find(&new, name).unwrap_or_default());
        if !is_answer && was != is {
            return Some(format!("`{name}` was `{}` and is `{}`", shown(&was), shown(&is)));
        }
    }
    for (name, value) in &new {
        let is_answer = guard.columns().iter().any(|column| column.name == *name);
        let (is, was) = (as_cell(value), find(&old, name).unwrap_or_default());
        let ours = find(&written, name);
        if is_answer && !json::is_empty(value) && is != was && ours.as_ref() != Some(&is) {
            let (was, is, ours) = (shown(&was), shown(&is), shown(&ours.unwrap_or_default()));
            return Some(format!("`{name}` was `{was}`, is `{is}`, and was to become `{ours}`"));
        }
    }
    None
}

/// Returns a value as a cell shows it: tables keep no types but their own.
fn as_cell(value: &RawValue) -> String {
    match value.get() {
        "null" => String::new(),
        text if text.starts_with('"') => serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()),
        text => {
            let mut compact = String::with_capacity(text.len());
            json::compact(text, &mut compact);
            compact
        }
    }
}

fn shown(text: &str) -> String {
    cut(text, SHOWN).into_owned()
}
