//! What differs between two runs: the pipeline, the counts, the cost, and record by record what came out.

mod records;
mod show;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use store::{Manifest, RunFolder};

use super::facts::{Counts, Money, Report, Tokens};
pub(crate) use show::shown;

/// The version of the difference's shape.
const FORMAT: u32 = 1;

/// What differs between two runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Difference {
    /// The version of this shape.
    pub(crate) format: u32,
    /// The one.
    pub(crate) a: Side,
    /// The other.
    pub(crate) b: Side,
    /// Parts of the pipeline that decide answers and differ, by name.
    pub(crate) pipeline_parts: Vec<Part>,
    /// The difference of the two pipeline files, as `diff -u` shows it; empty where there is none.
    pub(crate) pipeline_file: String,
    /// Record by record.
    pub(crate) records: Records,
}

/// One of two runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Side {
    /// Its id.
    pub(crate) run: String,
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// Whether it is running, interrupted or done.
    pub(crate) state: store::RunState,
    /// When it was begun (UTC).
    pub(crate) begun: String,
    /// How its records ended.
    pub(crate) counts: Counts,
    /// Attempts that counted.
    pub(crate) attempts: u64,
    /// Tokens billed for all answers.
    pub(crate) tokens: Tokens,
    /// What they cost.
    pub(crate) cost: Vec<Money>,
    /// The cost for a thousand records that succeeded.
    pub(crate) cost_per_1000_succeeded: Vec<Money>,
    /// Half of the answers came within so many milliseconds.
    pub(crate) latency_p50_ms: f64,
    /// Nine of ten did.
    pub(crate) latency_p90_ms: f64,
    /// Milliseconds in which a process worked on it.
    pub(crate) working_ms: u64,
}

/// A part of the pipeline that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Part {
    /// Its name: the keys that lead to it.
    pub(crate) part: String,
    /// How it differs.
    pub(crate) change: Change,
}

/// How a part or a field differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// Both have it, with other contents.
    Changed,
    /// Only the first run has it.
    OnlyA,
    /// Only the second run has it.
    OnlyB,
}

/// What differs record by record: records of both runs with the same step, part, position and sample.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Records {
    /// Settled in both.
    pub(crate) common: u64,
    /// Settled in the first run only.
    pub(crate) only_a: u64,
    /// Settled in the second run only.
    pub(crate) only_b: u64,
    /// Of the common ones, those whose content is another one: the sources differ there, and nothing else is compared.
    pub(crate) other_content: u64,
    /// Of the common ones, those of which an outcome cannot be read.
    pub(crate) unreadable: u64,
    /// Of the common ones, those that succeeded in both: their answers are compared.
    pub(crate) compared: u64,
    /// Of those, how many have the same answer.
    pub(crate) equal: u64,
    /// Of those, how many have another one.
    pub(crate) different: u64,
    /// In how many answers each field differs.
    pub(crate) fields: Vec<Field>,
    /// How the common records ended in the one run and in the other, where that differs.
    pub(crate) ends: Vec<EndChange>,
    /// Some answers that differ.
    pub(crate) examples: Vec<Example>,
    /// Some records that ended in another way.
    pub(crate) end_examples: Vec<Example>,
}

/// A field of the answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) field: String,
    /// Answers in which it has another value.
    pub(crate) changed: u64,
    /// Answers in which only the first run has it.
    pub(crate) only_a: u64,
    /// Answers in which only the second run has it.
    pub(crate) only_b: u64,
}

/// So many records ended in another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EndChange {
    /// How in the first run.
    pub(crate) a: &'static str,
    /// How in the second run.
    pub(crate) b: &'static str,
    /// How many.
    pub(crate) count: u64,
}

/// A record that came out differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Example {
    /// Its step.
    pub(crate) step: String,
    /// Its line in the source.
    pub(crate) line: u64,
    /// Which sample of it, from 0.
    pub(crate) sample: u32,
    /// The field that differs; absent where the records ended in different ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// What the first run has; absent where it has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) a: Option<String>,
    /// What the second run has; absent where it has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) b: Option<String>,
}

/// Compares two runs as they stand now. Nothing is changed on disk, and whoever works on them is not disturbed.
///
/// # Errors
/// Where a manifest or a journal cannot be read.
pub(crate) fn between(a: &RunFolder, b: &RunFolder) -> anyhow::Result<Difference> {
    let (manifest_a, manifest_b) = (Manifest::read(a.path())?, Manifest::read(b.path())?);
    let (report_a, report_b) = (super::of(a)?, super::of(b)?);
    let names: Vec<String> = report_a.steps.iter().map(|step| step.name.clone()).collect();
    Ok(Difference {
        format: FORMAT,
        pipeline_parts: parts(&manifest_a.identity_parts, &manifest_b.identity_parts),
        pipeline_file: text::unified(&manifest_a.frozen, &manifest_b.frozen),
        records: records::compare(a, b, &names)?,
        a: side(report_a),
        b: side(report_b),
    })
}

fn side(report: Report) -> Side {
    Side {
        run: report.run.id,
        pipeline: report.run.pipeline,
        state: report.run.state,
        begun: report.time.begun,
        counts: report.totals,
        attempts: report.attempts.total,
        tokens: report.bill.tokens,
        cost: report.bill.cost,
        cost_per_1000_succeeded: report.bill.cost_per_1000_succeeded,
        latency_p50_ms: report.latency.spread.p50,
        latency_p90_ms: report.latency.spread.p90,
        working_ms: report.time.working_ms,
    }
}

fn parts(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (part, hash) in a {
        let change = match b.get(part) {
            Some(other) if other == hash => continue,
            Some(_) => Change::Changed,
            None => Change::OnlyA,
        };
        parts.push(Part { part: part.clone(), change });
    }
    let only_b = b.keys().filter(|part| !a.contains_key(*part));
    parts.extend(only_b.map(|part| Part { part: part.clone(), change: Change::OnlyB }));
    parts
}
