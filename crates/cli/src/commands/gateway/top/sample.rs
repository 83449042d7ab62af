//! What a gateway has counted, and what comes of two looks at it.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// One look.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    at: Instant,
    /// When the gateway began to count, in seconds since 1970.
    pub(super) since: f64,
    models: Vec<Model>,
    counts: BTreeMap<String, Counts>,
    /// Of the whole gateway.
    overhead: Buckets,
    n_in_flight: u64,
    n_waiting: u64,
    n_refused: u64,
}

/// What `/admin/models` tells of an upstream.
#[derive(Clone, Debug, Deserialize)]
struct Model {
    id: String,
    available: bool,
    state: String,
    rest_seconds: Option<f64>,
    trouble: Option<String>,
    in_flight: u64,
    width: u64,
}

/// What `/metrics` tells of an upstream.
#[derive(Clone, Debug, Default)]
struct Counts {
    n_requests: u64,
    n_attempts: u64,
    n_failed: u64,
    n_tokens: u64,
    took: Buckets,
}

/// Counts by upper bound, each with those before it.
type Buckets = Vec<(f64, u64)>;

impl Sample {
    /// Reads both pages; nothing where they are not those of a gateway.
    pub(super) fn read(models: &[u8], metrics: &str, at: Instant) -> Option<Self> {
        #[derive(Deserialize)]
        struct Models {
            models: Vec<Model>,
        }
        let Models { models } = serde_json::from_slice(models).ok()?;
        let mut sample = Self {
            at,
            since: 0.0,
            models,
            counts: BTreeMap::new(),
            overhead: Vec::new(),
            n_in_flight: 0,
            n_waiting: 0,
            n_refused: 0,
        };
        let mut is_ours = false;
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            is_ours |= name == "tidemill_build_info";
            sample.add(name, &labels_of(labels.trim_end_matches('}')), value.parse().ok()?);
        }
        is_ours.then_some(sample)
    }

    fn add(&mut self, name: &str, labels: &BTreeMap<String, String>, value: f64) {
        let label = |name: &str| labels.get(name).map_or("", String::as_str);
        let bound = || label("le").parse().unwrap_or(f64::INFINITY);
        let n = value as u64;
        match name {
            "tidemill_start_time_seconds" => self.since = value,
            "tidemill_requests_in_flight" => self.n_in_flight = n,
            "tidemill_line_length" => self.n_waiting = n,
            "tidemill_line_refusals_total" => self.n_refused = n,
            "tidemill_overhead_seconds_bucket" => self.overhead.push((bound(), n)),
            _ => {}
        }
        let upstream = label("upstream");
        if upstream.is_empty() {
            return;
        }
        let counts = self.counts.entry(upstream.to_owned()).or_default();
        match name {
            "tidemill_requests_total" => counts.n_requests += n,
            "tidemill_attempts_total" => {
                counts.n_attempts += n;
                // A client that hung up, and a request that was wrong, are no fault of the upstream's.
                if !["answered", "abandoned", "rejected"].contains(&label("result")) {
                    counts.n_failed += n;
                }
            }
            "tidemill_tokens_total" if ["prompt", "completion"].contains(&label("kind")) => counts.n_tokens += n,
            "tidemill_request_seconds_bucket" => counts.took.push((bound(), n)),
            _ => {}
        }
    }

    /// Returns how it stood when the gateway began: nothing was counted.
    pub(super) fn begun(&self) -> Self {
        Self { counts: BTreeMap::new(), overhead: Vec::new(), n_refused: 0, ..self.clone() }
    }
}

/// Reads `a="x",b="y"`.
fn labels_of(mut text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let (mut value, mut chars) = (String::new(), rest.char_indices());
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c)) => value.push(c),
                    None => {}
                },
                c => value.push(c),
            }
        }
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        text = &rest[end..];
    }
    labels
}

/// How a gateway does, between two looks.
#[derive(Debug, Serialize)]
pub(super) struct Rates {
    pub(super) upstreams: Vec<UpstreamRates>,
    /// Requests that have begun and not ended.
    pub(super) in_flight: u64,
    /// Requests that wait for a place.
    pub(super) waiting: u64,
    pub(super) refused_per_second: f64,
    pub(super) overhead_p50_seconds: Option<f64>,
    pub(super) overhead_p99_seconds: Option<f64>,
    /// Over which time rates and percentiles are taken.
    pub(super) seconds: f64,
}

/// How an upstream does.
#[derive(Debug, Serialize)]
pub(super) struct UpstreamRates {
    pub(super) name: String,
    pub(super) available: bool,
    pub(super) state: String,
    pub(super) rest_seconds: Option<f64>,
    pub(super) trouble: Option<String>,
    pub(super) in_flight: u64,
    pub(super) width: u64,
    pub(super) requests_per_second: f64,
    pub(super) errors_per_second: f64,
    /// Of those that ended between the looks; nothing where none did.
    pub(super) p50_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
    pub(super) tokens_per_second: f64,
}

impl Rates {
    /// Tells what happened between two looks at the same process.
    pub(super) fn between(first: &Sample, last: &Sample) -> Self {
        let seconds = last.at.saturating_duration_since(first.at).max(Duration::from_millis(1)).as_secs_f64();
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        let none = Counts::default();
        let upstream = |model: &Model| {
            let before = first.counts.get(&model.id).unwrap_or(&none);
            let after = last.counts.get(&model.id).unwrap_or(&none);
            let took = difference(&before.took, &after.took);
            UpstreamRates {
                name: model.id.clone(),
                available: model.available,
                state: model.state.clone(),
                rest_seconds: model.rest_seconds,
                trouble: model.trouble.clone(),
                in_flight: model.in_flight,
                width: model.width,
                requests_per_second: rate(before.n_requests, after.n_requests),
                errors_per_second: rate(before.n_failed, after.n_failed),
                p50_seconds: percentile(&took, 0.5),
                p99_seconds: percentile(&took, 0.99),
                tokens_per_second: rate(before.n_tokens, after.n_tokens),
            }
        };
        let overhead = difference(&first.overhead, &last.overhead);
        Self {
            upstreams: last.models.iter().map(upstream).collect(),
            in_flight: last.n_in_flight,
            waiting: last.n_waiting,
            refused_per_second: rate(first.n_refused, last.n_refused),
            overhead_p50_seconds: percentile(&overhead, 0.5),
            overhead_p99_seconds: percentile(&overhead, 0.99),
            seconds,
        }
    }
}

fn difference(before: &Buckets, after: &Buckets) -> Buckets {
    let earlier = |at: usize| before.get(at).map_or(0, |(_, n)| *n);
    after.iter().enumerate().map(|(at, (bound, n))| (*bound, n.saturating_sub(earlier(at)))).collect()
}

/// Returns the time below which that part lies, as if all of a bucket were spread evenly.
fn percentile(buckets: &Buckets, part: f64) -> Option<f64> {
    let total = buckets.last().map_or(0, |(_, n)| *n);
    if total == 0 {
        return None;
    }
    let rank = part * total as f64;
    let (mut lower, mut n_before) = (0.0, 0);
    for (bound, n) in buckets {
        if *n as f64 >= rank {
            // Nobody knows how long the longest took.
            let upper = if bound.is_finite() { *bound } else { lower };
            let within = (rank - n_before as f64) / (n - n_before).max(1) as f64;
            return Some(lower + (upper - lower) * within);
        }
        (lower, n_before) = (*bound, *n);
    }
    Some(lower)
}

#[cfg(test)]
mod tests;
