//! Putting an output in place while the run goes on, with what is settled so far.
//!
//! It is a view, as the live output is: the journal is the truth, and what a save lacks or could not write is in the final
//! output. So nothing that goes wrong here ends anything.

use std::{sync::Arc, time::Duration};

use domain::{
    Header, Read, RecordKey, StepNumber,
    ports::{Found, Journal, Merge, Outcomes, Source},
};

use crate::{dispatch::blocking, reread::Reread, run::EngineError};

/// Records are merged in batches of this size.
const BATCH: usize = 512;

/// A save takes no more of a run than one part in so many: with what goes on around it, less than one in twenty.
const SHARE: u32 = 24;

/// Returns how long after a save that took `took` the next one begins, where the user wants one `every` so often.
pub(crate) fn next_after(took: Duration, every: Duration) -> Duration {
    every.saturating_sub(took).max(took * (SHARE - 1))
}

struct Saving {
    outcomes: Box<dyn Outcomes>,
    merge: Box<dyn Merge>,
    step: StepNumber,
}

/// Writes what is settled of a step's records, and puts it in place.
pub(crate) async fn save(
    step: StepNumber,
    source: Arc<dyn Source>,
    journal: Arc<dyn Journal>,
    merge: Box<dyn Merge>,
    limit: Option<u64>,
) -> Result<(), EngineError> {
    let outcomes = blocking(move || journal.outcomes(step)).await??;
    let mut saving = Saving { outcomes, merge, step };
    let mut records = Reread::open(&*source, limit)?;
    loop {
        let reads = records.next(BATCH).await?;
        if reads.is_empty() {
            break;
        }
        saving = blocking(move || saving.take(reads).map(|()| saving)).await??;
    }
    let merge = saving.merge;
    Ok(blocking(move || merge.save()).await??)
}

impl Saving {
    fn take(&mut self, reads: Vec<Read>) -> Result<(), EngineError> {
        for Read { mut record, .. } in reads {
            record.key = RecordKey { step: self.step, sample: 0, ..record.key };
            let Found::Outcome(entry) = self.outcomes.of(&record.key)? else { continue };
            if let Header::Outcome(outcome) = entry.header
                && outcome.hash == record.hash()
            {
                self.merge.write(&record, &outcome)?;
            }
        }
        // What cannot be written is told with the final output.
        self.merge.settle()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saves_that_take_long_are_made_less_often() {
        let s = Duration::from_secs;
        assert_eq!(next_after(s(1), s(300)), s(299));
        assert_eq!(next_after(s(10), s(300)), s(290));
        // A minute of every twenty-four is what a save of a minute may take.
        assert_eq!(next_after(s(60), s(300)), s(1380));
    }
}
