//! A filter in memory: which keys are surely not in a table on disk.
//!
//! A Bloom filter in blocks of a cache line (512 bits): a key picks a block and sets five bits in it, so that a question
//! costs one line of memory. With `c` bits for a key, a block has on average `512 / c` keys, and the share of strange
//! keys that pass is the sum over `i` of `Poisson(i; 512 / c) * (1 - (1 - 1/512)^(5 i))^5`: Putze, Sanders, Singler,
//! "Cache-, Hash- and Space-Efficient Bloom Filters", 2009, section 3. It has eight to sixteen bits for each key, with
//! which 0.2 to 2.5 % pass, until it is as large as it may be (16 MiB): 0.4 % at ten million keys, 2.5 % at 16 million.

/// The words of a block.
const BLOCK: usize = 8;
/// The bits that a key sets. Nine bits of the key tell each.
const BITS: u32 = 5;
const FIRST_LOG2: u32 = 10;
const MOST_LOG2: u32 = 18;
/// At eight bits for a key.
const KEYS_PER_BLOCK: u64 = 64;

/// What may be in a table. Its keys are hashes: their lower half is taken as it is.
#[derive(Debug)]
pub(crate) struct Filter {
    words: Vec<u64>,
    log2: u32,
    n_keys: u64,
}

impl Filter {
    /// Makes an empty filter for so many keys, and as many again.
    pub(crate) fn for_keys(n: u64) -> Self {
        let log2 = (FIRST_LOG2..MOST_LOG2).find(|log2| n * 2 <= KEYS_PER_BLOCK << log2).unwrap_or(MOST_LOG2);
        Self { words: vec![0; BLOCK << log2], log2, n_keys: 0 }
    }

    /// Returns whether so many keys are in that a larger filter is due.
    pub(crate) fn is_full(&self) -> bool {
        self.log2 < MOST_LOG2 && self.n_keys >= KEYS_PER_BLOCK << self.log2
    }

    /// Puts a key in.
    pub(crate) fn add(&mut self, key: u128) {
        let key = key as u64;
        let first = self.first(key);
        for (word, bit) in bits(key) {
            self.words[first + word] |= bit;
        }
        self.n_keys += 1;
    }

    /// Returns whether a key may be in: never false for one that is.
    pub(crate) fn may_have(&self, key: u128) -> bool {
        let key = key as u64;
        let first = self.first(key);
        bits(key).all(|(word, bit)| self.words[first + word] & bit != 0)
    }

    /// Returns where the block of a key begins. The highest bits tell it, which no `bits` are made of.
    fn first(&self, key: u64) -> usize {
        (key >> (u64::BITS - self.log2)) as usize * BLOCK
    }
}

/// Returns the bits of a key: which word of the block, and which bit of that.
fn bits(key: u64) -> impl Iterator<Item = (usize, u64)> {
    (0..BITS).map(move |n| (key >> (9 * n)) & 511).map(|bit| ((bit >> 6) as usize, 1 << (bit & 63)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u128 {
        xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes())
    }

    /// The share of strange keys that pass, as the formula has it.
    fn expected(n_keys: f64, n_blocks: f64) -> f64 {
        let mean = n_keys / n_blocks;
        let (mut chance, mut sum) = ((-mean).exp(), 0.0);
        for i in 1..1000_u32 {
            chance *= mean / f64::from(i);
            let is_set = 1.0 - (1.0 - 1.0 / 512.0_f64).powf(f64::from(BITS * i));
            sum += chance * is_set.powi(BITS.cast_signed());
        }
        sum
    }

    #[test]
    fn every_key_passes_and_of_strange_ones_as_few_as_the_formula_says() {
        let n_keys = KEYS_PER_BLOCK << FIRST_LOG2;
        let mut filter = Filter::for_keys(0);
        for n in 0..n_keys {
            assert!(!filter.is_full());
            filter.add(hash(n));
        }
        assert!(filter.is_full() && (0..n_keys).all(|n| filter.may_have(hash(n))));
        let passed = (n_keys..n_keys + 200_000).filter(|n| filter.may_have(hash(*n))).count();
        let (measured, said) = (passed as f64 / 200_000.0, expected(n_keys as f64, 1024.0));
        assert!((0.9..1.1).contains(&(measured / said)) && measured < 0.03, "{measured} passed, {said} were expected");
    }

    #[test]
    fn ten_million_keys_take_sixteen_mebibytes_and_few_strange_ones_pass() {
        let filter = Filter::for_keys(10_000_000);
        assert_eq!(filter.words.len() * 8, 16 << 20);
        assert!(expected(1e7, (1 << filter.log2) as f64) < 0.005);
        assert_eq!(Filter::for_keys(1 << 40).log2, MOST_LOG2);
    }
}
