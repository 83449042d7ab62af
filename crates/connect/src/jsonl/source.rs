//! Reading.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    vec,
};

use domain::{
    BoxFuture, Read, Record, SkipReason, StepNumber, json,
    ports::{Change, Fingerprint, Inspected, Records, Source, SourceError, Starts},
};
use memchr::memchr;
use tokio::sync::mpsc;

use super::{
    SourceConfig, fingerprint,
    lines::{Batch, Splitter, read_aside},
};
use crate::{
    ByteSize, Place,
    place::{cannot, did_you_mean},
};

/// The byte order mark that some editors put before UTF-8.
pub(super) const BOM: &[u8] = "\u{feff}".as_bytes();

/// A JSON Lines file as a source.
///
/// Its length is fixed when its fingerprint is taken or compared: a file that grows during a run is read up to there,
/// in every pass alike, and what was appended is a later run's.
pub struct JsonlSource {
    place: Place,
    name: Arc<str>,
    step: StepNumber,
    key: Option<String>,
    max_line: ByteSize,
    forbidden: Vec<String>,
    until: AtomicU64,
}

impl JsonlSource {
    /// Makes a source of the file at `place`. A record that has one of the `forbidden` fields is skipped: they are the
    /// names that the sink will add (see [`super::SinkConfig::forbidden`]).
    #[must_use]
    pub fn new(config: &SourceConfig, place: Place, step: StepNumber, forbidden: Vec<String>) -> Self {
        Self {
            name: Arc::from(place.name.as_str()),
            place,
            step,
            key: config.key.clone(),
            max_line: config.max_line.unwrap_or(SourceConfig::MAX_LINE),
            forbidden,
            until: AtomicU64::new(u64::MAX),
        }
    }

    /// Returns the first record that is not blank, if it is near the beginning: for trying out what is done with records.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn first(&self) -> Result<Option<Record>, SourceError> {
        /// Longer lines are rare, and nothing depends on this one.
        const NEAR: u64 = 1 << 20;
        let broken = |error| SourceError(cannot("read", &self.place, &error));
        let (mut file, length) = self.file()?;
        let start = fingerprint::bom_length(&mut file).map_err(broken)?;
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(start)).and_then(|_| file.take(NEAR).read_to_end(&mut block)).map_err(broken)?;
        let is_whole = start + block.len() as u64 >= length;
        let mut splitter = Splitter::new(Arc::clone(&self.name), self.step, self.max_line, 0, start);
        let mut lines = Vec::new();
        splitter.push(&block.into(), &mut lines);
        if is_whole {
            splitter.finish(&mut lines);
        }
        let mut lines = lines.into_iter().filter(|line| line.flaw.is_none()).map(|line| line.record);
        Ok(lines.find(|record| !record.bytes.trim_ascii().is_empty()))
    }

    /// Opens the file and returns it with its length.
    fn file(&self) -> Result<(File, u64), SourceError> {
        let broken = |error| SourceError(cannot("read", &self.place, &error));
        let file = File::open(&self.place.path).map_err(|error| {
            let hint = if self.is_missing() { did_you_mean(&self.place) } else { String::new() };
            SourceError(cannot("read", &self.place, &error) + &hint)
        })?;
        let about = file.metadata().map_err(broken)?;
        if about.is_dir() {
            let message = format!("cannot read `{}`: it is a folder; name a file of JSON lines in it", self.name);
            return Err(SourceError(message));
        }
        if !about.is_file() {
            // Positions and offsets are of use only where the same bytes can be read again.
            let message = format!("cannot read `{}`: it is not a regular file; save its content in one", self.name);
            return Err(SourceError(message));
        }
        Ok((file, about.len()))
    }

    fn is_missing(&self) -> bool {
        matches!(self.place.path.try_exists(), Ok(false))
    }
}

impl Source for JsonlSource {
    fn name(&self) -> String {
        self.place.name.clone()
    }

    fn fingerprint(&self) -> Result<Fingerprint, SourceError> {
        let (mut file, length) = self.file()?;
        let found = fingerprint::of(&mut file, length, &self.name)
            .map_err(|error| SourceError(cannot("read", &self.place, &error)))?;
        self.until.store(length, Ordering::Relaxed);
        Ok(found)
    }

    fn compare(&self, before: &Fingerprint) -> Result<Change, SourceError> {
        if self.is_missing() {
            return Ok(Change::Changed(format!("`{}` is missing{}", self.name, did_you_mean(&self.place))));
        }
        let (mut file, length) = self.file()?;
        let change = fingerprint::compare(&mut file, length, &self.place, before)
            .map_err(|error| SourceError(cannot("read", &self.place, &error)))?;
        self.until.store(length, Ordering::Relaxed);
        Ok(change)
    }

