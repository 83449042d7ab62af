//! Records that were not read as rows, written as rows.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use domain::{Record, json};
use serde_json::value::RawValue;

use super::{
    Dialect,
    cells::push_cell,
    sink::{end_row, needs_quote, push_value},
};
use crate::{
    Place,
    file::{Aside, cannot_sink},
    table::{Composer, Pen, PenError},
};

/// More columns than any program opens. Beyond it the rows of a file would be delimiters for the most part.
const MOST: usize = 16_384;

/// Keeps records aside until the names of all columns are known.
pub(super) struct SpoolPen {
    composer: Composer,
    dialect: Dialect,
    spool: BufWriter<File>,
    place: Place,
    names: Vec<String>,
    columns: HashMap<String, usize>,
    line: Vec<u8>,
}

impl SpoolPen {
    pub(super) fn new(composer: Composer, dialect: Dialect, out: &Aside) -> Result<Self, PenError> {
        let path: PathBuf = out.place().path.with_extension("spool");
        let place = Place { path, name: out.place().name.clone() };
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&place.path);
        let spool = BufWriter::with_capacity(1 << 18, file.map_err(|error| cannot_sink("write", &place, &error))?);
        let (names, columns) = (Vec::new(), HashMap::new());
        Ok(Self { composer, dialect, spool, place, names, columns, line: Vec::new() })
    }

    fn add_name(&mut self, name: &str) {
        if !self.columns.contains_key(name) {
            self.columns.insert(name.to_owned(), self.names.len());
            self.names.push(name.to_owned());
        }
    }

    fn push_row<'a>(
        &self,
        values: impl Iterator<Item = Option<&'a RawValue>>,
        out: &mut Vec<u8>,
    ) -> Result<(), PenError> {
        for (i, value) in values.enumerate() {
            if i > 0 {
                out.push(self.dialect.delimiter);
            }
            let pushed = value.map_or(Ok(()), |value| push_value(value, self.dialect, out));
            pushed.map_err(|error| needs_quote(&error, &self.names[i]))?;
        }
        end_row(out, self.dialect, b"\n");
        Ok(())
    }

    fn push_header(&self, out: &mut Vec<u8>) -> Result<(), PenError> {
        for (i, name) in self.names.iter().enumerate() {
            if i > 0 {
                out.push(self.dialect.delimiter);
            }
            push_cell(name.as_bytes(), self.dialect, out).map_err(|error| needs_quote(&error, name))?;
        }
        end_row(out, self.dialect, b"\n");
        Ok(())
    }
}

impl Pen for SpoolPen {
    fn write(&mut self, record: &Record, output: &RawValue, _: &mut Aside) -> Result<(), PenError> {
        self.line.clear();
        self.composer.compose(&record.bytes, output, &mut self.line)?;
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
        self.spool.write_all(&self.line).map_err(|error| cannot_sink("write", &self.place, &error).into())
    }

    fn end(&mut self, out: &mut Aside) -> Result<(), PenError> {
        // New columns stand behind those of all records, whatever the first record lacked.
        let new: Vec<String> = self.composer.columns().iter().map(|column| column.name.clone()).collect();
        new.iter().for_each(|name| self.add_name(name));
        if self.names.is_empty() {
            return Ok(());
        }
        let broken = |error: io::Error| PenError::from(cannot_sink("read", &self.place, &error));
        self.spool.flush().map_err(broken)?;
        let mut file = self.spool.get_ref().try_clone().map_err(broken)?;
        file.seek(SeekFrom::Start(0)).map_err(broken)?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let (mut line, mut text) = (Vec::new(), String::new());
        self.push_header(&mut line)?;
        out.add(&line)?;
        for n in 1_u64.. {
            text.clear();
            if reader.read_line(&mut text).map_err(broken)? == 0 {
                break;
            }
            line.clear();
            let mut values = vec![None; self.names.len()];
            let parsed = json::members(&text, |name, value| {
                if let Some(column) = self.columns.get(&*name) {
                    values[*column] = Some(value);
                }
            });
            parsed.map_err(|error| PenError::Record(error.0))?;
            let at = |error: PenError| match error {
                PenError::Record(what) => PenError::Record(format!("record {n} of the output: {what}")),
                sink => sink,
            };
            self.push_row(values.into_iter(), &mut line).map_err(at)?;
            out.add(&line).map_err(|error| at(error.into()))?;
        }
        Ok(())
    }
}

impl Drop for SpoolPen {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the next merge of the run writes over the file.
        let _ = fs::remove_file(&self.place.path);
    }
}
