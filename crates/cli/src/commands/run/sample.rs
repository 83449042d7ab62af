//! A random sample: a few records are worked on, and their answers shown. They are settled like any others, so a later
//! run of the whole does not pay for them again.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    End, Header, Outcome, Record, RecordKey, StepNumber,
    ports::{Found, Handler, Journal, Source, Starts},
    price::{Prices, amount},
};
use engine::Step;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{args::Run, progress::counted, talk};

/// The records of a sample.
pub(super) struct Sampled {
    step: StepNumber,
    source: Arc<dyn Source>,
    handler: Arc<dyn Handler>,
    only: Arc<BTreeSet<u64>>,
}

/// Records are read in batches of this size.
const BATCH: usize = 512;

impl Sampled {
    /// Chooses `n` records of a step's source, each with the same chance.
    pub(super) async fn choose(step: &Step, n: u64, args: &Run, now: u64) -> anyhow::Result<Self> {
        let total = match count(&step.source).await? {
            Some(total) => total,
            None => read_through(&*step.source).await?,
        };
        let total = total.min(args.limit.unwrap_or(u64::MAX));
        let seed = args.seed.unwrap_or(now);
        let only = Arc::new(draw(n, total, seed));
        talk::say(format!("a sample of {} of {} (--seed {seed})", only.len(), counted(total, "record")));
        Ok(Self { step: step.number, source: Arc::clone(&step.source), handler: Arc::clone(&step.handler), only })
    }

    /// The numbers of the chosen records, counted over the whole source.
    pub(super) fn only(&self) -> Arc<BTreeSet<u64>> {
        Arc::clone(&self.only)
    }

    /// Shows the answers: one JSON object a line, or prompt and answer side by side for people.
    pub(super) async fn show(&self, journal: &dyn Journal, prices: &Prices, preview: bool) -> anyhow::Result<()> {
        let mut outcomes = journal.outcomes(self.step)?;
        let mut records = self.source.open(&Starts::new())?;
        let mut number = 0;
        loop {
            let reads = records.next(BATCH).await?;
            if reads.is_empty() {
                return Ok(());
            }
            for read in reads {
                number += 1;
                if !self.only.contains(&(number - 1)) {
                    continue;
                }
                for sample in 0..self.handler.samples().max(1) {
                    let mut record = read.record.clone();
                    record.key = RecordKey { step: self.step, sample, ..record.key };
                    let Found::Outcome(entry) = outcomes.of(&record.key)? else { continue };
                    let Header::Outcome(outcome) = &entry.header else { continue };
                    if preview {
                        self.preview(&record, outcome, prices);
                    } else {
                        talk::data(serde_json::to_string(&line(&record, outcome))?);
                    }
                }
            }
        }
    }

    fn preview(&self, record: &Record, outcome: &Outcome, prices: &Prices) {
        let mut head = vec![self.source.place_of(record)];
        if self.handler.samples() > 1 {
            head.push(format!("sample {}", record.key.sample));
        }
        let meta = &outcome.meta;
        head.extend(meta.latency_ms.map(|ms| format!("{:.2} s", ms as f64 / 1000.0)));
        if let Some(usage) = meta.usage {
            head.push(format!("{} + {} tokens", usage.prompt_tokens, usage.completion_tokens));
            let price = meta.upstream.as_ref().and_then(|upstream| prices.0.get(upstream));
            head.extend(price.map(|price| format!("{} {}", amount(price.of(&usage)), price.currency)));
        }
        talk::table(format!("── {} ──", head.join(" · ")));
        if let Ok(planned) = self.handler.plan(record) {
            for (role, text) in crate::commands::messages::messages(&planned.body) {
                talk::data(format!("{role}: {text}"));
            }
        }
        match (&outcome.end, &outcome.output) {
            (End::Succeeded, Some(output)) => {
                let fields: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(output.get()).unwrap_or_default();
                for (name, value) in fields {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    talk::data(format!("→ {name}: {text}"));
                }
            }
            (End::Failed(failure), _) => talk::table(format!("→ failed: {failure}")),
            (End::Skipped { message, .. }, _) => talk::table(format!("→ skipped: {message}")),
            _ => talk::table("→ no answer"),
        }
        talk::data("");
    }
}

#[derive(Serialize)]
struct Line<'a> {
    line: u64,
    #[serde(skip_serializing_if = "is_first")]
    sample: u32,
    #[serde(flatten)]
    end: Ended<'a>,
}

#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Ended<'a> {
    Succeeded { output: Option<&'a RawValue> },
    Failed { kind: &'static str, message: &'a str },
    Skipped { kind: &'static str, message: &'a str },
    Other,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_first(sample: &u32) -> bool {
    *sample == 0
}

fn line<'a>(record: &Record, outcome: &'a Outcome) -> Line<'a> {
    let end = match &outcome.end {
        End::Succeeded => Ended::Succeeded { output: outcome.output.as_deref() },
        End::Failed(failure) => Ended::Failed { kind: failure.kind.word(), message: &failure.message },
        End::Skipped { reason, message } => Ended::Skipped { kind: reason.word(), message },
        End::Cancelled | End::Missing => Ended::Other,
    };
    Line { line: record.origin.line, sample: record.key.sample, end }
}

pub(in crate::commands) async fn count(source: &Arc<dyn Source>) -> anyhow::Result<Option<u64>> {
    let source = Arc::clone(source);
    Ok(tokio::task::spawn_blocking(move || source.count()).await??)
}

/// Counts the records of a source that has no quicker way.
pub(in crate::commands) async fn read_through(source: &dyn Source) -> anyhow::Result<u64> {
    let mut records = source.open(&Starts::new())?;
    let mut n = 0;
    loop {
        let reads = records.next(BATCH).await?;
        if reads.is_empty() {
            return Ok(n);
        }
        n += reads.len() as u64;
    }
}

/// Draws `n` different numbers below `total` (Floyd's algorithm: each set has the same chance).
pub(in crate::commands) fn draw(n: u64, total: u64, seed: u64) -> BTreeSet<u64> {
    let mut drawn = BTreeSet::new();
    for top in total.saturating_sub(n)..total {
        let word = xxhash_rust::xxh3::xxh3_64_with_seed(&top.to_le_bytes(), seed);
        let number = ((u128::from(word) * u128::from(top + 1)) >> 64) as u64;
        if !drawn.insert(number) {
            drawn.insert(top);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_has_so_many_numbers_and_each_its_chance() {
        assert_eq!(draw(5, 3, 1), BTreeSet::from([0, 1, 2]));
        assert_eq!(draw(0, 3, 1), BTreeSet::new());
        let mut counts = [0_u32; 20];
        for seed in 0..4000 {
            let drawn = draw(5, 20, seed);
            assert_eq!(drawn.len(), 5);
            drawn.iter().for_each(|number| counts[usize::try_from(*number).unwrap()] += 1);
        }
        // A thousand each, give or take five standard deviations.
        assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
    }
}
