//! `tidemill run`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use connect::jsonl::JsonlSource;
use domain::{
    Clock, StopReason,
    ports::{Change, Disk, Journal as _, Recovered, Source as _},
};
use engine::{Checked, Context, Control, EngineError, Status, StepAccount, StepEnd};
use serde::Serialize;
use store::{Journal, LocalDisk, Options};
use tokio::sync::watch;

use super::choose::{self, Chosen};
use crate::{
    args::Run,
    clock::{self, SystemClock},
    compose::{identity, models, step},
    exit::Exit,
    pipeline::{self, Ready, StepConfig},
    progress::{self, counted, thousands},
    signals, talk,
};

/// Runs a pipeline, or goes on with it.
pub(super) fn run(args: &Run) -> anyhow::Result<Exit> {
    let checked = pipeline::check(&args.file, args.models.as_deref())?;
    super::check::tell(&checked.diagnostics);
    let Some(ready) = checked.ready else { return Ok(Exit::Configuration) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let chosen = choose::choose(args, &ready, &*clock)?;
    let id = chosen.folder.id();
    let (journal, recovered) = open_journal(args, &chosen)?;
    talk::say(format!("run {id}: {}", if recovered.n_processes > 0 { "going on" } else { "begins" }));

    // Files of keys lie relative to the models file, wherever it was named.
    let models_folder = models_folder(args, &ready);
    let models = models::open(ready.models.clone(), &models_folder, Arc::clone(&clock))?;
    if !models.simulated.is_empty() {
        let names: Vec<String> = models.simulated.iter().map(|name| format!("`{name}`")).collect();
        talk::say(format!(
            "SIMULATED: the built-in scripted vendor answers as {}; nothing in the output comes from a model",
            names.join(", ")
        ));
    }
    // One thread drives the run: its work per record is small, and threads of their own write the journal and read the
    // source. A second one would spend its time on waking the first.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut work =
        Working { args, ready: &ready, chosen, journal, recovered, clock, accounts: Vec::new(), checked: Vec::new() };
    let end = runtime.block_on(work.run_steps(&models));
    runtime.shutdown_background();
    let end = end?;
    work.conclude(&end, &models.simulated)
}

fn models_folder(args: &Run, ready: &Ready) -> PathBuf {
    let path = match (&args.models, &ready.pipeline.models) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => ready.place(path).path,
        (None, None) => PathBuf::new(),
    };
    path.parent().map(PathBuf::from).unwrap_or_default()
}

fn open_journal(args: &Run, chosen: &Chosen) -> anyhow::Result<(Journal, Recovered)> {
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
    #[cfg(debug_assertions)]
    let disk = crate::kill_points::disk(disk);
    let folder = chosen.folder.journal();
    let tag = xxhash_rust::xxh3::xxh3_64(chosen.manifest.id.as_bytes());
    let options = Options { accept_damage: args.reask_damaged, ..Options::default() };
    let (journal, mut recovered) = Journal::open(Arc::clone(&disk), &folder, tag, options)?;
    if recovered.torn_bytes > 0 {
        let torn = thousands(recovered.torn_bytes);
        talk::say(format!(
            "the journal ended in a write that was cut short ({torn} bytes, kept aside): nothing settled is lost"
        ));
    }
    for damage in &recovered.damage {
        talk::say(format!("damaged: {} bytes at {} of `{}`", thousands(damage.bytes), damage.offset, damage.file));
    }
    if !recovered.damage.is_empty() && !args.reask_damaged {
        anyhow::bail!(
            "a part of the journal cannot be read, and with it the outcomes of some records. Put the file back from a \
             backup, or run again with --reask-damaged: those records are asked (and paid for) again"
        );
    }
    if args.reask_damaged {
        // Sealing writes the index of what is sound, so that the damage is not told again at every start.
        journal.outcomes(0)?;
        let damaged = Journal::verify(&*disk, &folder)?;
        for key in damaged.iter().filter_map(|damage| damage.key) {
            recovered.settled.remove(&key);
            let from = (0, 0);
            recovered.resume_at.insert((key.step, key.part), from);
        }
        let (records, stretches) = (damaged.len() as u64, recovered.damage.len() as u64);
        if records > 0 {
            talk::say(format!("{} with a damaged outcome: asked again", counted(records, "record")));
        }
        if stretches > 0 {
            talk::say(format!("whatever was lost with {} is asked again", counted(stretches, "damaged stretch")));
        }
    }
    Ok((journal, recovered))
}

/// How the steps ended.
enum End {
    Finished,
    /// Outputs are not in place: records are unsettled or damaged.
    Incomplete,
    Stopped(StopReason),
}

struct Working<'a> {
    args: &'a Run,
    ready: &'a Ready,
    chosen: Chosen,
    journal: Journal,
    recovered: Recovered,
    clock: Arc<dyn Clock>,
    accounts: Vec<(StepAccount, Checked)>,
    checked: Vec<Checked>,
}

