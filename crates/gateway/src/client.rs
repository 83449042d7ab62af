//! The gateway as work and engine see it.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use domain::{
    BoxFuture, Clock, Failure,
    ports::{ModelAnswer, ModelClient, ModelRequest, Permit, Reservation, Reserve},
};
use provider::transport::Transport;
use tokio::sync::mpsc;

use crate::{
    abilities::{AllAbilities, Notice},
    failover,
    forward::{Forward, Wire},
    lanes::{Lanes, Picked},
    need::Need,
    resolve::Resolved,
};

/// The gateway in process.
pub struct Gateway {
    lanes: Arc<Lanes>,
    abilities: AllAbilities,
    forward: Arc<dyn Forward>,
    names: Vec<Arc<str>>,
}

impl Gateway {
    /// Makes a gateway that speaks to the upstreams through `transport`.
    #[must_use]
    pub fn new(resolved: &Resolved, transport: Arc<Transport>, clock: Arc<dyn Clock>) -> Self {
        // Waits need only differ between processes, so the time at which this one began is seed enough.
        let seed = clock.now().0;
        Self::with_forward(resolved, Arc::new(Wire::new(&resolved.upstreams, transport, clock)), seed)
    }

    /// Makes the gateway of the configuration that comes after this one. Both may be used at the same time: what is known of
    /// an upstream that both name (the same name, URL, model and key) is known to both, and its limits hold for what both
    /// send. Limits that differ are those of the new configuration from now on.
    #[must_use]
    pub fn successor(&self, resolved: &Resolved, transport: Arc<Transport>, clock: Arc<dyn Clock>) -> Self {
        let forward = Arc::new(Wire::new(&resolved.upstreams, transport, clock));
        Self::of(resolved, self.lanes.successor(resolved), forward)
    }

    /// Makes a gateway that sends through `forward`.
    #[must_use]
    pub fn with_forward(resolved: &Resolved, forward: Arc<dyn Forward>, seed: u64) -> Self {
        Self::of(resolved, Lanes::new(resolved, seed), forward)
    }

    fn of(resolved: &Resolved, lanes: Lanes, forward: Arc<dyn Forward>) -> Self {
        let names = resolved.upstreams.iter().map(|upstream| Arc::clone(&upstream.name)).collect();
        let (lanes, abilities) = (Arc::new(lanes), AllAbilities::new(resolved));
        Self { lanes, abilities, forward, names }
    }

    /// Returns what tells what is found out about upstreams while they are asked, each thing once, from the beginning;
    /// nothing where somebody else has taken it.
    #[must_use]
    pub fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        self.abilities.notices()
    }

    pub(crate) fn lanes(&self) -> &Arc<Lanes> {
        &self.lanes
    }

    /// Returns whether `route` is the name of a route or a model here.
    #[must_use]
    pub fn knows(&self, route: &str) -> bool {
        self.lanes.knows(route)
    }
}

impl ModelClient for Gateway {
    fn reserve(&self, ask: &Reservation<'_>) -> Reserve {
        match self.lanes.pick(ask.route, &[], Need { tokens: u64::from(ask.tokens), ..Need::default() }) {
            Picked::Place(place) => Reserve::Permit(Permit::new(place)),
            Picked::NotBefore(not_before) => Reserve::NotBefore(not_before),
            Picked::Closed(failure) => Reserve::Closed(failure),
        }
    }

    fn width_freed(&self) -> BoxFuture<'_, ()> {
        // Made here and not inside of an `async` block, so that it counts from now.
        Box::pin(self.lanes.freed())
    }

    fn complete(&self, request: ModelRequest, permit: Permit) -> BoxFuture<'_, Result<ModelAnswer, (Failure, Bytes)>> {
        Box::pin(failover::attempt(&self.lanes, &*self.forward, &self.abilities, &self.names, request, permit))
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod rates;
#[cfg(test)]
mod tests;
