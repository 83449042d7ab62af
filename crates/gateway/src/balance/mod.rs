//! Which of those that can be asked now is asked.
//!
//! - `turns`: each gets its share by weight
//! - `load`: the better of two that are drawn
//! - `sticky`: the same one for the same session
//!
//! The fourth way needs no room of its own: the first of the list.

mod load;
mod sticky;
mod turns;

use tokio::time::Instant;

use crate::{config::Choose, jitter::Jitter};
use turns::Turns;

pub(crate) use load::Load;
pub use sticky::Session;
pub(crate) use sticky::hash;

/// How a route chooses among its members, with what it remembers for that.
#[derive(Debug)]
pub(crate) struct Balance {
    choose: Choose,
    turns: Turns,
}

/// A member of a route that can be asked now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    /// Where it stands in the route.
    pub(crate) position: usize,
    pub(crate) weight: u32,
    /// The hash of its name.
    pub(crate) hash: u64,
    pub(crate) load: &'a Load,
    pub(crate) n_in_flight: usize,
}

impl Balance {
    pub(crate) fn new(choose: Choose, n_members: usize) -> Self {
        Self { choose, turns: Turns::new(n_members) }
    }

    /// Chooses one of `candidates` and returns its position. They are gone through several times.
    pub(crate) fn choose<'a>(
        &mut self,
        mut candidates: impl Iterator<Item = Candidate<'a>> + Clone,
        session: Option<Session>,
        chance: &mut Jitter,
        now: Instant,
    ) -> Option<usize> {
        let chosen = match (self.choose, session) {
            (Choose::Ordered, _) => candidates.next(),
            (Choose::LeastLoaded, _) => better_of_two(candidates, chance, now),
            (Choose::Sticky, Some(session)) => sticky::of(candidates, session),
            (Choose::Weighted, _) | (Choose::Sticky, None) => {
                return self.turns.choose(candidates.map(|it| (it.position, it.weight)));
            }
        };
        chosen.map(|it| it.position)
    }
}

/// Draws two and takes the one with the lower score. That is nearly as good as the best of all, and does not send everybody
/// to the one that looked best a moment ago (Mitzenmacher 2001).
fn better_of_two<'a>(
    mut candidates: impl Iterator<Item = Candidate<'a>> + Clone,
    chance: &mut Jitter,
    now: Instant,
) -> Option<Candidate<'a>> {
    let n = candidates.clone().count();
    if n < 2 {
        return candidates.next();
    }
    let first = chance.below(n);
    // One of the others.
    let second = (first + 1 + chance.below(n - 1)) % n;
    let (first, second) = (candidates.clone().nth(first)?, candidates.nth(second)?);
    let score = |it: &Candidate<'_>| it.load.score(it.n_in_flight, it.weight, now);
    Some(if score(&second) < score(&first) { second } else { first })
}

#[cfg(test)]
mod tests;
