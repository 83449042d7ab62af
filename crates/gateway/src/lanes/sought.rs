//! What a request waits for, so that those who wait for the same can stand in one line.

use super::{Lanes, Pace, Standing, View};
use crate::need::Wants;

/// What a request waits for: some of a route's upstreams. Whether one of them has a place is the same for all who wait for
/// the same, but for the tokens that they need.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sought {
    pub(crate) route: usize,
    /// Whether an upstream has failed it. It does not wait for what is broken: it has a failure to tell.
    pub(crate) is_again: bool,
    /// Upstreams that take a schema come first, so this wish is a difference.
    wants_schema: bool,
    /// The upstreams that can do what is needed and were not tried, a bit each. What can change without another
    /// configuration, like their health, has no part in it.
    upstreams: Box<[u64]>,
}

impl Sought {
    fn upstreams(&self) -> impl Iterator<Item = usize> {
        (0..self.upstreams.len() * 64).filter(|upstream| self.has(*upstream))
    }

    fn has(&self, upstream: usize) -> bool {
        self.upstreams[upstream / 64] >> (upstream % 64) & 1 == 1
    }

    /// Returns whether it is for one of these that it waits.
    pub(crate) fn is_of(&self, upstreams: &[usize]) -> bool {
        upstreams.iter().any(|upstream| self.has(*upstream))
    }
}

impl Lanes {
    /// Returns what a request waits for.
    pub(crate) fn sought(&self, route: usize, tried: &[usize], wants: Wants) -> Sought {
        let mut fleet = self.shared.fleet();
        let (lanes, _) = fleet.seen_by(&self.slots);
        let routes = self.routes();
        let hard = Wants { schema: false, ..wants };
        let mut upstreams = vec![0; self.slots.len().div_ceil(64)].into_boxed_slice();
        for number in [Some(route), routes[route].instead].into_iter().flatten() {
            for upstream in routes[number].members.iter().copied() {
                if lanes[upstream].can(hard) && !tried.contains(&upstream) {
                    upstreams[upstream / 64] |= 1 << (upstream % 64);
                }
            }
        }
        Sought { route, is_again: !tried.is_empty(), wants_schema: wants.schema, upstreams }
    }

    /// Returns the numbers that the upstream in a slot has here.
    pub(crate) fn in_slot(&self, slot: usize) -> Vec<usize> {
        (0..self.slots.len()).filter(|upstream| self.slots[*upstream] == slot).collect()
    }

    /// Returns how many requests per second a route's upstreams can be expected to take, when they are well.
    pub(crate) fn pace(&self, route: usize) -> Pace {
        let mut fleet = self.shared.fleet();
        let (lanes, _) = fleet.seen_by(&self.slots);
        let routes = self.routes();
        pace(&lanes, routes[route].members.iter().copied())
    }

    /// The same of those that are waited for.
    pub(crate) fn pace_of(&self, sought: &Sought) -> Pace {
        let mut fleet = self.shared.fleet();
        let (lanes, _) = fleet.seen_by(&self.slots);
        pace(&lanes, sought.upstreams())
    }
}

fn pace(lanes: &View<'_>, upstreams: impl Iterator<Item = usize>) -> Pace {
    let now = tokio::time::Instant::now();
    let lanes = upstreams.map(|upstream| &lanes[upstream]);
    let alive = lanes.filter(|lane| lane.health.standing(now) != Standing::Dead);
    alive.fold(Pace { allowed: 0.0, expected: 0.0 }, |sum, lane| Pace {
        allowed: sum.allowed + lane.limit.allowed(),
        expected: sum.expected + lane.limit.pace(),
    })
}
