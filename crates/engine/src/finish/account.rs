//! The account of a step: computed from the journal, record by record, while the outputs are written.

use domain::{Billed, End, EndClass, Failure, FailureKind, Tally, Usage, ports::Artefact};
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
    /// Attempts that counted, over all processes, those before a `retry` among them.
    pub attempts: u64,
    /// Requests whose answers were lost with a killed process and which were asked again.
    pub asked_again_after_crash: u64,
    /// Processes that worked on the run.
    pub processes: u64,
    /// Records that took the answer to another one's identical request (`dedupe`): nothing was asked for them.
    pub duplicates: u64,
    /// Answers that were judged again by other rules (`reparse`).
    pub reparsed: u64,
    /// Where records are asked for until so many answers are accepted: records that have fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short: Option<u64>,
    /// Failed records by why their answers are not what was asked for.
    pub failed_by_reason: BTreeMap<&'static str, u64>,
    /// Tokens billed for the answers that counted, where the upstream said so.
    pub usage: Usage,
    /// Tokens billed by each upstream for all answers that came, those that failed included.
    pub billed: Billed,
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
        self.restored += u64::from(outcome.restored);
        self.duplicates += u64::from(outcome.same_as.is_some());
        self.reparsed += u64::from(outcome.reparsed && !outcome.is_rejected());
        if let End::Failed(Failure { reason: Some(reason), .. }) = &outcome.end {
            *self.failed_by_reason.entry(reason.word()).or_default() += 1;
        }
        if let Some(usage) = outcome.meta.usage {
            self.usage.add(usage);
        }
        if let EndClass::Skipped(_) = outcome.end.class() {
            debug_assert_eq!(outcome.attempts, 0, "a skipped record is never asked for");
        }
    }

    /// Books a record otherwise that was booked before: the sink did not take its outcome.
    pub(super) fn rebook(&mut self, before: &End, now: &End) {
        self.tally.subtract(before.class());
        self.tally.add(now.class());
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
        if self.adds_up { check(&self.tally, self.short, tolerated_failed, tolerated_skipped) } else { Checked::Open }
    }
}

/// Compares how records ended with what the pipeline tolerates: so many failed ones (missing ones among them), and so
/// many skipped ones, those not counted in which there was nothing to do.
///
/// Where records are asked for until so many
/// answers are accepted, `short` records have fewer, and it is they that count as failed: a candidate that was turned
/// down did its part.
#[must_use]
pub fn check(tally: &Tally, short: Option<u64>, tolerated_failed: u64, tolerated_skipped: u64) -> Checked {
    let turned_down = tally.failed.get(&FailureKind::NotAccepted).copied().unwrap_or_default();
    let failed = short.unwrap_or_else(|| tally.n_failed() - turned_down + tally.missing);
    let is_beyond =
        failed > tolerated_failed || tally.n_skipped_unexpected() > tolerated_skipped || tally.cancelled > 0;
    if is_beyond { Checked::BeyondTolerance } else { Checked::Done }
}
