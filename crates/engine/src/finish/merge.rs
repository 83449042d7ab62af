//! Reading the source once more, zipping it with the journal, writing in order.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    AnswerMeta, End, Entry, Header, Planned, Read, RecordKey, StepNumber,
    ports::{Found, Merge, Outcomes, Recovered, Sink, Source, Starts},
};

use super::StepAccount;
use crate::{
    dispatch::blocking,
    execute,
    run::{Context, EngineError, StepEnd},
};

/// What finishing needs.
pub(crate) struct Finish {
    pub(crate) step: StepNumber,
    pub(crate) name: String,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) limit: Option<u64>,
}

/// What is carried from batch to batch; it moves to the blocking thread and back.
struct Merging {
    outcomes: Box<dyn Outcomes>,
    merge: Box<dyn Merge>,
    sink: Box<dyn Sink>,
    account: StepAccount,
    step: StepNumber,
    source_name: String,
    /// Answers taken back from the live output: journaled before the outputs are in place.
    restored: Vec<Entry>,
    at: domain::Timestamp,
}

/// Records are merged in batches of this size.
const BATCH: usize = 512;

/// Writes the outputs and closes the account.
pub(crate) async fn finish(finish: Finish, context: &Context, recovered: &Recovered) -> Result<StepEnd, EngineError> {
    let Finish { step, name, source, mut sink, limit } = finish;
    let journal = Arc::clone(&context.journal);
    let (outcomes, merge, sink) = blocking(move || -> Result<_, EngineError> {
        let outcomes = journal.outcomes(step)?;
        let merge = sink.merge()?;
        Ok((outcomes, merge, sink))
    })
    .await??;
    let account = StepAccount::open(name, recovered.n_processes, recovered.n_asked_again_before);
    let source_name = source.name();
    let (restored, at) = (Vec::new(), context.clock.now());
    let mut merging = Merging { outcomes, merge, sink, account, step, source_name, restored, at };
    let mut records = source.open(&Starts::new())?;
    loop {
        let mut reads = records.next(BATCH).await?;
        reads.retain(|read| limit.is_none_or(|limit| read.record.key.position < limit));
        if reads.is_empty() {
            break;
        }
        merging = blocking(move || merging.take(reads).map(|()| merging)).await??;
    }
    let Merging { merge, mut account, restored, .. } = merging;
    if !restored.is_empty() {
        context.journal.append(restored).await?;
    }
    account.close();
    if !account.adds_up {
        // The outputs are written when they are complete, and not before; what is there stays there.
        return Ok(StepEnd::Incomplete(account));
    }
    account.artefacts = blocking(move || merge.finish()).await??;
    Ok(StepEnd::Finished(account))
}

impl Merging {
    fn take(&mut self, reads: Vec<Read>) -> Result<(), EngineError> {
        for Read { mut record, .. } in reads {
            record.key = RecordKey { step: self.step, ..record.key };
            let entry = match self.outcomes.of(&record.key)? {
                Found::Outcome(entry) => *entry,
                Found::Nothing => {
                    self.account.records += 1;
                    self.account.unsettled += 1;
                    continue;
                }
                Found::Damaged(_) => match self.sink.restore(&record)? {
                    Some(output) => {
                        let (planned, meta) = (Planned::default(), AnswerMeta::default());
                        let mut entry =
                            execute::outcome(&record, &planned, End::Succeeded, Bytes::new(), meta, 1, self.at);
                        if let Header::Outcome(outcome) = &mut entry.header {
                            outcome.output = Some(output);
                            outcome.restored = true;
                        }
                        self.restored.push(entry.clone());
                        entry
                    }
                    None => {
                        self.account.records += 1;
                        self.account.damaged += 1;
                        continue;
                    }
                },
            };
            let Header::Outcome(outcome) = entry.header else { continue };
            if outcome.hash != record.hash() {
                let (source_name, line) = (self.source_name.clone(), record.origin.line);
                return Err(EngineError::SourceChanged { source_name, line });
            }
            self.account.add(&outcome);
            self.merge.write(&record, &outcome)?;
        }
        Ok(())
    }
}
