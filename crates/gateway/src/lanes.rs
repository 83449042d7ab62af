//! The state of all upstreams, and the places that are given out.
//!
//! One lock guards it all: a choice looks at several upstreams at once, takes a few dozen nanoseconds, and nothing waits
//! while it is held.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{Cost, Failure, FailureKind, Waiting, ports::NotBefore};
use provider::Failed;
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use crate::{
    balance::Turns,
    health::{Health, Standing},
    jitter::Jitter,
    limit::Limit,
    names::Names,
    resolve::{Resolved, listed},
};

/// The lanes of a gateway.
#[derive(Debug)]
pub(crate) struct Lanes {
    names: Names,
    state: Mutex<State>,
    freed: Notify,
    outage: Duration,
}

#[derive(Debug)]
struct State {
    lanes: Vec<Lane>,
    routes: Vec<Route>,
    jitter: Jitter,
}

#[derive(Debug)]
struct Lane {
    name: Arc<str>,
    weight: u32,
    limit: Limit,
    health: Health,
}

#[derive(Debug)]
struct Route {
    name: Arc<str>,
    members: Vec<usize>,
    turns: Turns,
}

/// What comes of asking for a place.
#[derive(Debug)]
pub(crate) enum Picked {
    Place(Place),
    NotBefore(NotBefore),
    Closed(Failure),
}

/// A place at an upstream. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct Place {
    lanes: Arc<Lanes>,
    pub(crate) upstream: usize,
    taken: Instant,
    is_probe: bool,
    is_told: AtomicBool,
}

impl Lanes {
    pub(crate) fn new(resolved: &Resolved, seed: u64) -> Self {
        let lane = |upstream: &crate::Upstream| Lane {
            name: Arc::clone(&upstream.name),
            weight: upstream.weight,
            limit: Limit::new(upstream.max_in_flight),
            health: Health::new(),
        };
        let route = |route: &crate::Route| Route {
            name: Arc::clone(&route.name),
            members: route.members.clone(),
            turns: Turns::new(route.members.len()),
        };
        let state = State {
            lanes: resolved.upstreams.iter().map(lane).collect(),
            routes: resolved.routes.iter().map(route).collect(),
            jitter: Jitter::new(seed),
        };
        let names = resolved.names.clone();
        Self { names, state: Mutex::new(state), freed: Notify::new(), outage: resolved.outage }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below leaves the state whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn knows(&self, route: &str) -> bool {
        self.names.find(route).is_some()
    }

    /// Ends when a place was freed. The wait begins with the call, not with the first poll: who calls this before asking
    /// for a place misses nothing.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Takes a place at an upstream of `route` other than those in `tried`.
    pub(crate) fn pick(self: &Arc<Self>, route: &str, tried: &[usize]) -> Picked {
        let now = Instant::now();
        let Some(number) = self.names.find(route) else {
            let state = self.state();
            let names: Vec<&str> = state.routes.iter().map(|route| &*route.name).collect();
            let message = format!("there is no model or route `{route}`; there are {}", listed(&names));
            return Picked::Closed(Failure::new(FailureKind::Rejected, message));
        };
        let mut state = self.state();
        let State { lanes, routes, .. } = &mut *state;
        let Route { members, turns, .. } = &mut routes[number];
        let candidates = members.iter().enumerate().filter(|(_, upstream)| {
            let lane = &lanes[**upstream];
            let may_be_asked = matches!(lane.health.standing(now), Standing::Well | Standing::ProbeDue);
            may_be_asked && lane.limit.has_place() && !tried.contains(upstream)
        });
        let weighted = candidates.map(|(position, upstream)| (position, lanes[*upstream].weight));
        let Some(position) = turns.choose(weighted) else {
            return refusal(members.iter().map(|upstream| &lanes[*upstream]), self.outage, now);
        };
        let upstream = members[position];
        let lane = &mut lanes[upstream];
        let is_probe = lane.health.standing(now) == Standing::ProbeDue;
        if is_probe {
            lane.health.begin_probe();
        }
        lane.limit.take();
        let lanes = Arc::clone(self);
        Picked::Place(Place { lanes, upstream, taken: now, is_probe, is_told: AtomicBool::new(false) })
    }
}

/// Says why none of the route's upstreams can be asked now.
fn refusal<'a>(lanes: impl Iterator<Item = &'a Lane> + Clone, outage: Duration, now: Instant) -> Picked {
    let mut earliest: Option<(Instant, Waiting)> = None;
    let mut probed: Option<&Lane> = None;
    for lane in lanes.clone() {
        let (at, reason) = match lane.health.standing(now) {
            // It has no place; one that is freed tells so.
            Standing::Well | Standing::ProbeDue => {
                return Picked::NotBefore(NotBefore { at: None, reason: Waiting::Width });
            }
            Standing::CoolsUntil(at) => (at, Waiting::Throttled),
            Standing::OpenUntil(Some(at)) => (at, Waiting::Outage(lane.trouble(now))),
            Standing::OpenUntil(None) => {
                probed = Some(lane);
                continue;
            }
            Standing::Dead => continue,
        };
        if earliest.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
            earliest = Some((at, reason));
        }
    }
    let is_over = |lane: &Lane| {
        let too_long = lane.health.troubled_since().is_some_and(|since| now - since >= outage);
        too_long || lane.health.standing(now) == Standing::Dead
    };
    if lanes.clone().all(is_over) {
        // The one that may come back gives the kind; where all are dead, the first.
        let alive = lanes.clone().find(|lane| lane.health.standing(now) != Standing::Dead);
        let Some(lane) = alive.or_else(|| lanes.clone().next()) else {
            return Picked::Closed(Failure::new(FailureKind::Internal, "a route leads nowhere"));
        };
        let kind = lane.health.last().map_or(FailureKind::Unavailable, |last| last.kind);
        let troubles: Vec<String> = lanes.map(|lane| lane.trouble(now)).collect();
        return Picked::Closed(Failure::new(kind, troubles.join("; ")).costing_the_lane());
    }
    let (at, reason) = match (earliest, probed) {
        (Some((at, reason)), _) => (Some(at.into_std()), reason),
        // The end of the probe frees its place, and that is told.
        (None, Some(lane)) => (None, Waiting::Outage(lane.trouble(now))),
        (None, None) => (None, Waiting::Width),
    };
    Picked::NotBefore(NotBefore { at, reason })
}

