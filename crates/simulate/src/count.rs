//! What the vendor was asked, and how it ended.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    endpoint::Endpoint,
    fault::{Fault, FaultKind},
    script::{Counting, Script},
    shape::ShapeKind,
};

/// What the vendor was asked so far, and how it ended.
///
/// While nothing is in flight, `asked = answered + faults + throttled_by_limit + turned_away + abandoned`, each ask being
/// in one of them. While something is, the asks that wait are missing on the right. Requests for the list of models and
/// for what the vendor tells of itself are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// Requests for an answer of a model.
    pub asked: u64,
    /// Answers handed over whole.
    pub answered: u64,
    /// Asks that a fault of the script struck, by its kind; counted when it strikes.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Answers that came in a shape, by its kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shapes: BTreeMap<ShapeKind, u64>,
    /// Asks that exceeded a limit. They do not count as asks of their request.
    pub throttled_by_limit: u64,
    /// Asks with a wrong key, malformed, or with what the vendor does not take. They do not count as asks of their request.
    pub turned_away: u64,
    /// Asks whose client left before the end of the answer.
    pub abandoned: u64,
    /// Admitted asks that have not ended.
    pub in_flight: u64,
    /// The most asks that were in flight at once.
    pub peak_in_flight: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Streams that have not ended.
    #[serde(default)]
    pub streams: u64,
    /// How often a client left while its request was worked on, whatever had struck it.
    #[serde(default)]
    pub hung_up: u64,
    /// Requests for an answer of a model, by their path behind the version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, u64>,
}

/// The running counts.
#[derive(Default)]
pub(crate) struct Tally {
    asked: AtomicU64,
    answered: AtomicU64,
    faults: [AtomicU64; FaultKind::ALL.len()],
    shapes: [AtomicU64; ShapeKind::ALL.len()],
    throttled_by_limit: AtomicU64,
    turned_away: AtomicU64,
    abandoned: AtomicU64,
    in_flight: AtomicU64,
    peak_in_flight: AtomicU64,
    connections: AtomicU64,
    streams: AtomicU64,
    hung_up: AtomicU64,
    paths: [AtomicU64; Endpoint::ALL.len()],
    asks: Mutex<HashMap<u128, u32>>,
}

/// An admitted ask, in flight until it is dropped. Unless told otherwise it counts as abandoned then.
pub(crate) struct Ask {
    tally: Arc<Tally>,
    is_counted: bool,
    is_stream: bool,
    /// How many asks were in flight when it was admitted, itself among them.
    pub(crate) in_flight: u64,
}

impl Tally {
    /// Counts a request by where it goes.
    pub(crate) fn goes_to(&self, endpoint: Endpoint) {
        self.paths[endpoint as usize].fetch_add(1, Relaxed);
    }

    /// Counts a client that left while its request was worked on.
    pub(crate) fn hang_up(&self) {
        self.hung_up.fetch_add(1, Relaxed);
    }

    /// Counts an answer that was made before anybody asked.
    pub(crate) fn answer_made(&self) {
        self.asked.fetch_add(1, Relaxed);
        self.answered.fetch_add(1, Relaxed);
    }

