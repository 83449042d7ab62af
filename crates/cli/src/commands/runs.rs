//! `tidemill runs`.

use std::collections::BTreeMap;
use std::path::Path;

use domain::{Entry, Header};
use serde::Serialize;
use store::{Journal, LocalDisk, Locked, Manifest, RunFolder, RunState};

use crate::{
    args::{Runs, RunsCommand},
    clock,
    exit::{ConfigurationError, Exit},
    progress::{counted, thousands},
    talk,
};

/// Lists runs and looks after them.
pub(super) fn run(args: &Runs) -> anyhow::Result<Exit> {
    match &args.command {
        None => list(&args.state.state, args.json),
        Some(RunsCommand::Show { id, verify, json, state }) => show(&state.state, id, *verify, *json),
        Some(RunsCommand::Export { id, state }) => export(&state.state, id),
        Some(RunsCommand::Diff { a, b, json, state }) => super::diff::run(&state.state, a, b, *json),
        Some(RunsCommand::Rm { ids, state }) => remove(&state.state, ids),
        Some(RunsCommand::Gc { keep, dry_run, state }) => collect(&state.state, *keep, *dry_run),
    }
}

/// What is told of a run.
#[derive(Serialize)]
struct Told {
    id: String,
    pipeline: String,
    state: RunState,
    begun: String,
    settled: u64,
    succeeded: u64,
    failed: BTreeMap<&'static str, u64>,
    skipped: BTreeMap<&'static str, u64>,
    bytes: u64,
}

/// Looks at a run. Whether it is done is computed from the journal and the outputs, every time.
fn look(folder: &RunFolder) -> anyhow::Result<(Told, Manifest)> {
    let manifest = Manifest::read(folder.path())?;
    let (recovered, _) = match Journal::peek(&LocalDisk, &folder.journal()) {
        Ok(peeked) => peeked,
        // A run that was killed in its first moment has no journal yet.
        Err(_) if !folder.journal().exists() => Default::default(),
        Err(error) => return Err(error.into()),
    };
    let is_running = matches!(folder.try_lock()?, Locked::ByOther(_));
    let n_settled = |step: usize| recovered.settled.n_settled(u16::try_from(step).unwrap_or(u16::MAX));
    let n_steps = manifest.n_steps;
    let settled: u64 = (0..n_steps).map(n_settled).sum();
    let expected: u64 = manifest.n_records.values().sum();
    let is_done = n_steps > 0 && manifest.n_records.len() == n_steps && settled >= expected;
    let state = match (is_running, is_done) {
        (true, _) => RunState::Running,
        (false, true) => RunState::Done,
        (false, false) => RunState::Interrupted,
    };
    let (mut succeeded, mut failed, mut skipped) = (0, BTreeMap::new(), BTreeMap::new());
    for tally in recovered.tally.values() {
        succeeded += tally.succeeded;
        for (kind, n) in &tally.failed {
            *failed.entry(kind.word()).or_default() += n;
        }
        for (reason, n) in &tally.skipped {
            *skipped.entry(reason.word()).or_default() += n;
        }
    }
    let told = Told {
        id: folder.id(),
        pipeline: manifest.pipeline.clone(),
        state,
        begun: clock::utc(manifest.begun),
        settled,
        succeeded,
        failed,
        skipped,
        bytes: folder.size(),
    };
    Ok((told, manifest))
}

/// Returns where a run stands.
pub(super) fn state(folder: &RunFolder) -> anyhow::Result<RunState> {
    Ok(look(folder)?.0.state)
}

fn list(state: &Path, json: bool) -> anyhow::Result<Exit> {
    let folders = RunFolder::list(state)?;
    if folders.is_empty() && !json {
        talk::say(format!("no runs in `{}`", state.display()));
    }
    let mut all = folders.iter().map(look).collect::<anyhow::Result<Vec<_>>>()?;
    all.sort_by(|(a, _), (b, _)| (&a.begun, &a.id).cmp(&(&b.begun, &b.id)));
    for (told, _) in all {
        if json {
            talk::data(serde_json::to_string(&told)?);
            continue;
        }
        let n_failed: u64 = told.failed.values().sum();
        talk::table(format!(
            "{:<40} {:<12} {:>14} settled {:>10} failed {:>9}  {}",
            told.id,
            word(told.state),
            thousands(told.settled),
            thousands(n_failed),
            size(told.bytes),
            told.begun,
        ));
    }
    Ok(Exit::Done)
}

fn word(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Interrupted => "interrupted",
        RunState::Done => "done",
    }
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < MIB { format!("{} KiB", bytes.div_ceil(1024)) } else { format!("{} MiB", thousands(bytes / MIB)) }
}

/// Finds a run by its id, by the beginning of its id, or as `latest`: the one that was begun last.
pub(super) fn find(state: &Path, id: &str) -> anyhow::Result<RunFolder> {
    let folders = RunFolder::list(state)?;
    if let Some(folder) = folders.iter().find(|folder| folder.id() == id) {
        return Ok(folder.clone());
    }
    if id == "latest" {
        let begun = |folder: &RunFolder| Manifest::read(folder.path()).ok().map(|manifest| manifest.begun);
        let latest = folders.iter().filter_map(|folder| Some((begun(folder)?, folder.id(), folder)));
        if let Some((_, _, folder)) = latest.max_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1))) {
            return Ok(folder.clone());
        }
    }
    let mut begin_so = folders.iter().filter(|folder| folder.id().starts_with(id));
    match (begin_so.next(), begin_so.next()) {
        (Some(only), None) => return Ok(only.clone()),
        (Some(one), Some(other)) => {
            let message = format!("`{id}` is the beginning of several ids: `{}`, `{}`", one.id(), other.id());
            return Err(ConfigurationError(message).into());
        }
        (None, _) => {}
    }
    let near = folders
        .iter()
        .map(RunFolder::id)
        .max_by(|a, b| strsim::jaro_winkler(a, id).total_cmp(&strsim::jaro_winkler(b, id)));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(ConfigurationError(format!("there is no run `{id}` in `{}`{hint}", state.display())).into())
}