impl Lane {
    fn trouble(&self, now: Instant) -> String {
        let words = self.health.last().map_or("no answer", |last| last.message.as_str());
        let name = &self.name;
        match self.health.last().map(|last| last.kind) {
            // The seconds since then are nobody's hope.
            Some(FailureKind::Unauthorized) => return format!("`{name}`: key not accepted ({words})"),
            Some(FailureKind::ExhaustedCredit) => return format!("`{name}`: no credit ({words})"),
            _ => {}
        }
        match self.health.troubled_since().map_or(0, |since| (now - since).as_secs()) {
            0 => format!("`{name}`: {words}"),
            seconds => format!("`{name}`, for {seconds} s: {words}"),
        }
    }
}

impl Place {
    /// Returns whether the place was given out by `lanes`.
    pub(crate) fn is_of(&self, lanes: &Arc<Lanes>) -> bool {
        Arc::ptr_eq(&self.lanes, lanes)
    }

    /// Tells how the request in this place ended; returns who pays where it failed.
    pub(crate) fn tell(&self, result: Result<(), &Failed>) -> Cost {
        let mut state = self.lanes.state();
        let State { lanes, jitter, .. } = &mut *state;
        let health = &mut lanes[self.upstream].health;
        self.is_told.store(true, Ordering::Relaxed);
        match result {
            Ok(()) => {
                health.answered();
                Cost::Record
            }
            Err(failed) => health.failed(failed, self.is_probe, self.taken, Instant::now(), jitter),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.lanes.state();
        let lane = &mut state.lanes[self.upstream];
        lane.limit.free();
        if self.is_probe && !self.is_told.load(Ordering::Relaxed) {
            lane.health.abandon_probe();
        }
        drop(state);
        // All who wait look again, since what they wait for may differ; and one that was refused but does not wait yet
        // finds the word when it begins to.
        self.lanes.freed.notify_waiters();
        self.lanes.freed.notify_one();
    }
}
