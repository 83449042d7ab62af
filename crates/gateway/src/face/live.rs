//! What is served now, and its change without a restart.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::Timestamp;
use http::{HeaderValue, StatusCode};
use provider::{Json, OpenAi};
use tokio::time::Instant;

use super::{
    account::Audience,
    ask::Ask,
    hedge::Budget,
    key_ring::KeyRing,
    log::AccessLog,
    metrics::Metrics,
    problem::{A_MOMENT, Problem},
};
use crate::{
    FaceConfig, Hedge, Resolved,
    client::Gateway,
    lanes::{Picked, Place},
    queue::{Asking, Queue, Why},
};

/// How long a whole answer may take where nobody says.
const PATIENCE: Duration = Duration::from_mins(10);

/// One configuration, with the state of its upstreams. Requests that began with it end with it.
pub struct Serving {
    pub(super) gateway: Arc<Gateway>,
    pub(super) ways: Vec<Way>,
    pub(super) settings: FaceConfig,
    pub(super) keys: KeyRing,
    pub(super) since: Timestamp,
    pub(super) audience: Arc<dyn Audience>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) log: Option<Arc<AccessLog>>,
    pub(super) ids: Arc<Ids>,
    pub(super) queue: Arc<Queue>,
    /// By the numbers of routes.
    hedges: Vec<Budget>,
    /// How long a request may take that is asked of a route, with the time in line. By the numbers of routes.
    patience: Vec<Duration>,
    /// The names that lead somewhere, patterns apart.
    pub(super) names: Vec<KnownName>,
}

/// A name that leads somewhere.
pub(super) struct KnownName {
    pub(super) name: Arc<str>,
    /// Whether it is shown to clients; one whose models have no weight is for those who know it.
    pub(super) is_listed: bool,
}

/// How an upstream is asked.
pub(super) struct Way {
    pub(super) name: Arc<str>,
    pub(super) model: OpenAi,
    /// What the models file says that it takes; all, where it says nothing.
    pub(super) json: Json,
    /// Members that a request gets which lacks them.
    pub(super) defaults: Vec<(String, String)>,
    /// The vendor's name of it.
    pub(super) vendor_name: Arc<str>,
    pub(super) channel: Arc<str>,
    /// Its name as clients are told it.
    pub(super) header: HeaderValue,
    /// How long a whole answer may take.
    pub(super) timeout: Duration,
    /// How long the first byte of an answer may take.
    pub(super) first_byte_timeout: Option<Duration>,
    /// How long a stream may be silent.
    pub(super) idle_timeout: Duration,
    /// Whether it goes on with an answer that the request has begun.
    pub(super) goes_on: bool,
}

/// Ids of requests that have none of their own: a number behind a beginning that differs from process to process.
#[derive(Debug)]
pub(super) struct Ids {
    beginning: u64,
    next: AtomicU64,
}

impl Ids {
    fn new(seed: u64) -> Self {
        Self { beginning: xxhash_rust::xxh3::xxh3_64(&seed.to_le_bytes()) >> 16, next: AtomicU64::new(1) }
    }

    pub(super) fn next(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // Digits and letters: it can always be a header.
        HeaderValue::try_from(format!("{:012x}-{number:x}", self.beginning)).unwrap_or(HeaderValue::from_static("0"))
    }
}

impl Serving {
    /// Makes what is served of a models file that was resolved.
    #[must_use]
    pub fn new(resolved: &Resolved, gateway: Arc<Gateway>, settings: FaceConfig, since: Timestamp) -> Self {
        let way = |upstream: &crate::Upstream| Way {
            name: Arc::clone(&upstream.name),
            vendor_name: Arc::clone(&upstream.vendor_name),
            channel: Arc::clone(&upstream.channel),
            model: upstream.model.clone(),
            json: upstream.json.map_or(Json::Schema, crate::JsonSupport::level),
            defaults: upstream.defaults.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
            header: HeaderValue::try_from(&*upstream.name).unwrap_or(HeaderValue::from_static("unprintable")),
            timeout: upstream.timeout.unwrap_or(PATIENCE),
            first_byte_timeout: upstream.first_byte_timeout,
            idle_timeout: upstream.model.idle_limit(),
            goes_on: upstream.abilities.prefill,
        };
        let keys = KeyRing::new(&settings.keys);
        let queue = Queue::new(Arc::clone(gateway.lanes()), settings.queue_length, settings.queue_wait);
        let ways: Vec<Way> = resolved.upstreams.iter().map(way).collect();
        let known = |route: &crate::Route| KnownName {
            name: Arc::clone(&route.name),
            is_listed: route.members.iter().any(|member| resolved.upstreams[*member].weight > 0),
        };
        let wait = settings.queue_wait;
        let longest = |route: &crate::Route| route.members.iter().map(|member| ways[*member].timeout).max();
        let patience = resolved.routes.iter().map(|it| wait.saturating_add(longest(it).unwrap_or(PATIENCE))).collect();
        let metrics = Arc::<Metrics>::default();
        Self {
            audience: counting(&metrics, &ways, &settings, None),
            metrics,
            log: None,
            gateway,
            ways,
            settings,
            keys,
            since,
            ids: Arc::new(Ids::new(since.0)),
            queue,
            hedges: resolved.routes.iter().map(|route| Budget::new(route.hedge)).collect(),
            names: resolved.routes.iter().map(known).collect(),
            patience,
        }
    }