    fn open(&self, starts: &Starts) -> Result<Box<dyn Records>, SourceError> {
        let (position, offset) = starts.get(&0).copied().unwrap_or_default();
        let broken = |error| SourceError(cannot("read", &self.place, &error));
        let (mut file, length) = self.file()?;
        let until = self.until.load(Ordering::Relaxed);
        if offset > length || (until != u64::MAX && until > length) {
            let message = format!(
                "`{}` became shorter while the run was going: it has {length} bytes, and {} were there",
                self.name,
                offset.max(until)
            );
            return Err(SourceError(message));
        }
        let mut start = offset;
        if offset == 0 {
            start += fingerprint::bom_length(&mut file).map_err(broken)?;
        } else if offset < length && !fingerprint::is_line_start(&mut file, offset).map_err(broken)? {
            // The last line had no end when the run began, and has been given one since.
            let line_end = fingerprint::line_end_at(&mut file, offset).map_err(broken)?;
            if line_end == 0 {
                let message = format!("`{}` has no line that begins at byte {offset}: it is another file", self.name);
                return Err(SourceError(message));
            }
            start += line_end;
        }
        file.seek(SeekFrom::Start(start)).map_err(broken)?;
        let splitter = Splitter::new(Arc::clone(&self.name), self.step, self.max_line, position, start);
        let batches = read_aside(file, until.min(length), splitter).map_err(broken)?;
        Ok(Box::new(JsonlRecords { place: self.place.clone(), batches, ready: Vec::new().into_iter(), is_over: false }))
    }

    fn inspect(&self, record: &Record) -> Result<Inspected, (SkipReason, String)> {
        let skip = |reason, what: String| Err((reason, format!("{} line {}: {what}", self.name, record.origin.line)));
        if record.bytes.trim_ascii().is_empty() {
            return skip(SkipReason::Blank, "the line is blank".to_owned());
        }
        if let Some(at) = memchr(0, &record.bytes) {
            let what = format!("not text: a NUL byte at byte {} of the line", at + 1);
            return skip(SkipReason::BadText, what);
        }
        let text = match str::from_utf8(&record.bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to() + 1;
                let what = format!("not valid UTF-8 from byte {at} of the line; convert the file to UTF-8");
                return skip(SkipReason::BadText, what);
            }
        };
        let (mut taken, mut key) = (None, None);
        let parsed = json::members(text, |name, value| {
            if taken.is_none() && self.forbidden.iter().any(|forbidden| *forbidden == name) {
                taken = Some(name.clone());
            }
            if self.key.as_deref() == Some(&*name) {
                key = Some(value);
            }
        });
        if let Err(error) = parsed {
            return skip(SkipReason::BadRecord, error.0);
        }
        if let Some(name) = taken {
            let what = format!(
                "the record already has a field `{name}`; give the new field another name with `columns:` or set \
                 `overwrite: true`"
            );
            return skip(SkipReason::NameTaken, what);
        }
        let Some(field) = &self.key else { return Ok(Inspected { user_key: None }) };
        let Some(value) = key.filter(|value| value.get() != "null") else {
            let what = if key.is_some() { "is null" } else { "is missing" };
            return skip(SkipReason::MissingField, format!("the key field `{field}` {what}"));
        };
        match value.get().as_bytes().first() {
            Some(b'"') => match serde_json::from_str(value.get()) {
                Ok(text) => Ok(Inspected { user_key: Some(text) }),
                Err(error) => {
                    skip(SkipReason::BadRecord, format!("the key field `{field}`: {}", json::in_words(&error)))
                }
            },
            Some(b'{' | b'[') => {
                let what = format!("the key field `{field}` is {}, and must be text or a number", json::kind_of(value));
                skip(SkipReason::BadRecord, what)
            }
            _ => Ok(Inspected { user_key: Some(value.get().to_owned()) }),
        }
    }
}

struct JsonlRecords {
    place: Place,
    batches: mpsc::Receiver<Batch>,
    ready: vec::IntoIter<Read>,
    is_over: bool,
}

impl Records for JsonlRecords {
    fn next(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<Read>, SourceError>> {
        Box::pin(async move {
            while self.ready.len() == 0 && !self.is_over {
                match self.batches.recv().await {
                    Some(Batch::Lines(lines)) => self.ready = lines.into_iter(),
                    Some(Batch::End) => self.is_over = true,
                    Some(Batch::Broken(error)) => return Err(SourceError(cannot("read", &self.place, &error))),
                    None => {
                        let message = format!("the thread that reads `{}` ended before the file did", self.place.name);
                        return Err(SourceError(message));
                    }
                }
            }
            Ok(self.ready.by_ref().take(max.max(1)).collect())
        })
    }
}
