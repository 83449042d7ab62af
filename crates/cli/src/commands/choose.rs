//! Which run a command line means: a new one, or one to go on with.

use std::{collections::BTreeMap, path::Path};

use domain::{Clock, Timestamp};
use store::{Locked, Manifest, RunFolder, RunLock, Turn};

use super::run::Before;
use crate::{args::Run, clock, compose::identity, exit::ConfigurationError, pipeline::Ready, talk};

/// The parts of a prompt that judge answers and ask nothing: `reparse` may change them.
pub(super) const JUDGING: &[&str] = &["output", "derive", "keep", "answers", "until_accepted"];

/// The run to work on, locked.
pub(super) struct Chosen {
    pub(super) folder: RunFolder,
    pub(super) manifest: Manifest,
    pub(super) _lock: RunLock,
}

/// Finds the run that the command line means, or begins one.
///
/// Parts of a prompt that `before` may change may differ from what the run was begun with: it takes the new ones.
pub(super) fn choose(args: &Run, ready: &Ready, clock: &dyn Clock, before: &Before) -> anyhow::Result<Chosen> {
    let may_change = before.may_change();
    let state = &args.state.state;
    // Two commands that begin in one moment must not both find that there is no run: one looks at a time.
    let _turn = Turn::take(state).map_err(|error| {
        let hint = "; make it writable, or choose another folder with --state";
        anyhow::anyhow!("cannot use the state folder `{}`: {error}{hint}", state.display())
    })?;
    let identity_parts = identity::parts(ready);
    let latest = latest(state, ready, args.task_id.as_deref())?;
    // What comes through a pipe is another input each time; a run that is gone on with has kept its own.
    let is_piped = ready.pipeline.is_piped();
    let begins_anew = args.fresh || (is_piped && !args.resume && args.task_id.is_none());
    let found = match latest {
        Some(found) if !begins_anew => found,
        Some(_) | None if args.resume => {
            let message = format!("there is no run of `{}` to go on with; leave --resume out", ready.pipeline.name);
            return Err(ConfigurationError(message).into());
        }
        earlier => {
            if let (Some((folder, manifest)), true, false) = (&earlier, is_piped, args.fresh)
                && manifest.n_records.len() < manifest.n_steps
            {
                talk::say(format!(
                    "run {} is not finished, and has its standard input kept: `--resume` goes on with it",
                    folder.id()
                ));
            }
            if let (Some((folder, _)), Some(_)) = (&earlier, &args.task_id) {
                let id = folder.id();
                let message = format!(
                    "a run with the id `{id}` exists; give another --task-id, or remove it with `tidemill runs rm {id}`"
                );
                return Err(ConfigurationError(message).into());
            }
            return begin(args, ready, identity_parts, clock.now());
        }
    };
    let (folder, manifest) = found;
    let lock = folder.lock()?;
    let is_asked_for = args.resume || args.task_id.is_some() || !matches!(before, Before::Nothing);
    if !is_asked_for && is_over(ready, &folder, &manifest)? {
        talk::say(format!("run {} is done, and wrote in place: a new run looks for what is pending now", folder.id()));
        drop(lock);
        return begin(args, ready, identity_parts, clock.now());
    }
    if manifest.identity == identity::of(&identity_parts) {
        return Ok(Chosen { folder, manifest, _lock: lock });
    }
    let differences = identity::differences(&manifest.identity_parts, &identity_parts);
    if differences.iter().all(|part| is_among(part, may_change)) {
        let identity = identity::of(&identity_parts);
        let manifest = Manifest { identity, identity_parts, frozen: ready.text.clone(), ..manifest };
        manifest.write(folder.path())?;
        return Ok(Chosen { folder, manifest, _lock: lock });
    }
    let what = differences.join(", ");
    let is_done = manifest.n_records.len() == manifest.n_steps;
    if is_done && !args.resume && args.task_id.is_none() {
        talk::say(format!("the pipeline has changed since run {} was done ({what}): a new run begins", folder.id()));
        drop(lock);
        return begin(args, ready, identity_parts, clock.now());
    }
    let id = folder.id();
    let message = if differences.iter().all(|part| is_among(part, JUDGING)) {
        format!(
            "the pipeline has changed since it began run {id}, and only in how answers are judged: {what}.\n`tidemill \
             reparse {id}` applies that to the answers that are there; --fresh starts over (the old run is kept)."
        )
    } else if is_done {
        format!(
            "run {id} is done, and the pipeline has changed since it began: {what}.\n\
             Answers to the old and the new question must not be mixed. Either undo the change, or start over with \
             --fresh (the old run is kept)."
        )
    } else {
        format!(
            "run {} is not finished, and the pipeline has changed since it began: {what}.\n\
             Answers to the old and the new question must not be mixed. Either undo the change and run again to go on, or \
             start over with --fresh (the old run is kept).",
            folder.id()
        )
    };
    Err(ConfigurationError(message).into())
}

