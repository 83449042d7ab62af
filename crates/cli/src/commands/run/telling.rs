//! Telling how a run ended.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use connect::Place;
use domain::{
    StopReason,
    price::{Cost, PICOS},
};
use engine::{Checked, StepAccount};
use serde::Serialize;
use store::Manifest;

use super::{End, Working};
use crate::{
    clock,
    exit::Exit,
    language,
    progress::{counted, thousands},
    report, talk,
};

impl Working<'_> {
    /// Tells how it ended, writes the account, and returns the exit status.
    pub(super) fn conclude(&self, end: &End, simulated: &[String]) -> anyhow::Result<Exit> {
        let id = self.chosen.folder.id();
        let exit = match end {
            End::Finished if self.checked.iter().all(|checked| *checked == Checked::Done) => Exit::Done,
            End::Finished | End::Incomplete => Exit::Beyond,
            End::Sampled => Exit::Done,
            End::Left(_) => Exit::Beyond,
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
            cost: money(&self.cost()),
            steps: self.accounts.iter().map(|(account, _)| account).collect(),
        };
        for (account, checked) in &self.accounts {
            self.tell(account, *checked);
        }
        match end {
            // A run that had nothing to do leaves the account as it is.
            End::Finished if self.accounts.is_empty() => {}
            End::Finished => {
                self.write_account(&account)?;
                self.write_report()?;
                // Only now is the run told: killed before, the next process finishes the steps again and tells them.
                Manifest { told: true, ..self.chosen.manifest.clone() }.write(self.chosen.folder.path())?;
            }
            End::Sampled => talk::say(format!("the answers are kept; go on with all records: {}", self.command())),
            End::Left(n) => {
                talk::say(format!("{} not settled; go on with: {}", counted(*n, "record"), self.command()));
            }
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
            End::Stopped(StopReason::Budget(why)) => {
                talk::say(format!(
                    "stopped: {why}\nEverything settled is safe ({}). With a greater `budget`, or none: {}",
                    self.n_safe(),
                    self.command()
                ));
            }
            End::Stopped(StopReason::Closed(why)) => {
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

    /// What the run has cost so far.
    fn cost(&self) -> Cost {
        let mut all = domain::Billed::default();
        self.recovered.billed.values().for_each(|billed| all.extend(billed));
        self.chosen.manifest.prices.cost(&all)
    }

    fn n_safe(&self) -> String {
        let n: u64 = self.recovered.tally.values().map(domain::Tally::n_settled).sum();
        counted(n, "record")
    }

    /// The command that goes on with this run: with whatever names it.
    fn command(&self) -> String {
        let mut command = format!("tidemill run {}", self.args.file.path().display());
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
        if self.ready.pipeline.is_piped() {
            // Its standard input was kept; without the word a new run would want to read another one.
            command.push_str(" --resume");
        }
        command
    }

    /// Writes a path of the pipeline as it is reached from here.
    fn as_reached(&self, name: &str) -> String {
        let path = self.args.file.path().parent().unwrap_or(Path::new("")).join(name);
        path.display().to_string()
    }

    /// Where the account goes.
    fn account_place(&self) -> Option<Place> {
        let finish = &self.ready.pipeline.finish;
        match (&finish.accounting, self.ready.pipeline.steps.0.first()) {
            (Some(path), _) => Some(self.ready.place(path)),
            (None, Some((_, step))) => Some(self.ready.named().output(&step.sink).beside(".accounting.json")),
            (None, None) => None,
        }
    }

    /// Returns whether the account of a done run stands where it belongs.
    pub(super) fn is_told(&self) -> bool {
        self.chosen.manifest.told && self.account_place().is_none_or(|place| place.path.exists())
    }

    fn write_account(&self, account: &Account<'_>) -> anyhow::Result<()> {
        let Some(place) = self.account_place() else { return Ok(()) };
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

    /// Writes the reports that the pipeline asks for, beside the first output.
    fn write_report(&self) -> anyhow::Result<()> {
        let Some((_, step)) = self.ready.pipeline.steps.0.first() else { return Ok(()) };
        let output = self.ready.named().output(&step.sink);
        let formats = &self.ready.pipeline.finish.report;
        // Where outcomes turned out to be damaged, the report tells which bytes are.
        let is_sound = self.accounts.iter().all(|(account, _)| account.damaged == 0 && account.restored == 0);
        let heard = self.heard.as_ref().filter(|_| is_sound);
        for name in report::write(&self.chosen.folder, formats, &output, language::chosen(), heard)? {
            talk::say(format!("  {}", self.as_reached(&name)));
        }
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
        add(account.duplicates, "answered like an identical request", &none);
        add(account.reparsed, "judged again", &none);
        add(account.short.unwrap_or_default(), "with fewer accepted answers than wanted", &none);
        let records = counted(account.records, "record");
        talk::say(format!("step {}: {records}: {}", account.step, parts.join(", ")));
        let billed = account.billed.total();
        let cost = self.chosen.manifest.prices.cost(&account.billed);
        let cost = if cost.money.is_empty() { String::new() } else { format!("; cost: {cost}") };
        talk::say(format!(
            "  {}; tokens billed: {} in, {} out{cost}",
            counted(account.attempts, "attempt"),
            thousands(billed.prompt_tokens),
            thousands(billed.completion_tokens)
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
    /// What all answers of the run cost, by currency, where the models file has prices.
    cost: BTreeMap<String, f64>,
    steps: Vec<&'a StepAccount>,
}

/// Amounts as numbers, for those who reckon on.
fn money(cost: &Cost) -> BTreeMap<String, f64> {
    cost.money.iter().map(|(currency, picos)| (currency.clone(), *picos as f64 / PICOS as f64)).collect()
}
