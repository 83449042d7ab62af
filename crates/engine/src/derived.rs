//! Records made from records: the source of a step behind a step that fans out.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    BoxFuture, Header, Origin, Read, Record, RecordKey, SkipReason, StepNumber,
    ports::{Change, Fingerprint, Found, Inspected, Journal, Outcomes, Records, Source, SourceError, Starts},
};

/// Reads what an earlier step derived, from the journal. Records come in the order of their parents; positions are
/// those that were given when the parents settled, so every process sees the same ones.
pub struct DerivedSource {
    journal: Arc<dyn Journal>,
    parent_step: StepNumber,
    n_parents: u64,
}

impl DerivedSource {
    /// Reads the records that `parent_step` derived from its `n_parents` records.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>, parent_step: StepNumber, n_parents: u64) -> Self {
        Self { journal, parent_step, n_parents }
    }
}

impl Source for DerivedSource {
    fn name(&self) -> String {
        format!("records of step {}", self.parent_step)
    }

    fn fingerprint(&self) -> Result<Fingerprint, SourceError> {
        Ok(Fingerprint { parts: vec![self.name()], lengths: vec![self.n_parents], samples: Vec::new() })
    }

    fn compare(&self, _before: &Fingerprint) -> Result<Change, SourceError> {
        // The journal does not change under a run, and the earlier step was checked against its own source.
        Ok(Change::Unchanged)
    }

    fn open(&self, _starts: &Starts) -> Result<Box<dyn Records>, SourceError> {
        let outcomes = self.journal.outcomes(self.parent_step).map_err(|e| SourceError(e.to_string()))?;
        let (parent_step, n_parents) = (self.parent_step, self.n_parents);
        Ok(Box::new(Reading { outcomes, parent_step, n_parents, parent: 0, waiting: Vec::new() }))
    }

    fn inspect(&self, _record: &Record) -> Result<Inspected, (SkipReason, String)> {
        Ok(Inspected { user_key: None })
    }
}

struct Reading {
    outcomes: Box<dyn Outcomes>,
    parent_step: StepNumber,
    n_parents: u64,
    parent: u64,
    /// Derived records of the last parent, in reverse.
    waiting: Vec<Read>,
}

impl Reading {
    fn next_batch(&mut self, max: usize) -> Result<Vec<Read>, SourceError> {
        let mut reads = Vec::new();
        while reads.len() < max {
            if let Some(read) = self.waiting.pop() {
                reads.push(read);
                continue;
            }
            if self.parent == self.n_parents {
                break;
            }
            let key = RecordKey { step: self.parent_step, part: 0, sample: 0, position: self.parent };
            self.parent += 1;
            let found = self.outcomes.of(&key).map_err(|e| SourceError(e.to_string()))?;
            let Found::Outcome(entry) = found else { continue };
            let Header::Outcome(outcome) = entry.header else { continue };
            let line = outcome.line;
            let Some(derived) = outcome.derived else { continue };
            for (n, text) in derived.records.iter().enumerate().rev() {
                let position = derived.base + n as u64;
                let record = Record {
                    key: RecordKey { step: self.parent_step + 1, part: 0, sample: 0, position },
                    origin: Origin { line, offset: 0 },
                    bytes: Bytes::copy_from_slice(text.get().as_bytes()),
                    row: None,
                };
                self.waiting.push(Read { record, next_offset: 0, flaw: None });
            }
        }
        Ok(reads)
    }
}

impl Records for Reading {
    fn next(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<Read>, SourceError>> {
        let batch = self.next_batch(max);
        Box::pin(async move { batch })
    }
}
