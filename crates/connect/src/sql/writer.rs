//! Writing outcomes to a table, in place or added, with notes on what is written.

use std::{collections::HashMap, sync::Arc};

use domain::{End, Failure, FailureKind, Outcome, Record, json, ports::SinkError};
use serde_json::value::RawValue;

use super::{
    Database, DatabaseError, SqlSinkSettings, SqlSource, Trouble, Value, Where,
    batch::{self, Change},
    cells,
    identity::is_one_table,
    insert::{self, Addition},
    table::Table,
    written::{self, Written, name_of},
};
use crate::{
    file::create_folder,
    table::{Composer, cut, status_of},
};

/// How much is said of how a row ended, in characters.
const STATUS: usize = 200;

/// What may be done to a database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// Nothing.
    Look,
    /// What is our own may be made.
    Prepare,
    /// Tables and columns that are missing too.
    Create,
}

/// Why a table was not written.
pub(super) enum NotWritten {
    /// It cannot be reached now.
    Away(String),
    /// It does not let us write.
    Refused(String),
    /// Something else: a file of notes.
    Wrong(SinkError),
}

impl From<NotWritten> for SinkError {
    fn from(looked: NotWritten) -> Self {
        match looked {
            NotWritten::Away(message) => Self::environment(message),
            NotWritten::Refused(message) => Self::new(message),
            NotWritten::Wrong(error) => error,
        }
    }
}

/// Writes outcomes, and notes what is written.
pub(super) struct Writer {
    settings: Arc<SqlSinkSettings>,
    composer: Composer,
    /// Whether it is sure that the table is not the one that is read under another name.
    is_told_apart: bool,
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
    pub(super) fn new(settings: Arc<SqlSinkSettings>, composer: Composer) -> Self {
        let is_told_apart = settings.is_in_place;
        Self { settings, composer, is_told_apart, connected: None, notes: HashMap::new() }
    }

    fn told(&self, error: &DatabaseError) -> NotWritten {
        let message = format!("cannot write the table `{}`: {}", self.settings.access.name(), error.message);
        if error.is_away() { NotWritten::Away(message) } else { NotWritten::Refused(message) }
    }

    /// Connects, looks at the table, and makes sure that it has all columns.
    pub(super) fn look(&mut self, touch: Touch) -> Result<(), NotWritten> {
        self.connected = None;
        let looked = self.connect(touch);
        self.connected = Some(looked.map_err(|error| self.told(&error))?);
        Ok(())
    }

