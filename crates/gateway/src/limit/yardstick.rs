//! How long an answer took, measured by how long answers of its kind take.
//!
//! A long answer takes long and is no sign of trouble. So each answer is compared with others of about its length; where
//! the vendor counts no tokens, the first byte is compared with first bytes, and else the whole with the whole.

use std::time::Duration;

use super::Seen;

/// Two kinds without a count, and two for each doubling of the tokens up to a million.
const KINDS: usize = 2 + 2 * 20 + 1;
/// So many of a kind make its measure; then it changes slowly, as the vendor and the requests do.
const FIRST: u32 = 8;
const SLOWLY: f64 = 1.0 / 256.0;
/// How much an answer counts for the level.
const LEVEL: f64 = 0.1;

/// The measures of all kinds of answers of one upstream.
#[derive(Debug)]
pub(super) struct Yardstick {
    kinds: [Kind; KINDS],
    /// What answers measure lately.
    level: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    /// Seconds.
    usual: f64,
    n: u32,
}

impl Yardstick {
    pub(super) fn new() -> Self {
        Self { kinds: [Kind::default(); KINDS], level: 1.0 }
    }

    /// Measures an answer: 1 is what was usual when answers of its kind were first seen. The first of a kind measures
    /// nothing.
    pub(super) fn measure(&mut self, seen: &Seen, latency: Duration) -> Option<f64> {
        let (kind, time) = match (seen.output_tokens, seen.first_byte) {
            (Some(tokens), _) => {
                let halves = (tokens.max(1) as f64).log2() * 2.0;
                (2 + (halves.round() as usize).min(KINDS - 3), latency)
            }
            (None, Some(first_byte)) => (1, first_byte),
            (None, None) => (0, latency),
        };
        let seconds = time.as_secs_f64().max(1e-6);
        let kind = &mut self.kinds[kind];
        let measured = (kind.n > 0).then(|| seconds / kind.usual);
        if let Some(measured) = measured {
            self.level += (measured - self.level) * LEVEL;
        }
        // The usual is what it would be at the first level, however crowded it is now.
        let weight = if kind.n < FIRST { 1.0 / f64::from(kind.n + 1) } else { SLOWLY };
        kind.usual += (seconds / self.level - kind.usual) * weight;
        kind.n = kind.n.saturating_add(1);
        measured
    }
}
