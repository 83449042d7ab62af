//! Files of one format as a source.

use std::sync::Arc;

use domain::{
    PartNumber, Record, SkipReason, StepNumber,
    ports::{Change, Fingerprint, Inspected, Records, Source, SourceError, Starts},
};

use encoding_rs::Encoding;

use super::{
    Format,
    inspect::{AnswerColumns, Looking, Taken},
    read::{BLOCK, Begun, Here, Reading, Rows, broken, count},
};
use crate::{
    ByteSize, Place,
    csv::Heading,
    excel::Sheet,
    file::{self, Files, Part, Stored},
};

/// What a pipeline file says of a source that is the same for every format.
pub(crate) struct Settings {
    pub(crate) key: Option<String>,
    pub(crate) max: ByteSize,
    pub(crate) stored: Stored,
}

/// A sheet, and where its workbook is.
pub(crate) type PlacedSheet = (Place, Arc<Sheet>);

/// Files of one format as a source.
///
/// Which files there are and how long they are is fixed when their fingerprint is taken or compared: what is appended
/// during a run is not read by it, in no pass, and is a later run's.
#[derive(Clone)]
pub struct FileSource {
    files: Arc<Files>,
    table: Arc<dyn Table>,
    step: StepNumber,
    key: Option<String>,
    max: ByteSize,
    answers: AnswerColumns,
}

impl FileSource {
    /// Makes a source of the files at `place`. The `answers` are the names that the sink will add: what is to be done with a
    /// record that has them is found out before anything is asked.
    pub(crate) fn new<F: Format>(
        format: F,
        settings: Settings,
        place: Place,
        step: StepNumber,
        answers: AnswerColumns,
    ) -> Self {
        let Settings { key, max, stored } = settings;
        let table = Arc::new(Of(Arc::new(format)));
        Self { files: Arc::new(Files::new(place, stored)), table, step, key, max, answers }
    }

    /// Returns a source of the same format, of the files at another place.
    pub(crate) fn at(&self, place: Place) -> Self {
        Self { files: Arc::new(Files::new(place, self.files.stored())), ..self.clone() }
    }

    /// Reads the records from the first one, in the thread of whoever asks for the next one. With `are_bare` rows are only told
    /// from what is no row.
    pub(crate) fn rows(&self, are_bare: bool) -> Result<Rows, SourceError> {
        // A row that lacks none of no answers is answered.
        let taken = if are_bare { Taken::Pending { errors: false } } else { Taken::Refused };
        let answers = AnswerColumns { names: Vec::new(), taken };
        Ok(self.table.rows(self.files.parts()?, self.step, self.max, answers))
    }

    /// Returns the first record that is not blank, if it is near the beginning: for trying out what is done with records.
    ///
    /// # Errors
    /// Where the files cannot be read.
    pub fn first(&self) -> Result<Option<Record>, SourceError> {
        self.table.first(&self.files.parts()?, self.step, self.max)
    }

    /// Returns where a record stands, in the words of a person who opens the file: `data/b.csv row 17`.
    #[must_use]
    pub fn place_of(&self, record: &Record) -> String {
        format!("{} {} {}", self.name_of(record.key.part), self.table.noun(), record.origin.line)
    }

    fn name_of(&self, part: PartNumber) -> String {
        let name = match self.files.parts() {
            Ok(parts) => parts.get(part as usize).map(|part| part.place.name.clone()),
            Err(_) => None,
        };
        name.unwrap_or_else(|| self.files.name().to_owned())
    }

    /// Returns the names of its parts.
    ///
    /// # Errors
    /// Where there is none.
    pub fn parts(&self) -> Result<Vec<String>, SourceError> {
        Ok(self.files.parts()?.iter().map(|part| part.place.name.clone()).collect())
    }

    /// Returns whether a file is one of its parts, or would be one.
    #[must_use]
    pub fn reads(&self, path: &std::path::Path) -> bool {
        let parts = self.files.parts();
        let is_part = parts.is_ok_and(|parts| parts.iter().any(|part| file::is_same_path(&part.place.path, path)));
        is_part || self.files.would_match(path)
    }

    /// Says that a file which is about to be written, `what` for people, would be read as one of the parts, if so.
    #[must_use]
    pub fn would_read(&self, what: &str, place: &Place) -> Option<String> {
        let Place { path, name } = place;
        self.files.would_match(path).then(|| {
            format!(
                "the {what} `{name}` would be one of the files that `{}` matches; write it to another folder",
                self.files.name()
            )
        })
    }

