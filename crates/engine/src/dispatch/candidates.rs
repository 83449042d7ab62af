//! Asking for a record until so many answers are accepted.

use std::collections::HashMap;

use domain::{EndClass, PartNumber, Record, RecordKey, SampleNumber, SettledSet};

/// How many accepted answers each record is to have, and how many may be asked for in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// Accepted answers wanted.
    pub accepted: u32,
    /// The most candidates.
    pub candidates: u32,
}

/// Records of which candidates are out.
pub(super) struct Candidates {
    until: Until,
    open: HashMap<(PartNumber, u64), Open>,
}

#[derive(Default)]
struct Open {
    n_out: u32,
    /// The first sample that was not handed out.
    next: SampleNumber,
}

impl Candidates {
    pub(super) fn new(until: Until) -> Self {
        Self { until, open: HashMap::new() }
    }

    /// A candidate was handed out by the feed.
    pub(super) fn out(&mut self, key: &RecordKey) {
        let open = self.open.entry((key.part, key.position)).or_default();
        open.n_out += 1;
        open.next = open.next.max(key.sample + 1);
    }

    /// A candidate came to its end; returns the key of the one to ask for in its place, if it was not accepted and the
    /// record has candidates left.
    pub(super) fn ended(&mut self, key: &RecordKey, class: EndClass, settled: &SettledSet) -> Option<RecordKey> {
        let open = self.open.get_mut(&(key.part, key.position))?;
        open.n_out -= 1;
        let mut next = None;
        if !matches!(class, EndClass::Succeeded | EndClass::Cancelled) {
            let mut left = (open.next..self.until.candidates).map(|sample| RecordKey { sample, ..*key });
            next = left.find(|key| !settled.contains(key));
        }
        if let Some(next) = next {
            open.n_out += 1;
            open.next = next.sample + 1;
        } else if open.n_out == 0 {
            self.open.remove(&(key.part, key.position));
        }
        next
    }
}

/// Returns the candidates of a record that are to be asked for now: as many as are missing of accepted ones.
pub(crate) fn first_candidates(
    until: Until,
    record: &Record,
    settled: &SettledSet,
    succeeded: &SettledSet,
) -> Vec<SampleNumber> {
    let key = |sample| RecordKey { sample, ..record.key };
    let n_accepted = (0..until.candidates).filter(|sample| succeeded.contains(&key(*sample))).count();
    let missing = (until.accepted as usize).saturating_sub(n_accepted);
    (0..until.candidates).filter(|sample| !settled.contains(&key(*sample))).take(missing).collect()
}