    fn connect(&mut self, touch: Touch) -> Result<(Box<dyn Database>, Table), DatabaseError> {
        let settings = Arc::clone(&self.settings);
        let SqlSinkSettings { access, status, names, .. } = &*settings;
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
        self.tell_apart(&mut *database)?;
        let mut wanted: Vec<String> = self.composer.columns().iter().map(|column| column.name.clone()).collect();
        wanted.extend(status.clone());
        if !self.settings.is_in_place {
            wanted.splice(0..0, names.iter().filter(|name| !wanted.contains(name)).cloned().collect::<Vec<_>>());
            self.make_table(&mut *database, &wanted, touch)?;
        }
        let key = if self.settings.is_in_place {
            self.settings.source.as_ref().and_then(|it| it.access().key.clone())
        } else {
            access.key.clone()
        };
        let mut table = Table::look(&mut *database, &access.name, key.as_deref())?;
        if self.settings.is_in_place {
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
        if !self.settings.is_in_place && access.key.is_none() && touch != Touch::Look {
            insert::prepare(&mut *database)?;
        }
        Ok((database, table))
    }

    /// Makes sure of nothing but that, where tables and columns are yet to be made.
    pub(super) fn look_apart(&mut self) -> Result<(), NotWritten> {
        let access = &self.settings.access;
        // A file that is not there is nobody's.
        if self.is_told_apart || matches!(&access.at, Where::Sqlite(place) if !place.path.exists()) {
            return Ok(());
        }
        let looked = access.connect().and_then(|mut database| self.tell_apart(&mut *database));
        looked.map_err(|error| self.told(&error))
    }

    /// Makes sure that another table is another one: rows added to the table that is read would be nobody's wish.
    fn tell_apart(&mut self, database: &mut dyn Database) -> Result<(), DatabaseError> {
        let SqlSinkSettings { access, source, .. } = &*self.settings;
        if let Some(source) = source.as_ref().filter(|_| !self.is_told_apart).map(SqlSource::access)
            && is_one_table(source, access, database)?
        {
            let message = format!(
                "it is the table that is read: {} is {}. Leave out under the sink where it is and how it is called, so that answers \
                 go into the rows that were read, or name another table",
                access.spelled(),
                source.spelled()
            );
            return Err(DatabaseError::new(Trouble::Refused, message));
        }
        self.is_told_apart = true;
        Ok(())
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
    pub(super) fn notes_of(&mut self, part: u32, sample: u32, is_new: bool) -> Result<&mut Written, SinkError> {
        let SqlSinkSettings { folder, step, .. } = &*self.settings;
        let path = written::path_of(folder, *step, part, sample);
        match self.notes.entry((part, sample)) {
            std::collections::hash_map::Entry::Occupied(found) if !is_new => Ok(found.into_mut()),
            entry => {
                let notes = Written::open(&path, is_new).map_err(|error| self.settings.unwritable(&error))?;
                Ok(entry.insert_entry(notes).into_mut())
            }
        }
    }

    /// Writes outcomes, and returns what became of each.
    pub(super) fn write(&mut self, rows: &[(&Record, &Outcome)]) -> Result<Vec<Result<(), Failure>>, NotWritten> {
        let mut ends: Vec<Result<(), Failure>> = Vec::with_capacity(rows.len());
        let (mut changes, mut additions) = (Vec::new(), Vec::new());
        if self.connected.is_none() {
            self.look(Touch::Prepare)?;
        }
        self.look_at_notes(rows).map_err(NotWritten::Wrong)?;
        for (record, outcome) in rows {
            let wanted = self.wanted(record, outcome).map_err(NotWritten::Wrong)?;
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
        let name = name_of(folder, run).map_err(|error| NotWritten::Wrong(self.settings.unwritable(&error)))?;
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
            let notes = self.notes_of(part, sample, false).map_err(NotWritten::Wrong)?;
            let noted = notes.note(values.iter().map(|(position, values)| (*position, values.as_str())));
            noted.map_err(|error| NotWritten::Wrong(self.settings.unwritable(&error)))?;
        }
        Ok(ends)
    }

    /// Reads at once what is noted of these records.
    fn look_at_notes(&mut self, rows: &[(&Record, &Outcome)]) -> Result<(), SinkError> {
        let mut positions: HashMap<(u32, u32), Vec<u64>> = HashMap::new();
        for (record, _) in rows {
            positions.entry((record.key.part, record.key.sample)).or_default().push(record.key.position);
        }
        let settings = Arc::clone(&self.settings);
        for ((part, sample), positions) in positions {
            let looked = self.notes_of(part, sample, false)?.look(positions.into_iter());
            looked.map_err(|error| settings.unwritable(&error))?;
        }
        Ok(())
    }

    /// Makes the columns of fields that no record before had.
    fn widen(&mut self, additions: &[(usize, Addition)]) -> Result<(), NotWritten> {
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
        let made = if self.settings.is_in_place {
            self.change(table, record, &values, last.as_deref(), text).map(Wanted::Change)
        } else {
            self.addition(record, outcome, last.is_some(), text).map(Wanted::Addition)
        };
        Ok(made.map(Some).map_err(|what| Failure::new(FailureKind::WriteRejected, what)))
    }

    /// Returns the columns that an outcome fills, with their values as JSON.
    fn values(&self, outcome: &Outcome) -> Result<Option<Vec<(String, String)>>, String> {
        let status = self.settings.status.as_ref().filter(|_| self.settings.is_in_place);
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
        if let (Some(status), Some(ended)) = (status, status_of(&outcome.end)) {
            // The column may be one of few characters.
            values.push((status.clone(), serde_json::Value::from(&*cut(&ended, STATUS)).to_string()));
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
        let index = |name: &str| table.index(name).map_err(|error| error.message);
        let new = values.iter().map(|(name, value)| Ok((index(name)?, value.clone())));
        let new = new.collect::<Result<Vec<_>, String>>()?;
        let SqlSinkSettings { guarded, status, .. } = &*self.settings;
        let (mut row, mut read) = (vec![None; table.key.len()], Vec::new());
        json::members(line, |name, value| {
            let Some(column) = table.find(&name) else { return };
            if let Some(at) = table.key.iter().position(|n| *n == column) {
                row[at] = Some(cells::to_value(table.flavor, &table.columns[column], value.get()));
            }
            let is_answer = self.composer.columns().iter().any(|column| column.name == name);
            let is_guarded = guarded.as_ref().is_none_or(|guarded| guarded.iter().any(|field| *field == name));
            if (is_answer || is_guarded) && status.as_deref() != Some(&*name) {
                read.push((column, value.get().to_owned()));
            }
        })
        .map_err(|error| error.0)?;
        let row = row.into_iter().collect::<Option<Vec<Value>>>();
        let row = row.ok_or_else(|| "the record does not have the table's key".to_owned())?;
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

    pub(super) fn restore(&mut self, record: &Record) -> Result<Option<Box<RawValue>>, SinkError> {
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

    /// Removes what kept rows from being added twice: the run's own notes do, once they are durable. Where they are not, or
    /// the database is away, it stays, and harms nobody.
    pub(super) fn forget(&mut self) {
        let SqlSinkSettings { folder, run, step, access, is_in_place, .. } = &*self.settings;
        if *is_in_place || access.key.is_some() {
            return;
        }
        if let Some((database, _)) = &mut self.connected
            && written::sync(folder, *step).is_ok()
            && let Ok(name) = name_of(folder, run)
        {
            let _ = insert::forget(&mut **database, &format!("{name}/{step}"));
        }
    }

    /// Gives back what was claimed.
    pub(super) fn release(&mut self) {
        let Some(lease) = self.settings.source.as_ref().and_then(SqlSource::lease).cloned() else { return };
        // Where it cannot be done, the claims end by themselves.
        let _ = match &mut self.connected {
            Some((database, _)) if self.settings.is_in_place => lease.release(&mut **database),
            _ => self.settings.source.as_ref().map_or(Ok(()), |source| {
                source.access().connect().and_then(|mut database| lease.release(&mut *database))
            }),
        };
    }
}

fn object(members: &[(String, String)]) -> String {
    let mut text = String::from("{");
    for (n, (name, value)) in members.iter().enumerate() {
        text.push_str(if n > 0 { "," } else { "" });
        cells::push_text(name, &mut text);
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}
