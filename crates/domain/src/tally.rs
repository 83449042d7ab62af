//! Counting ends.

use std::collections::BTreeMap;

use crate::{EndClass, FailureKind, SkipReason};

/// How many records ended in which way. The only place where ends are added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that succeeded.
    pub succeeded: u64,
    /// Records that failed, by kind.
    pub failed: BTreeMap<FailureKind, u64>,
    /// Records that were skipped, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Records that the user called off.
    pub cancelled: u64,
    /// Records that the work came back without.
    pub missing: u64,
}

impl Tally {
    /// Counts one end.
    pub fn add(&mut self, class: EndClass) {
        self.add_n(class, 1);
    }

    /// Counts `n` equal ends.
    pub fn add_n(&mut self, class: EndClass, n: u64) {
        match class {
            EndClass::Succeeded => self.succeeded += n,
            EndClass::Failed(kind) => *self.failed.entry(kind).or_default() += n,
            EndClass::Skipped(reason) => *self.skipped.entry(reason).or_default() += n,
            EndClass::Cancelled => self.cancelled += n,
            EndClass::Missing => self.missing += n,
        }
    }

    /// Takes one end back: the record was settled again in another way.
    pub fn subtract(&mut self, class: EndClass) {
        let n = match class {
            EndClass::Succeeded => &mut self.succeeded,
            EndClass::Failed(kind) => self.failed.entry(kind).or_default(),
            EndClass::Skipped(reason) => self.skipped.entry(reason).or_default(),
            EndClass::Cancelled => &mut self.cancelled,
            EndClass::Missing => &mut self.missing,
        };
        *n = n.saturating_sub(1);
        self.failed.retain(|_, n| *n > 0);
        self.skipped.retain(|_, n| *n > 0);
    }

    /// Returns how many failed.
    #[must_use]
    pub fn n_failed(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Returns how many were skipped.
    #[must_use]
    pub fn n_skipped(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// Returns how many were skipped though there was something to do.
    #[must_use]
    pub fn n_skipped_unexpected(&self) -> u64 {
        self.skipped.iter().filter(|(reason, _)| !reason.is_expected()).map(|(_, n)| n).sum()
    }

    /// Returns how many ended in any way.
    #[must_use]
    pub fn n_settled(&self) -> u64 {
        self.succeeded + self.n_failed() + self.n_skipped() + self.cancelled + self.missing
    }
}
