//! The state of all upstreams, and the places that are given out.
//!
//! One lock guards it all: a choice looks at several upstreams at once, takes a few dozen nanoseconds, and nothing waits
//! while it is held. The state outlives the configuration: see `fleet`.

mod fleet;
mod refusal;
mod sought;
mod standing;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{Cost, Failure, FailureKind, Usage, ports::NotBefore};
use provider::{Failed, Hints};
use tokio::{sync::futures::Notified, time::Instant};

use crate::{
    balance::{Balance, Candidate, Load, hash},
    config::JsonSupport,
    failover::is_upstreams_own,
    health::{Health, Standing},
    jitter::Jitter,
    limit::{How, Limit, Room, Seen, Taken},
    names::Names,
    need::{Need, Wants},
    queue::Queue,
    resolve::{Declared, Resolved, Upstream, listed},
};
use fleet::{Shared, View};

pub(crate) use refusal::Outlook;
pub(crate) use sought::Sought;
pub(crate) use standing::UpstreamStanding;

/// The lanes of a gateway, as one configuration has them.
#[derive(Debug)]
pub(crate) struct Lanes {
    names: Names,
    /// Locked by none but those who hold the lock of the fleet.
    routes: Mutex<Vec<Route>>,
    /// Where the state of each upstream is, by its number.
    slots: Vec<usize>,
    shared: Arc<Shared>,
    outage: Duration,
}

#[derive(Debug)]
struct Lane {
    name: Arc<str>,
    /// The hash of the name.
    hash: u64,
    weight: u32,
    abilities: Declared,
    json: Option<JsonSupport>,
    limit: Limit,
    health: Health,
    load: Load,
}

#[derive(Debug)]
struct Route {
    name: Arc<str>,
    members: Vec<usize>,
    balance: Balance,
    /// The route that is asked instead while none of the members can be.
    instead: Option<usize>,
}

/// What comes of asking for a place.
#[derive(Debug)]
pub(crate) enum Picked {
    Place(Place),
    NotBefore(NotBefore),
    Closed(Failure),
}

/// How many requests per second a route takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// By its limits; infinite where there is a model without.
    pub(crate) allowed: f64,
    /// By its limits, and by what its places turned over lately.
    pub(crate) expected: f64,
}

/// A place at an upstream. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct Place {
    lanes: Arc<Lanes>,
    pub(crate) upstream: usize,
    /// What it was asked for with.
    pub(crate) need: Need,
    taken: Taken,
    /// Whether it finds out how the upstream is, until that is known.
    is_probe: AtomicBool,
    is_told: AtomicBool,
}

/// What is known of an answer when it is whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answered {
    /// When the first of it came, where it came in pieces.
    pub(crate) first_byte: Option<Instant>,
    /// What it cost, where that was said.
    pub(crate) usage: Option<Usage>,
}

impl Lanes {
    pub(crate) fn new(resolved: &Resolved, seed: u64) -> Self {
        Self::of(resolved, Shared::new(seed))
    }

    /// Makes the lanes of the configuration that comes after this one. What is known of an upstream that both name is
    /// known to both, and what is in flight there counts for both; limits that differ are the new ones from now on.
    pub(crate) fn successor(&self, resolved: &Resolved) -> Self {
        Self::of(resolved, Arc::clone(&self.shared))
    }

    fn of(resolved: &Resolved, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let route = |route: &crate::Route| Route {
            name: Arc::clone(&route.name),
            members: route.members.clone(),
            balance: Balance::new(route.choose, route.members.len()),
            instead: route.instead,
        };
        let routes = Mutex::new(resolved.routes.iter().map(route).collect());
        let mut fleet = shared.fleet();
        let slots = resolved.upstreams.iter().map(|upstream| fleet.enter(upstream, now)).collect();
        drop(fleet);
        // There may be room where there was none.
        shared.hand_on(None);
        Self { names: resolved.names.clone(), routes, slots, shared, outage: resolved.outage }
    }

    fn routes(&self) -> MutexGuard<'_, Vec<Route>> {
        // A route is whole after any panic.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `look` with the state of an upstream.
    fn with<R>(&self, upstream: usize, look: impl FnOnce(&mut Lane, &mut Jitter) -> R) -> R {
        let mut fleet = self.shared.fleet();
        let (mut lanes, jitter) = fleet.seen_by(&self.slots);
        look(&mut lanes[upstream], jitter)
    }

    pub(crate) fn knows(&self, route: &str) -> bool {
        self.route(route).is_some()
    }

