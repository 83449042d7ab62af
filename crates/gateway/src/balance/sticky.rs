//! The same upstream for the same session, by rendezvous hashing.
//!
//! Each pair of session and upstream has a number that looks like chance and is always the same; the upstream with the
//! greatest number has the session. Where one is away, only its own sessions go elsewhere, and they come back with it.
//! Nothing is remembered, so that several gateways with the same models choose alike.

use super::Candidate;

/// A session, as the hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session(u64);

impl Session {
    /// Makes one of its name, whatever a client calls it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(hash(name))
    }
}

impl From<u64> for Session {
    /// Takes a hash that was made elsewhere, always in the same way.
    fn from(hash: u64) -> Self {
        Self(hash)
    }
}

/// Returns the one of `candidates` that has the session: each has as many of all sessions as its weight says.
pub(super) fn of<'a>(candidates: impl Iterator<Item = Candidate<'a>>, session: Session) -> Option<Candidate<'a>> {
    let score = |it: &Candidate<'_>| {
        // A number between 0 and 1, and neither of them. The one with weight 2 has two draws, so to speak.
        let fraction = ((mixed(session.0 ^ it.hash) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        f64::from(it.weight.max(1)) / -fraction.ln()
    };
    candidates.map(|it| (score(&it), it)).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, it)| it)
}

/// Hashes a name, in every process and release alike (FNV-1a).
pub(crate) fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads the bits of a hash (the end of `SplitMix64`).
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
