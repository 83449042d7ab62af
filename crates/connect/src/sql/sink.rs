//! A table as a sink: answers into the rows that were read, or rows into another table.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{
    End, Failure, FailureKind, Outcome, Record, StepNumber, json,
    ports::{Merge, Projection, Sink, SinkError},
};
use serde_json::value::RawValue;

use super::{
    Access, Database, DatabaseError, SqlSource, Trouble, Value, Where,
    batch::{self, Change},
    insert::{self, Addition},
    merge::SqlMerge,
    table::Table,
    written::{Written, name_of},
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
        let is_in_place =
            settings.source.as_ref().is_some_and(|source| source.access().is_same_table(&settings.access));
        let writer =
            Writer { settings: Arc::clone(&settings), composer, is_in_place, connected: None, notes: HashMap::new() };
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
            return Ok(());
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
            Err(Looked::Away(message)) => self.held_back = Some(message),
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
            Err(Looked::Wrong(error)) => return Err(error),
            Err(Looked::Away(message) | Looked::Refused(message)) => {
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

/// What may be done to a database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touch {
    /// Nothing.
    Look,
    /// What is our own may be made.
    Prepare,
    /// Tables and columns that are missing too.
    Create,
}

/// Why a table was not written.
pub(super) enum Looked {
    /// It cannot be reached now.
    Away(String),
    /// It does not let us write.
    Refused(String),
    /// Something else: a file of notes.
    Wrong(SinkError),
}

impl From<Looked> for SinkError {
    fn from(looked: Looked) -> Self {
        match looked {
            Looked::Away(message) => Self::environment(message),
            Looked::Refused(message) => Self::new(message),
            Looked::Wrong(error) => error,
        }
    }
}

/// Writes outcomes, and notes what is written.
pub(super) struct Writer {
    settings: Arc<SqlSinkSettings>,
    composer: Composer,
    is_in_place: bool,
    connected: Option<(Box<dyn Database>, Table)>,
    /// By part and sample.
    notes: HashMap<(u32, u32), Written>,
}

/// What is to be written for one record.
enum Wanted {
    Change(Change),
    Addition(Addition),
}

impl Writer {
    fn told(&self, error: &DatabaseError) -> Looked {
        let message = format!("cannot write the table `{}`: {}", self.settings.access.name(), error.message);
        if error.is_away() { Looked::Away(message) } else { Looked::Refused(message) }
    }

    /// Connects, looks at the table, and makes sure that it has all columns.
    fn look(&mut self, touch: Touch) -> Result<(), Looked> {
        self.connected = None;
        let looked = self.connect(touch);
        self.connected = Some(looked.map_err(|error| self.told(&error))?);
        Ok(())
    }

    fn connect(&self, touch: Touch) -> Result<(Box<dyn Database>, Table), DatabaseError> {
        let SqlSinkSettings { access, status, names, .. } = &*self.settings;
        if touch == Touch::Create
            && let Where::Sqlite(place) = &access.at
            && !place.path.exists()
        {
            // An empty file is an empty database.
            let made = create_folder(place).and_then(|()| {
                std::fs::write(&place.path, b"").map_err(|error| crate::file::cannot_sink("write", place, &error))
            });
            made.map_err(|error| DatabaseError::new(Trouble::Refused, error.message))?;
        }
        let mut database = access.connect()?;
        let mut wanted: Vec<String> = self.composer.columns().iter().map(|column| column.name.clone()).collect();
        wanted.extend(status.clone());
        if !self.is_in_place {
            wanted.splice(0..0, names.iter().filter(|name| !wanted.contains(name)).cloned().collect::<Vec<_>>());
            self.make_table(&mut *database, &wanted, touch)?;
        }
        let key = if self.is_in_place {
            self.settings.source.as_ref().and_then(|it| it.access().key.clone())
        } else {
            access.key.clone()
        };
        let mut table = Table::look(&mut *database, &access.name, key.as_deref())?;
        if self.is_in_place {
            table = table.with_key()?;
        } else if access.key.is_none() {
            // Rows are added, and need no name.
            table.key.clear();
        }
        let missing: Vec<String> = wanted.into_iter().filter(|name| table.find(name).is_none()).collect();
        if !missing.is_empty() {
            let statement = table.alter(&missing);
            if touch != Touch::Create {
                let near: Vec<String> = missing
                    .iter()
                    .map(|name| super::table::nearest(name, table.columns.iter().map(|column| column.name.as_str())))
                    .collect();
                let message = format!(
                    "it has no column `{}`{}. Add what is missing with\n  {statement}\nor have it done with \
                     `--create-columns`",
                    missing.join("`, `"),
                    near.concat()
                );
                return Err(DatabaseError::new(Trouble::Refused, message));
            }
            database.execute(&statement, &[])?;
            let key = table.keys().map(|column| column.name.clone()).collect::<Vec<_>>();
            table = Table::look(&mut *database, &access.name, Some(&key))?;
        }
        if !self.is_in_place && access.key.is_none() && touch != Touch::Look {
            insert::prepare(&mut *database)?;
        }
        Ok((database, table))
    }

    /// Makes the other table, or says how.
    fn make_table(&self, database: &mut dyn Database, wanted: &[String], touch: Touch) -> Result<(), DatabaseError> {
        let access = &self.settings.access;
        if wanted.is_empty() || !database.columns(&access.name)?.is_empty() {
            return Ok(());
        }
        let flavor = database.flavor();
        let columns: Vec<String> =
            wanted.iter().map(|name| format!("{} {}", flavor.quoted(name), flavor.text_type())).collect();
        let statement = format!("CREATE TABLE {} ({});", flavor.table(&access.name), columns.join(", "));
        if touch == Touch::Create {
            return database.execute(&statement, &[]).map(drop);
        }
        let tables = database.tables(access.name.schema.as_deref())?;
        let near = super::table::nearest(&access.name.table, tables.iter().map(String::as_str));
        let message = format!(
            "there is no such table{near}. Make it, with the types that you want, by\n  {statement}\nor have it done with \
             `--create-columns`"
        );
        Err(DatabaseError::new(Trouble::Refused, message))
    }

    /// Returns the notes on what was written of a part and sample.
    fn notes_of(&mut self, part: u32, sample: u32, is_new: bool) -> Result<&mut Written, SinkError> {
        let SqlSinkSettings { folder, step, .. } = &*self.settings;
        let path = folder.join(format!("sink-{step}-{part}-{sample}"));
        match self.notes.entry((part, sample)) {
            std::collections::hash_map::Entry::Occupied(found) if !is_new => Ok(found.into_mut()),
            entry => {
                let notes = Written::open(&path, is_new).map_err(|error| self.settings.unwritable(&error))?;
                Ok(entry.insert_entry(notes).into_mut())
            }
        }
    }

    /// Writes outcomes, and returns what became of each.
    pub(super) fn write(&mut self, rows: &[(&Record, &Outcome)]) -> Result<Vec<Result<(), Failure>>, Looked> {
        let mut ends: Vec<Result<(), Failure>> = Vec::with_capacity(rows.len());
        let (mut changes, mut additions) = (Vec::new(), Vec::new());
        if self.connected.is_none() {
            self.look(Touch::Prepare)?;
        }
        for (record, outcome) in rows {
            let wanted = self.wanted(record, outcome).map_err(Looked::Wrong)?;
            ends.push(match wanted {
                Ok(Some(Wanted::Change(change))) => {
                    changes.push((ends.len(), change));
                    Ok(())
                }
                Ok(Some(Wanted::Addition(addition))) => {
                    additions.push((ends.len(), addition));
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(failure) => Err(failure),
            });
        }
        if self.settings.creates {
            self.widen(&additions)?;
        }
        let SqlSinkSettings { folder, run, .. } = &*self.settings;
        let name = name_of(folder, run).map_err(|error| Looked::Wrong(self.settings.unwritable(&error)))?;
        let Some((database, table)) = &mut self.connected else { return Ok(ends) };
        let mut written = Vec::new();
        let run = || -> Result<(), DatabaseError> {
            if !changes.is_empty() {
                let (places, changes): (Vec<usize>, Vec<Change>) = changes.into_iter().unzip();
                let became = batch::write(&mut **database, table, &changes)?;
                let noted = changes.into_iter().map(|change| (change.key, change.values));
                written.extend(places.into_iter().zip(noted).zip(became));
            }
            if !additions.is_empty() {
                let (places, additions): (Vec<usize>, Vec<Addition>) = additions.into_iter().unzip();
                let run = format!("{name}/{}", self.settings.step);
                let became = insert::write(&mut **database, table, &run, &additions)?;
                let noted = additions.into_iter().map(|addition| (addition.key, addition.values));
                written.extend(places.into_iter().zip(noted).zip(became));
            }
            Ok(())
        };
        if let Err(error) = run() {
            self.connected = None;
            return Err(self.told(&error));
        }
        let mut done: HashMap<(u32, u32), Vec<(u64, String)>> = HashMap::new();
        for ((place, (key, values)), became) in written {
            if became.is_ok() {
                done.entry((key.part, key.sample)).or_default().push((key.position, values));
            }
            ends[place] = became;
        }
        for ((part, sample), values) in done {
            let notes = self.notes_of(part, sample, false).map_err(Looked::Wrong)?;
            let noted = notes.note(values.iter().map(|(position, values)| (*position, values.as_str())));
            noted.map_err(|error| Looked::Wrong(self.settings.unwritable(&error)))?;
        }
        Ok(ends)
    }

    /// Makes the columns of fields that no record before had.
    fn widen(&mut self, additions: &[(usize, Addition)]) -> Result<(), Looked> {
        let Some((database, table)) = &mut self.connected else { return Ok(()) };
        let mut missing: Vec<String> = Vec::new();
        for (name, _) in additions.iter().flat_map(|(_, addition)| &addition.row) {
            if table.find(name).is_none() && !missing.contains(name) {
                missing.push(name.clone());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let key = table.keys().map(|column| column.name.clone()).collect::<Vec<_>>();
        let altered = database.execute(&table.alter(&missing), &[]);
        let looked = altered.and_then(|_| Table::look(&mut **database, &self.settings.access.name, Some(&key)));
        match looked {
            Ok(now) => {
                *table = now;
                Ok(())
            }
            Err(error) => Err(self.told(&error)),
        }
    }

    /// Returns what is to be written for a record: nothing where it is written already.
    fn wanted(&mut self, record: &Record, outcome: &Outcome) -> Result<Result<Option<Wanted>, Failure>, SinkError> {
        let values = match self.values(outcome) {
            Ok(Some(values)) => values,
            Ok(None) => return Ok(Ok(None)),
            Err(what) => return Ok(Err(Failure::new(FailureKind::WriteRejected, what))),
        };
        let text = object(&values);
        let (key, settings) = (record.key, Arc::clone(&self.settings));
        let notes = self.notes_of(key.part, key.sample, false)?;
        let broken = |error: std::io::Error| settings.unwritable(&error);
        if notes.is(key.position, &text).map_err(broken)? {
            return Ok(Ok(None));
        }
        let last = notes.last(key.position).map_err(broken)?;
        let Some((_, table)) = &self.connected else { return Ok(Ok(None)) };
        let made = if self.is_in_place {
            self.change(table, record, &values, last.as_deref(), text).map(Wanted::Change)
        } else {
            self.addition(record, outcome, last.is_some(), text).map(Wanted::Addition)
        };
        Ok(made.map(Some).map_err(|what| Failure::new(FailureKind::WriteRejected, what)))
    }

    /// Returns the columns that an outcome fills, with their values as JSON.
    fn values(&self, outcome: &Outcome) -> Result<Option<Vec<(String, String)>>, String> {
        let status = self.settings.status.as_ref().filter(|_| self.is_in_place);
        let mut values = Vec::new();
        match (&outcome.end, &outcome.output) {
            (End::Succeeded, Some(output)) => {
                let named = json::members(output.get(), |field, value| {
                    let column = self.composer.columns().iter().find(|column| column.field == field);
                    let name = column.map_or_else(|| field.to_string(), |column| column.name.clone());
                    values.push((name, value.get().to_owned()));
                });
                named.map_err(|error| error.0)?;
            }
            (End::Succeeded, None) => return Err("the answer is not in the journal".to_owned()),
            (End::Skipped { reason, .. }, _) if reason.is_expected() => return Ok(None),
            _ if status.is_none() => return Ok(None),
            _ => {}
        }
        if let Some(status) = status {
            values.push((status.clone(), serde_json::Value::from(ended(&outcome.end)).to_string()));
        }
        Ok(Some(values))
    }

    fn change(
        &self,
        table: &Table,
        record: &Record,
        values: &[(String, String)],
        last: Option<&str>,
        text: String,
    ) -> Result<Change, String> {
        let line = str::from_utf8(&record.bytes).map_err(|error| error.to_string())?;
        let row: Vec<Value> =
            table.key_of(line).ok_or_else(|| "the record does not have the table's key".to_owned())?;
        let index = |name: &str| table.index(name).map_err(|error| error.message);
        let new = values.iter().map(|(name, value)| Ok((index(name)?, value.clone())));
        let new = new.collect::<Result<Vec<_>, String>>()?;
        let SqlSinkSettings { guarded, status, .. } = &*self.settings;
        let mut read = Vec::new();
        json::members(line, |name, value| {
            let is_answer = self.composer.columns().iter().any(|column| column.name == name);
            let is_guarded = guarded.as_ref().is_none_or(|guarded| guarded.iter().any(|field| *field == name));
            if (is_answer || is_guarded)
                && status.as_deref() != Some(&*name)
                && let Some(column) = table.find(&name)
            {
                read.push((column, value.get().to_owned()));
            }
        })
        .map_err(|error| error.0)?;
        let last = last.map(|last| {
            let mut columns = Vec::new();
            let _ = json::members(last, |name, value| {
                columns.extend(table.find(&name).map(|column| (column, value.get().to_owned())));
            });
            columns
        });
        Ok(Change { key: record.key, row, read, new, last, values: text })
    }

    fn addition(&self, record: &Record, outcome: &Outcome, is_again: bool, text: String) -> Result<Addition, String> {
        let mut line = Vec::new();
        let output = outcome.output.as_deref().ok_or("the answer is not in the journal")?;
        self.composer.compose(&record.bytes, output, &mut line).map_err(|error| error.to_string())?;
        let line = String::from_utf8(line).map_err(|error| error.to_string())?;
        let mut row = Vec::new();
        json::members(&line, |name, value| row.push((name.into_owned(), value.get().to_owned())))
            .map_err(|error| error.0)?;
        Ok(Addition { key: record.key, row, values: text, is_again })
    }

    fn restore(&mut self, record: &Record) -> Result<Option<Box<RawValue>>, SinkError> {
        let settings = Arc::clone(&self.settings);
        let notes = self.notes_of(record.key.part, record.key.sample, false)?;
        let last = notes.last(record.key.position).map_err(|error| settings.unwritable(&error))?;
        let Some(last) = last else { return Ok(None) };
        let mut fields = Vec::new();
        let parsed = json::members(&last, |name, value| {
            if let Some(column) = self.composer.columns().iter().find(|column| column.name == name) {
                fields.push((column.field.clone(), value.get().to_owned()));
            }
        });
        if parsed.is_err() || fields.is_empty() {
            return Ok(None);
        }
        Ok(RawValue::from_string(object(&fields)).ok())
    }

    /// Gives back what was claimed.
    pub(super) fn release(&mut self) {
        let Some(lease) = self.settings.source.as_ref().and_then(SqlSource::lease).cloned() else { return };
        // Where it cannot be done, the claims end by themselves.
        let _ = match &mut self.connected {
            Some((database, _)) if self.is_in_place => lease.release(&mut **database),
            _ => self.settings.source.as_ref().map_or(Ok(()), |source| {
                source.access().connect().and_then(|mut database| lease.release(&mut *database))
            }),
        };
    }
}

impl SqlSinkSettings {
    fn unwritable(&self, error: &std::io::Error) -> SinkError {
        let place = Place { path: self.folder.clone(), name: format!("the run's notes on `{}`", self.access.name()) };
        crate::file::cannot_sink("write", &place, error)
    }
}

fn object(members: &[(String, String)]) -> String {
    let members = members.iter().map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name.as_str())));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// How a row ended, in its column.
fn ended(end: &End) -> String {
    const SHOWN: usize = 200;
    let (kind, message) = match end {
        End::Succeeded => return "succeeded".to_owned(),
        End::Cancelled => return "cancelled".to_owned(),
        End::Failed(failure) => (failure.kind.word(), failure.message.as_str()),
        End::Skipped { reason, message } => (reason.word(), message.as_str()),
        End::Missing => ("missing", "the work came back without this record"),
    };
    format!("failed: {kind} - {}", message.chars().take(SHOWN).collect::<String>())
}
