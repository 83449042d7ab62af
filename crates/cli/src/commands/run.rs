//! `tidemill run`, and what other commands share with it: opening a run, working on it, telling how it ended.

mod before;
mod opening;
mod sample;
mod seeing;
mod telling;

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use domain::{Clock, StopReason, ports::Recovered};
use engine::{Checked, Context, StepAccount, StepEnd};
use store::Journal;
use tokio::sync::watch;

use super::choose::{self, Chosen};
use crate::{
    args::Run,
    clock::SystemClock,
    compose::{identity, models, step},
    exit::Exit,
    pipeline::{self, Ready, StepConfig, Wish},
    progress::{Mode, counted, thousands},
    report::Heard,
    talk,
};
pub(super) use before::Before;
use opening::{Compared, compare, models_folder, open_journal};
pub(super) use sample::{count, read_through};

/// Runs a pipeline, or goes on with it.
pub(super) fn run(args: &Run) -> anyhow::Result<Exit> {
    match () {
        () if args.validate => super::check::validate(args),
        () if args.dry_run => super::dry_run::run(args),
        () => start(args, &Before::Nothing),
    }
}

/// Opens the run that `args` mean, does what is to be done before, and works on it.
pub(super) fn start(args: &Run, before: &Before) -> anyhow::Result<Exit> {
    if args.progress == Mode::Json {
        talk::in_json();
    }
    let wish = Wish { errors_again: args.errors_again, creates: args.create_columns };
    let checked = pipeline::check_for(args.file.path(), args.models.as_deref(), wish)?;
    super::check::tell(&checked.diagnostics);
    let Some(ready) = checked.ready else { return Ok(Exit::Configuration) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut chosen = choose::choose(args, &ready, &*clock, before)?;
    let id = chosen.folder.id();
    let (journal, recovered) = open_journal(args.reask_damaged, &chosen)?;
    talk::say(format!("run {id}: {}", if recovered.n_processes > 0 { "going on" } else { "begins" }));

    // Files of keys lie relative to the models file, wherever it was named.
    let models_folder = models_folder(args, &ready);
    let mut models = models::open(ready.models.clone(), &models_folder, Arc::clone(&clock))?;
    let may_answer: Vec<&str> = (ready.pipeline.steps.0.iter())
        .flat_map(|(_, step)| step.models(&ready.models))
        .map(|model| model.name.as_str())
        .collect();
    models.simulated.retain(|name| may_answer.contains(&name.as_str()));
    if !models.simulated.is_empty() {
        let names: Vec<String> = models.simulated.iter().map(|name| format!("`{name}`")).collect();
        talk::say(format!(
            "SIMULATED: the built-in scripted vendor answers as {}; nothing in the output comes from a model",
            names.join(", ")
        ));
    }
    chosen.manifest.prices = ready.models.prices();
    chosen.manifest.simulated.clone_from(&models.simulated);
    chosen.manifest.models_file = opening::models_file(args, &ready);
    // One thread drives the run: its work per record is small, and threads of their own write the journal and read the
    // source. A second one would spend its time on waking the first.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let has_report = !ready.pipeline.finish.report.is_empty();
    let heard = (has_report && recovered.n_processes == 0).then(|| Heard::of(&journal));
    let (accounts, checked) = (Vec::new(), Vec::new());
    let mut work = Working { args, ready: &ready, chosen, journal, recovered, clock, heard, accounts, checked };
    let control = watch::Sender::new(before.control());
    let seen = runtime.block_on(async { seeing::Seen::begin(&work, args.progress, control) })?;
    let end = runtime.block_on(work.run_steps(&models, before, &seen));
    let exit = end.and_then(|end| work.conclude(&end, &models.simulated));
    runtime.block_on(seen.end(&exit));
    runtime.shutdown_background();
    exit
}

/// How the steps ended.
enum End {
    Finished,
    /// Outputs are not in place: records are unsettled or damaged.
    Incomplete,
    Stopped(StopReason),
    /// A sample is settled and was shown.
    Sampled,
    /// Nothing was to be asked, and some records are not settled.
    Left(u64),
}

struct Working<'a> {
    args: &'a Run,
    ready: &'a Ready,
    chosen: Chosen,
    journal: Journal,
    recovered: Recovered,
    clock: Arc<dyn Clock>,
    /// What is told of the journal for the report, where no process has worked on the run before.
    heard: Option<Heard>,
    accounts: Vec<(StepAccount, Checked)>,
    checked: Vec<Checked>,
}