impl Working<'_> {
    async fn run_steps(&mut self, models: &models::Models) -> anyhow::Result<End> {
        let control = watch::Sender::new(Control::Run);
        let status = Arc::new(Status::default());
        let context = Context {
            journal: Arc::new(self.journal.clone()),
            clock: Arc::clone(&self.clock),
            reporter: status.clone(),
            control: control.subscribe(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        signals::listen(control)?;
        let n_lost = self.recovered.n_lost_in_flight;
        engine::begin(&context, &mut self.recovered).await?;
        if n_lost > 0 {
            let lost = counted(n_lost, "request");
            talk::say(format!(
                "{lost} {} in flight when the last process ended; the answers are lost, they are asked again",
                if n_lost == 1 { "was" } else { "were" }
            ));
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
            };
            let n_settled = self.recovered.settled.n_settled(parts.number);
            let source = step::source(&parts);
            let compared = compare(&source, name, &mut self.chosen)?;
            if compared == Compared::Unchanged && self.is_in_place(name, config, parts.number) {
                talk::say(format!(
                    "step {name}: done already, the outputs are in place ({} records)",
                    thousands(n_settled)
                ));
                let tally = self.recovered.tally.get(&parts.number).cloned().unwrap_or_default();
                let n = tally.n_settled();
                let tolerate = &config.tolerate;
                self.checked.push(engine::check(&tally, tolerate.failed.of(n), tolerate.skipped.of(n)));
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
            // What is written from here on is not in place any more until the step is done again.
            self.chosen.manifest.artefacts.remove(name);
            self.chosen.manifest.sinks.insert(name.clone(), identity::of_sink(config));
            self.chosen.manifest.n_records.remove(name);
            self.chosen.manifest.limit = self.args.limit;
            self.chosen.manifest.write(self.chosen.folder.path())?;
            let step = step::compose(&parts, source, models.gateway.clone())?;
            let ran = {
                let running = engine::run_step(step, &context, &mut self.recovered);
                tokio::select! {
                    ran = running => ran,
                    () = progress::print(status.clone()) => unreachable!("progress is printed until the step ends"),
                }
            };
            match ran? {
                StepEnd::Finished(account) => {
                    self.chosen.manifest.artefacts.insert(name.clone(), account.artefacts.clone());
                    self.chosen.manifest.n_records.insert(name.clone(), account.records);
                    self.chosen.manifest.write(self.chosen.folder.path())?;
                    let tolerate = &config.tolerate;
                    let n = account.records;
                    let checked = account.check(tolerate.failed.of(n), tolerate.skipped.of(n));
                    self.checked.push(checked);
                    self.accounts.push((account, checked));
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

    /// Tells how it ended, writes the account, and returns the exit status.
    fn conclude(&self, end: &End, simulated: &[String]) -> anyhow::Result<Exit> {
        let id = self.chosen.folder.id();
        let exit = match end {
            End::Finished if self.checked.iter().all(|checked| *checked == Checked::Done) => Exit::Done,
            End::Finished | End::Incomplete => Exit::Beyond,
            End::Stopped(StopReason::Interrupted) => Exit::Interrupted,
            End::Stopped(StopReason::Closed(_) | StopReason::Budget(_)) => Exit::Stopped,
        };
        let account = Account {
            run: &id,
            pipeline: &self.chosen.manifest.pipeline,
            done: matches!(end, End::Finished),
            exit_status: exit as i32,
            begun: clock::utc(self.chosen.manifest.begun),
            ended: clock::utc(self.clock.now()),
            simulated_models: simulated,
            note: (!simulated.is_empty())
                .then_some("answered by the built-in scripted vendor; nothing in the output comes from a model"),
            version: env!("CARGO_PKG_VERSION"),
            asked_again_after_crash: self.recovered.n_asked_again_before,
            steps: self.accounts.iter().map(|(account, _)| account).collect(),
        };
        for (account, checked) in &self.accounts {
            self.tell(account, *checked);
        }
        match end {
            // A run that had nothing to do leaves the account as it is.
            End::Finished if self.accounts.is_empty() => {}
            End::Finished => self.write_account(&account)?,
            End::Incomplete => talk::say(
                "the outputs are not written, because the journal of some records is damaged and the live output does \
                 not have them. Put the journal's files back from a backup, or run again with --reask-damaged: those \
                 records are asked (and paid for) again",
            ),
            End::Stopped(StopReason::Interrupted) => {
                talk::say(format!(
                    "interrupted; everything settled is safe ({}). Go on with: {}",
                    self.n_safe(),
                    self.command()
                ));
            }
            End::Stopped(StopReason::Closed(why) | StopReason::Budget(why)) => {
                talk::say(format!(
                    "stopped: {why}\nEverything settled is safe ({}). When that is mended: {}",
                    self.n_safe(),
                    self.command()
                ));
            }
        }
        let json = serde_json::to_string(&account)?;
        let is_news = !matches!(end, End::Finished) || !self.accounts.is_empty();
        if is_news {
            self.chosen.folder.write("account.json", json.as_bytes())?;
        }
        if self.args.json {
            // A run that had nothing to do is as it was told before.
            let before = if is_news { None } else { self.chosen.folder.read("account.json")? };
            talk::data(before.unwrap_or(json));
        }
        Ok(exit)
    }

    fn n_safe(&self) -> String {
        let n: u64 = self.recovered.tally.values().map(domain::Tally::n_settled).sum();
        counted(n, "record")
    }

    /// The command that goes on with this run: with whatever names it.
    fn command(&self) -> String {
        let mut command = format!("tidemill run {}", self.args.file.display());
        let mut add = |flag: &str, value: Option<String>| {
            if let Some(value) = value {
                command.push_str(&format!(" {flag} {value}"));
            }
        };
        let state = &self.args.state.state;
        add("--models", self.args.models.as_ref().map(|path| path.display().to_string()));
        add("--state", (state != Path::new(".tidemill")).then(|| state.display().to_string()));
        add("--task-id", self.args.task_id.clone());
        add("--limit", self.args.limit.map(|limit| limit.to_string()));
        command
    }

    /// Writes a path of the pipeline as it is reached from here.
    fn as_reached(&self, name: &str) -> String {
        let path = self.args.file.parent().unwrap_or(Path::new("")).join(name);
        path.display().to_string()
    }

    fn write_account(&self, account: &Account<'_>) -> anyhow::Result<()> {
        let finish = &self.ready.pipeline.finish;
        let place = match (&finish.accounting, self.ready.pipeline.steps.0.first()) {
            (Some(path), _) => self.ready.place(path),
            (None, Some((_, step))) => self.ready.place(&step.sink.jsonl.path.with_extension("accounting.json")),
            (None, None) => return Ok(()),
        };
        let mut text = serde_json::to_vec_pretty(account)?;
        text.push(b'\n');
        if let Some(folder) = place.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let aside = place.path.with_extension("json.tmp");
        std::fs::write(&aside, text)
            .and_then(|()| std::fs::rename(&aside, &place.path))
            .with_context(|| format!("cannot write the account `{}`", place.name))?;
        talk::say(format!("  {}", self.as_reached(&place.name)));
        Ok(())
    }

    /// Tells how the records of a step ended.
    fn tell(&self, account: &StepAccount, checked: Checked) {
        let mut parts = vec![format!("{} succeeded", thousands(account.succeeded))];
        let mut add = |n: u64, what: &str, by: &BTreeMap<&'static str, u64>| {
            if n > 0 {
                let by: Vec<String> = by.iter().map(|(word, n)| format!("{word} {}", thousands(*n))).collect();
                let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
                parts.push(format!("{} {what}{by}", thousands(n)));
            }
        };
        let none = BTreeMap::new();
        add(account.failed, "failed", &account.failed_by_kind);
        add(account.skipped, "skipped", &account.skipped_by_reason);
        add(account.missing, "missing", &none);
        add(account.cancelled, "cancelled", &none);
        add(account.unsettled, "not settled", &none);
        add(account.damaged, "damaged", &none);
        add(account.restored, "restored from the live output", &none);
        let records = counted(account.records, "record");
        talk::say(format!("step {}: {records}: {}", account.step, parts.join(", ")));
        let usage = account.usage;
        talk::say(format!(
            "  {}; tokens: {} in, {} out",
            counted(account.attempts, "attempt"),
            thousands(usage.prompt_tokens),
            thousands(usage.completion_tokens)
        ));
        for artefact in &account.artefacts {
            talk::say(format!("  {} ({})", self.as_reached(&artefact.path), counted(artefact.records, "record")));
        }
        if checked == Checked::BeyondTolerance {
            talk::say("  more failed or were skipped than the pipeline tolerates (`tolerate:`): exit status 1");
        }
    }
}

/// The account of a run: `accounting.json`.
#[derive(Serialize)]
struct Account<'a> {
    run: &'a str,
    pipeline: &'a str,
    done: bool,
    exit_status: i32,
    begun: String,
    ended: String,
    /// Models that were simulated; empty in an honest run.
    simulated_models: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    version: &'static str,
    asked_again_after_crash: u64,
    steps: Vec<&'a StepAccount>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    Unchanged,
    Appended,
}

/// Compares a step's source with what it was when the run began.
fn compare(source: &JsonlSource, step: &str, chosen: &mut Chosen) -> anyhow::Result<Compared> {
    let now = match chosen.manifest.inputs.get(step) {
        None => source.fingerprint()?,
        Some(before) => match source.compare(before)? {
            Change::Unchanged => return Ok(Compared::Unchanged),
            Change::Appended { now } => {
                chosen.manifest.inputs.insert(step.to_owned(), now);
                chosen.manifest.write(chosen.folder.path())?;
                return Ok(Compared::Appended);
            }
            Change::Changed(what) => {
                let error = domain::ports::SourceError(format!(
                    "{what}\nThe source is not what it was when run {} began. Put the old file back to go on, or start \
                     over with --fresh (the old run is kept).",
                    chosen.folder.id()
                ));
                return Err(EngineError::Source(error).into());
            }
        },
    };
    chosen.manifest.inputs.insert(step.to_owned(), now);
    chosen.manifest.write(chosen.folder.path())?;
    Ok(Compared::Unchanged)
}