    /// Returns the number of the route that a requested name leads to.
    pub(crate) fn route(&self, asked: &str) -> Option<usize> {
        self.names.find(asked)
    }

    /// Says that a requested name leads nowhere, and which ones lead somewhere.
    pub(crate) fn unknown(&self, asked: &str) -> Failure {
        let routes = self.routes();
        let names: Vec<&str> = routes.iter().map(|route| &*route.name).collect();
        let message = format!("there is no model or route `{asked}`; there are {}", listed(&names));
        Failure::new(FailureKind::Rejected, message)
    }

    pub(crate) fn n_routes(&self) -> usize {
        self.routes().len()
    }

    /// From now on whoever frees a place tells `queue`.
    pub(crate) fn hand_places_to(&self, queue: Weak<Queue>) {
        self.shared.hand_places_to(queue);
    }

    /// Ends when a place was freed. The wait begins with the call, not with the first poll: who calls this before asking
    /// for a place misses nothing.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.shared.freed.notified()
    }

    /// Returns whether somebody looks at the tokens of this upstream's answers.
    pub(crate) fn wants_tokens(&self, upstream: usize) -> bool {
        self.with(upstream, |lane, _| lane.limit.wants_tokens())
    }

    /// Takes a place at an upstream of `route` other than those in `tried` that can do what is needed.
    pub(crate) fn pick(self: &Arc<Self>, route: &str, tried: &[usize], need: Need) -> Picked {
        match self.route(route) {
            Some(number) => self.pick_in(number, tried, need),
            None => Picked::Closed(self.unknown(route)),
        }
    }

    /// The same, with the number of the route.
    pub(crate) fn pick_in(self: &Arc<Self>, asked: usize, tried: &[usize], need: Need) -> Picked {
        let now = Instant::now();
        let mut fleet = self.shared.fleet();
        let (mut lanes, jitter) = fleet.seen_by(&self.slots);
        let mut routes = self.routes();
        let instead = routes[asked].instead;
        for number in [Some(asked), instead].into_iter().flatten() {
            let Route { members, balance, .. } = &mut routes[number];
            let wants = need.abilities.of_members(members, tried, &lanes, now);
            let candidates = members.iter().enumerate().filter_map(|(position, upstream)| {
                let lane = &lanes[*upstream];
                let is_one = !tried.contains(upstream) && lane.takes(wants, need, now);
                is_one.then(|| lane.candidate(position))
            });
            let Some(position) = balance.choose(candidates, need.session, jitter, now) else { continue };
            let upstream = members[position];
            let lane = &mut lanes[upstream];
            let is_probe = lane.health.standing(now) == Standing::ProbeDue;
            if is_probe {
                lane.health.begin_probe();
            }
            let taken = lane.limit.take(need, now);
            let lanes = Arc::clone(self);
            let (is_probe, is_told) = (AtomicBool::new(is_probe), AtomicBool::new(false));
            return Picked::Place(Place { lanes, upstream, need, taken, is_probe, is_told });
        }
        self.why_none(asked, tried, need, (&lanes, &routes), now)
    }
}

impl Wants {
    /// Leaves out the wish for a schema where none of those who can do the rest, and may still be asked, takes one.
    fn of_members(self, members: &[usize], tried: &[usize], lanes: &View<'_>, now: Instant) -> Self {
        let hears = |upstream: &usize| {
            let lane = &lanes[*upstream];
            lane.can(self) && !tried.contains(upstream) && lane.health.standing(now) != Standing::Dead
        };
        Self { schema: self.schema && members.iter().any(hears), ..self }
    }
}

impl Lane {
    fn new(upstream: &Upstream, now: Instant) -> Self {
        Self {
            name: Arc::clone(&upstream.name),
            hash: hash(&upstream.name),
            weight: upstream.weight,
            abilities: upstream.abilities,
            json: upstream.json,
            limit: Limit::new(upstream.max_in_flight, &upstream.limits, now),
            health: Health::new(),
            load: Load::default(),
        }
    }

    /// Goes on under what another file says about it.
    fn change(&mut self, upstream: &Upstream, now: Instant) {
        (self.weight, self.abilities, self.json) = (upstream.weight, upstream.abilities, upstream.json);
        self.limit.change(upstream.max_in_flight, &upstream.limits, now);
        self.health.revive(now);
    }