    /// Counts its requests in `metrics`, which may have counted those of another configuration before, and writes a line
    /// for each of them to `log`.
    #[must_use]
    pub fn seen_by(self, metrics: Arc<Metrics>, log: Option<Arc<AccessLog>>) -> Self {
        let audience = counting(&metrics, &self.ways, &self.settings, log.clone());
        Self { audience, metrics, log, ..self }
    }

    /// Returns what its requests are counted in, and the log of them.
    #[must_use]
    pub fn seen(&self) -> (Arc<Metrics>, Option<Arc<AccessLog>>) {
        (Arc::clone(&self.metrics), self.log.clone())
    }

    /// Goes on where `before` was: since the same time, and with numbers of requests that were not given yet.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self { since: before.since, ids: Arc::clone(&before.ids), ..self }
    }

    /// Returns whether clients must show a key.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Gets a place for a request, or waits for one in line.
    ///
    /// # Errors
    /// Why there is none, and when to ask again.
    pub(super) async fn place(&self, ask: &Ask) -> Result<Place, Problem> {
        if self.gateway.lanes().route(&ask.model).is_none() {
            let failure = self.gateway.lanes().unknown(&ask.model);
            return Err(Problem::new(StatusCode::NOT_FOUND, "model_not_found", failure.message));
        }
        let place = self.queue.enter(&asking(ask)).await;
        place.map_err(|refused| Problem::of_line(&refused))
    }

    /// Gets a place at an upstream that was not tried yet, or waits for one in line, where `since` and `waited` are when the
    /// request first came there and how long it has stood there.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn place_again(
        &self,
        ask: &Ask,
        tried: &[usize],
        (since, waited): (Instant, Duration),
    ) -> Result<Place, Why> {
        let place = self.queue.enter(&Asking { tried, since, waited, ..asking(ask) }).await;
        place.map_err(|refused| refused.why)
    }

    /// Returns after how long it is likely to help to ask again; nothing where that is not known.
    pub(super) fn likely(&self, ask: &Ask) -> Option<Duration> {
        self.queue.likely(&asking(ask))
    }

    /// Gets a place at an upstream that was not tried yet, if one is free now.
    pub(super) fn another(&self, ask: &Ask, tried: &[usize]) -> Picked {
        self.gateway.lanes().pick(&ask.model, tried, ask.need())
    }

    /// Returns how long a request for `model` may take: the one that may be asked for longest has its time, also behind the
    /// longest wait in line.
    pub(super) fn patience(&self, model: &str) -> Duration {
        let route = self.gateway.lanes().route(model);
        route.and_then(|route| self.patience.get(route)).copied().unwrap_or(PATIENCE)
    }

    /// Returns when it may help to ask again after an answer of `status`: when the upstream said, else when it will be asked
    /// again, where it is trouble that passes.
    pub(super) fn retry_after(&self, upstream: usize, status: StatusCode, said: Option<Duration>) -> Option<Duration> {
        let passes = matches!(status.as_u16(), 429 | 502 | 503 | 504);
        let rest = || self.gateway.lanes().standing().get(upstream).and_then(|it| it.rest).unwrap_or_default();
        said.or_else(|| passes.then(|| rest().max(A_MOMENT)))
    }

    /// Returns how long the first upstream is waited for, where a second may be asked besides.
    pub(super) fn hedge(&self, ask: &Ask) -> Option<Hedge> {
        self.hedges.get(self.gateway.lanes().route(&ask.model)?)?.of(ask)
    }

    /// Returns whether one more request may be asked twice, and counts it.
    pub(super) fn may_ask_twice(&self, ask: &Ask, hedge: Hedge) -> bool {
        let route = self.gateway.lanes().route(&ask.model);
        route.and_then(|route| self.hedges.get(route)).is_some_and(|budget| budget.take(hedge))
    }

    /// A request that was counted was not asked twice after all.
    pub(super) fn did_not_ask_twice(&self, ask: &Ask) {
        let route = self.gateway.lanes().route(&ask.model);
        if let Some(budget) = route.and_then(|route| self.hedges.get(route)) {
            budget.give_back();
        }
    }

    /// Gets a place at an upstream that did not break off yet and can go on with an answer, if one is free now; and says
    /// which others are not to be asked.
    pub(super) fn place_to_go_on(&self, ask: &Ask, broken: &[usize]) -> Option<(Place, Vec<usize>)> {
        let mut tried = broken.to_vec();
        tried.extend((0..self.ways.len()).filter(|upstream| !self.ways[*upstream].goes_on));
        match self.another(ask, &tried) {
            Picked::Place(place) => Some((place, tried)),
            _ => None,
        }
    }

    /// Returns the names under which models are asked for.
    pub(super) fn listed(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter(|known| known.is_listed).map(|known| &*known.name)
    }
}

