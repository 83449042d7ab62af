//! A table as a source.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{
    BoxFuture, Origin, PartNumber, Read, Record, RecordKey, SkipReason, StepNumber,
    ports::{Change, Fingerprint, Inspected, Records, Source, SourceError, Starts},
};

use tempfile::TempDir;

use super::{Access, DatabaseError, Wanted, lease::Lease, spool::Spool, table::Table, written::name_of};
use crate::{AnswerColumns, FileSource, Place, file::Stored, jsonl::LinesFormat, table::Settings};

/// What a source of a table is made of.
pub struct SqlSourceSettings {
    /// The table.
    pub access: Access,
    /// Which of its rows.
    pub wanted: Wanted,
    /// Whether rows are claimed, and by whom.
    pub claims_as: Option<String>,
    /// Where the rows that are taken are kept; for those who only look, in a file that goes when they are done.
    pub spool: Option<Place>,
    /// The step that reads them.
    pub step: StepNumber,
    /// The columns that answers go to.
    pub answers: AnswerColumns,
}

/// Why a table cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// For people.
    pub message: String,
    /// Whether it may pass by itself: nothing of what the pipeline says is wrong.
    pub is_away: bool,
}

/// A table as a source: rows are taken once, kept in a spool, and read from there as often as need be.
#[derive(Clone)]
pub struct SqlSource {
    access: Access,
    wanted: Wanted,
    step: StepNumber,
    spool: Arc<Mutex<Spool>>,
    place: Place,
    lines: FileSource,
    lease: Option<Arc<Lease>>,
    _passing: Option<Arc<TempDir>>,
}

impl SqlSource {
    /// Makes a source.
    ///
    /// # Errors
    /// Where there is no room for the rows.
    pub fn new(settings: SqlSourceSettings) -> Result<Self, SourceError> {
        let SqlSourceSettings { access, wanted, claims_as, spool, step, answers } = settings;
        let (path, passing) = match spool {
            Some(place) => (place.path, None),
            None => {
                let folder = tempfile::tempdir()
                    .map_err(|error| SourceError(format!("no room for rows of `{}`: {error}", access.name())))?;
                (folder.path().join("rows"), Some(Arc::new(folder)))
            }
        };
        let place = Place { name: access.name(), path };
        let stored = Stored { compression: Some(crate::Compression::None), encoding: None };
        let reading = Settings { key: None, max: crate::config::LONGEST, stored };
        let lines = FileSource::new(LinesFormat { encoding: None }, reading, place.clone(), step, answers);
        let folder = place.path.parent().unwrap_or(Path::new(""));
        let holder = claims_as.map(|run| name_of(folder, &run)).transpose();
        let holder = holder.map_err(|error| SourceError(crate::file::cannot("write", &place, &error)))?;
        let lease = holder.map(|run| Arc::new(Lease::new(access.clone(), format!("{run}/{step}"))));
        let spool = Spool::new(access.clone(), wanted.clone(), place.clone(), lease.clone());
        Ok(Self { access, wanted, step, spool: Arc::new(Mutex::new(spool)), place, lines, lease, _passing: passing })
    }

    /// Returns the rows that were taken as a file of lines.
    #[must_use]
    pub fn lines(&self) -> &FileSource {
        &self.lines
    }

    /// Returns the table that is read.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn lease(&self) -> Option<&Arc<Lease>> {
        self.lease.as_ref()
    }

    /// Returns the first row that is wanted, without taking it.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub fn first(&self) -> Result<Option<Record>, SourceError> {
        let look = || -> Result<Option<Record>, DatabaseError> {
            let mut database = self.access.connect()?;
            let table = Table::look(&mut *database, &self.access.name, self.access.key.as_deref())?.with_key()?;
            let rows = table.page(&mut *database, &self.wanted, None, 1)?;
            Ok(rows.first().map(|row| {
                let mut text = String::new();
                table.push_object(row, &mut text);
                let key = RecordKey { step: self.step, part: 0, sample: 0, position: 0 };
                Record { key, origin: Origin { line: 1, offset: 0 }, bytes: text.into(), row: None }
            }))
        };
        look().map_err(|error| self.told(error))
    }

    /// Makes sure that the table can be read, and has the columns that are named.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn reach(&self) -> Result<(), Unreached> {
        let look = || -> Result<(), DatabaseError> {
            let mut database = self.access.connect()?;
            let table = Table::look(&mut *database, &self.access.name, self.access.key.as_deref())?.with_key()?;
            self.wanted.required.iter().try_for_each(|name| table.index(name).map(drop))
        };
        look().map_err(|error| Unreached { is_away: error.is_away(), message: self.told(error).0 })
    }

    fn told(&self, error: DatabaseError) -> SourceError {
        SourceError(format!("cannot read the table `{}`: {}", self.access.name(), error.message))
    }
}

