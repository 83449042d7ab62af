//! Records that were not read as rows of the same sort, written as rows.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use domain::{Record, json};
use serde_json::value::RawValue;

use super::{Composer, New, Pen, PenError};
use crate::{
    Place,
    file::{Aside, cannot_sink},
};

/// More columns than any program opens. Beyond it the rows of a file would be delimiters for the most part.
const MOST: usize = 16_384;

/// How rows are written whose columns are known.
pub(crate) trait RowsPen: Send {
    /// Writes the names of the columns, before so many rows that hold so many bytes of JSON.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn head(&mut self, names: &[String], n_rows: u64, n_bytes: u64, out: &mut Aside) -> Result<(), PenError>;

    /// Writes a row: a value, or nothing, for each of the `names`.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn row(&mut self, names: &[String], values: &[Option<&RawValue>], out: &mut Aside) -> Result<(), PenError>;

    /// Writes what stands behind the rows.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn end(&mut self, _out: &mut Aside) -> Result<(), PenError> {
        Ok(())
    }

    /// Says why a cell cannot hold a value, if so.
    ///
    /// # Errors
    /// The reason.
    fn takes(&self, _value: &RawValue) -> Result<(), String> {
        Ok(())
    }

    /// Returns whether the next row is to stand in another file.
    fn is_full(&self) -> bool {
        false
    }

    /// Begins another file of the same kind.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn again(&self, out: &Aside) -> Result<Self, PenError>
    where
        Self: Sized;
}

/// Keeps records aside until the names of all columns are known.
pub(crate) struct SpoolPen<R> {
    composer: Composer,
    rows: R,
    spool: BufWriter<File>,
    place: Place,
    names: Vec<String>,
    columns: HashMap<String, usize>,
    line: Vec<u8>,
    n_rows: u64,
    n_bytes: u64,
    /// The files behind the first one.
    further: Vec<Aside>,
}

impl<R> SpoolPen<R> {
    /// Makes a pen that writes to `out` with `rows`.
    ///
    /// # Errors
    /// Where there is no room for what it keeps.
    pub(crate) fn new(composer: Composer, rows: R, out: &Aside) -> Result<Self, PenError> {
        let path: PathBuf = out.place().path.with_extension("spool");
        let place = Place { path, name: out.place().name.clone() };
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&place.path);
        let spool = BufWriter::with_capacity(1 << 18, file.map_err(|error| cannot_sink("write", &place, &error))?);
        let (names, columns) = (Vec::new(), HashMap::new());
        Ok(Self {
            composer,
            rows,
            spool,
            place,
            names,
            columns,
            line: Vec::new(),
            n_rows: 0,
            n_bytes: 0,
            further: Vec::new(),
        })
    }

    fn add_name(&mut self, name: &str) {
        if !self.columns.contains_key(name) {
            self.columns.insert(name.to_owned(), self.names.len());
            self.names.push(name.to_owned());
        }
    }
}

impl<R: RowsPen> Pen for SpoolPen<R> {
    fn write(&mut self, record: &Record, new: New<'_>, _: &mut Aside) -> Result<(), PenError> {
        let (mut wrong, rows) = (None, &self.rows);
        let _ = json::members(new.output().get(), |name, value| {
            if let Err(what) = rows.takes(value) {
                wrong.get_or_insert_with(|| format!("the cell of column `{name}`: {what}"));
            }
        });
        if let Some(what) = wrong {
            return Err(PenError::Rejected(what));
        }
        self.line.clear();
        self.composer.compose(&record.bytes, new.output(), &mut self.line)?;
        let text = str::from_utf8(&record.bytes).map_err(|error| PenError::Record(error.to_string()))?;
        let mut new = Vec::new();
        let parsed = json::members(text, |name, _| {
            if !self.columns.contains_key(&*name) {
                new.push(name);
            }
        });
        parsed.map_err(|error| PenError::Record(error.0))?;
        new.iter().for_each(|name| self.add_name(name));
        if self.names.len() > MOST {
            let what = format!(
                "with it the records have more than {MOST} different fields, too many for columns; write to `jsonl`"
            );
            return Err(PenError::Record(what));
        }
        self.line.push(b'\n');
        self.n_rows += 1;
        self.n_bytes += self.line.len() as u64;
        self.spool.write_all(&self.line).map_err(|error| cannot_sink("write", &self.place, &error).into())
    }

    fn end(&mut self, out: &mut Aside) -> Result<(), PenError> {
        // New columns stand behind those of all records, whatever the first record lacked.
        let new: Vec<String> = self.composer.columns().iter().map(|column| column.name.clone()).collect();
        new.iter().for_each(|name| self.add_name(name));
        let broken = |error: io::Error| PenError::from(cannot_sink("read", &self.place, &error));
        self.spool.flush().map_err(broken)?;
        let mut file = self.spool.get_ref().try_clone().map_err(broken)?;
        file.seek(SeekFrom::Start(0)).map_err(broken)?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let mut text = String::new();
        self.rows.head(&self.names, self.n_rows, self.n_bytes, out)?;
        for n in 1_u64.. {
            text.clear();
            if reader.read_line(&mut text).map_err(broken)? == 0 {
                break;
            }
            let mut values = vec![None; self.names.len()];
            let parsed = json::members(&text, |name, value| {
                if let Some(column) = self.columns.get(&*name) {
                    values[*column] = Some(value);
                }
            });
            parsed.map_err(|error| PenError::Record(error.0))?;
            let at = |error: PenError| match error {
                PenError::Record(what) | PenError::Rejected(what) => {
                    PenError::Record(format!("record {n} of the output: {what}"))
                }
                sink => sink,
            };
            if self.rows.is_full() {
                if self.further.is_empty() {
                    out.recount(n - 1);
                }
                self.rows.end(self.further.last_mut().unwrap_or(out))?;
                let next = out.further(self.further.len() + 2)?;
                self.rows = self.rows.again(&next)?;
                self.further.push(next);
                let (n_rows, n_bytes) = (self.n_rows, self.n_bytes);
                let out = self.further.last_mut().unwrap_or(out);
                self.rows.head(&self.names, n_rows, n_bytes, out)?;
            }
            match self.further.last_mut() {
                Some(file) => {
                    self.rows.row(&self.names, &values, file).map_err(at)?;
                    file.count_record();
                }
                None => self.rows.row(&self.names, &values, out).map_err(at)?,
            }
        }
        self.rows.end(self.further.last_mut().unwrap_or(out))
    }

    fn further(&mut self) -> Vec<Aside> {
        std::mem::take(&mut self.further)
    }
}

impl<R> Drop for SpoolPen<R> {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the next merge of the run writes over the file.
        let _ = fs::remove_file(&self.place.path);
    }
}
