//! Numbers that look random and are functions of what is asked, so that runs repeat exactly.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a number is drawn for; two purposes never share a draw.
#[derive(Clone, Copy)]
pub(crate) enum Salt {
    Fault,
    Latency,
    Shape,
    /// The thought before the choice with this index.
    Thought(u32),
    /// The text of the choice with this index.
    Content(u32),
}

/// Returns the 64 bits that belong to one ask of one request, for one purpose.
pub(crate) fn word(seed: u64, request_hash: u128, ask: u32, salt: Salt) -> u64 {
    let salt: u64 = match salt {
        Salt::Fault => 1,
        Salt::Latency => 2,
        Salt::Shape => 3,
        Salt::Thought(choice) => 2 << 32 | u64::from(choice),
        Salt::Content(choice) => 1 << 32 | u64::from(choice),
    };
    let mut bytes = [0; 28];
    bytes[..16].copy_from_slice(&request_hash.to_le_bytes());
    bytes[16..20].copy_from_slice(&ask.to_le_bytes());
    bytes[20..].copy_from_slice(&salt.to_le_bytes());
    xxh3_64_with_seed(&bytes, seed)
}

/// Maps 64 bits to a number from 0 up to, but not including, 1.
pub(crate) fn unit(word: u64) -> f64 {
    // The 53 bits that a float holds exactly.
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

/// A sequence of draws (the generator is `SplitMix64`).
pub(crate) struct Draws {
    state: u64,
}

impl Draws {
    pub(crate) fn new(seed: u64) -> Draws {
        Draws { state: seed }
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws a number from 0 up to, but not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.word())
    }

    /// Draws a number below `bound`; 0 where the bound is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// Draws an index into something of this length.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Draws from the standard normal distribution (Box and Muller's transform).
    pub(crate) fn normal(&mut self) -> f64 {
        // 1 - unit() is never 0, whose logarithm is none.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
