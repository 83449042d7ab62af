//! Requests that have been answered: what `dedupe` looks up.

use std::{path::Path, sync::Arc};

use domain::{
    Header, Located, StepNumber,
    ports::{Disk, KeyTableError, RequestTable},
};

use crate::{HashFile, Journal, RunFolder};

/// Request hash → where the outcome of the record lies that was asked, in a table on disk.
///
/// It is a projection of the journal. What a killed process had settled and not put in is put in at the next opening,
/// from the last segments; after a crash of the machine the whole journal is read.
#[derive(Debug)]
pub struct Requests {
    table: HashFile,
}

/// How many of the last segments are read again at opening: the one that is written to, and the one that may have been
/// sealed between a commit and its putting in.
const READ_AGAIN: u32 = 2;

impl Requests {
    /// Opens the table of `step` in a run's folder.
    ///
    /// # Errors
    /// Where the table or the journal cannot be read or written.
    pub fn open(disk: Arc<dyn Disk>, folder: &RunFolder, step: StepNumber, boot: u64) -> Result<Self, KeyTableError> {
        let path = folder.path().join(Path::new(&format!("requests-{step}")));
        let told = |error: &dyn std::fmt::Display| KeyTableError(error.to_string());
        let (mut table, is_whole) = HashFile::open(Arc::clone(&disk), &path, boot).map_err(|e| told(&e))?;
        let journal = folder.journal();
        let last = Journal::last_segment(&*disk, &journal).map_err(|e| told(&e))?;
        let from = if is_whole { (last + 1).saturating_sub(READ_AGAIN) } else { 0 };
        let mut failure = None;
        Journal::replay_from(&*disk, &journal, from, &mut |entry, at| {
            let Header::Outcome(outcome) = entry.header else { return };
            if outcome.key.step != step || outcome.same_as.is_some() || failure.is_some() {
                return;
            }
            if let Some(request) = outcome.request {
                failure = table.set(request, number_of(at)).err();
            }
        })
        .map_err(|e| told(&e))?;
        match failure {
            Some(error) => Err(told(&error)),
            None => Ok(Self { table }),
        }
    }
}

impl RequestTable for Requests {
    fn put(&mut self, request: u128, at: Located) -> Result<(), KeyTableError> {
        self.table.set(request, number_of(at)).map_err(|e| KeyTableError(e.to_string()))
    }

    fn get(&self, request: u128) -> Result<Option<Located>, KeyTableError> {
        let found = self.table.get(request).map_err(|e| KeyTableError(e.to_string()))?;
        Ok(found.map(|number| Located { segment: (number >> 32) as u32, offset: number as u32 }))
    }
}

fn number_of(at: Located) -> u64 {
    u64::from(at.segment) << 32 | u64::from(at.offset)
}
