//! `tidemill retry`, `reparse` and `cancel`: more work on a run that exists.

use store::{Locked, Manifest};

use super::{
    pause,
    run::{self, Before},
    runs,
};
use crate::{
    args::{Cancel, Existing, Reparse, Retry, Run},
    compose::environment,
    exit::Exit,
};

/// Tries failed records again.
pub(super) fn retry(args: &Retry) -> anyhow::Result<Exit> {
    run::start(&as_run(&args.existing)?, &Before::Retry(args.kinds.clone()))
}

/// Applies the rules of now to the answers of a run.
pub(super) fn reparse(args: &Reparse) -> anyhow::Result<Exit> {
    run::start(&as_run(&args.existing)?, &Before::Reparse { asks: !args.no_ask })
}

/// Calls a run off, whether a process works on it or not.
pub(super) fn cancel(args: &Cancel) -> anyhow::Result<Exit> {
    let existing = &args.existing;
    let folder = runs::find(&existing.state.state, &existing.run)?;
    if let Locked::ByOther(_) = folder.try_lock()? {
        return pause::call_off(&folder, args.no_wait, existing.progress);
    }
    run::start(&as_run(existing)?, &Before::CallOff)
}

/// What `tidemill run` would be told to go on with the run.
fn as_run(existing: &Existing) -> anyhow::Result<Run> {
    let folder = runs::find(&existing.state.state, &existing.run)?;
    let manifest = Manifest::read(folder.path())?;
    Ok(Run {
        models: existing.models.clone().or(manifest.models_file),
        limit: manifest.limit,
        resume: true,
        task_id: Some(folder.id()),
        json: existing.json,
        progress: existing.progress,
        state: existing.state.clone(),
        ..Run::of(environment::from_here(&manifest.file))
    })
}
