//! The report as data: what `--format json` prints, and what the other formats are made from.
//!
//! Names are stable: later versions may add to them, and change [`Report::format`] where they take one away.

use serde::{Serialize, Serializer};
use store::RunState;

/// The report of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The version of this shape.
    pub(crate) format: u32,
    /// Which run.
    pub(crate) run: Run,
    /// When it was worked on.
    pub(crate) time: Time,
    /// How the records of all steps ended, by the last outcome of each.
    pub(crate) totals: Counts,
    /// How the records of each step ended, by the last outcome of each.
    pub(crate) steps: Vec<Step>,
    /// Records whose last outcome is a failure, with examples.
    pub(crate) failures: Vec<Failures>,
    /// Records that were skipped, with examples.
    pub(crate) skips: Vec<Skips>,
    /// Attempts over all processes.
    pub(crate) attempts: Attempts,
    /// What was billed for all answers, those of failed attempts and of records that were asked again included.
    pub(crate) bill: Bill,
    /// What asking once for identical requests has saved; absent where no record took another one's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dedupe: Option<Dedupe>,
    /// From send to the whole answer, in milliseconds, of all answers.
    pub(crate) latency: Distribution,
    /// The length of all answers in tokens, where the upstream told it.
    pub(crate) answer_tokens: Distribution,
    /// The length of all answers in characters.
    pub(crate) answer_characters: Distribution,
    /// Why the model stopped, of all answers.
    pub(crate) finish_reasons: Vec<Named>,
    /// Records settled over the time from the first entry to the last.
    pub(crate) rate: Rate,
    /// The files that are in place.
    pub(crate) outputs: Vec<Output>,
    /// Bytes of the journal that cannot be read; what they held is not in this report.
    pub(crate) damage: Vec<Damaged>,
    /// The pipeline file as it was when the run began.
    pub(crate) pipeline_file: String,
}

impl Report {
    /// Returns whether all that the journal tells can be read and adds up.
    pub(crate) fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.steps.iter().all(|step| step.counts.is_sound())
    }
}

/// Which run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    /// Its id.
    pub(crate) id: String,
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// The pipeline file.
    pub(crate) file: String,
    /// The models file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) models_file: Option<String>,
    /// Whether it is running, interrupted or done: computed, never noted down.
    pub(crate) state: RunState,
    /// The version of Tidemill that began it.
    pub(crate) version: String,
    /// Only so many records of each source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u64>,
    /// Models whose answers were made up by the built-in scripted vendor; empty in an honest run.
    pub(crate) simulated_models: Vec<String>,
}

/// When a run was worked on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Time {
    /// When it was begun (UTC).
    pub(crate) begun: String,
    /// The last entry of its journal (UTC): the end, or how far this report knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<String>,
    /// Milliseconds from the first entry to the last.
    pub(crate) wall_ms: u64,
    /// Milliseconds in which a process worked on it.
    pub(crate) working_ms: u64,
    /// Processes that worked on it.
    pub(crate) processes: u64,
    /// Of those, how many ended without a word: killed, or lost with their machine.
    pub(crate) killed: u64,
    /// Requests that were asked again because their answers were lost with a process.
    pub(crate) asked_again_after_crash: u64,
    /// The processes one by one, the first hundred.
    pub(crate) by_process: Vec<Process>,
}

/// A process that worked on the run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Process {
    /// When it began (UTC).
    pub(crate) begun: String,
    /// Its last entry (UTC).
    pub(crate) last: String,
    /// From the one to the other, in milliseconds.
    pub(crate) ms: u64,
    /// How it ended.
    pub(crate) end: ProcessEnd,
    /// What it said when it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) said: Option<String>,
    /// Records that it settled.
    pub(crate) settled: u64,
    /// Its version of Tidemill.
    pub(crate) version: String,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProcessEnd {
    /// It is at work.
    Running,
    /// It came to the end of the steps.
    Finished,
    /// It stopped in good order.
    Stopped,
    /// It ended without a word.
    Killed,
}

