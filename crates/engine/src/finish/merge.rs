//! Reading the source once more, zipping it with the journal, writing in order.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    AnswerMeta, End, Entry, Header, Outcome, Planned, Read, Record, RecordKey, SampleNumber, StepNumber,
    ports::{Found, Merge, Outcomes, Recovered, Rejected, Sink, Source},
};

use super::StepAccount;
use crate::{
    away::Away,
    dispatch::{Until, blocking},
    execute,
    reread::Reread,
    run::{Context, EngineError, StepEnd},
};

/// What finishing needs.
pub(crate) struct Finish {
    pub(crate) step: StepNumber,
    pub(crate) name: String,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) limit: Option<u64>,
    pub(crate) samples: SampleNumber,
    pub(crate) until: Option<Until>,
}

/// What is carried from batch to batch; it moves to the blocking thread and back.
struct Merging {
    outcomes: Box<dyn Outcomes>,
    merge: Box<dyn Merge>,
    sink: Box<dyn Sink>,
    account: StepAccount,
    step: StepNumber,
    source_name: String,
    samples: SampleNumber,
    until: Option<Until>,
    /// Answers taken back from the live output, and ends of records that the sink did not take: journaled before the
    /// outputs are in place.
    mended: Vec<Entry>,
    at: domain::Timestamp,
}

/// Records are merged in batches of this size.
const BATCH: usize = 512;

/// Writes the outputs and closes the account.
pub(crate) async fn finish(finish: Finish, context: &Context, recovered: &Recovered) -> Result<StepEnd, EngineError> {
    let Finish { step, name, source, mut sink, limit, samples, until } = finish;
    let journal = Arc::clone(&context.journal);
    let (outcomes, merge, sink) = blocking(move || -> Result<_, EngineError> {
        let outcomes = journal.outcomes(step)?;
        let merge = sink.merge()?;
        Ok((outcomes, merge, sink))
    })
    .await??;
    let mut account = StepAccount::open(name, recovered.n_processes, recovered.n_asked_again_before);
    account.short = until.map(|_| 0);
    let source_name = source.name();
    let (mended, at) = (Vec::new(), context.clock.now());
    let mut merging = Merging { outcomes, merge, sink, account, step, source_name, samples, until, mended, at };
    let mut records = Reread::open(&*source, limit)?;
    loop {
        let reads = records.next(BATCH).await?;
        if reads.is_empty() {
            break;
        }
        merging = blocking(move || merging.take(reads).map(|()| merging)).await??;
        merging = settle(merging, context).await?;
        let mended = std::mem::take(&mut merging.mended);
        if !mended.is_empty() {
            context.journal.append(mended).await?;
        }
    }
    let Merging { merge, mut account, .. } = merging;
    account.attempts = recovered.attempts.get(&step).copied().unwrap_or_default();
    account.billed = recovered.billed.get(&step).cloned().unwrap_or_default();
    account.close();
    if !account.adds_up {
        // The outputs are written when they are complete, and not before; what is there stays there.
        return Ok(StepEnd::Incomplete(account));
    }
    account.artefacts = blocking(move || merge.finish()).await??;
    Ok(StepEnd::Finished(account))
}

/// Has the sink write what it holds, and waits while something stands in the way that may pass.
async fn settle(mut merging: Merging, context: &Context) -> Result<Merging, EngineError> {
    let mut away = Away::new(merging.step, &context.reporter);
    loop {
        let settled;
        (merging, settled) = blocking(move || {
            let settled = merging.settle();
            (merging, settled)
        })
        .await?;
        match settled {
            Ok(()) => return Ok(merging),
            Err(EngineError::Sink(error)) if merging.merge.may_pass() => {
                away.wait(&error.message, &context.control).await.map_err(|_| EngineError::Sink(error))?;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Merging {
    fn settle(&mut self) -> Result<(), EngineError> {
        for Rejected { key, failure } in self.merge.settle()? {
            let Found::Outcome(entry) = self.outcomes.of(&key)? else { continue };
            let Entry { header: Header::Outcome(outcome), raw } = *entry else { continue };
            let end = End::Failed(failure);
            self.account.rebook(&outcome.end, &end);
            let outcome = Outcome { end, reparsed: true, at: self.at, ..*outcome };
            self.mended.push(Entry { header: Header::Outcome(Box::new(outcome)), raw });
        }
        Ok(())
    }

    fn take(&mut self, reads: Vec<Read>) -> Result<(), EngineError> {
        for Read { mut record, .. } in reads {
            let (mut n_accepted, mut is_worked_on, mut is_called_off) = (0, true, false);
            for sample in 0..self.samples {
                record.key = RecordKey { step: self.step, sample, ..record.key };
                if self.until.is_some_and(|until| n_accepted >= until.accepted) {
                    break;
                }
                // Candidates that would have come next are not asked for when the others were called off.
                let is_expected = is_worked_on && !(is_called_off && self.until.is_some());
                let Some(outcome) = self.outcome_of(&record, is_expected)? else { continue };
                if outcome.hash != record.hash() {
                    let (source_name, line) = (self.source_name.clone(), record.origin.line);
                    return Err(EngineError::SourceChanged { source_name, line });
                }
                n_accepted += u32::from(outcome.end == End::Succeeded);
                is_called_off |= outcome.end == End::Cancelled;
                // What stood in the way of the record before any attempt stands with its first sample, for all of them.
                is_worked_on = sample > 0
                    || outcome.attempts > 0
                    || outcome.same_as.is_some()
                    || outcome.restored
                    || outcome.end == End::Cancelled;
                self.account.add(&outcome);
                self.merge.write(&record, &outcome)?;
                if !is_worked_on {
                    break;
                }
            }
            if self.until.is_some_and(|until| n_accepted < until.accepted && is_worked_on) {
                self.account.short = Some(self.account.short.unwrap_or_default() + 1);
            }
        }
        Ok(())
    }

    /// Finds the outcome of a record, taking it back from the live output where the journal's copy is damaged. Books
    /// records that have none.
    fn outcome_of(&mut self, record: &Record, is_expected: bool) -> Result<Option<Box<Outcome>>, EngineError> {
        let entry = match self.outcomes.of(&record.key)? {
            Found::Outcome(entry) => *entry,
            Found::Nothing => {
                self.account.records += u64::from(is_expected);
                self.account.unsettled += u64::from(is_expected);
                return Ok(None);
            }
            Found::Damaged(_) => match self.sink.restore(record)? {
                Some(output) => {
                    let (planned, meta) = (Planned::default(), AnswerMeta::default());
                    let mut entry = execute::outcome(record, &planned, End::Succeeded, Bytes::new(), meta, 1, self.at);
                    if let Header::Outcome(outcome) = &mut entry.header {
                        outcome.output = Some(output);
                        outcome.restored = true;
                    }
                    self.mended.push(entry.clone());
                    entry
                }
                None => {
                    self.account.records += 1;
                    self.account.damaged += 1;
                    return Ok(None);
                }
            },
        };
        let Header::Outcome(outcome) = entry.header else { return Ok(None) };
        Ok(Some(outcome))
    }
}
