//! Files or a table, as those see them who read records from whatever there is.

use domain::{
    PartNumber, Record, SkipReason,
    ports::{Change, Fingerprint, Inspected, Records, Source, SourceError, Starts},
};

use crate::{FileSource, SqlSource};

/// Where records are read.
#[derive(Clone)]
pub enum Input {
    /// Files of one format.
    Files(FileSource),
    /// A table of a database.
    Table(Box<SqlSource>),
}

impl Input {
    /// Returns the files that the records stand in: those of the source, or the one of the rows that were taken.
    #[must_use]
    pub fn files(&self) -> &FileSource {
        match self {
            Self::Files(files) => files,
            Self::Table(table) => table.lines(),
        }
    }

    /// Returns the table, where it is one.
    #[must_use]
    pub fn table(&self) -> Option<&SqlSource> {
        match self {
            Self::Files(_) => None,
            Self::Table(table) => Some(table),
        }
    }

    /// Returns the first record, if there is one near the beginning: for trying out what is done with records.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn first(&self) -> Result<Option<Record>, SourceError> {
        match self {
            Self::Files(files) => files.first(),
            Self::Table(table) => table.first(),
        }
    }

    fn source(&self) -> &dyn Source {
        match self {
            Self::Files(files) => files,
            Self::Table(table) => &**table,
        }
    }
}

impl Source for Input {
    fn name(&self) -> String {
        self.source().name()
    }

    fn part(&self, number: PartNumber) -> String {
        self.source().part(number)
    }

    fn place_of(&self, record: &Record) -> String {
        self.source().place_of(record)
    }

    fn fingerprint(&self) -> Result<Fingerprint, SourceError> {
        self.source().fingerprint()
    }

    fn compare(&self, before: &Fingerprint) -> Result<Change, SourceError> {
        self.source().compare(before)
    }

    fn open(&self, starts: &Starts) -> Result<Box<dyn Records>, SourceError> {
        self.source().open(starts)
    }

    fn count(&self) -> Result<Option<u64>, SourceError> {
        self.source().count()
    }

    fn whole(&self, record: &Record) -> Result<Record, SourceError> {
        self.source().whole(record)
    }

    fn inspect(&self, record: &Record) -> Result<Inspected, (SkipReason, String)> {
        self.source().inspect(record)
    }
}