    /// Returns the encoding that it is declared to be in.
    pub(crate) fn encoding(&self) -> Option<&'static Encoding> {
        self.files.stored().encoding
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// Returns how a record's place is called: `line`.
    pub(crate) fn noun(&self) -> &'static str {
        self.table.noun()
    }

    /// Returns whether its files are there, and of its format as far as their beginnings tell.
    pub(crate) fn is_sound(&self) -> bool {
        self.files.parts().is_ok_and(|parts| parts.iter().all(|part| self.table.check(part).is_ok()))
    }

    /// Returns the sheets that its parts are, with the places of their workbooks; nothing where they are none.
    pub(crate) fn sheets(&self) -> Result<Option<Vec<PlacedSheet>>, SourceError> {
        let parts = self.files.parts()?;
        let sheets = parts.iter().map(|part| Some(self.table.sheet(part)?.map(|sheet| (part.place.clone(), sheet))));
        sheets.collect::<Option<Result<_, _>>>().transpose()
    }

    /// Returns what heads the tables that it reads, where they are tables of rows.
    pub(crate) fn heading(&self) -> Result<Option<Heading>, SourceError> {
        self.table.heading(&self.files.parts()?)
    }

    /// Returns the place of the first row that holds anything behind the last column, in the words of a person who opens the
    /// file, where these are tables of rows of text. They are read for that.
    pub(crate) fn first_surplus(&self) -> Result<Option<String>, SourceError> {
        for part in &*self.files.parts()? {
            if let Some(number) = self.table.first_surplus(part)? {
                return Ok(Some(format!("{} {} {number}", part.place.name, self.table.noun())));
            }
        }
        Ok(None)
    }

    /// Returns how the cells of its tables are told apart, for people, where they are tables of rows of text.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn dialect(&self) -> Result<Option<String>, SourceError> {
        Ok(self.heading()?.map(|heading| heading.dialect_in_words()))
    }
}

impl Source for FileSource {
    fn name(&self) -> String {
        self.files.name().to_owned()
    }

    fn part(&self, number: PartNumber) -> String {
        self.name_of(number)
    }

    fn place_of(&self, record: &Record) -> String {
        self.place_of(record)
    }

    fn fingerprint(&self) -> Result<Fingerprint, SourceError> {
        let parts = self.files.look()?;
        for part in &parts {
            self.table.check(part)?;
        }
        let found = file::of(&parts)?;
        self.files.keep(parts);
        Ok(found)
    }

    fn compare(&self, before: &Fingerprint) -> Result<Change, SourceError> {
        if self.files.is_missing() {
            return Ok(Change::Changed(self.files.missing()));
        }
        let parts = self.files.look()?;
        let change = file::compare(&parts, before, |part, old_length| self.table.continued(part, old_length))?;
        self.files.keep(parts);
        Ok(change)
    }

    fn open(&self, starts: &Starts) -> Result<Box<dyn Records>, SourceError> {
        let (parts, answers) = (self.files.parts()?, self.answers.clone());
        self.table.open(self.files.name(), parts, self.step, self.max, answers, starts.clone())
    }

    fn count(&self) -> Result<Option<u64>, SourceError> {
        self.table.count(&self.files.parts()?).map(Some)
    }

    fn whole(&self, record: &Record) -> Result<Record, SourceError> {
        if record.row.as_ref() != Some(&record.bytes) {
            return Ok(record.clone());
        }
        let parts = self.files.parts()?;
        let Some(part) = parts.get(record.key.part as usize) else { return Ok(record.clone()) };
        self.table.whole(part, record)
    }

    fn inspect(&self, record: &Record) -> Result<Inspected, (SkipReason, String)> {
        let is_empty_missing = self.table.is_empty_missing();
        let looking = Looking { key: self.key.as_deref(), answers: &self.answers, is_empty_missing };
        let looked = self.table.inspect(record).and_then(|text| looking.at(text));
        looked.map_err(|(reason, what)| (reason, format!("{}: {what}", self.place_of(record))))
    }
}

