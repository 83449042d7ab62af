//! Chance, from a seed: a run with the same seed waits the same.

use std::time::Duration;

/// Spreads waits, so that many lanes that were throttled together do not come back together.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns `wait` and up to a quarter more. Never less: the upstream may have meant it.
    pub(crate) fn stretch(&mut self, wait: Duration) -> Duration {
        // 53 bits make a fraction that a double holds exactly.
        let fraction = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        wait.mul_f64(1.0 + fraction / 4.0)
    }

    /// Returns a number below `n`, which is more than 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        // The multiplication spreads 64 bits over `n` with a bias that nobody can see.
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// `SplitMix64` (Steele, Lea, Flood 2014): one addition and two multiplications are all that is needed here.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_stretched_by_up_to_a_quarter_and_the_same_for_the_same_seed() {
        let wait = Duration::from_secs(4);
        let waits = |seed| {
            let mut jitter = Jitter::new(seed);
            std::iter::repeat_with(move || jitter.stretch(wait)).take(1_000).collect::<Vec<_>>()
        };
        let all = waits(1);
        assert_eq!(all, waits(1));
        assert_ne!(all, waits(2));
        assert!(all.iter().all(|&one| one >= wait && one < wait + wait / 4));
        assert!(all.iter().any(|&one| one < wait.mul_f64(1.02)) && all.iter().any(|&one| one > wait.mul_f64(1.23)));
    }
}
