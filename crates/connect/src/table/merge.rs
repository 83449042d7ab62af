//! The final output and the failures, written aside in source order.

use std::{fs, io, path::PathBuf};

use domain::{
    End, Failure, FailureKind, Outcome, Record, SkipReason,
    ports::{Artefact, Merge, Rejected, SinkError, Source as _},
};
use serde_json::{Value, value::RawValue};

use super::{
    FileSource, New, Pen, PenError,
    compose::STATUS,
    failures::{Told, push_failure, status_of},
    in_place::Published,
    original::{Now, Original},
};
use crate::{
    Place,
    file::{Aside, cannot_sink},
};

/// A merge in progress. Dropped before its end, it leaves nothing behind.
pub(super) struct FileMerge {
    pub(super) source: FileSource,
    /// The names of the source's parts, where there are several.
    pub(super) parts: Vec<String>,
    pub(super) pen: Box<dyn Pen>,
    pub(super) output: Aside,
    pub(super) failures: Aside,
    /// The live output, which goes when the final one is in place.
    pub(super) live: PathBuf,
    /// Whether every record of the source stands in the output, whatever became of it.
    pub(super) keeps_all: bool,
    /// Whether what is there so far may be put in place while the run goes on.
    pub(super) saves: bool,
    /// What the output is made of, where that has to be read beside the records: to keep what the merge is not given, or
    /// because it is not what the records were read from.
    pub(super) original: Option<Original>,
    /// How the output, which is the source, is put in place.
    pub(super) in_place: Option<Published>,
    /// Whether how each record ended is written too.
    pub(super) has_status: bool,
    pub(super) rejected: Vec<Rejected>,
    /// Whether anything is in the output that was not in its source.
    pub(super) has_news: bool,
    pub(super) scratch: Vec<u8>,
}

impl FileMerge {
    /// Adds a record to the output, and returns why its answer is not in it.
    fn add(&mut self, record: &Record, outcome: &Outcome) -> Result<Option<Failure>, SinkError> {
        // What the pipeline left out is nobody's failure, and stays as it is.
        let answer = match &outcome.end {
            End::Succeeded => match outcome.output.as_deref() {
                Some(output) => Some(output),
                None => return Err(self.at(record, "the answer is not in the journal")),
            },
            _ => None,
        };
        if answer.is_none() && !self.keeps_all {
            let passed = self.pen.pass_by(record);
            return passed.map(|()| None).map_err(|error| error.at(&self.source.place_of(record)));
        }
        let whole;
        let record = match self.pen.takes_rows() && !self.original.as_ref().is_some_and(Original::compares) {
            true => record,
            false => {
                whole = self.source.whole(record).map_err(|error| SinkError::environment(error.0))?;
                &whole
            }
        };
        let now = match &mut self.original {
            Some(original) => {
                let (pen, output) = (&mut self.pen, &mut self.output);
                original.reach(record, answer, &mut |passed| keep(&mut **pen, passed, output))?
            }
            None => Now::Same,
        };
        let (now, conflict) = match now {
            Now::Same => (record.clone(), None),
            Now::Other(now) => (now, None),
            Now::Conflict(now, what) => (now, Some(Failure::new(FailureKind::Conflict, what))),
            Now::Gone(what) => return Ok(answer.and(Some(Failure::new(FailureKind::Conflict, what)))),
        };
        if let End::Skipped { reason: SkipReason::TooLong, message } = &outcome.end {
            return Err(SinkError::new(format!("{message}; until then the file cannot be written in place")));
        }
        let failure = match answer.filter(|_| conflict.is_none()) {
            Some(output) => {
                let status;
                let output = match self.has_status {
                    true => {
                        status = with_status(Some(output), "succeeded");
                        &*status
                    }
                    false => output,
                };
                match self.pen.write(&now, New::Answer(output), &mut self.output) {
                    Ok(()) => {
                        self.has_news = true;
                        self.output.count_record();
                        return Ok(None);
                    }
                    Err(PenError::Rejected(what)) => Some(Failure::new(FailureKind::WriteRejected, what)),
                    Err(error) => return Err(error.at(&self.source.place_of(record))),
                }
            }
            None => conflict,
        };
        if self.keeps_all {
            let end = failure.clone().map(End::Failed);
            let status = self.has_status.then(|| status_of(end.as_ref().unwrap_or(&outcome.end))).flatten();
            let only = status.map_or_else(nothing, |status| with_status(None, &status));
            let only = New::Only(&only);
            self.has_news |= !only.is_nothing();
            let written = self.pen.write(&now, only, &mut self.output);
            written.map_err(|error| error.at(&self.source.place_of(record)))?;
            self.output.count_record();
        }
        Ok(failure)
    }

