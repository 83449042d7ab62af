//! Where a step reads, and the tables of databases that it names.

use std::path::Path;

use connect::{
    Access, Input, Mistake, Password, Place, Resolver, SqlSink, SqlSinkSettings, SqlSource, SqlSourceSettings, Wanted,
};
use domain::{Secret, StepNumber};

use super::{Named, Pending, StepConfig};
use crate::compose::environment;

/// The run that reads, which keeps what it took.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    /// The run's folder.
    pub(crate) folder: &'a Path,
    /// The run's id.
    pub(crate) run: &'a str,
}

impl Named<'_> {
    /// Calls `what` with what the pipeline file's place and the environment tell of tables.
    fn resolving<T>(&self, what: impl FnOnce(&Resolver<'_>) -> T) -> T {
        let place = |path: &Path| self.place(path);
        let password = |password: &Password| self.password(password);
        what(&Resolver { place: &place, password: &password })
    }

    fn password(&self, password: &Password) -> Result<Secret, String> {
        let found = match password {
            Password::Given(secret) => return Ok(secret.clone()),
            Password::Env(name) => environment::variable(name)
                .ok_or_else(|| format!("the environment has no variable `{name}` with the password"))?,
            Password::File(path) => {
                let place = self.place(path);
                std::fs::read_to_string(&place.path)
                    .map_err(|error| format!("cannot read the password in `{}`: {error}", place.name))?
            }
        };
        match found.trim_end_matches(['\r', '\n']) {
            "" => Err("the password is empty".to_owned()),
            found => Ok(Secret::new(found)),
        }
    }

    /// Returns the table that a step reads, where it is one of a database.
    ///
    /// # Errors
    /// The option that is wrong.
    pub(crate) fn access(&self, step: &StepConfig) -> Result<Option<Access>, Mistake> {
        self.resolving(|resolver| step.source.table.access(resolver))
    }

    /// Returns the table that a step writes, where it is one of a database.
    ///
    /// # Errors
    /// The option that is wrong.
    pub(crate) fn written(&self, step: &StepConfig) -> Result<Option<Access>, Mistake> {
        let source = self.access(step).ok().flatten();
        self.resolving(|resolver| step.sink.access(source.as_ref(), resolver))
    }

    /// Makes the source of a step: files at `place`, or a table, whose rows the `reader` keeps.
    ///
    /// # Errors
    /// The option that is wrong.
    pub(crate) fn input(
        &self,
        step: &StepConfig,
        number: StepNumber,
        place: Place,
        reader: Option<Reader<'_>>,
    ) -> Result<Input, Mistake> {
        let wrong =
            |option: &'static str| move |error: domain::ports::SourceError| Mistake { option, message: error.0 };
        let Some(access) = self.access(step)? else {
            let files = step.source.table.source(place, number, step.answers()).map_err(wrong("path"))?;
            return Ok(Input::Files(files));
        };
        let source = &step.source;
        let table = SqlSource::new(SqlSourceSettings {
            access,
            wanted: step.wanted(),
            claims_as: reader.filter(|_| source.table.is_shared()).map(|reader| reader.run.to_owned()),
            spool: reader
                .map(|reader| Place { path: reader.folder.join(format!("rows-{number}.jsonl")), name: String::new() }),
            step: number,
            answers: step.answers(),
        });
        Ok(Input::Table(Box::new(table.map_err(wrong("table"))?)))
    }
}

/// What the sink of a table is made from.
pub(crate) struct Written<'a> {
    /// Where the step reads.
    pub(crate) input: &'a Input,
    /// The run's folder.
    pub(crate) folder: &'a Path,
    /// The run's id.
    pub(crate) run: &'a str,
    /// The step.
    pub(crate) number: StepNumber,
    /// Whether columns that the table lacks are made.
    pub(crate) creates: bool,
}

impl Named<'_> {
    /// Makes the sink of a step that writes a table of a database.
    ///
    /// # Errors
    /// The option that is wrong.
    pub(crate) fn table_sink(&self, step: &StepConfig, written: &Written<'_>) -> Result<SqlSink, Mistake> {
        let Written { input, folder, run, number, creates } = written;
        let no_table = || Mistake { option: "table", message: "it is no table of a database".to_owned() };
        let access = self.written(step)?.ok_or_else(no_table)?;
        let failures = step.sink.failures().map(|path| self.place(path));
        let failures = failures.unwrap_or_else(|| self.output(&step.sink).beside(".failures.jsonl"));
        // Another table gets the fields of the records too. What cannot be read is told where it is read.
        let mut names = Vec::new();
        if !step.is_table_in_place()
            && let Ok(Some(record)) = input.first()
            && let Ok(text) = str::from_utf8(&record.bytes)
        {
            // A record that is none is skipped when it is read.
            let _ = domain::json::members(text, |name, _| names.push(name.into_owned()));
        }
        let settings = SqlSinkSettings {
            access,
            source: input.table().cloned(),
            is_in_place: step.is_table_in_place(),
            records: input.files().clone(),
            guarded: step.source.fields.clone(),
            status: step.sink.status().map(str::to_owned),
            failures,
            folder: folder.to_path_buf(),
            run: (*run).to_owned(),
            step: *number,
            creates: *creates,
            names,
        };
        let sink = step.sink.sql_sink(settings, &step.work.new_fields());
        sink.map_err(|error| Mistake { option: "columns", message: error.message })
    }
}

impl StepConfig {
    /// Returns whether the answers go into the very table of a database that is read.
    pub(crate) fn is_table_in_place(&self) -> bool {
        self.sink.is_table_of(&self.source.table)
    }

    /// Makes what is left out what is meant: of a table that is its own sink, only rows without an answer are worked on.
    pub(crate) fn complete(&mut self) {
        if self.is_table_in_place() && self.source.pending.is_none() && !self.sink.overwrites() {
            self.source.pending = Some(Pending { errors: false });
        }
        // What is pending has nothing that could be lost.
        if self.source.pending.is_some() {
            self.sink.overwrite();
        }
    }

    /// Returns which rows of a table are records: what the database itself can tell.
    fn wanted(&self) -> Wanted {
        let source = &self.source;
        let is_required = source.require.is_some();
        Wanted {
            required: source.fields.clone().filter(|_| is_required).unwrap_or_default(),
            all: source.require.unwrap_or_default() == work::prompt::Require::All,
            // Answers that go elsewhere are not in the table.
            pending: match source.pending {
                Some(_) => self.sink.names(&self.work.new_fields()),
                None => Vec::new(),
            },
            errors: source.pending.is_some_and(|pending| pending.errors),
        }
    }
}
