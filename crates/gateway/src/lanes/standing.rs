//! How the upstreams stand, for those who watch.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Lane, Lanes};
use crate::{health::Standing, limit::Room, need::Need};

/// How an upstream stands now.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamStanding {
    pub(crate) name: Arc<str>,
    pub(crate) weight: u32,
    pub(crate) in_flight: usize,
    pub(crate) width: usize,
    health: Standing,
    /// Whether it has room for one more request.
    room: Room,
    /// How long it will not be asked, where that is known.
    pub(crate) rest: Option<Duration>,
    /// What it failed with last, as long as it has not answered since.
    pub(crate) trouble: Option<String>,
}

impl UpstreamStanding {
    fn of(lane: &Lane, now: Instant) -> Self {
        let (width, in_flight) = lane.limit.width();
        let (health, room) = (lane.health.standing(now), lane.limit.room(Need::default(), now));
        let until = match (health, room) {
            (Standing::CoolsUntil(at) | Standing::OpenUntil(Some(at)), _) => Some(at),
            (Standing::Well | Standing::ProbeDue, Room::At(at)) => Some(at),
            _ => None,
        };
        Self {
            name: Arc::clone(&lane.name),
            weight: lane.weight,
            in_flight,
            width,
            health,
            room,
            rest: until.map(|at| at.saturating_duration_since(now)),
            trouble: lane.health.last().map(|_| lane.trouble(now)),
        }
    }

    /// Returns whether its health allows that it is asked. One that is busy is well.
    pub(crate) fn is_available(&self) -> bool {
        matches!(self.health, Standing::Well | Standing::ProbeDue)
    }

    /// Returns how it stands, in a word.
    pub(crate) fn state(&self) -> &'static str {
        match (self.health, self.room) {
            (Standing::Dead, _) => "disabled",
            (Standing::CoolsUntil(_), _) => "cooling",
            (Standing::OpenUntil(None), _) => "probing",
            (Standing::OpenUntil(Some(_)), _) => "broken",
            (Standing::ProbeDue, _) => "probe_due",
            (Standing::Well, Room::Full) => "full",
            (Standing::Well, Room::At(_)) => "limited",
            (Standing::Well, Room::Free) => "well",
        }
    }
}

impl Lanes {
    /// Returns how all upstreams stand, in the order of the models file.
    pub(crate) fn standing(&self) -> Vec<UpstreamStanding> {
        let (mut fleet, now) = (self.shared.fleet(), Instant::now());
        let (lanes, _) = fleet.seen_by(&self.slots);
        (0..self.slots.len()).map(|upstream| UpstreamStanding::of(&lanes[upstream], now)).collect()
    }
}