    /// Makes what was added durable, and visible.
    fn put_in_place(&mut self) -> Result<Vec<Artefact>, SinkError> {
        if let Some(original) = &mut self.original {
            let (pen, output) = (&mut self.pen, &mut self.output);
            original.rest(&mut |passed| keep(&mut **pen, passed, output))?;
        }
        let name = self.output.name().to_owned();
        self.pen.end(&mut self.output).map_err(|error| error.at(&name))?;
        // Both are durable before either is visible, and the live output goes last: killed in between, the next
        // process finds all it needs to do this again.
        let mut further = self.pen.further();
        let mut artefacts = vec![self.output.close()?];
        for file in &mut further {
            artefacts.push(file.close()?);
        }
        artefacts.push(self.failures.close()?);
        self.failures.publish()?;
        for mut file in further {
            file.publish()?;
        }
        match &self.in_place {
            // A file to which nothing is added is not touched.
            Some(published) if !self.has_news => artefacts[0] = published.leave(artefacts[0].records)?,
            Some(published) => published.publish(&mut self.output, &artefacts[0])?,
            None => self.output.publish()?,
        }
        Ok(artefacts)
    }

    fn at(&self, record: &Record, what: &str) -> SinkError {
        SinkError::new(format!("{}: {what}", self.source.place_of(record)))
    }

    fn tell(&mut self, record: &Record, outcome: &Outcome, end: &End) -> Result<(), SinkError> {
        self.scratch.clear();
        let file = self.parts.get(record.key.part as usize).map(String::as_str);
        push_failure(&Told { record, outcome, end, file, noun: self.source.noun() }, &mut self.scratch);
        self.failures.add(&self.scratch).map_err(|error| PenError::from(error).at("the failures"))?;
        self.failures.count_record();
        Ok(())
    }
}

impl Merge for FileMerge {
    fn write(&mut self, record: &Record, outcome: &Outcome) -> Result<(), SinkError> {
        if let Some(failure) = self.add(record, outcome)? {
            let end = End::Failed(failure.clone());
            self.rejected.push(Rejected { key: outcome.key, failure });
            return self.tell(record, outcome, &end);
        }
        match &outcome.end {
            End::Succeeded => Ok(()),
            End::Skipped { reason, .. } if reason.is_expected() => Ok(()),
            end => self.tell(record, outcome, end),
        }
    }

    fn settle(&mut self) -> Result<Vec<Rejected>, SinkError> {
        Ok(std::mem::take(&mut self.rejected))
    }

    fn save(mut self: Box<Self>) -> Result<(), SinkError> {
        // Half of an output whose other half is not there yet is no output; a whole table with some answers is.
        if self.saves { self.put_in_place().map(|_| ()) } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Artefact>, SinkError> {
        let artefacts = self.put_in_place()?;
        match fs::remove_file(&self.live) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let place = Place { name: self.live.display().to_string(), path: self.live.clone() };
                Err(cannot_sink("remove", &place, &error))
            }
            _ => Ok(artefacts),
        }
    }
}

/// Writes a record as it is.
fn keep(pen: &mut dyn Pen, record: &Record, output: &mut Aside) -> Result<(), SinkError> {
    let written = pen.write(record, New::Only(&nothing()), output);
    written.map_err(|error| error.at(&format!("`{}`, {}", output.name(), record.origin.line)))?;
    output.count_record();
    Ok(())
}

/// Returns new fields with how the record ended behind them.
fn with_status(output: Option<&RawValue>, status: &str) -> Box<RawValue> {
    let members = output.map_or("", |output| output.get().trim_ascii());
    let members = members.strip_prefix('{').and_then(|members| members.strip_suffix('}')).unwrap_or("").trim_ascii();
    let comma = if members.is_empty() { "" } else { "," };
    let text = format!("{{{members}{comma}\"{STATUS}\":{}}}", Value::from(status));
    RawValue::from_string(text).unwrap_or_else(|_| nothing())
}

/// An object without members.
fn nothing() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}
