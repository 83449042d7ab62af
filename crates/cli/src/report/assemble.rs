//! From what a journal and a manifest tell to the report.

use std::{collections::BTreeMap, path::Path};

use domain::{Billed, FailureKind, Reason, StepNumber, Tally, Usage, ports::Recovered, price::Cost};
use store::{Journal, LocalDisk, Locked, Manifest, RunFolder, RunState};

use super::{
    ends::Sums,
    examples::Why,
    facts::{
        Attempts, Bill, Bin, Counts, Damaged, Dedupe, Distribution, Example, Failed, Failures, Money, Named, Output,
        Process, ProcessEnd, Rate, RateBucket, Report, Run, Skipped, Skips, Spread, Step, Time, Tokens, Upstream,
    },
    gather::{Gathered, Names},
    heard::Heard,
    histogram::Histogram,
};
use crate::clock;

/// The version of the report's shape.
const FORMAT: u32 = 1;
/// Buckets of the plot of settled records over time.
const BUCKETS: usize = 60;
/// Damaged stretches that are told one by one.
const DAMAGES: usize = 20;

/// Makes the report of a run as it stands now: one that is at work, was killed or is done. Nothing is changed on disk, and
/// a process that works on the run is not disturbed.
///
/// # Errors
/// Where the manifest or the journal cannot be read.
pub(crate) fn of(folder: &RunFolder) -> anyhow::Result<Report> {
    of_heard(folder, None)
}

/// As [`of`], where this process has heard all that the journal holds: then it is not read again.
///
/// # Errors
/// As [`of`].
pub(super) fn of_heard(folder: &RunFolder, heard: Option<&Heard>) -> anyhow::Result<Report> {
    let manifest = Manifest::read(folder.path())?;
    let is_running = is_running(folder)?;
    // The index first: whatever is settled between the two is in the second only.
    let indexed = match Journal::peek(&LocalDisk, &folder.journal()) {
        Ok((recovered, _)) => recovered,
        // A run that was killed in its first moment has no journal yet.
        Err(_) if !folder.journal().exists() => Recovered::default(),
        Err(error) => return Err(error.into()),
    };
    let gathered = match heard.and_then(Heard::taken) {
        Some(gathered) => gathered.complete(&folder.journal(), is_running)?,
        None => Gathered::of(&folder.journal(), is_running)?,
    };
    Ok(Assembling { manifest, gathered, indexed, is_running }.report(folder.id()))
}

/// Returns whether another process works on the run.
fn is_running(folder: &RunFolder) -> anyhow::Result<bool> {
    Ok(match folder.try_lock()? {
        // The process that writes its own report at its end has the lock.
        Locked::ByOther(pid) => pid != std::process::id().to_string(),
        Locked::ByUs(_) => false,
    })
}

struct Assembling {
    manifest: Manifest,
    gathered: Gathered,
    /// What the journal's index says: how many are settled, those that cannot be read included.
    indexed: Recovered,
    is_running: bool,
}

impl Assembling {
    fn report(self, id: String) -> Report {
        let sums = self.gathered.ends.sums();
        let steps: Vec<Step> = (0..self.n_steps(&sums)).map(|number| self.step(number, &sums)).collect();
        let mut all = Sums::default();
        sums.values().for_each(|sums| all.extend(sums));
        let totals = total(&steps);
        let state = self.state(&steps);
        let gathered = &self.gathered;
        let failures = all.failed.iter().map(|((kind, reason), count)| Failures {
            failed: Failed { kind: *kind, reason: *reason, count: *count },
            examples: self.examples(Why::Failed(*kind, *reason)),
        });
        let mut failures: Vec<Failures> = failures.collect();
        failures.sort_by_key(|failures| std::cmp::Reverse(failures.failed.count));
        let skips = all.skipped().iter().map(|(reason, count)| Skips {
            skipped: Skipped { reason: *reason, count: *count },
            examples: self.examples(Why::Skipped(*reason)),
        });
        let mut skips: Vec<Skips> = skips.collect();
        skips.sort_by_key(|skips| std::cmp::Reverse(skips.skipped.count));
        let mut latency = Histogram::default();
        gathered.upstreams.values().for_each(|upstream| latency.extend(&upstream.latency));
        let damage = gathered.damage.iter().take(DAMAGES).map(|damage| Damaged {
            file: Path::new(&damage.file).file_name().unwrap_or_default().to_string_lossy().into_owned(),
            offset: damage.offset,
            bytes: damage.bytes,
        });
        Report {
            format: FORMAT,
            run: self.run(id, state),
            time: self.time(),
            attempts: Attempts {
                total: gathered.attempts,
                retried: gathered.retried.values().sum(),
                retried_by: failed(&gathered.retried),
            },
            bill: self.bill(totals.succeeded),
            dedupe: self.dedupe(),
            latency: distribution(&latency),
            answer_tokens: distribution(&gathered.answer_tokens),
            answer_characters: distribution(&gathered.answer_characters),
            finish_reasons: named(&gathered.finish_reasons),
            rate: self.rate(),
            outputs: self.outputs(&steps),
            damage: damage.collect(),
            pipeline_file: self.manifest.frozen.clone(),
            totals,
            steps,
            failures,
            skips,
        }
    }

