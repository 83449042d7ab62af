//! Opening what a run works with: its journal, its sources.

use std::{path::PathBuf, sync::Arc};

use domain::ports::{Change, Disk, Journal as _, Recovered, Source};
use engine::EngineError;
use store::{Journal, LocalDisk, Options};

use super::Working;
use crate::{
    args::Run,
    commands::choose::Chosen,
    pipeline::{Ready, StepConfig},
    progress::{counted, thousands},
    talk,
};

/// Returns the folder of the models file.
pub(super) fn models_folder(args: &Run, ready: &Ready) -> PathBuf {
    let path = models_path(args, ready).unwrap_or_default();
    path.parent().map(PathBuf::from).unwrap_or_default()
}

/// Returns the models file, absolute.
pub(super) fn models_file(args: &Run, ready: &Ready) -> Option<PathBuf> {
    std::path::absolute(models_path(args, ready)?).ok()
}

fn models_path(args: &Run, ready: &Ready) -> Option<PathBuf> {
    match (&args.models, &ready.pipeline.models) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(path)) => Some(ready.place(path).path),
        (None, None) => None,
    }
}

/// Opens the journal of the chosen run, and tells what is odd about it.
pub(super) fn open_journal(reask_damaged: bool, chosen: &Chosen) -> anyhow::Result<(Journal, Recovered)> {
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
    #[cfg(debug_assertions)]
    let disk = crate::kill_points::disk(disk);
    let folder = chosen.folder.journal();
    let tag = xxhash_rust::xxh3::xxh3_64(chosen.manifest.id.as_bytes());
    let options = Options { accept_damage: reask_damaged, ..Options::default() };
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
    if !recovered.damage.is_empty() && !reask_damaged {
        anyhow::bail!(
            "a part of the journal cannot be read, and with it the outcomes of some records. Put the file back from a \
             backup, or run again with --reask-damaged: those records are asked (and paid for) again"
        );
    }
    if reask_damaged {
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

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    Unchanged,
    Appended,
}

impl Working<'_> {
    /// Tells that the file which a step reads and writes was saved by somebody else since the run read it.
    pub(super) fn tell_changed_meanwhile(&self, name: &str, step: &StepConfig) -> anyhow::Result<()> {
        let (named, folder) = (self.ready.named(), self.chosen.folder.path());
        let Some(kept) = named.kept(step, folder, name) else { return Ok(()) };
        let target = named.place(step.sink.path());
        if !connect::is_as_left(&target, &kept, &named.in_place(folder, name))? {
            talk::say(format!(
                "step {name}: `{}` was changed since run {} read it: the run goes on with what it read, and rows that were \
                 changed since end as `conflict`; --fresh starts over (the old run is kept)",
                target.name,
                self.chosen.folder.id()
            ));
        }
        Ok(())
    }
}

/// Compares a step's source with what it was when the run began.
pub(super) fn compare(source: &dyn Source, step: &str, chosen: &mut Chosen) -> anyhow::Result<Compared> {
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