/// Returns how a request stands in line when it comes there first.
fn asking(ask: &Ask) -> Asking<'_> {
    // Those without a key are one client among the others.
    let key = ask.client.key.map_or(0, |key| key as u64 + 1);
    Asking::first(&ask.model, ask.class, key, ask.need(), ask.deadline)
}

/// Makes what counts the requests of these upstreams and clients, and writes them down.
fn counting(
    metrics: &Arc<Metrics>,
    ways: &[Way],
    settings: &FaceConfig,
    log: Option<Arc<AccessLog>>,
) -> Arc<dyn Audience> {
    let names = ways.iter().map(|way| &way.name);
    let clients = settings.keys.iter().map(|key| &key.name);
    Arc::new(metrics.counting(names, clients, log))
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// The configuration that new requests get.
#[derive(Debug)]
pub struct Live(RwLock<Arc<Serving>>);

impl Live {
    /// Begins with a configuration.
    #[must_use]
    pub fn new(serving: Arc<Serving>) -> Self {
        Self(RwLock::new(serving))
    }

    /// Returns the configuration of now.
    #[must_use]
    pub fn now(&self) -> Arc<Serving> {
        // It is one pointer: no panic can leave half of it.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another configuration in its place, whole.
    pub fn swap(&self, serving: Arc<Serving>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = serving;
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use domain::Clock;
    use provider::transport::Transport;
    use serde_json::json;

    use super::*;
    use crate::{ModelsFile, resolve, resolve_face};

    struct Epoch;

    impl Clock for Epoch {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
    }

    #[test]
    fn who_may_take_longest_has_its_time_also_behind_the_longest_wait() {
        let file: ModelsFile = serde_json::from_value(json!({
            "channels": { "quick": { "url": "http://a", "timeout": "5s" }, "slow": { "url": "http://b", "timeout": "2h" },
                          "plain": { "url": "http://c" } },
            "models": [{ "name": "q", "channel": "quick" }, { "name": "s", "channel": "slow" }, { "name": "p", "channel": "plain" }],
            "routes": { "both": ["q", "s"] },
            "gateway": { "queue": { "wait": "1m" } },
        }))
        .unwrap();
        let no_file = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
        let resolved = resolve(&file, &|_| None, &no_file).unwrap();
        let settings = resolve_face(&file, &|_| None, &no_file).unwrap();
        let gateway = Arc::new(Gateway::new(&resolved, Arc::new(Transport::default()), Arc::new(Epoch)));
        let serving = Serving::new(&resolved, gateway, settings, Timestamp(0));
        for (name, minutes) in [("s", 121), ("both", 121), ("auto", 121), ("p", 11)] {
            assert_eq!(serving.patience(name), Duration::from_mins(minutes), "{name}");
        }
        assert_eq!(serving.patience("q"), Duration::from_secs(65));
        assert_eq!(serving.ways.iter().map(|way| way.timeout.as_secs()).collect::<Vec<_>>(), [5, 7_200, 600]);
    }
}
