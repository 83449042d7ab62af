//! The rows that a run took, as lines of a file in its folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Access, Cell, Database, DatabaseError, Trouble, Value, Wanted, lease::Lease, table::Table};
use crate::Place;

/// Rows are taken so many at once, or as many as this many bytes. Each page is a wait for the disk.
const PAGE: usize = 4_000;
/// The same where others take rows of the table too: what one has claimed, none else gets.
const SHARED_PAGE: usize = 1_000;
const FIRST_PAGE: usize = 100;
const HEAVY: usize = 4 << 20;

/// A spool, and the table that it is filled from.
pub(crate) struct Spool {
    access: Access,
    wanted: Wanted,
    place: Place,
    lease: Option<Arc<Lease>>,
    file: Option<File>,
    length: u64,
    is_whole: bool,
    database: Option<(Box<dyn Database>, Table)>,
    page: usize,
    /// Where the next page begins, where rows were seen that are not in the spool, because others work on them.
    seen: Option<Vec<Value>>,
}

impl Spool {
    pub(crate) fn new(access: Access, wanted: Wanted, place: Place, lease: Option<Arc<Lease>>) -> Self {
        Self {
            access,
            wanted,
            place,
            lease,
            file: None,
            length: 0,
            is_whole: false,
            database: None,
            page: FIRST_PAGE,
            seen: None,
        }
    }

    /// The file beside the spool that says that the table had no more.
    fn end(&self) -> PathBuf {
        self.place.path.with_extension("whole")
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole || self.end().exists()
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Opens the file. A process that was killed may have left half a line, which nobody has seen.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.read(true).create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.place.path)?;
        let length = crate::table::last_line_end(&mut file)?;
        file.set_len(length)?;
        self.is_whole = self.end().exists();
        (self.length, self.file) = (length, Some(file));
        Ok(())
    }

    /// Connects and looks at the table, where that was not done.
    pub(crate) fn connect(&mut self) -> Result<&mut (Box<dyn Database>, Table), DatabaseError> {
        let connected = match self.database.take() {
            Some(connected) => connected,
            None => {
                let mut database = self.access.connect()?;
                let table = Table::look(&mut *database, &self.access.name, self.access.key.as_deref())?.with_key()?;
                if let Some(lease) = &self.lease {
                    lease.prepare(&mut *database)?;
                }
                (database, table)
            }
        };
        Ok(self.database.insert(connected))
    }

    /// Takes the next page, and returns whether the spool has grown.
    pub(crate) fn grow(&mut self) -> Result<bool, DatabaseError> {
        self.open().map_err(|error| self.broken(&error))?;
        if self.is_whole {
            return Ok(false);
        }
        let taken = self.take();
        if taken.as_ref().is_err_and(DatabaseError::is_away) {
            self.database = None;
        }
        let (text, has_more) = taken?;
        let append = |spool: &mut Self| -> io::Result<()> {
            if let Some(file) = &mut spool.file
                && !text.is_empty()
            {
                file.write_all(text.as_bytes())?;
                // What is asked about a row must never outlive the row.
                file.sync_data()?;
                spool.length += text.len() as u64;
            }
            if !has_more {
                spool.close()?;
            }
            Ok(())
        };
        append(self).map_err(|error| self.broken(&error))?;
        Ok(!text.is_empty())
    }

    fn close(&mut self) -> io::Result<()> {
        let end = self.end();
        let aside = end.with_extension("whole.tmp");
        let mut file = File::create(&aside)?;
        writeln!(file, "{}", self.length)?;
        file.sync_all()?;
        fs::rename(aside, end)?;
        self.is_whole = true;
        self.database = None;
        Ok(())
    }

    fn take(&mut self) -> Result<(String, bool), DatabaseError> {
        let last = match self.seen.take() {
            Some(seen) => Some(seen),
            None => self.last_key()?,
        };
        let (n, wanted, lease) = (self.page, self.wanted.clone(), self.lease.clone());
        let (database, table) = self.connect()?;
        let mut last = last;
        loop {
            let mut rows = table.page(&mut **database, &wanted, last.as_deref(), n)?;
            let has_more = rows.len() == n;
            let behind = rows.last().and_then(|row| table.key_of(&object(table, row)));
            if let Some(lease) = &lease {
                rows = lease.claim(&mut **database, table, &wanted, rows)?;
            }
            if rows.is_empty() && has_more {
                // Others work on all of them.
                last = behind;
                continue;
            }
            let mut text = String::new();
            for row in &rows {
                table.push_object(row, &mut text);
                text.push('\n');
            }
            self.seen = behind;
            if text.len() > HEAVY {
                self.page = (n / 2).max(1);
            } else if text.len() < HEAVY / 4 {
                self.page = (n * 2).min(if lease.is_some() { SHARED_PAGE } else { PAGE });
            }
            return Ok((text, has_more));
        }
    }

    /// Returns the key of the last row in the spool.
    fn last_key(&mut self) -> Result<Option<Vec<Value>>, DatabaseError> {
        let line = self.last_line().map_err(|error| self.broken(&error))?;
        let Some(line) = line else { return Ok(None) };
        let (_, table) = self.connect()?;
        match table.key_of(&line) {
            Some(key) => Ok(Some(key)),
            None => {
                let message =
                    format!("the rows of `{}` that this run took do not have the key any more", self.place.name);
                Err(DatabaseError::new(Trouble::Refused, message))
            }
        }
    }

    fn last_line(&self) -> io::Result<Option<String>> {
        let Some(file) = &self.file else { return Ok(None) };
        let mut file = BufReader::new(file.try_clone()?);
        let mut span = 1 << 14;
        loop {
            let from = self.length.saturating_sub(span);
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            (&mut file).take(self.length - from).read_to_end(&mut bytes)?;
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            match memchr::memrchr(b'\n', text) {
                Some(at) => return Ok(Some(String::from_utf8_lossy(&text[at + 1..]).into_owned())),
                None if from == 0 => {
                    return Ok((!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned()));
                }
                None => span *= 4,
            }
        }
    }

    /// Counts the rows in the spool and those that would still be taken.
    pub(crate) fn count(&mut self) -> Result<u64, DatabaseError> {
        self.open().map_err(|error| self.broken(&error))?;
        let taken = lines(&self.place.path).map_err(|error| self.broken(&error))?;
        if self.is_whole {
            return Ok(taken);
        }
        let last = self.last_key()?;
        let wanted = self.wanted.clone();
        // It takes long in a large table, and must not keep others from reading.
        let mut database = self.access.connect()?;
        let table = Table::look(&mut *database, &self.access.name, self.access.key.as_deref())?.with_key()?;
        Ok(taken + table.count(&mut *database, &wanted, last.as_deref())?)
    }

    fn broken(&self, error: &io::Error) -> DatabaseError {
        DatabaseError::new(Trouble::Refused, crate::file::cannot("write", &self.place, error))
    }
}

fn object(table: &Table, row: &[Cell]) -> String {
    let mut text = String::new();
    table.push_object(row, &mut text);
    text
}

fn lines(path: &Path) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut n = 0;
    loop {
        let block = reader.fill_buf()?;
        if block.is_empty() {
            return Ok(n);
        }
        n += memchr::memchr_iter(b'\n', block).count() as u64;
        let read = block.len();
        reader.consume(read);
    }
}
