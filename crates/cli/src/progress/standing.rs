//! Where a run stands, as a document.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a run stands: a line of `--progress json`, and what a run's control socket answers.
///
/// Names stay as they are; later versions add some. Numbers are numbers, times are in UTC as in RFC 3339, and what is not
/// known is `null`. Counts are those of the step that runs, in the whole run, unless the process that does it now is
/// named. On standard error there is one object a line every second, one when a step is over, and one for each message,
/// which has `"type": "message"` or `"type": "error"` and the words as `text`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Standing {
    /// Always `progress`.
    pub(crate) r#type: Tag,
    /// When this was so.
    pub(crate) time: String,
    /// The run's id.
    pub(crate) run: String,
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// The step's name.
    pub(crate) step: String,
    /// What the run does.
    pub(crate) phase: Phase,
    /// How long this process has worked on the step.
    pub(crate) elapsed_seconds: f64,
    /// Records in the source, times the samples of each, as soon as they are counted.
    pub(crate) total: Option<u64>,
    /// Whether the source was read to its end, so that `total` is what was read and not what was counted before.
    pub(crate) is_total_exact: bool,
    /// Records whose end is durable.
    pub(crate) settled: u64,
    /// Those of them that this process settled.
    pub(crate) settled_by_this_process: u64,
    /// `settled` of `total`, in percent.
    pub(crate) percent: Option<f64>,
    /// Records settled in a second, over the last ten seconds.
    pub(crate) rate_per_second: f64,
    /// The same, since this process began with the step.
    pub(crate) rate_overall_per_second: f64,
    /// When the step will have settled everything if it goes on like in the last minute.
    pub(crate) eta_seconds: Option<f64>,
    /// Requests under way.
    pub(crate) in_flight: u64,
    /// Failed attempts that were followed by another one, by this process.
    pub(crate) retried: u64,
    /// The same, by the kind of the failure.
    pub(crate) retried_by_kind: BTreeMap<String, u64>,
    /// Those of them that have a reason within their kind, by that reason.
    pub(crate) retried_by_reason: BTreeMap<String, u64>,
    /// Requests of earlier processes whose answers were lost in a crash, and which were asked again.
    pub(crate) asked_again_after_crash: u64,
    /// Records that succeeded.
    pub(crate) succeeded: u64,
    /// Records that failed for good.
    pub(crate) failed: u64,
    /// The same, by kind.
    pub(crate) failed_by_kind: BTreeMap<String, u64>,
    /// Records that there was nothing to do with, or nothing could be done with.
    pub(crate) skipped: u64,
    /// The same, by reason.
    pub(crate) skipped_by_reason: BTreeMap<String, u64>,
    /// Records that were called off.
    pub(crate) cancelled: u64,
    /// Records that the work came back without.
    pub(crate) missing: u64,
    /// Tokens that the run was billed for, all steps and processes together.
    pub(crate) tokens: Tokens,
    /// What they cost, by currency, in its units.
    pub(crate) cost: BTreeMap<String, f64>,
    /// Tokens of models without a price, which are not in `cost`.
    pub(crate) unpriced_tokens: u64,
    /// How long the last answers took (at most 1,024 of them).
    pub(crate) latency: Option<LatencyMs>,
    /// Why nothing can be started now.
    pub(crate) waiting_for: Option<WaitingFor>,
    /// How the last failed attempt failed.
    pub(crate) last_failure: Option<LastFailure>,
}

/// Tells lines of progress from other lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tag {
    /// A line of progress.
    #[default]
    Progress,
}

/// What a run does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It asks.
    #[default]
    Working,
    /// Nothing can be started: `waiting_for` tells why.
    Waiting,
    /// The user paused it.
    Paused,
    /// The user called it off: it waits for what is in flight.
    Cancelling,
    /// It stops: it waits for what is in flight.
    Draining,
    /// Every record is settled, and the outputs are being written.
    Finishing,
    /// The step is over, whatever it came to.
    Over,
}

/// Tokens, as the upstreams counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Tokens {
    /// Of requests.
    pub(crate) prompt: u64,
    /// Of answers, reasoning included.
    pub(crate) completion: u64,
    /// Those of `prompt` that the upstream had in its cache.
    pub(crate) cached: u64,
    /// Those of `completion` that were spent on reasoning.
    pub(crate) reasoning: u64,
}

/// How long answers took, from send to the whole answer, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct LatencyMs {
    /// Half of them took no longer.
    pub(crate) p50_ms: u64,
    /// Nine in ten took no longer.
    pub(crate) p90_ms: u64,
    /// Ninety-nine in a hundred took no longer.
    pub(crate) p99_ms: u64,
}

/// Why nothing can be started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct WaitingFor {
    /// One of `rate`, `throttled`, `pause`, `outage`, `backoff`, `parked`, `paused`.
    pub(crate) reason: String,
    /// More of it, in words.
    pub(crate) detail: Option<String>,
    /// Until when, where that is known.
    pub(crate) until: Option<String>,
    /// How long that is.
    pub(crate) seconds_left: Option<f64>,
}

/// How an attempt failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct LastFailure {
    /// Its kind.
    pub(crate) kind: String,
    /// What it said.
    pub(crate) message: String,
}
