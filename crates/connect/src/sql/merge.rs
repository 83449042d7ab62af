//! What is not written yet, and the failures, when every record is settled.

use std::sync::{Arc, Mutex, PoisonError};

use domain::{
    End, Failure, FailureKind, Outcome, Record,
    ports::{Artefact, Merge, Rejected, SinkError},
};

use super::{
    SqlSinkSettings,
    writer::{NotWritten, Writer},
};
use crate::{
    file::Aside,
    table::{PenError, Told, push_failure},
};

pub(super) struct SqlMerge {
    settings: Arc<SqlSinkSettings>,
    writer: Arc<Mutex<Writer>>,
    failures: Aside,
    /// The names of the source's parts, where there are several.
    parts: Vec<String>,
    held: Vec<(Record, Outcome)>,
    may_pass: bool,
    scratch: Vec<u8>,
}

impl SqlMerge {
    pub(super) fn new(settings: Arc<SqlSinkSettings>, writer: Arc<Mutex<Writer>>) -> Result<Self, SinkError> {
        let failures = Aside::create(&settings.failures, &settings.run)?;
        let parts = settings.records.parts().unwrap_or_default();
        let parts = if parts.len() > 1 { parts } else { Vec::new() };
        Ok(Self { settings, writer, failures, parts, held: Vec::new(), may_pass: false, scratch: Vec::new() })
    }

    fn tell(&mut self, record: &Record, outcome: &Outcome, end: &End) -> Result<(), SinkError> {
        self.scratch.clear();
        let file = self.parts.get(record.key.part as usize).map(String::as_str);
        let noun = if self.settings.source.is_some() { "row" } else { self.settings.records.noun() };
        push_failure(&Told { record, outcome, end, file, noun }, &mut self.scratch);
        self.failures.add(&self.scratch).map_err(|error| PenError::from(error).at("the failures"))?;
        self.failures.count_record();
        Ok(())
    }

    /// Writes into the column of the user's choice that an answer was not taken, which no answer could say itself. What
    /// somebody else changed meanwhile is theirs.
    fn say_rejected(&self, written: &[Result<(), Failure>]) -> Result<(), NotWritten> {
        if self.settings.status.is_none() || !self.settings.is_in_place {
            return Ok(());
        }
        let told: Vec<(&Record, Outcome)> = (self.held.iter().zip(written))
            .filter_map(|((record, outcome), end)| match end {
                Err(failure) if outcome.end == End::Succeeded && failure.kind == FailureKind::WriteRejected => {
                    let end = End::Failed(failure.clone());
                    Some((record, Outcome { end, ..outcome.clone() }))
                }
                _ => None,
            })
            .collect();
        let rows: Vec<(&Record, &Outcome)> = told.iter().map(|(record, outcome)| (*record, outcome)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        // Where the column does not take that either, the failures file says it.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).write(&rows).map(drop)
    }
}

impl Merge for SqlMerge {
    fn write(&mut self, record: &Record, outcome: &Outcome) -> Result<(), SinkError> {
        self.held.push((record.clone(), outcome.clone()));
        Ok(())
    }

    fn settle(&mut self) -> Result<Vec<Rejected>, SinkError> {
        let rows: Vec<(&Record, &Outcome)> = self.held.iter().map(|(record, outcome)| (record, outcome)).collect();
        let written = self.writer.lock().unwrap_or_else(PoisonError::into_inner).write(&rows);
        let written = written.and_then(|written| self.say_rejected(&written).map(|()| written));
        self.may_pass = matches!(written, Err(NotWritten::Away(_)));
        let written = written?;
        let mut rejected = Vec::new();
        for ((record, outcome), end) in std::mem::take(&mut self.held).into_iter().zip(written) {
            match end {
                Err(failure) if outcome.end == End::Succeeded => {
                    self.tell(&record, &outcome, &End::Failed(failure.clone()))?;
                    rejected.push(Rejected { key: record.key, failure });
                }
                _ if outcome.end == End::Succeeded => {}
                _ => {
                    if !matches!(&outcome.end, End::Skipped { reason, .. } if reason.is_expected()) {
                        self.tell(&record, &outcome, &outcome.end)?;
                    }
                }
            }
        }
        Ok(rejected)
    }

    fn may_pass(&self) -> bool {
        self.may_pass
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Artefact>, SinkError> {
        if !self.held.is_empty() {
            return Err(SinkError::new("records were added to a table and not settled"));
        }
        let artefacts = vec![self.failures.close()?];
        self.failures.publish()?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.forget();
        writer.release();
        drop(writer);
        Ok(artefacts)
    }
}