impl Working<'_> {
    async fn run_steps(
        &mut self,
        models: &models::Models,
        before: &Before,
        seen: &seeing::Seen,
    ) -> anyhow::Result<End> {
        let context = Context {
            journal: Arc::new(self.journal.clone()),
            clock: Arc::clone(&self.clock),
            reporter: seen.reporter(),
            control: seen.control(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let n_lost = self.recovered.n_lost_in_flight;
        engine::begin(&context, &mut self.recovered).await?;
        if before.changes_what_is_settled() {
            self.apply(before, &context, models).await?;
            let n_left = self.n_left();
            if before.asks_nothing() && n_left > 0 {
                engine::conclude(&context, "stopped").await?;
                return Ok(End::Left(n_left));
            }
        }
        if n_lost > 0 {
            let lost = counted(n_lost, "request");
            talk::say(format!(
                "{lost} {} in flight when the last process ended; the answers are lost, they are asked again",
                if n_lost == 1 { "was" } else { "were" }
            ));
        }
        if let Some(mut notices) = models.gateway.notices() {
            tokio::spawn(async move {
                while let Some(notice) = notices.recv().await {
                    talk::say(notice.to_string());
                }
            });
        }
        let ready = self.ready;
        for (number, (name, config)) in ready.pipeline.steps.0.iter().enumerate() {
            let folder = self.chosen.folder.clone();
            let parts = step::Parts {
                ready: self.ready,
                number: u16::try_from(number).context("a pipeline has at most 65,536 steps")?,
                name,
                step: config,
                folder: &folder,
                limit: self.args.limit,
                seed: self.clock.now().0,
                creates: self.args.create_columns,
            };
            let n_settled = self.recovered.settled.n_settled(parts.number);
            let source = step::source(&parts)?;
            let compared = compare(&*source, name, &mut self.chosen)?;
            if n_settled > 0 {
                self.tell_changed_meanwhile(name, config)?;
            }
            let is_whole = self.args.sample.is_none();
            if is_whole
                && compared == Compared::Unchanged
                && self.is_told()
                && self.is_in_place(name, config, parts.number)
            {
                talk::say(format!(
                    "step {name}: done already, the outputs are in place ({} records)",
                    thousands(n_settled)
                ));
                let tally = self.recovered.tally.get(&parts.number).cloned().unwrap_or_default();
                let n = tally.n_settled();
                let tolerate = &config.tolerate;
                let short = self.chosen.manifest.short.get(name).copied();
                self.checked.push(engine::check(&tally, short, tolerate.failed.of(n), tolerate.skipped.of(n)));
                continue;
            }
            if n_settled > 0 {
                talk::say(match compared {
                    Compared::Unchanged => format!("step {name}: {} records are settled already", thousands(n_settled)),
                    Compared::Appended => {
                        format!("step {name}: the source has grown at its end; the new records are worked on")
                    }
                });
            }
            if is_whole {
                // What is written from here on is not in place any more until the step is done again.
                self.chosen.manifest.artefacts.remove(name);
                self.chosen.manifest.sinks.insert(name.clone(), identity::of_sink(config));
                self.chosen.manifest.n_records.remove(name);
                self.chosen.manifest.told = false;
                self.chosen.manifest.limit = self.args.limit;
                self.chosen.manifest.write(self.chosen.folder.path())?;
            }
            let mut step = step::compose(&parts, source, models.gateway.clone())?;
            step.flow.budget = self.budget();
            let sampled = match self.args.sample {
                Some(n) => Some(sample::Sampled::choose(&step, n, self.args, parts.seed).await?),
                None => None,
            };
            step.flow.only = sampled.as_ref().map(sample::Sampled::only);
            self.forecast(&step, &ready.named().output(&config.sink).path).await;
            seen.step_begins(self, parts.number);
            let ran = engine::run_step(step, &context, &mut self.recovered).await;
            seen.step_over();
            match ran? {
                StepEnd::Finished(account) => {
                    self.chosen.manifest.artefacts.insert(name.clone(), account.artefacts.clone());
                    self.chosen.manifest.n_records.insert(name.clone(), account.records);
                    if let Some(short) = account.short {
                        self.chosen.manifest.short.insert(name.clone(), short);
                    }
                    self.chosen.manifest.write(self.chosen.folder.path())?;
                    let tolerate = &config.tolerate;
                    let n = account.records;
                    let checked = account.check(tolerate.failed.of(n), tolerate.skipped.of(n));
                    self.checked.push(checked);
                    self.accounts.push((account, checked));
                }
                StepEnd::Sampled => {
                    engine::conclude(&context, "sampled").await?;
                    if let Some(sampled) = sampled {
                        sampled.show(&*context.journal, &self.chosen.manifest.prices, self.args.preview).await?;
                    }
                    return Ok(End::Sampled);
                }
                StepEnd::Incomplete(account) => {
                    self.accounts.push((account, Checked::Open));
                    engine::conclude(&context, "incomplete").await?;
                    return Ok(End::Incomplete);
                }
                StepEnd::Stopped(reason, n_lost) => {
                    if n_lost == 0 {
                        engine::conclude(&context, "stopped").await?;
                    }
                    return Ok(End::Stopped(reason));
                }
            }
        }
        engine::conclude(&context, "finished").await?;
        Ok(End::Finished)
    }

    /// What the pipeline allows to be spent.
    fn budget(&self) -> Option<engine::Budget> {
        let config = self.ready.pipeline.budget.as_ref()?;
        let prices = self.chosen.manifest.prices.clone();
        Some(engine::Budget { prices, money: config.money.clone(), tokens: config.tokens })
    }

    /// Returns whether a step is done and its outputs are as they were written: then there is nothing to do, and whatever
    /// the user did to other files is left alone.
    fn is_in_place(&self, name: &str, config: &StepConfig, number: domain::StepNumber) -> bool {
        let manifest = &self.chosen.manifest;
        if manifest.sinks.get(name) != Some(&identity::of_sink(config)) {
            return false;
        }
        let (Some(artefacts), Some(n_records)) = (manifest.artefacts.get(name), manifest.n_records.get(name)) else {
            return false;
        };
        let is_there = |artefact: &domain::ports::Artefact| {
            let path = self.ready.place(Path::new(&artefact.path)).path;
            std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == artefact.bytes)
        };
        // A smaller limit than that of a finished run asks for nothing new, and takes nothing away.
        let wants_more = match (self.args.limit, manifest.limit) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(now), Some(before)) => now > before,
        };
        !wants_more && self.recovered.settled.n_settled(number) >= *n_records && artefacts.iter().all(is_there)
    }
}