/// Returns whether a run is done and its source is not what it was any more, since the answers went into it: then the same
/// command means what is pending now.
fn is_over(ready: &Ready, folder: &RunFolder, manifest: &Manifest) -> anyhow::Result<bool> {
    if !manifest.told || manifest.n_records.len() < manifest.n_steps {
        return Ok(false);
    }
    let named = ready.named();
    for (name, step) in &ready.pipeline.steps.0 {
        if step.is_table_in_place() && step.source.pending.is_some() {
            return Ok(true);
        }
        let Some(kept) = named.kept(step, folder.path(), name) else { continue };
        let target = named.place(step.sink.path());
        let in_place = named.in_place(folder.path(), name);
        if step.source.pending.is_some() || !connect::is_as_left(&target, &kept, &in_place)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether a part of an identity is one of these keys of a prompt, or of one of its cases.
fn is_among(part: &str, keys: &[&str]) -> bool {
    let Some((_, key)) = part.split_once(".work.prompt.") else { return false };
    let of_case = key.strip_prefix("by.cases.").and_then(|key| Some(key.rsplit_once('.')?.1));
    keys.contains(&of_case.unwrap_or(key))
}

/// The latest run of this pipeline file, or the one with this id.
pub(super) fn latest(state: &Path, ready: &Ready, id: Option<&str>) -> anyhow::Result<Option<(RunFolder, Manifest)>> {
    let mut latest: Option<(RunFolder, Manifest)> = None;
    for folder in RunFolder::list(state)? {
        if id.is_some_and(|id| folder.id() != id) {
            continue;
        }
        let manifest = match Manifest::read(folder.path()) {
            Ok(manifest) => manifest,
            // A run that cannot be read is told, and does not keep others from running.
            Err(error) if id.is_none() => {
                talk::say(format!("warning: {error}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let is_ours = manifest.pipeline == ready.pipeline.name && manifest.file == ready.file;
        if !is_ours && id.is_none() {
            continue;
        }
        if latest.as_ref().is_none_or(|(_, other)| (other.begun, &other.id) <= (manifest.begun, &manifest.id)) {
            latest = Some((folder, manifest));
        }
    }
    Ok(latest)
}

fn begin(
    args: &Run,
    ready: &Ready,
    identity_parts: BTreeMap<String, String>,
    now: Timestamp,
) -> anyhow::Result<Chosen> {
    // Two runs of one pipeline file write the same outputs.
    for folder in RunFolder::list(&args.state.state)? {
        let is_ours = Manifest::read(folder.path()).is_ok_and(|manifest| manifest.file == ready.file);
        if is_ours && let Locked::ByOther(pid) = folder.try_lock()? {
            return Err(store::RunFolderError::Locked { id: folder.id(), pid }.into());
        }
    }
    let id = match &args.task_id {
        Some(id) if is_name(id) => id.clone(),
        Some(id) => {
            let message = format!("`{id}` cannot be a run's id: use letters, digits, `-`, `_` and `.`");
            return Err(ConfigurationError(message).into());
        }
        None => unused(&args.state.state, &format!("{}-{}", ready.pipeline.name, clock::compact(now))),
    };
    let folder = RunFolder::new(&args.state.state, &id);
    folder.create()?;
    let lock = folder.lock()?;
    let manifest = Manifest {
        format: store::FORMAT_VERSION,
        id,
        pipeline: ready.pipeline.name.clone(),
        file: ready.file.clone(),
        frozen: ready.text.clone(),
        identity: identity::of(&identity_parts),
        identity_parts,
        begun: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        limit: args.limit,
        n_steps: ready.pipeline.steps.0.len(),
        sinks: BTreeMap::new(),
        inputs: BTreeMap::new(),
        artefacts: BTreeMap::new(),
        n_records: BTreeMap::new(),
        told: false,
        short: BTreeMap::new(),
        step_names: ready.pipeline.steps.0.iter().map(|(name, _)| name.clone()).collect(),
        simulated: Vec::new(),
        models_file: None,
        prices: domain::price::Prices::default(),
    };
    manifest.write(folder.path())?;
    Ok(Chosen { folder, manifest, _lock: lock })
}

fn is_name(id: &str) -> bool {
    !id.is_empty()
        && !id.starts_with('.')
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Two runs may begin in one second.
fn unused(state: &Path, wanted: &str) -> String {
    let is_free = |id: &String| !RunFolder::new(state, id).path().exists();
    std::iter::once(wanted.to_owned())
        .chain((2_u32..).map(|n| format!("{wanted}-{n}")))
        .find(is_free)
        .unwrap_or_else(|| wanted.to_owned())
}