/// How records ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Records in the source, times the samples of each; absent while the outputs are not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) records: Option<u64>,
    /// Records with an end, of whatever kind.
    pub(crate) settled: u64,
    /// Their answer passed.
    pub(crate) succeeded: u64,
    /// Given up.
    pub(crate) failed: u64,
    /// Not worked on.
    pub(crate) skipped: u64,
    /// Called off by the user.
    pub(crate) cancelled: u64,
    /// The work came back without them.
    pub(crate) missing: u64,
    /// Records without an end; absent while it is not known how many records there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unsettled: Option<u64>,
    /// Candidates beyond those that were wanted, where records are asked for until so many answers are accepted.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) surplus: u64,
    /// Of the settled ones, those whose outcome cannot be read: they are in none of the counts above but `settled`.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) damaged: u64,
    /// Records that have fewer accepted answers than were asked for; absent where that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) short: Option<u64>,
    /// Of the settled ones, those that took the answer to another record's identical request.
    pub(crate) duplicates: u64,
    /// Of the settled ones, those whose answer was judged again by later rules.
    pub(crate) reparsed: u64,
    /// Of the settled ones, those whose answer was taken back from the live output, the journal's copy being damaged.
    pub(crate) restored: u64,
    /// The journal's entries and its index do not tell the same number of ends, though no damage was found: a defect.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) disagrees: bool,
    /// Whether the ends add up to the records: only if every record has one. Absent while it is not known how many records
    /// there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) adds_up: Option<bool>,
}

impl Counts {
    /// Returns whether nothing is wrong with the counts. Records without an end are no fault.
    pub(crate) fn is_sound(&self) -> bool {
        let is_open = self.unsettled.is_some_and(|n| n > 0);
        !self.disagrees && self.damaged == 0 && (is_open || self.adds_up != Some(false))
    }
}

/// How the records of a step ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    /// Its name.
    pub(crate) name: String,
    /// The counts.
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// Those that failed, by kind and reason.
    pub(crate) failed_by: Vec<Failed>,
    /// Those that were skipped, by reason.
    pub(crate) skipped_by: Vec<Skipped>,
}

/// So many failures of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failed {
    /// The kind.
    pub(crate) kind: domain::FailureKind,
    /// Why the answer is not what was asked for, where it is an answer that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<domain::Reason>,
    /// How many.
    pub(crate) count: u64,
}

/// So many skipped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Skipped {
    /// The reason.
    pub(crate) reason: domain::SkipReason,
    /// How many.
    pub(crate) count: u64,
}

/// Records that failed in one way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failures {
    /// Which way, and how many.
    #[serde(flatten)]
    pub(crate) failed: Failed,
    /// Some of them.
    pub(crate) examples: Vec<Example>,
}

/// Records that were skipped for one reason.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Skips {
    /// Which reason, and how many.
    #[serde(flatten)]
    pub(crate) skipped: Skipped,
    /// Some of them.
    pub(crate) examples: Vec<Example>,
}

/// A record that did not succeed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Example {
    /// Its step.
    pub(crate) step: String,
    /// The file of the source, where that has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<String>,
    /// Its line in the source, from 1.
    pub(crate) line: u64,
    /// Which sample of it, from 0.
    #[serde(skip_serializing_if = "is_no_sample")]
    pub(crate) sample: u32,
    /// Attempts made.
    pub(crate) attempts: u32,
    /// Who answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<String>,
    /// What happened.
    pub(crate) message: String,
    /// The beginning of what the model said, or of what came instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<String>,
}

/// Attempts over all processes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Attempts {
    /// All that counted: pauses of a lane are none.
    pub(crate) total: u64,
    /// Failed ones that were followed by another one.
    pub(crate) retried: u64,
    /// Those by kind and reason.
    pub(crate) retried_by: Vec<Failed>,
}

/// What was billed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bill {
    /// All tokens.
    pub(crate) tokens: Tokens,
    /// What they cost, an amount for each currency.
    pub(crate) cost: Vec<Money>,
    /// Tokens of upstreams without a price in the models file.
    pub(crate) unpriced_tokens: u64,
    /// The cost for a thousand records that succeeded.
    pub(crate) cost_per_1000_succeeded: Vec<Money>,
    /// Tokens for each second in which a process worked, request and answer together.
    #[serde(serialize_with = "number")]
    pub(crate) tokens_per_second: f64,
    /// The upstreams one by one.
    pub(crate) by_upstream: Vec<Upstream>,
}

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tokens {
    /// Of requests, those from a cache included.
    pub(crate) prompt: u64,
    /// Of requests, those that the upstream had in its cache.
    pub(crate) cached: u64,
    /// Of answers, reasoning included.
    pub(crate) completion: u64,
    /// Of answers, those spent on reasoning.
    pub(crate) reasoning: u64,
}

