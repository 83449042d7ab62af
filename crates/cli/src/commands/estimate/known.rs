//! What earlier answers tell of later ones.

use std::{collections::HashMap, path::Path};

use domain::{Header, RecordKey, SettledSet, StepNumber, Usage};
use provider::tokens::Tokenizer;
use store::{Journal, LocalDisk};

use super::{Counts, answers::Answers};
use crate::{commands::choose, compose::identity, pipeline::Ready};

/// What the run that would go on has so far.
#[derive(Default)]
pub(super) struct Known {
    steps: HashMap<StepNumber, Step>,
    none: Step,
}

/// What is known of one step.
#[derive(Default)]
pub(super) struct Step {
    pub(super) settled: SettledSet,
    /// What some answers were billed for.
    pub(super) usage: HashMap<RecordKey, Usage>,
    /// All answers that were billed, and what for: those that failed included.
    all: Usage,
    /// Those of settled records, and how many they are.
    of_outcomes: Usage,
    n_outcomes: u64,
    /// The answers of settled records, and which records they are of.
    pub(super) answers: Answers,
    pub(super) answered: SettledSet,
}

/// So many answers are compared one by one with what is counted here.
const COMPARED: usize = 5_000;

impl Known {
    /// Finds the run that `tidemill run` would go on with, if there is one that asks the same.
    pub(super) fn find(state: &Path, ready: &Ready, counts: Counts) -> anyhow::Result<Self> {
        let Some((folder, manifest)) = choose::latest(state, ready, None)? else { return Ok(Self::default()) };
        if manifest.identity != identity::of(&identity::parts(ready)) || !folder.journal().exists() {
            return Ok(Self::default());
        }
        let (recovered, _) = Journal::peek(&LocalDisk, &folder.journal())?;
        let mut known = Self::default();
        Journal::replay(&LocalDisk, &folder.journal(), &mut |entry| match entry.header {
            Header::Outcome(outcome) if !outcome.reparsed => {
                if counts.mode.counts_answers()
                    && let Some(output) = &outcome.output
                {
                    let encoding = ready.pipeline.estimate.encoding.map(|encoding| encoding.table());
                    let tokenizer = Tokenizer::of(outcome.meta.model.as_deref().unwrap_or_default(), encoding);
                    let step = known.steps.entry(outcome.key.step).or_default();
                    // A record that was judged again counts once.
                    if step.answered.insert(&outcome.key) {
                        step.answers.add(output.get(), counts.most(), tokenizer);
                    }
                }
                let Some(usage) = outcome.meta.usage else { return };
                let step = known.steps.entry(outcome.key.step).or_default();
                step.all.add(usage);
                step.of_outcomes.add(usage);
                step.n_outcomes += 1;
                if step.usage.len() < COMPARED {
                    step.usage.insert(outcome.key, usage);
                }
            }
            Header::Attempted(attempted) => {
                if let Some(usage) = attempted.meta.usage {
                    known.steps.entry(attempted.key.step).or_default().all.add(usage);
                }
            }
            _ => {}
        })?;
        for step in known.steps.values_mut() {
            step.settled = recovered.settled.clone();
        }
        known.none.settled = recovered.settled;
        Ok(known)
    }

    pub(super) fn of_step(&self, step: StepNumber) -> &Step {
        self.steps.get(&step).unwrap_or(&self.none)
    }
}

impl Step {
    /// Tokens of an answer, and how many answers tell.
    pub(super) fn answer_tokens(&self) -> Option<(f64, u64)> {
        (self.n_outcomes > 0)
            .then(|| (self.of_outcomes.completion_tokens as f64 / self.n_outcomes as f64, self.n_outcomes))
    }

    /// What is billed in all for what a record is billed in the end: failed attempts are paid for too.
    pub(super) fn billed_per_answer(&self) -> f64 {
        match self.of_outcomes.total() {
            0 => 1.0,
            total => self.all.total() as f64 / total as f64,
        }
    }
}
