//! The account of a step: computed from the journal, record by record, while the outputs are written.

use domain::{EndClass, Tally, Usage, ports::Artefact};
use serde::Serialize;
use std::collections::BTreeMap;

/// What became of every record of a step.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StepAccount {
    /// The step.
    pub step: String,
    /// Records in the source.
    pub records: u64,
    /// Records with an answer that passed.
    pub succeeded: u64,
    /// Records given up.
    pub failed: u64,
    /// Those by kind.
    pub failed_by_kind: BTreeMap<&'static str, u64>,
    /// Records that were not worked on.
    pub skipped: u64,
    /// Those by reason.
    pub skipped_by_reason: BTreeMap<&'static str, u64>,
    /// Records that the user called off.
    pub cancelled: u64,
    /// Records that the work came back without.
    pub missing: u64,
    /// Records without an outcome: 0 when the run is done.
    pub unsettled: u64,
    /// Records whose outcome cannot be read any more: 0 when the run is done.
    pub damaged: u64,
    /// Records whose answer was taken back from the live output, because the journal's copy is damaged.
    pub restored: u64,
    /// Whether the five ends add up to the records.
    pub adds_up: bool,
    /// Attempts that counted, over all processes.
    pub attempts: u64,
    /// Requests whose answers were lost with a killed process and which were asked again.
    pub asked_again_after_crash: u64,
    /// Processes that worked on the run.
    pub processes: u64,
    /// Tokens billed for the answers that counted, where the upstream said so.
    pub usage: Usage,
    /// The files written.
    pub artefacts: Vec<Artefact>,
    #[serde(skip)]
    tally: Tally,
}

/// Whether a step did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Every record is settled, and within what the pipeline tolerates.
    Done,
    /// Every record is settled, and more of them failed or were skipped than the pipeline tolerates.
    BeyondTolerance,
    /// Not every record is settled.
    Open,
}

impl StepAccount {
    /// Opens the account of a step.
    pub(super) fn open(step: String, processes: u64, asked_again_after_crash: u64) -> Self {
        Self { step, processes, asked_again_after_crash, ..Self::default() }
    }

    /// Books one record.
    pub(super) fn add(&mut self, outcome: &domain::Outcome) {
        self.records += 1;
        self.tally.add(outcome.end.class());
        self.attempts += u64::from(outcome.attempts);
        self.restored += u64::from(outcome.restored);
        if let Some(usage) = outcome.meta.usage {
            self.usage.add(usage);
        }
        if let EndClass::Skipped(_) = outcome.end.class() {
            debug_assert_eq!(outcome.attempts, 0, "a skipped record is never asked for");
        }
    }

    /// Adds up.
    pub(super) fn close(&mut self) {
        let tally = &self.tally;
        self.succeeded = tally.succeeded;
        self.failed = tally.n_failed();
        self.failed_by_kind = tally.failed.iter().map(|(kind, n)| (kind.word(), *n)).collect();
        self.skipped = tally.n_skipped();
        self.skipped_by_reason = tally.skipped.iter().map(|(reason, n)| (reason.word(), *n)).collect();
        self.cancelled = tally.cancelled;
        self.missing = tally.missing;
        self.adds_up = tally.n_settled() == self.records && self.unsettled == 0 && self.damaged == 0;
    }

    /// Compares with what the pipeline tolerates; see [`check`].
    #[must_use]
    pub fn check(&self, tolerated_failed: u64, tolerated_skipped: u64) -> Checked {
        if self.adds_up { check(&self.tally, tolerated_failed, tolerated_skipped) } else { Checked::Open }
    }
}

/// Compares how records ended with what the pipeline tolerates: so many failed ones (missing ones among them), and so
/// many skipped ones, those not counted in which there was nothing to do.
#[must_use]
pub fn check(tally: &Tally, tolerated_failed: u64, tolerated_skipped: u64) -> Checked {
    let is_beyond = tally.n_failed() + tally.missing > tolerated_failed
        || tally.n_skipped_unexpected() > tolerated_skipped
        || tally.cancelled > 0;
    if is_beyond { Checked::BeyondTolerance } else { Checked::Done }
}