/// What one upstream did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Upstream {
    /// Its name in the models file; empty where an answer does not tell it.
    pub(crate) name: String,
    /// Whether its answers were made up by the built-in scripted vendor.
    pub(crate) simulated: bool,
    /// Its answers.
    pub(crate) answers: u64,
    /// Answers for which it told the tokens.
    pub(crate) billed: u64,
    /// Those tokens.
    pub(crate) tokens: Tokens,
    /// What they cost; absent where the models file has no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<Money>,
    /// The models that answered, as the upstream names them.
    pub(crate) models: Vec<Named>,
    /// From send to the whole answer, in milliseconds.
    pub(crate) latency: Spread,
    /// Tokens of an answer for each second of that.
    pub(crate) tokens_per_second: Spread,
}

/// What asking once for identical requests has saved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Dedupe {
    /// Outcomes that took another record's answer: so many requests were not sent.
    pub(crate) not_asked: u64,
    /// The tokens that were not billed: as many as the answer that was taken.
    pub(crate) tokens: Tokens,
    /// What they would have cost.
    pub(crate) cost: Vec<Money>,
}

/// An amount of money, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Money {
    /// The currency.
    pub(crate) currency: String,
    /// The amount, in millionths of a millionth; a decimal number in JSON.
    #[serde(rename = "amount", serialize_with = "decimal")]
    pub(crate) picos: u128,
}

/// A distribution, and what a plot of it needs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Distribution {
    /// In numbers.
    #[serde(flatten)]
    pub(crate) spread: Spread,
    /// Whether the bars become wider with what they hold.
    pub(crate) logarithmic: bool,
    /// In bars, side by side.
    pub(crate) bins: Vec<Bin>,
}

/// A distribution in numbers. Percentiles are off by 0.8 % at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// How many were counted.
    pub(crate) count: u64,
    /// The smallest.
    #[serde(serialize_with = "number")]
    pub(crate) min: f64,
    /// The mean.
    #[serde(serialize_with = "number")]
    pub(crate) mean: f64,
    /// Half of them are no greater.
    #[serde(serialize_with = "number")]
    pub(crate) p50: f64,
    /// Nine of ten are no greater.
    #[serde(serialize_with = "number")]
    pub(crate) p90: f64,
    /// 99 of a hundred are no greater.
    #[serde(serialize_with = "number")]
    pub(crate) p99: f64,
    /// The greatest.
    #[serde(serialize_with = "number")]
    pub(crate) max: f64,
}

/// So many from `from` up to, but without, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Bin {
    /// The smallest that counts.
    pub(crate) from: u64,
    /// The smallest that does not.
    pub(crate) to: u64,
    /// How many.
    pub(crate) count: u64,
}

/// A name, and how often it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Named {
    /// The name; `…` for all beyond the first 64.
    pub(crate) name: String,
    /// How often.
    pub(crate) count: u64,
}

/// Records settled over time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rate {
    /// Records for each second in which a process worked.
    #[serde(serialize_with = "number")]
    pub(crate) per_second: f64,
    /// The width of a bucket in milliseconds.
    pub(crate) bucket_ms: u64,
    /// From the first entry on, at most 60.
    pub(crate) buckets: Vec<RateBucket>,
    /// Where in that time processes began, in milliseconds from the first entry.
    pub(crate) processes_began_ms: Vec<u64>,
}

/// What was settled in a bucket of time: every outcome when it came, whether or not it was the record's last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RateBucket {
    /// Records that succeeded.
    pub(crate) succeeded: u64,
    /// Records that failed, were called off or missing.
    pub(crate) failed: u64,
    /// Records that were skipped.
    pub(crate) skipped: u64,
}

/// A file that is in place.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Output {
    /// The step that wrote it.
    pub(crate) step: String,
    /// Its path as the pipeline names it.
    pub(crate) path: String,
    /// Records in it.
    pub(crate) records: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// The SHA-256 of its content.
    pub(crate) sha256: String,
}

/// Bytes of the journal that cannot be read.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Damaged {
    /// The file of the journal.
    pub(crate) file: String,
    /// Where in it.
    pub(crate) offset: u64,
    /// How many bytes.
    pub(crate) bytes: u64,
}

/// Writes whole numbers without a point.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(super) fn number<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // Three digits behind the point are more than is known.
    let rounded = (number * 1000.0).round() / 1000.0;
    if rounded.fract() == 0.0 && (0.0..1e15).contains(&rounded) {
        return serializer.serialize_u64(rounded as u64);
    }
    serializer.serialize_f64(rounded)
}

fn decimal<S: Serializer>(picos: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    let digits = format!("{:012}", picos % domain::price::PICOS);
    let text = format!("{}.{digits}", picos / domain::price::PICOS);
    serializer.serialize_str(text.trim_end_matches('0').trim_end_matches('.'))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_no_sample(n: &u32) -> bool {
    *n == 0
}
