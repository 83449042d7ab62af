//! Judging answers again that were paid for before, by the rules of now.
//!
//! What happens to one record: its last outcome is read with the raw answer, and the handler judges that. An answer that
//! passes becomes a new outcome, which counts instead of the old one. An answer that passed before and does not now opens
//! its record again, so that the next run asks for it; one that did not pass before either stays as it is.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    End, Entry, FailureKind, Header, Outcome, Read, Record, RecordKey, Reopened, SampleNumber, StepNumber, Timestamp,
    ports::{Ended, Found, Handler, Outcomes, Source},
};

use crate::{
    dispatch::blocking,
    reread::Reread,
    run::{Context, EngineError},
};

/// What is judged again.
pub struct Reparse {
    /// The step's number in the pipeline.
    pub number: StepNumber,
    /// Where records come from: what an answer becomes may depend on its record.
    pub source: Arc<dyn Source>,
    /// The rules of now.
    pub handler: Arc<dyn Handler>,
    /// Only so many records from the start of the source.
    pub limit: Option<u64>,
    /// Whether an answer that does not pass any more ends its record as failed, instead of opening it again.
    pub keeps_failures: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reparsed {
    /// Answers that were judged.
    pub judged: u64,
    /// Answers that passed before, and pass now with the same fields.
    pub unchanged: u64,
    /// Answers that passed before, and pass now with other fields.
    pub changed: u64,
    /// Answers that had failed, and pass now.
    pub mended: u64,
    /// Answers that had failed, and still do.
    pub still_failed: u64,
    /// Answers that had passed, and do not any more: their records are asked for again.
    pub reopened: u64,
    /// Records whose answer the journal does not have (restored from the live output, or damaged).
    pub without_answer: u64,
}

/// Records are judged in batches of this size; what came of one batch is journaled in one commit.
const BATCH: usize = 256;

struct Judging {
    outcomes: Box<dyn Outcomes>,
    handler: Arc<dyn Handler>,
    step: StepNumber,
    samples: SampleNumber,
    keeps_failures: bool,
    now: Timestamp,
    reparsed: Reparsed,
    entries: Vec<Entry>,
}

/// Judges every answer of a step again. The journal is to be opened anew before the step is run: what is settled has
/// changed.
///
/// # Errors
/// Where the journal or the source fail.
pub async fn reparse(reparse: Reparse, context: &Context) -> Result<Reparsed, EngineError> {
    let Reparse { number: step, source, handler, limit, keeps_failures } = reparse;
    let journal = Arc::clone(&context.journal);
    let outcomes = blocking(move || journal.outcomes(step)).await??;
    let samples = handler.samples().max(1);
    let (now, reparsed, entries) = (context.clock.now(), Reparsed::default(), Vec::new());
    let mut judging = Judging { outcomes, handler, step, samples, keeps_failures, now, reparsed, entries };
    let mut records = Reread::open(&*source, limit)?;
    loop {
        let reads = records.next(BATCH).await?;
        if reads.is_empty() {
            break;
        }
        judging = blocking(move || judging.take(reads).map(|()| judging)).await??;
        let entries = std::mem::take(&mut judging.entries);
        if !entries.is_empty() {
            context.journal.append(entries).await?;
        }
    }
    Ok(judging.reparsed)
}

impl Judging {
    fn take(&mut self, reads: Vec<Read>) -> Result<(), EngineError> {
        for Read { mut record, .. } in reads {
            for sample in 0..self.samples {
                record.key = RecordKey { step: self.step, sample, ..record.key };
                match self.outcomes.of(&record.key)? {
                    Found::Outcome(entry) => self.judge(&record, *entry)?,
                    Found::Nothing => {}
                    Found::Damaged(_) => self.reparsed.without_answer += 1,
                }
            }
        }
        Ok(())
    }

    fn judge(&mut self, record: &Record, entry: Entry) -> Result<(), EngineError> {
        let Entry { header: Header::Outcome(outcome), raw } = entry else { return Ok(()) };
        if !was_answered(&outcome) {
            return Ok(());
        }
        // The answer to an identical request lies with the record that was asked for.
        let raw = match outcome.same_as {
            Some(leader) => match self.outcomes.of(&leader)? {
                Found::Outcome(entry) => entry.raw,
                _ => Bytes::new(),
            },
            None => raw,
        };
        let Some(ended) = self.handler.judge_again(record, &outcome, &raw).filter(|_| !raw.is_empty()) else {
            self.reparsed.without_answer += 1;
            return Ok(());
        };
        self.reparsed.judged += 1;
        // What the sink did not take had passed, and is shown to the sink again.
        let had_passed = outcome.end == End::Succeeded || outcome.is_rejected();
        let own_raw = if outcome.same_as.is_some() { Bytes::new() } else { raw };
        match ended {
            Ended::Done(answer) => {
                let is_same = outcome.output.as_ref().is_some_and(|output| output.get() == answer.output.get());
                if outcome.end == End::Succeeded && is_same {
                    self.reparsed.unchanged += 1;
                    return Ok(());
                }
                *(if had_passed { &mut self.reparsed.changed } else { &mut self.reparsed.mended }) += 1;
                let output = Some(answer.output);
                let outcome = Outcome { end: End::Succeeded, output, reparsed: true, at: self.now, ..*outcome };
                self.entries.push(Entry { header: Header::Outcome(Box::new(outcome)), raw: own_raw });
            }
            Ended::Failed(failure, ..) if had_passed && self.keeps_failures => {
                self.reparsed.reopened += 1;
                let end = End::Failed(failure);
                let outcome = Outcome { end, output: None, reparsed: true, at: self.now, ..*outcome };
                self.entries.push(Entry { header: Header::Outcome(Box::new(outcome)), raw: own_raw });
            }
            Ended::Failed(..) if had_passed => {
                self.reparsed.reopened += 1;
                let reopened = Reopened { key: record.key, at: self.now };
                self.entries.push(Entry { header: Header::Reopened(reopened), raw: Bytes::new() });
            }
            _ => self.reparsed.still_failed += 1,
        }
        Ok(())
    }
}

/// Returns whether an end is the judgement of an answer.
fn was_answered(outcome: &Outcome) -> bool {
    match &outcome.end {
        End::Succeeded => true,
        End::Failed(failure) => {
            let is_judged =
                matches!(failure.kind, FailureKind::InvalidOutput | FailureKind::Refused | FailureKind::NotAccepted);
            is_judged || outcome.is_rejected()
        }
        _ => false,
    }
}

/// Makes the entries that open settled records again.
#[must_use]
pub fn reopening(keys: &[RecordKey], now: Timestamp) -> Vec<Entry> {
    let header = |key: &RecordKey| Header::Reopened(Reopened { key: *key, at: now });
    keys.iter().map(|key| Entry { header: header(key), raw: Bytes::new() }).collect()
}
