//! Requests that have been answered: what `dedupe` looks up.

use std::{collections::HashMap, path::Path, sync::Arc};

use domain::{
    Header, Located, StepNumber,
    ports::{Disk, KeyTableError, RequestTable},
};

use crate::{HashFile, HashFileError, Journal, RunFolder, filter::Filter};

/// Request hash → where the outcome of the record lies that was asked, in a table on disk.
///
/// What is put in gathers in memory and goes into the table many at a time; a filter knows of most requests that they are
/// in neither, so that a new one costs no reading.
///
/// It is a projection of the journal. The table's note is the first segment that must be read again at opening: of earlier
/// ones every outcome is in the table. What a killed process had only in memory, or had settled and not put in, lies at
/// or behind it. After a crash of the machine there is no note, and the whole journal is read.
#[derive(Debug)]
pub struct Requests {
    table: HashFile,
    /// What is not in the table yet. All of it lies in segments that the note does not leave out.
    gathered: HashMap<u128, u64>,
    /// What is on its way from there into the table; kept for its memory.
    writing: Vec<(u128, u64)>,
    filter: Filter,
    /// The newest segment that is known of.
    reached: u32,
}

/// So many requests are gathered (2 MiB with the room that a map keeps).
const GATHERED: usize = 32_768;
/// How many of the newest segments may hold outcomes that were not put in: the one that is written to, and the one that may
/// have been sealed between a commit and its putting in.
const READ_AGAIN: u32 = 2;

impl Requests {
    /// Opens the table of `step` in a run's folder.
    ///
    /// # Errors
    /// Where the table or the journal cannot be read or written.
    pub fn open(disk: Arc<dyn Disk>, folder: &RunFolder, step: StepNumber, boot: u64) -> Result<Self, KeyTableError> {
        let path = folder.path().join(Path::new(&format!("requests-{step}")));
        let told = |error: &dyn std::fmt::Display| KeyTableError(error.to_string());
        // The note of a table that is not whole is 0. It stays so until all is in, should that be killed too.
        let (table, _) = HashFile::open(Arc::clone(&disk), &path, boot).map_err(|e| told(&e))?;
        let journal = folder.journal();
        let last = Journal::last_segment(&*disk, &journal).map_err(|e| told(&e))?;
        let from = u32::try_from(table.note()).unwrap_or_default();
        let filter = Filter::for_keys(table.n_keys());
        let mut requests = Self { table, gathered: HashMap::new(), writing: Vec::new(), filter, reached: last };
        requests.fill_filter().map_err(|e| told(&e))?;
        let mut failure = None;
        Journal::replay_from(&*disk, &journal, from, &mut |entry, at| {
            let Header::Outcome(outcome) = entry.header else { return };
            if outcome.key.step != step || outcome.same_as.is_some() || failure.is_some() {
                return;
            }
            if let Some(request) = outcome.request {
                failure = requests.gather(request, at).err();
            }
        })
        .map_err(|e| told(&e))?;
        match failure.map_or_else(|| requests.settle(), Err) {
            Ok(()) => Ok(requests),
            Err(error) => Err(told(&error)),
        }
    }

    fn gather(&mut self, request: u128, at: Located) -> Result<(), HashFileError> {
        if self.gathered.insert(request, number_of(at)).is_none() {
            self.filter.add(request);
        }
        if self.gathered.len() >= GATHERED {
            self.write()?;
        }
        if self.filter.is_full() {
            self.filter = Filter::for_keys(self.table.n_keys() + self.gathered.len() as u64);
            self.fill_filter()?;
        }
        Ok(())
    }

    /// Moves what was gathered into the table.
    fn write(&mut self) -> Result<(), HashFileError> {
        self.writing.clear();
        self.writing.extend(self.gathered.drain());
        self.table.set_all(&mut self.writing)
    }

    /// Moves what was gathered into the table, and notes that earlier segments need not be read again.
    fn settle(&mut self) -> Result<(), HashFileError> {
        self.write()?;
        self.table.set_note(u64::from(self.first_to_read()))
    }

    fn first_to_read(&self) -> u32 {
        (self.reached + 1).saturating_sub(READ_AGAIN)
    }

    fn fill_filter(&mut self) -> Result<(), HashFileError> {
        self.gathered.keys().for_each(|request| self.filter.add(*request));
        self.table.each_key(|request| self.filter.add(request))
    }
}

impl RequestTable for Requests {
    fn put(&mut self, request: u128, at: Located) -> Result<(), KeyTableError> {
        self.reached(at.segment)?;
        self.gather(request, at)
            .and_then(|()| {
                // It came later than anything should: the note leaves its segment out already.
                if u64::from(at.segment) < self.table.note() { self.write() } else { Ok(()) }
            })
            .map_err(|e| KeyTableError(e.to_string()))
    }

    fn get(&self, request: u128) -> Result<Option<Located>, KeyTableError> {
        let found = match self.gathered.get(&request) {
            Some(number) => Some(*number),
            None if self.filter.may_have(request) => {
                self.table.get(request).map_err(|e| KeyTableError(e.to_string()))?
            }
            None => None,
        };
        Ok(found.map(|number| Located { segment: (number >> 32) as u32, offset: number as u32 }))
    }

    fn reached(&mut self, segment: u32) -> Result<(), KeyTableError> {
        if segment <= self.reached {
            return Ok(());
        }
        self.reached = segment;
        self.settle().map_err(|e| KeyTableError(e.to_string()))
    }
}

fn number_of(at: Located) -> u64 {
    u64::from(at.segment) << 32 | u64::from(at.offset)
}