/// Finds a run by its whole id: what is removed should be meant.
fn named(state: &Path, id: &str) -> anyhow::Result<RunFolder> {
    let folder = find(state, id)?;
    if folder.id() != id {
        let message = format!("`{id}` is no run's whole id; if run `{}` is meant, write all of it", folder.id());
        return Err(ConfigurationError(message).into());
    }
    Ok(folder)
}

fn show(state: &Path, id: &str, verify: bool, json: bool) -> anyhow::Result<Exit> {
    Ok(tell(&find(state, id)?, verify, json)?.0)
}

/// Shows one run; returns the exit status of showing it, and where the run stands.
pub(super) fn tell(folder: &RunFolder, verify: bool, json: bool) -> anyhow::Result<(Exit, RunState)> {
    let (told, manifest) = look(folder)?;
    let state = told.state;
    let damage = if verify { Journal::verify(&LocalDisk, &folder.journal())? } else { Vec::new() };
    if json {
        let artefacts = serde_json::to_value(&manifest.artefacts)?;
        let damaged: Vec<String> = damage.iter().filter_map(|d| d.key).map(|key| key.to_string()).collect();
        let file = manifest.file.display().to_string();
        let mut shown = serde_json::json!({ "file": file, "artefacts": artefacts, "damaged": damaged });
        if let (Some(shown), serde_json::Value::Object(told)) = (shown.as_object_mut(), serde_json::to_value(&told)?) {
            shown.extend(told);
        }
        talk::data(shown.to_string());
    } else {
        let folder_of_pipeline = manifest.file.parent().unwrap_or(Path::new(""));
        talk::table(format!("run       {}", told.id));
        talk::table(format!("pipeline  {} ({})", told.pipeline, manifest.file.display()));
        talk::table(format!("state     {}", word(told.state)));
        talk::table(format!("begun     {}", told.begun));
        talk::table(format!("settled   {} ({} succeeded)", thousands(told.settled), thousands(told.succeeded)));
        for (what, by) in [("failed", &told.failed), ("skipped", &told.skipped)] {
            for (word, n) in by {
                talk::table(format!("{what:<9} {} {word}", thousands(*n)));
            }
        }
        talk::table(format!("on disk   {}", size(told.bytes)));
        for artefact in manifest.artefacts.values().flatten() {
            let path = folder_of_pipeline.join(&artefact.path);
            talk::table(format!("output    {} ({})", path.display(), counted(artefact.records, "record")));
        }
        for damage in &damage {
            let key = damage.key.map(|key| format!(", record {key}")).unwrap_or_default();
            talk::table(format!("damaged   {} at {}{key}", damage.file, damage.offset));
        }
    }
    Ok((if damage.is_empty() { Exit::Done } else { Exit::Beyond }, state))
}

fn export(state: &Path, id: &str) -> anyhow::Result<Exit> {
    let folder = find(state, id)?;
    let mut failure = None;
    let damage = Journal::replay(&LocalDisk, &folder.journal(), &mut |entry| match exported(&entry) {
        Ok(line) => talk::data(line),
        Err(error) => failure = Some(error),
    })?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    for damage in &damage {
        talk::say(format!("damaged: {} bytes at {} of `{}` are left out", damage.bytes, damage.offset, damage.file));
    }
    Ok(if damage.is_empty() { Exit::Done } else { Exit::Beyond })
}

/// An entry as one line: its header, and the raw answer as text where it is text, else in hexadecimal digits.
fn exported(entry: &Entry) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Line<'a> {
        entry: &'a Header,
        #[serde(skip_serializing_if = "Option::is_none")]
        raw: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        raw_hex: Option<String>,
    }
    let (raw, raw_hex) = match std::str::from_utf8(&entry.raw) {
        Ok("") => (None, None),
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(entry.raw.iter().map(|byte| format!("{byte:02x}")).collect())),
    };
    serde_json::to_string(&Line { entry: &entry.header, raw, raw_hex })
}

fn remove(state: &Path, ids: &[String]) -> anyhow::Result<Exit> {
    // All of them are looked up first: a slip in the last name should not leave the job half done.
    let folders = ids.iter().map(|id| named(state, id)).collect::<anyhow::Result<Vec<_>>>()?;
    for folder in folders {
        let freed = folder.size();
        folder.remove()?;
        talk::say(format!("removed {} ({})", folder.id(), size(freed)));
    }
    Ok(Exit::Done)
}

fn collect(state: &Path, keep: usize, dry_run: bool) -> anyhow::Result<Exit> {
    let mut done: BTreeMap<String, Vec<(String, RunFolder)>> = BTreeMap::new();
    for folder in RunFolder::list(state)? {
        let (told, _) = look(&folder)?;
        if told.state == RunState::Done {
            done.entry(told.pipeline).or_default().push((told.begun, folder));
        }
    }
    let (mut n, mut freed) = (0_u64, 0);
    for (_, mut runs) in done {
        runs.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| b.1.id().cmp(&a.1.id())));
        for (_, folder) in runs.drain(keep.min(runs.len())..) {
            n += 1;
            freed += folder.size();
            talk::say(format!("{} {}", if dry_run { "would remove" } else { "removed" }, folder.id()));
            if !dry_run {
                folder.remove()?;
            }
        }
    }
    let what = if dry_run { "would be freed" } else { "freed" };
    talk::say(format!("{}, {} {what}", counted(n, "run"), size(freed)));
    Ok(Exit::Done)
}
