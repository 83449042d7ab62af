//! Whose turn it is, by weight.

/// A smooth weighted choice, as nginx makes it: with weights 5, 1, 1 the order is a a b a c a a, not a a a a a b c.
///
/// In each round every candidate gains its weight and the one with most is chosen and pays for all. Those that are full
/// or ill take no part, so they save up nothing for the time when they are back.
#[derive(Debug)]
pub(crate) struct Turns(Vec<i64>);

impl Turns {
    pub(crate) fn new(n_members: usize) -> Self {
        Self(vec![0; n_members])
    }

    /// Chooses one of `candidates`, given as positions in the route with their weights.
    pub(crate) fn choose(&mut self, candidates: impl Iterator<Item = (usize, u32)>) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (position, weight) in candidates {
            let weight = i64::from(weight);
            self.0[position] += weight;
            total += weight;
            // The first of equals.
            if best.is_none_or(|best| self.0[position] > self.0[best]) {
                best = Some(position);
            }
        }
        let best = best?;
        self.0[best] -= total;
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(usize, u32); 3] = [(0, 5), (1, 1), (2, 1)];

    #[test]
    fn shares_follow_weights_and_are_spread() {
        let mut turns = Turns::new(3);
        let chosen: Vec<usize> = (0..14).filter_map(|_| turns.choose(ALL.into_iter())).collect();
        assert_eq!(chosen, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn one_that_was_away_does_not_catch_up() {
        let mut turns = Turns::new(2);
        for _ in 0..100 {
            assert_eq!(turns.choose([(0, 1)].into_iter()), Some(0));
        }
        let back: Vec<usize> = (0..4).filter_map(|_| turns.choose([(0, 1), (1, 1)].into_iter())).collect();
        assert_eq!(back, [0, 1, 0, 1]);
        assert_eq!(turns.choose(std::iter::empty()), None);
    }
}