    fn n_steps(&self, sums: &BTreeMap<StepNumber, Sums>) -> StepNumber {
        let told = sums.keys().next_back().map_or(0, |last| last + 1);
        told.max(StepNumber::try_from(self.manifest.n_steps).unwrap_or(StepNumber::MAX))
    }

    /// The manifest knows the steps by name, and the journal by number.
    fn name(&self, number: StepNumber) -> String {
        let named = self.manifest.step_names.get(usize::from(number));
        // A run of an earlier version knows its steps by their sources only.
        let only = self.manifest.inputs.keys().next().filter(|_| self.manifest.n_steps == 1 && number == 0);
        named.or(only).cloned().unwrap_or_else(|| format!("{}", number + 1))
    }

    fn step(&self, number: StepNumber, sums: &BTreeMap<StepNumber, Sums>) -> Step {
        let name = self.name(number);
        let sums = sums.get(&number).cloned().unwrap_or_default();
        let ends = sums.tally.n_settled();
        let indexed = self.indexed.tally.get(&number).map_or(0, Tally::n_settled);
        // What is settled while the journal is read is in the one count and not in the other.
        let settled = if self.is_running { ends.max(indexed) } else { indexed.max(ends) };
        let damaged = if self.is_running { 0 } else { settled - ends };
        let disagrees = !self.is_running && ends > indexed;
        let records = self.manifest.n_records.get(&name).copied();
        let unsettled = records.map(|records| records.saturating_sub(settled));
        let beyond = records.map_or(0, |records| settled.saturating_sub(records));
        let surplus = if self.gathered.ends.has_samples(number) { beyond } else { 0 };
        let adds_up = records.map(|records| !disagrees && damaged == 0 && settled - surplus == records);
        let counts = Counts {
            records,
            settled,
            succeeded: sums.tally.succeeded,
            failed: sums.tally.n_failed(),
            skipped: sums.tally.n_skipped(),
            cancelled: sums.tally.cancelled,
            missing: sums.tally.missing,
            unsettled,
            surplus,
            damaged,
            short: self.manifest.short.get(&name).copied(),
            duplicates: sums.duplicates,
            reparsed: sums.reparsed,
            restored: sums.restored,
            disagrees,
            adds_up,
        };
        let skipped_by = sums.skipped().iter().map(|(reason, count)| Skipped { reason: *reason, count: *count });
        Step { failed_by: failed(&sums.failed), skipped_by: skipped_by.collect(), name, counts }
    }

    /// Whether a run is done is computed, every time anew.
    fn state(&self, steps: &[Step]) -> RunState {
        let is_settled = |step: &Step| step.counts.unsettled == Some(0) && step.counts.damaged == 0;
        match (self.is_running, !steps.is_empty() && steps.iter().all(is_settled)) {
            (true, _) => RunState::Running,
            (false, true) => RunState::Done,
            (false, false) => RunState::Interrupted,
        }
    }

    fn run(&self, id: String, state: RunState) -> Run {
        let manifest = &self.manifest;
        Run {
            id,
            pipeline: manifest.pipeline.clone(),
            file: manifest.file.display().to_string(),
            models_file: manifest.models_file.as_ref().map(|path| path.display().to_string()),
            state,
            version: manifest.version.clone(),
            limit: manifest.limit,
            simulated_models: manifest.simulated.clone(),
        }
    }

