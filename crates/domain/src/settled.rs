//! Which positions are settled: one bit each.

use std::collections::BTreeMap;

use crate::{PartNumber, RecordKey, SampleNumber, StepNumber};

/// The set of settled records, one bit per position: ten million records take 1.25 MB.
#[derive(Clone, Debug, Default)]
pub struct SettledSet {
    lanes: BTreeMap<(StepNumber, PartNumber, SampleNumber), Bits>,
}

#[derive(Clone, Debug, Default)]
struct Bits {
    words: Vec<u64>,
    n_set: u64,
    /// Every position below `64 * full_words` is set, so that looking for a gap does not start from 0 each time.
    full_words: usize,
}

impl SettledSet {
    /// Marks `key`; returns whether it was not marked before.
    pub fn insert(&mut self, key: &RecordKey) -> bool {
        let bits = self.lanes.entry((key.step, key.part, key.sample)).or_default();
        let (word, bit) = split(key.position);
        if bits.words.len() <= word {
            bits.words.resize(word + 1, 0);
        }
        let is_new = bits.words[word] & bit == 0;
        if is_new {
            bits.words[word] |= bit;
            bits.n_set += 1;
            while bits.words.get(bits.full_words) == Some(&u64::MAX) {
                bits.full_words += 1;
            }
        }
        is_new
    }

    /// Takes the mark from `key`: its outcome turned out to be damaged and is to be asked for again.
    pub fn remove(&mut self, key: &RecordKey) {
        let Some(bits) = self.lanes.get_mut(&(key.step, key.part, key.sample)) else { return };
        let (word, bit) = split(key.position);
        if let Some(found) = bits.words.get_mut(word)
            && *found & bit != 0
        {
            *found &= !bit;
            bits.n_set -= 1;
            bits.full_words = bits.full_words.min(word);
        }
    }

    /// Returns whether `key` is marked.
    #[must_use]
    pub fn contains(&self, key: &RecordKey) -> bool {
        let (word, bit) = split(key.position);
        self.lanes
            .get(&(key.step, key.part, key.sample))
            .and_then(|bits| bits.words.get(word))
            .is_some_and(|found| found & bit != 0)
    }

    /// Returns the steps, parts and samples of which anything was ever marked.
    #[must_use]
    pub fn lanes(&self) -> Vec<(StepNumber, PartNumber, SampleNumber)> {
        self.lanes.keys().copied().collect()
    }

    /// Returns how many records of `step` are marked.
    #[must_use]
    pub fn n_settled(&self, step: StepNumber) -> u64 {
        self.lanes.iter().filter(|((s, _, _), _)| *s == step).map(|(_, bits)| bits.n_set).sum()
    }

    /// Returns the lowest position that is not marked.
    #[must_use]
    pub fn lowest_unsettled(&self, step: StepNumber, part: PartNumber, sample: SampleNumber) -> u64 {
        let Some(bits) = self.lanes.get(&(step, part, sample)) else { return 0 };
        let word = bits.full_words;
        let trailing = bits.words.get(word).map_or(0, |w| w.trailing_ones());
        word as u64 * 64 + u64::from(trailing)
    }
}

fn split(position: u64) -> (usize, u64) {
    // A position beyond the address space cannot be reached: the words before it would not fit in memory.
    (usize::try_from(position / 64).unwrap_or(usize::MAX), 1 << (position % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(position: u64) -> RecordKey {
        RecordKey { step: 0, part: 0, position, sample: 0 }
    }

    #[test]
    fn the_lowest_gap_moves_over_full_words() {
        let mut set = SettledSet::default();
        assert_eq!(set.lowest_unsettled(0, 0, 0), 0);
        for position in (0..200).filter(|p| *p != 130) {
            assert!(set.insert(&key(position)));
        }
        assert_eq!(set.lowest_unsettled(0, 0, 0), 130);
        assert!(set.insert(&key(130)) && !set.insert(&key(130)));
        assert_eq!(set.lowest_unsettled(0, 0, 0), 200);
        assert_eq!(set.n_settled(0), 200);
        assert!(set.contains(&key(130)) && !set.contains(&key(200)));
        assert_eq!(set.n_settled(1), 0);
        set.remove(&key(7));
        assert_eq!((set.lowest_unsettled(0, 0, 0), set.n_settled(0)), (7, 199));
    }
}