/// A format without its own type.
trait Table: Send + Sync {
    fn noun(&self) -> &'static str;
    fn check(&self, part: &Part) -> Result<(), SourceError>;
    fn continued(&self, part: &Part, old_length: u64) -> Result<Option<String>, SourceError>;
    fn heading(&self, parts: &[Part]) -> Result<Option<Heading>, SourceError>;
    fn first_surplus(&self, part: &Part) -> Result<Option<u64>, SourceError>;
    fn whole(&self, part: &Part, record: &Record) -> Result<Record, SourceError>;
    fn sheet(&self, part: &Part) -> Option<Result<Arc<Sheet>, SourceError>>;
    fn inspect<'r>(&self, record: &'r Record) -> Result<&'r str, (SkipReason, String)>;
    fn is_empty_missing(&self) -> bool;
    fn first(&self, parts: &[Part], step: StepNumber, max: ByteSize) -> Result<Option<Record>, SourceError>;
    fn count(&self, parts: &[Part]) -> Result<u64, SourceError>;
    fn rows(&self, parts: Arc<[Part]>, step: StepNumber, max: ByteSize, answers: AnswerColumns) -> Rows;
    fn open(
        &self,
        name: &str,
        parts: Arc<[Part]>,
        step: StepNumber,
        max: ByteSize,
        answers: AnswerColumns,
        starts: Starts,
    ) -> Result<Box<dyn Records>, SourceError>;
}

struct Of<F>(Arc<F>);

impl<F: Format> Table for Of<F> {
    fn noun(&self) -> &'static str {
        self.0.words().noun
    }

    fn check(&self, part: &Part) -> Result<(), SourceError> {
        self.0.check(part)
    }

    fn continued(&self, part: &Part, old_length: u64) -> Result<Option<String>, SourceError> {
        self.0.continued(part, old_length)
    }

    fn heading(&self, parts: &[Part]) -> Result<Option<Heading>, SourceError> {
        self.0.heading(parts)
    }

    fn first_surplus(&self, part: &Part) -> Result<Option<u64>, SourceError> {
        self.0.first_surplus(part)
    }

    fn whole(&self, part: &Part, record: &Record) -> Result<Record, SourceError> {
        self.0.whole(part, record)
    }

    fn sheet(&self, part: &Part) -> Option<Result<Arc<Sheet>, SourceError>> {
        self.0.sheet(part)
    }

    fn inspect<'r>(&self, record: &'r Record) -> Result<&'r str, (SkipReason, String)> {
        self.0.inspect(record)
    }

    fn is_empty_missing(&self) -> bool {
        self.0.is_empty_missing()
    }

    fn first(&self, parts: &[Part], step: StepNumber, max: ByteSize) -> Result<Option<Record>, SourceError> {
        /// Longer records are rare, and nothing depends on this one.
        const NEAR: usize = 1 << 20;
        let answers = AnswerColumns::default();
        let reading = Reading { format: Arc::clone(&self.0), parts: Arc::from([]), step, max, answers };
        for part in parts {
            let mut begun = reading.start(part, &Starts::new())?;
            let (mut cut, mut n_read) = (Vec::new(), 0);
            while n_read < NEAR {
                let block = begun.reader.block(BLOCK).map_err(|error| broken(part, &error))?;
                let (is_over, n) = (block.is_empty(), block.len());
                let Begun { splitter, .. } = &mut begun;
                let done = if is_over { splitter.finish(&mut cut) } else { splitter.push(&block.into(), &mut cut) };
                while !cut.is_empty() {
                    let reads = splitter.dress(&mut cut).into_iter();
                    let mut sound = reads.filter(|read| read.flaw.is_none()).map(|read| read.record);
                    if let Some(found) = sound.find(|record| !record.bytes.trim_ascii().is_empty()) {
                        return Ok(Some(found));
                    }
                }
                done.map_err(SourceError)?;
                n_read += n;
                if is_over {
                    break;
                }
            }
        }
        Ok(None)
    }

    fn rows(&self, parts: Arc<[Part]>, step: StepNumber, max: ByteSize, answers: AnswerColumns) -> Rows {
        Box::new(Here::new(Reading { format: Arc::clone(&self.0), parts, step, max, answers }))
    }

    fn count(&self, parts: &[Part]) -> Result<u64, SourceError> {
        let mut n = 0;
        for part in parts {
            n += count(&*self.0, part)?;
        }
        Ok(n)
    }

    fn open(
        &self,
        name: &str,
        parts: Arc<[Part]>,
        step: StepNumber,
        max: ByteSize,
        answers: AnswerColumns,
        starts: Starts,
    ) -> Result<Box<dyn Records>, SourceError> {
        Reading { format: Arc::clone(&self.0), parts, step, max, answers }.aside(name, starts)
    }
}