    fn time(&self) -> Time {
        let processes = &self.gathered.processes;
        let n_told = processes.told.len() as u64;
        let told = processes.told.iter().zip(1..).map(|(process, n)| {
            let end = match process.stopped.as_deref() {
                Some("finished") => ProcessEnd::Finished,
                Some(_) => ProcessEnd::Stopped,
                None if processes.is_running && n == n_told && n_told == processes.n => ProcessEnd::Running,
                None => ProcessEnd::Killed,
            };
            Process {
                begun: clock::utc(process.begun),
                last: clock::utc(process.last),
                ms: process.last.0.saturating_sub(process.begun.0),
                end,
                said: process.stopped.clone().filter(|_| end == ProcessEnd::Stopped),
                settled: process.settled,
                version: process.version.clone(),
            }
        });
        let first = processes.first.unwrap_or_default();
        Time {
            begun: clock::utc(self.manifest.begun),
            last: processes.last.map(clock::utc),
            wall_ms: processes.last.unwrap_or_default().0.saturating_sub(first.0),
            working_ms: processes.working_ms,
            processes: processes.n,
            killed: processes.n_killed,
            asked_again_after_crash: processes.asked_again,
            by_process: told.collect(),
        }
    }

    fn bill(&self, succeeded: u64) -> Bill {
        let (gathered, prices) = (&self.gathered, &self.manifest.prices);
        let billed = gathered.billed();
        let cost = prices.cost(&billed);
        let total = billed.total();
        let per_1000 = cost.money.iter().filter(|_| succeeded > 0).map(|(currency, picos)| Money {
            currency: currency.clone(),
            picos: picos * 1000 / u128::from(succeeded.max(1)),
        });
        let by_upstream = gathered.upstreams.iter().map(|(name, upstream)| Upstream {
            name: name.clone(),
            simulated: self.manifest.simulated.contains(name),
            answers: upstream.answers,
            billed: upstream.billed,
            tokens: tokens(&upstream.usage),
            cost: prices
                .0
                .get(name)
                .map(|price| Money { currency: price.currency.clone(), picos: price.of(&upstream.usage) }),
            models: named(&upstream.models),
            latency: spread(&upstream.latency, 1.0),
            tokens_per_second: spread(&upstream.speed, 0.1),
        });
        Bill {
            tokens: tokens(&total),
            cost_per_1000_succeeded: per_1000.collect(),
            cost: money(&cost),
            unpriced_tokens: cost.unpriced_tokens,
            tokens_per_second: self.per_working_second(total.total()),
            by_upstream: by_upstream.collect(),
        }
    }

    fn dedupe(&self) -> Option<Dedupe> {
        let gathered = &self.gathered;
        let saved: &Billed = &gathered.saved;
        (gathered.answered_without_asking > 0).then(|| Dedupe {
            not_asked: gathered.answered_without_asking,
            tokens: tokens(&saved.total()),
            cost: money(&self.manifest.prices.cost(saved)),
        })
    }

    fn rate(&self) -> Rate {
        let (bucket_ms, buckets) = self.gathered.settled.buckets(BUCKETS);
        let n: u64 = buckets.iter().flatten().sum();
        let first = self.gathered.processes.first.unwrap_or_default();
        let began = self.gathered.processes.told.iter().map(|process| process.begun.0.saturating_sub(first.0));
        let bucket = |[succeeded, failed, skipped]: [u64; 3]| RateBucket { succeeded, failed, skipped };
        Rate {
            per_second: self.per_working_second(n),
            bucket_ms,
            buckets: buckets.into_iter().map(bucket).collect(),
            processes_began_ms: began.collect(),
        }
    }

    fn per_working_second(&self, n: u64) -> f64 {
        n as f64 * 1000.0 / self.gathered.processes.working_ms.max(1) as f64
    }

    fn outputs(&self, steps: &[Step]) -> Vec<Output> {
        let of_step = |step: &Step| self.manifest.artefacts.get(&step.name).cloned().unwrap_or_default();
        let outputs = steps.iter().flat_map(|step| of_step(step).into_iter().map(move |artefact| (step, artefact)));
        let output = |(step, artefact): (&Step, domain::ports::Artefact)| Output {
            step: step.name.clone(),
            path: artefact.path,
            records: artefact.records,
            bytes: artefact.bytes,
            sha256: artefact.sha256,
        };
        outputs.map(output).collect()
    }

