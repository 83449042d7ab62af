//! How each record has ended so far: two bytes a record, so that the last outcome counts without a map of all records.

use std::collections::BTreeMap;

use domain::{
    End, EndClass, FailureKind, Outcome, PartNumber, Reason, RecordKey, SampleNumber, SkipReason, StepNumber, Tally,
};

const SETTLED: u16 = 0x8000;
const DUPLICATE: u16 = 0x4000;
const REPARSED: u16 = 0x2000;
const RESTORED: u16 = 0x1000;
const REASON_SHIFT: u32 = 8;
const REASON_MASK: u16 = 0x0f;

/// The last end of every record.
#[derive(Debug, Default)]
pub(super) struct Ends {
    lanes: BTreeMap<(StepNumber, PartNumber, SampleNumber), Vec<u16>>,
}

/// How the records of a step ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// The five ways.
    pub(super) tally: Tally,
    /// Those that failed by kind, and by why their answers are not what was asked for.
    pub(super) failed: BTreeMap<(FailureKind, Option<Reason>), u64>,
    /// Those that took another record's answer.
    pub(super) duplicates: u64,
    /// Those whose answer was judged again.
    pub(super) reparsed: u64,
    /// Those whose answer was taken back from the sink.
    pub(super) restored: u64,
}

impl Ends {
    /// Takes an outcome: it counts instead of an earlier one.
    pub(super) fn settle(&mut self, outcome: &Outcome) {
        let flag = |is_so: bool, bit: u16| if is_so { bit } else { 0 };
        let reason = match &outcome.end {
            End::Failed(failure) => failure.reason.map_or(0, |reason| 1 + reason as u16),
            _ => 0,
        };
        let flags = flag(outcome.same_as.is_some(), DUPLICATE)
            | flag(outcome.reparsed, REPARSED)
            | flag(outcome.restored, RESTORED);
        let code = SETTLED | flags | reason << REASON_SHIFT | u16::from(outcome.end.class().code());
        self.put(&outcome.key, code);
    }

    /// Takes an end back: the record is open again.
    pub(super) fn reopen(&mut self, key: &RecordKey) {
        self.put(key, 0);
    }

    /// Returns how a record ended, and why its answer is not what was asked for.
    pub(super) fn of(&self, key: &RecordKey) -> Option<(EndClass, Option<Reason>)> {
        let codes = self.lanes.get(&(key.step, key.part, key.sample))?;
        let code = *codes.get(usize::try_from(key.position).ok()?)?;
        if code & SETTLED == 0 { None } else { Some((class_of(code)?, reason_of(code))) }
    }

    fn put(&mut self, key: &RecordKey, code: u16) {
        // A position beyond the address space cannot be reached: those before it would not fit in memory.
        let Ok(position) = usize::try_from(key.position) else { return };
        let codes = self.lanes.entry((key.step, key.part, key.sample)).or_default();
        if codes.len() <= position {
            if code == 0 {
                return;
            }
            codes.resize(position + 1, 0);
        }
        codes[position] = code;
    }

    /// Adds up, by step.
    pub(super) fn sums(&self) -> BTreeMap<StepNumber, Sums> {
        let mut sums: BTreeMap<StepNumber, Sums> = BTreeMap::new();
        for ((step, ..), codes) in &self.lanes {
            // A record of millions has one of a few dozen codes.
            let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
            for code in codes.iter().filter(|code| **code & SETTLED != 0) {
                *counts.entry(*code).or_default() += 1;
            }
            let sums = sums.entry(*step).or_default();
            for (code, n) in counts {
                let Some(class) = class_of(code) else { continue };
                sums.tally.add_n(class, n);
                if let EndClass::Failed(kind) = class {
                    *sums.failed.entry((kind, reason_of(code))).or_default() += n;
                }
                let counted = |bit: u16| if code & bit == 0 { 0 } else { n };
                sums.duplicates += counted(DUPLICATE);
                sums.reparsed += counted(REPARSED);
                sums.restored += counted(RESTORED);
            }
        }
        sums
    }

    /// Returns whether records of `step` have several samples.
    pub(super) fn has_samples(&self, step: StepNumber) -> bool {
        self.lanes.keys().any(|(number, _, sample)| *number == step && *sample > 0)
    }
}

impl Sums {
    /// Adds the sums of another step.
    pub(super) fn extend(&mut self, other: &Self) {
        let add = |tally: &mut Tally, class, n: u64| tally.add_n(class, n);
        add(&mut self.tally, EndClass::Succeeded, other.tally.succeeded);
        add(&mut self.tally, EndClass::Cancelled, other.tally.cancelled);
        add(&mut self.tally, EndClass::Missing, other.tally.missing);
        other.tally.failed.iter().for_each(|(kind, n)| add(&mut self.tally, EndClass::Failed(*kind), *n));
        other.tally.skipped.iter().for_each(|(reason, n)| add(&mut self.tally, EndClass::Skipped(*reason), *n));
        other.failed.iter().for_each(|(why, n)| *self.failed.entry(*why).or_default() += n);
        self.duplicates += other.duplicates;
        self.reparsed += other.reparsed;
        self.restored += other.restored;
    }

    /// Returns those that were skipped, by reason.
    pub(super) fn skipped(&self) -> &BTreeMap<SkipReason, u64> {
        &self.tally.skipped
    }
}

fn class_of(code: u16) -> Option<EndClass> {
    EndClass::from_code((code & 0xff) as u8)
}

fn reason_of(code: u16) -> Option<Reason> {
    let reason = usize::from(code >> REASON_SHIFT & REASON_MASK);
    reason.checked_sub(1).and_then(|n| Reason::ALL.get(n)).copied()
}

#[cfg(test)]
mod tests {
    use domain::Failure;

    use super::*;

    #[test]
    fn every_reason_fits_into_its_four_bits_and_stands_at_its_place() {
        for (n, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, n);
            assert_eq!(reason_of(SETTLED | (1 + n as u16) << REASON_SHIFT), Some(reason));
        }
        assert!(Reason::ALL.len() < usize::from(REASON_MASK));
    }

    #[test]
    fn the_last_end_counts_and_a_reopened_record_has_none() {
        let mut ends = Ends::default();
        let mut outcome = crate::report::tests::outcome(4);
        outcome.end = End::Failed(Failure::new(FailureKind::InvalidOutput, "no").because(Reason::NoJson));
        ends.settle(&outcome);
        assert_eq!(ends.of(&outcome.key), Some((EndClass::Failed(FailureKind::InvalidOutput), Some(Reason::NoJson))));
        ends.reopen(&outcome.key);
        assert_eq!(ends.of(&outcome.key), None);
        assert_eq!(ends.sums()[&0], Sums::default());
        (outcome.end, outcome.reparsed) = (End::Succeeded, true);
        ends.settle(&outcome);
        let sums = &ends.sums()[&0];
        assert_eq!((sums.tally.succeeded, sums.reparsed, sums.failed.len()), (1, 1, 0));
    }
}
