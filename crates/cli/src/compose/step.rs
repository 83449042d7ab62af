//! A step with a real source, a real sink and a real model.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use connect::{Input, Place};
use domain::{
    StepNumber,
    ports::{KeyTable, ModelClient, RequestTable, Sink, SinkError, SourceError},
};
use engine::{Backoff, Budgets, Flow, Pause, Step, Until};
use store::{LocalDisk, Requests, RunFolder, UserKeys};

use super::{environment, work};
use crate::pipeline::{FlowConfig, Named, Reader, Ready, StepConfig, Written};

/// What a step is composed from.
pub(crate) struct Parts<'a> {
    pub(crate) ready: &'a Ready,
    pub(crate) number: StepNumber,
    pub(crate) name: &'a str,
    pub(crate) step: &'a StepConfig,
    pub(crate) folder: &'a RunFolder,
    pub(crate) limit: Option<u64>,
    pub(crate) seed: u64,
    /// Whether columns that a table lacks are made.
    pub(crate) creates: bool,
}

/// Makes the source of a step, for comparing it with what it was.
///
/// # Errors
/// Where standard input cannot be kept.
pub(crate) fn source(parts: &Parts<'_>) -> anyhow::Result<Arc<Input>> {
    let (table, named, folder) = (&parts.step.source.table, parts.ready.named(), parts.folder.path());
    if let Some(kept) = named.kept(parts.step, folder, parts.name) {
        if !kept.path.exists() {
            let from = named.place(table.path());
            let mut file = std::fs::File::open(&from.path)
                .with_context(|| format!("cannot read `{}`; the answers are to go into it", from.name))?;
            connect::spool(&mut file, &kept)?;
        }
        return at(&named, parts.number, parts.step, kept, None);
    }
    let place = named.source(table, folder, parts.name);
    // It can be read once, and a run reads its source more often: what came in first is what the run is about.
    if table.is_standard_input() && !place.path.exists() {
        connect::spool(&mut std::io::stdin().lock(), &place)?;
    }
    let run = parts.folder.id();
    at(&named, parts.number, parts.step, place, Some(Reader { folder, run: &run }))
}

/// As [`source`], where there is no run.
///
/// # Errors
/// Where records are read from standard input, which would be lost for the run.
pub(crate) fn source_of(ready: &Ready, number: StepNumber, step: &StepConfig) -> anyhow::Result<Arc<Input>> {
    let table = &step.source.table;
    if table.is_standard_input() {
        anyhow::bail!("standard input can be read once; save it in a file, and name that in `source:`");
    }
    at(&ready.named(), number, step, ready.place(table.path()), None)
}

fn at(
    named: &Named<'_>,
    number: StepNumber,
    step: &StepConfig,
    place: Place,
    reader: Option<Reader<'_>>,
) -> anyhow::Result<Arc<Input>> {
    let input = named.input(step, number, place, reader);
    Ok(Arc::new(input.map_err(|mistake| SourceError(mistake.message))?))
}

/// Makes a step around its source, which was compared with what it was: the length that it had then is how far it is
/// read, in every pass.
///
/// # Errors
/// Where its parts do not fit together, which checking the pipeline should have told, or the table of user keys cannot
/// be opened.
pub(crate) fn compose(parts: &Parts<'_>, source: Arc<Input>, models: Arc<dyn ModelClient>) -> anyhow::Result<Step> {
    let Parts { ready, number, name, step, folder, limit, seed, creates } = parts;
    let work = work::work(ready, step, models)?;
    let sink: Box<dyn Sink> = if step.sink.is_database() {
        let run = folder.id();
        let written = Written { input: &source, folder: folder.path(), run: &run, number: *number, creates: *creates };
        let sink = ready.named().table_sink(step, &written);
        Box::new(sink.map_err(|mistake| SinkError::new(mistake.message))?)
    } else {
        let places = ready.named().sink(step, folder.path(), name);
        Box::new(step.sink.sink(places, &work.new_fields, &folder.id(), source.files())?)
    };
    #[cfg(debug_assertions)]
    let sink = crate::kill_points::sink(sink);
    let keys = match step.source.table.key() {
        Some(_) => Some(open_keys(folder, *number)?),
        None => None,
    };
    Ok(Step {
        number: *number,
        name: (*name).to_owned(),
        source,
        handler: work.handler,
        sink,
        flow: Flow {
            until: work.until.map(|(accepted, candidates)| Until { accepted, candidates }),
            ..flow(&step.flow, *seed)
        },
        limit: *limit,
        keys,
        requests: if work.dedupes { Some(open_requests(folder, *number)?) } else { None },
    })
}

fn open_requests(folder: &RunFolder, number: StepNumber) -> anyhow::Result<Box<dyn RequestTable>> {
    Ok(Box::new(Requests::open(Arc::new(LocalDisk), folder, number, environment::boot())?))
}

fn open_keys(folder: &RunFolder, number: StepNumber) -> anyhow::Result<Box<dyn KeyTable>> {
    let path = folder.path().join(Path::new(&format!("keys-{number}")));
    Ok(Box::new(UserKeys::open(Arc::new(LocalDisk), &path, environment::boot())?))
}

fn flow(config: &FlowConfig, seed: u64) -> Flow {
    let usual = Flow::default();
    let or = |span: Option<simulate::Span>, usual: Duration| span.map_or(usual, |span| span.0);
    Flow {
        max_in_flight: config.max_in_flight.unwrap_or(usual.max_in_flight),
        budgets: Budgets { api: config.retries.api, content: config.retries.content, system: config.retries.system },
        backoff: Backoff {
            first: or(config.backoff.first, usual.backoff.first),
            max: or(config.backoff.max, usual.backoff.max),
        },
        pause: config.pause.map(|pause| Pause { lasts: pause.r#for.0, window: pause.window.0 }),
        deadline: or(config.deadline, usual.deadline),
        grace: or(config.grace, usual.grace),
        save_every: config.save_every.map(|span| span.0),
        seed,
        ..usual
    }
}