impl Source for SqlSource {
    fn name(&self) -> String {
        self.access.name()
    }

    fn part(&self, _: PartNumber) -> String {
        self.access.name()
    }

    fn place_of(&self, record: &Record) -> String {
        self.lines.place_of(record).replacen(" line ", " row ", 1)
    }

    fn fingerprint(&self) -> Result<Fingerprint, SourceError> {
        self.reach().map_err(|error| SourceError(error.message))?;
        Ok(Fingerprint { parts: vec![self.access.name()], lengths: vec![0], samples: vec!["table".to_owned()] })
    }

    fn compare(&self, before: &Fingerprint) -> Result<Change, SourceError> {
        // What this run took does not change; what it has not taken is none of its records yet.
        Ok(match before.parts.as_slice() {
            [name] if *name == self.access.name() => Change::Unchanged,
            parts => Change::Changed(format!("it read `{}` and is now to read `{}`", parts.join("`, `"), self.name())),
        })
    }

    fn open(&self, starts: &Starts) -> Result<Box<dyn Records>, SourceError> {
        let (position, offset) = starts.get(&0).copied().unwrap_or_default();
        let rows = Rows { source: self.clone(), reader: None, position, offset };
        Ok(Box::new(Reading { rows: Some(Box::new(rows)), ahead: VecDeque::new(), may_pass: false }))
    }

    fn count(&self) -> Result<Option<u64>, SourceError> {
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        spool.count().map(Some).map_err(|error| self.told(error))
    }

    fn inspect(&self, record: &Record) -> Result<Inspected, (SkipReason, String)> {
        self.lines.inspect(record)
    }
}

/// A reading in progress, and what it said last.
struct Reading {
    rows: Option<Box<Rows>>,
    /// What was read and not asked for yet: to go to another thread costs more than to read some lines.
    ahead: VecDeque<Read>,
    may_pass: bool,
}

impl Records for Reading {
    fn next(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<Read>, SourceError>> {
        Box::pin(async move {
            if self.ahead.is_empty() {
                let over = || SourceError("the reading of a table was called off".to_owned());
                let mut rows = self.rows.take().ok_or_else(over)?;
                let read = tokio::task::spawn_blocking(move || {
                    let read = rows.read();
                    (rows, read)
                });
                let (rows, read) = read.await.map_err(|error| SourceError(error.to_string()))?;
                self.may_pass = read.as_ref().is_err_and(DatabaseError::is_away);
                let source = &self.rows.insert(rows).source;
                self.ahead.extend(read.map_err(|error| source.told(error))?);
            }
            let n = max.min(self.ahead.len());
            Ok(self.ahead.drain(..n).collect())
        })
    }

    fn may_pass(&self) -> bool {
        self.may_pass
    }
}

/// As many bytes of lines are read at once.
const AHEAD: u64 = 256 << 10;

struct Rows {
    source: SqlSource,
    reader: Option<BufReader<File>>,
    position: u64,
    offset: u64,
}

impl Rows {
    /// Reads on in the spool, which grows where it has no more.
    fn read(&mut self) -> Result<Vec<Read>, DatabaseError> {
        let spool = Arc::clone(&self.source.spool);
        loop {
            let length = {
                let mut spool = spool.lock().unwrap_or_else(PoisonError::into_inner);
                spool.open().map_err(|error| self.broken(&error))?;
                if spool.length() <= self.offset && !spool.grow()? && spool.is_whole() {
                    return Ok(Vec::new());
                }
                spool.length()
            };
            let reads = self.lines(length).map_err(|error| self.broken(&error))?;
            if !reads.is_empty() {
                return Ok(reads);
            }
        }
    }

    fn lines(&mut self, length: u64) -> std::io::Result<Vec<Read>> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let mut file = File::open(&self.source.place.path)?;
                file.seek(SeekFrom::Start(self.offset))?;
                none.insert(BufReader::with_capacity(1 << 16, file))
            }
        };
        let (mut reads, end) = (Vec::new(), length.min(self.offset + AHEAD));
        // At least one, however long it is.
        while self.offset < end {
            let mut line = Vec::new();
            let n = reader.read_until(b'\n', &mut line)?;
            if n == 0 {
                break;
            }
            line.pop();
            let key = RecordKey { step: self.source.step, part: 0, sample: 0, position: self.position };
            let origin = Origin { line: self.position + 1, offset: self.offset };
            self.offset += n as u64;
            self.position += 1;
            let record = Record { key, origin, bytes: line.into(), row: None };
            reads.push(Read { record, next_offset: self.offset, flaw: None });
        }
        Ok(reads)
    }

    fn broken(&self, error: &std::io::Error) -> DatabaseError {
        DatabaseError::new(super::Trouble::Refused, crate::file::cannot("read", &self.source.place, error))
    }
}