    pub(crate) fn accept_connection(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// Counts an answer in a shape.
    pub(crate) fn shape(&self, kind: ShapeKind) {
        self.shapes[kind as usize].fetch_add(1, Relaxed);
    }

    /// Counts a request that is malformed, has the wrong key, or has what the vendor does not take.
    pub(crate) fn turn_away(&self) {
        self.asked.fetch_add(1, Relaxed);
        self.turned_away.fetch_add(1, Relaxed);
    }

    /// Admits a request unless as many are in flight as may be.
    pub(crate) fn admit(self: &Arc<Tally>, most_in_flight: Option<u32>) -> Option<Ask> {
        self.asked.fetch_add(1, Relaxed);
        let most = most_in_flight.map_or(u64::MAX, u64::from);
        let admitted = self.in_flight.fetch_update(Relaxed, Relaxed, |now| (now < most).then_some(now + 1));
        let Ok(others) = admitted else {
            self.throttled_by_limit.fetch_add(1, Relaxed);
            return None;
        };
        self.peak_in_flight.fetch_max(others + 1, Relaxed);
        Some(Ask { tally: Arc::clone(self), is_counted: false, is_stream: false, in_flight: others + 1 })
    }

    /// Counts an ask of the request and returns the fault that strikes it, with the ask's number from 1.
    pub(crate) fn ask<'a>(&self, script: &'a Script, request_hash: u128) -> (u32, Option<&'a Fault>) {
        match script.counting {
            Counting::PerRequest => {
                let mut asks = self.asks();
                let ask = asks.entry(request_hash).or_insert(0);
                *ask = ask.saturating_add(1);
                (*ask, script.fault_for(request_hash, *ask))
            }
            Counting::Totals if script.faults.is_empty() => (1, None),
            Counting::Totals => {
                let mut asks = self.asks();
                if let Some(ask) = asks.get_mut(&request_hash) {
                    *ask = ask.saturating_add(1);
                    return (*ask, script.fault_for(request_hash, *ask));
                }
                let fault = script.fault_for(request_hash, 1);
                if fault.is_some() {
                    asks.insert(request_hash, 1);
                }
                (1, fault)
            }
        }
    }

    /// Returns how often each request was asked, as far as it is remembered.
    pub(crate) fn asks(&self) -> MutexGuard<'_, HashMap<u128, u32>> {
        // A panic elsewhere leaves the map whole: each change is one insertion or addition.
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> Counts {
        let struck = FaultKind::ALL.into_iter().map(|kind| (kind, self.faults[kind as usize].load(Relaxed)));
        let shaped = ShapeKind::ALL.into_iter().map(|kind| (kind, self.shapes[kind as usize].load(Relaxed)));
        let asked_at = Endpoint::ALL
            .into_iter()
            .map(|endpoint| (endpoint.path().to_owned(), self.paths[endpoint as usize].load(Relaxed)));
        Counts {
            asked: self.asked.load(Relaxed),
            answered: self.answered.load(Relaxed),
            faults: struck.filter(|(_, n)| *n > 0).collect(),
            shapes: shaped.filter(|(_, n)| *n > 0).collect(),
            throttled_by_limit: self.throttled_by_limit.load(Relaxed),
            turned_away: self.turned_away.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            peak_in_flight: self.peak_in_flight.load(Relaxed),
            connections: self.connections.load(Relaxed),
            streams: self.streams.load(Relaxed),
            hung_up: self.hung_up.load(Relaxed),
            paths: asked_at.filter(|(_, n)| *n > 0).collect(),
        }
    }
}

impl Ask {
    /// Ends the ask: the answer was handed over whole. One that a fault struck is counted already.
    pub(crate) fn answered(mut self) {
        if !self.is_counted {
            self.tally.answered.fetch_add(1, Relaxed);
            self.is_counted = true;
        }
    }

    /// Counts the ask among the streams, until it ends.
    pub(crate) fn streams(&mut self) {
        if !self.is_stream {
            self.is_stream = true;
            self.tally.streams.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn throttled_by_limit(mut self) {
        self.tally.throttled_by_limit.fetch_add(1, Relaxed);
        self.is_counted = true;
    }

    /// Counts the fault at once; the ask stays in flight.
    pub(crate) fn struck(&mut self, kind: FaultKind) {
        self.tally.faults[kind as usize].fetch_add(1, Relaxed);
        self.is_counted = true;
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        if !self.is_counted {
            self.tally.abandoned.fetch_add(1, Relaxed);
        }
        if self.is_stream {
            self.tally.streams.fetch_sub(1, Relaxed);
        }
        self.tally.in_flight.fetch_sub(1, Relaxed);
    }
}
