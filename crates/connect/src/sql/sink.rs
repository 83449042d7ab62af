//! A table as a sink: answers into the rows that were read, or rows into another table.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{
    Outcome, Record, StepNumber,
    ports::{Merge, Projection, Sink, SinkError},
};
use serde_json::value::RawValue;

use super::{
    Access, SqlSource,
    merge::SqlMerge,
    writer::{NotWritten, Touch, Writer},
};
use crate::{
    FileSource, Place,
    file::{check_target, create_folder, probe},
    table::{Composer, Naming},
};

/// What a sink of a table is made of.
pub struct SqlSinkSettings {
    /// The table.
    pub access: Access,
    /// The table that is read, where it is one.
    pub source: Option<SqlSource>,
    /// Whether the table is the one that is read.
    pub is_in_place: bool,
    /// The records that are read, as lines or rows of files.
    pub records: FileSource,
    /// The fields that the work sees: what a row must still hold when its answer is written. All unless given.
    pub guarded: Option<Vec<String>>,
    /// A column that tells how each row ended.
    pub status: Option<String>,
    /// The failures file.
    pub failures: Place,
    /// The folder of the run, for notes on what was written.
    pub folder: PathBuf,
    /// The run.
    pub run: String,
    /// The step.
    pub step: StepNumber,
    /// Whether columns that are missing are made.
    pub creates: bool,
    /// The names of the first record, where there is one: another table needs columns for them.
    pub names: Vec<String>,
}

/// How often a database that is away is tried.
const TRIED: Duration = Duration::from_secs(5);

/// A table as a sink.
pub struct SqlSink {
    settings: Arc<SqlSinkSettings>,
    writer: Arc<Mutex<Writer>>,
    held_back: Option<String>,
    tried: Option<Instant>,
}

impl SqlSink {
    /// Makes a sink for the new `fields`.
    ///
    /// # Errors
    /// Where `columns` names a field that is not there, or one name twice.
    pub(crate) fn new(settings: SqlSinkSettings, naming: &Naming, fields: &[String]) -> Result<Self, SinkError> {
        let composer = Composer::new(naming, fields).map_err(SinkError::new)?;
        let settings = Arc::new(settings);
        let writer = Writer::new(Arc::clone(&settings), composer);
        Ok(Self { settings, writer: Arc::new(Mutex::new(writer)), held_back: None, tried: None })
    }

    /// Makes sure of the same as [`Sink::prepare`], without changing anything.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn check(&self) -> Result<(), SinkError> {
        let settled = self.settings.failures.with_folders();
        check_target(&settled)?;
        if self.settings.creates {
            return self.writer().look_apart().map_err(Into::into);
        }
        self.writer().look(Touch::Look).map_err(Into::into)
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for SqlSink {
    fn prepare(&mut self) -> Result<(), SinkError> {
        let failures = &self.settings.failures;
        create_folder(failures)?;
        check_target(failures)?;
        probe(failures, &self.settings.run)?;
        let touch = if self.settings.creates { Touch::Create } else { Touch::Prepare };
        let looked = self.writer().look(touch);
        match looked {
            // What is away now may be there when the first answer comes.
            Err(NotWritten::Away(message)) => self.held_back = Some(message),
            other => {
                other.map_err(SinkError::from)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, is_new: bool) -> Result<(), SinkError> {
        self.writer().notes_of(0, 0, is_new).map(drop)
    }

    fn project(&mut self, settled: &[Projection]) -> Result<(), SinkError> {
        if self.held_back.is_some() && self.tried.is_some_and(|tried| tried.elapsed() < TRIED) {
            return Ok(());
        }
        let rows: Vec<(&Record, &Outcome)> = settled.iter().map(|one| (&one.record, &one.outcome)).collect();
        let written = self.writer().write(&rows);
        self.held_back = match written {
            // What was not taken is told when the step is finished.
            Ok(_) => None,
            Err(NotWritten::Wrong(error)) => return Err(error),
            Err(NotWritten::Away(message) | NotWritten::Refused(message)) => {
                self.tried = Some(Instant::now());
                Some(message)
            }
        };
        Ok(())
    }

    fn held_back(&self) -> Option<String> {
        self.held_back.clone()
    }

    fn restore(&mut self, record: &Record) -> Result<Option<Box<RawValue>>, SinkError> {
        self.writer().restore(record)
    }

    fn merge(&mut self) -> Result<Box<dyn Merge>, SinkError> {
        Ok(Box::new(SqlMerge::new(Arc::clone(&self.settings), Arc::clone(&self.writer))?))
    }
}

impl SqlSinkSettings {
    pub(super) fn unwritable(&self, error: &std::io::Error) -> SinkError {
        let place = Place { path: self.folder.clone(), name: format!("the run's notes on `{}`", self.access.name()) };
        crate::file::cannot_sink("write", &place, error)
    }
}