    fn examples(&self, why: Why) -> Vec<Example> {
        let parts = |step: &str| self.manifest.inputs.get(step).map(|input| &input.parts).filter(|p| p.len() > 1);
        let examples = self.gathered.examples.of(why).into_iter().map(|example| {
            let step = self.name(example.key.step);
            Example {
                part: parts(&step).and_then(|parts| parts.get(example.key.part as usize)).cloned(),
                step,
                line: example.line,
                sample: example.key.sample,
                attempts: example.attempts,
                upstream: example.upstream.clone(),
                message: example.message.clone(),
                answer: example.excerpt.clone(),
            }
        });
        examples.collect()
    }
}

/// Adds up the steps. What is not known of one is not known of all.
fn total(steps: &[Step]) -> Counts {
    let known = |n: fn(&Counts) -> Option<u64>| steps.iter().map(|step| n(&step.counts)).sum::<Option<u64>>();
    let all = |n: fn(&Counts) -> u64| steps.iter().map(|step| n(&step.counts)).sum();
    let adds_up: Vec<Option<bool>> = steps.iter().map(|step| step.counts.adds_up).collect();
    Counts {
        records: known(|counts| counts.records),
        settled: all(|counts| counts.settled),
        succeeded: all(|counts| counts.succeeded),
        failed: all(|counts| counts.failed),
        skipped: all(|counts| counts.skipped),
        cancelled: all(|counts| counts.cancelled),
        missing: all(|counts| counts.missing),
        unsettled: known(|counts| counts.unsettled),
        surplus: all(|counts| counts.surplus),
        damaged: all(|counts| counts.damaged),
        short: steps.iter().filter_map(|step| step.counts.short).reduce(|sum, n| sum + n),
        duplicates: all(|counts| counts.duplicates),
        reparsed: all(|counts| counts.reparsed),
        restored: all(|counts| counts.restored),
        disagrees: steps.iter().any(|step| step.counts.disagrees),
        adds_up: if adds_up.contains(&Some(false)) {
            Some(false)
        } else {
            adds_up.into_iter().collect::<Option<Vec<bool>>>().filter(|all| !all.is_empty()).map(|_| true)
        },
    }
}

/// Sorts failures by how many there are.
fn failed(by: &BTreeMap<(FailureKind, Option<Reason>), u64>) -> Vec<Failed> {
    let failed = by.iter().map(|((kind, reason), count)| Failed { kind: *kind, reason: *reason, count: *count });
    let mut failed: Vec<Failed> = failed.collect();
    failed.sort_by_key(|failed| std::cmp::Reverse(failed.count));
    failed
}

fn named(names: &Names) -> Vec<Named> {
    let mut named: Vec<Named> =
        names.0.iter().map(|(name, count)| Named { name: name.clone(), count: *count }).collect();
    named.sort_by_key(|named| std::cmp::Reverse(named.count));
    named
}

fn tokens(usage: &Usage) -> Tokens {
    Tokens {
        prompt: usage.prompt_tokens,
        cached: usage.cached_tokens,
        completion: usage.completion_tokens,
        reasoning: usage.reasoning_tokens,
    }
}

fn money(cost: &Cost) -> Vec<Money> {
    let amounts = cost.money.iter();
    amounts.map(|(currency, picos)| Money { currency: currency.clone(), picos: *picos }).collect()
}

fn spread(histogram: &Histogram, unit: f64) -> Spread {
    let of = |number: u64| number as f64 * unit;
    Spread {
        count: histogram.n(),
        min: of(histogram.min()),
        mean: histogram.mean() * unit,
        p50: of(histogram.percentile(0.5)),
        p90: of(histogram.percentile(0.9)),
        p99: of(histogram.percentile(0.99)),
        max: of(histogram.max()),
    }
}

fn distribution(histogram: &Histogram) -> Distribution {
    let (logarithmic, bins) = histogram.bins();
    Distribution {
        spread: spread(histogram, 1.0),
        logarithmic,
        bins: bins.into_iter().map(|bin| Bin { from: bin.from, to: bin.to, count: bin.count }).collect(),
    }
}