    /// Returns whether it can do what is wanted, as far as its user says.
    fn can(&self, wants: Wants) -> bool {
        wants == Wants::default() || (wants.lacking(self.abilities).is_none() && wants.is_content_with(self.json))
    }

    /// Returns whether it takes a request now.
    fn takes(&self, wants: Wants, need: Need, now: Instant) -> bool {
        let may_be_asked = matches!(self.health.standing(now), Standing::Well | Standing::ProbeDue);
        may_be_asked && self.can(wants) && self.limit.room(need, now) == Room::Free
    }

    fn candidate(&self, position: usize) -> Candidate<'_> {
        let (_, n_in_flight) = self.limit.width();
        Candidate { position, weight: self.weight, hash: self.hash, load: &self.load, n_in_flight }
    }

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

    /// Another request was sent in this place.
    pub(crate) fn sent_again(&self) {
        self.lanes.with(self.upstream, |lane, _| lane.limit.again(Instant::now()));
    }

    /// Takes over what the upstream says about its limits.
    pub(crate) fn hint(&self, hints: &Hints) {
        self.lanes.with(self.upstream, |lane, _| lane.limit.hint(hints, Instant::now()));
    }

    /// The upstream has begun to answer. Where that was to be found out it is known now, and not only at the end of an
    /// answer that may take minutes.
    pub(crate) fn begun(&self) {
        if self.is_probe.swap(false, Ordering::Relaxed) {
            self.lanes.with(self.upstream, |lane, _| lane.health.answered());
            self.hand_on();
        }
    }

    /// Tells how the request in this place ended, which frees it; returns who pays where it failed. It is told once.
    pub(crate) fn tell(&self, result: Result<Answered, &Failed>) -> Cost {
        let mut fleet = self.lanes.shared.fleet();
        let (mut lanes, jitter) = fleet.seen_by(&self.lanes.slots);
        let lane = &mut lanes[self.upstream];
        let now = Instant::now();
        let is_first = !self.is_told.swap(true, Ordering::Relaxed);
        let is_absorbed = is_first && lane.limit.ended(&self.taken, &seen(&self.taken, result), now);
        let is_well = lane.health.standing(now) == Standing::Well;
        let latency = now.saturating_duration_since(self.taken.at);
        match result {
            Ok(_) => lane.load.answered(latency, now),
            Err(failed) if is_upstreams_own(failed.failure.kind) => lane.load.failed(latency, now),
            Err(_) => {}
        }
        let cost = match result {
            Ok(_) => {
                lane.health.answered();
                Cost::Record
            }
            // Fewer are sent from now on; as long as that may be all that it takes, those few go on.
            Err(failed) if is_absorbed && is_well && failed.failure.retry_after_ms.is_none() => Cost::Lane,
            Err(failed) => {
                let is_probe = self.is_probe.load(Ordering::Relaxed);
                lane.health.failed(failed, is_probe, self.taken.at, now, jitter)
            }
        };
        drop(fleet);
        if is_first {
            self.hand_on();
        }
        cost
    }

    fn hand_on(&self) {
        self.lanes.shared.hand_on(Some(self.lanes.slots[self.upstream]));
    }
}

fn seen(taken: &Taken, result: Result<Answered, &Failed>) -> Seen {
    let how = match result {
        Ok(_) => How::Answered,
        Err(failed) => match failed.failure.kind {
            FailureKind::Throttled => How::Throttled,
            FailureKind::Unavailable | FailureKind::Timeout => How::Fault,
            // The request was wrong, or the key: that says nothing about what the upstream can take.
            FailureKind::Rejected | FailureKind::Unauthorized | FailureKind::ExhaustedCredit => How::TurnedAway,
            _ => How::Cancelled,
        },
    };
    let Answered { first_byte, usage } = result.unwrap_or_default();
    Seen {
        how,
        first_byte: first_byte.map(|at| at.saturating_duration_since(taken.at)),
        output_tokens: usage.map(|usage| usage.completion_tokens),
        tokens: usage.map(|usage| usage.total()),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_told.load(Ordering::Relaxed) {
            return;
        }
        let seen = Seen { how: How::Cancelled, first_byte: None, output_tokens: None, tokens: None };
        self.lanes.with(self.upstream, |lane, _| {
            lane.limit.ended(&self.taken, &seen, Instant::now());
            if self.is_probe.load(Ordering::Relaxed) {
                lane.health.abandon_probe();
            }
        });
        self.hand_on();
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.shared.fleet().leave(&self.slots);
    }
}

#[cfg(test)]
mod tests;
