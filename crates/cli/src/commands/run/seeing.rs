//! How a run is seen and steered while it goes: its progress, its control socket, the signals, the disk's forecast.

use std::{path::Path, sync::Arc};

use domain::{Billed, Event, Reporter, StepNumber, ports::Starts};
use engine::{Control, Status, Step};
use tokio::sync::watch;

use super::Working;
use crate::{
    control::{ControlSocket, Ended},
    disk_forecast::{self, Expected},
    exit::{self, Exit},
    progress::{Facts, Mode, Progress, ProgressFile},
    signals, talk,
};

/// Text takes so many times as much as it does compressed, more or less.
const COMPRESSION: u64 = 5;
/// So many records tell what the others are like.
const FIRST: usize = 256;

/// What shows a run and takes wishes for it.
pub(super) struct Seen {
    status: Arc<Status>,
    control: watch::Sender<Control>,
    progress: Progress,
    /// None unless it is asked for.
    file: Option<ProgressFile>,
    /// None where it could not be made.
    socket: Option<ControlSocket>,
}

impl Seen {
    /// Begins, on the run's runtime. The run's lock is held.
    pub(super) fn begin(work: &Working<'_>, mode: Mode, control: watch::Sender<Control>) -> anyhow::Result<Self> {
        signals::listen(control.clone())?;
        let status = Arc::new(Status::default());
        let manifest = &work.chosen.manifest;
        let mut billed_before = Billed::default();
        work.recovered.billed.values().for_each(|billed| billed_before.extend(billed));
        let facts = Facts {
            run: manifest.id.clone(),
            pipeline: manifest.pipeline.clone(),
            prices: manifest.prices.clone(),
            billed_before,
            ..Facts::default()
        };
        let clock = Arc::clone(&work.clock);
        let progress = Progress::begin(mode, facts, Arc::clone(&status), Arc::clone(&clock), control.subscribe());
        let file = work.args.progress_file.as_ref();
        let file = file.map(|path| ProgressFile::begin(path, progress.watched(), clock));
        let folder = work.chosen.folder.path();
        let socket = match ControlSocket::bind(folder, &manifest.id, control.clone(), progress.watched()) {
            Ok(socket) => Some(socket),
            Err(error) => {
                talk::say(format!(
                    "warning: no control socket can be made in `{}` ({error}): monitor, pause and cancel will not reach this \
                     process",
                    folder.display()
                ));
                None
            }
        };
        Ok(Self { status, control, progress, file, socket })
    }

    /// Returns what the engine tells of.
    pub(super) fn reporter(&self) -> Arc<dyn Reporter> {
        Arc::new(Aloud(Arc::clone(&self.status)))
    }

    /// Returns what the user wishes.
    pub(super) fn control(&self) -> watch::Receiver<Control> {
        self.control.subscribe()
    }

    /// A step begins: how its records have ended so far is known to the journal alone.
    pub(super) fn step_begins(&self, work: &Working<'_>, number: StepNumber) {
        self.progress.begin_from(number, work.recovered.tally.get(&number).cloned().unwrap_or_default());
    }

    /// A step is over, in whatever way.
    pub(super) fn step_over(&self) {
        self.progress.step_over();
    }

    /// The process is done with the run: tells those who watch.
    pub(super) async fn end(self, exit: &anyhow::Result<Exit>) {
        if let Some(file) = self.file {
            file.end(matches!(exit, Ok(Exit::Done | Exit::Beyond | Exit::Stopped))).await;
        }
        if let Some(socket) = self.socket {
            socket.end(ended(exit)).await;
        }
    }
}

/// Says what is worth a sentence at once, and hands everything on.
struct Aloud(Arc<Status>);

impl Reporter for Aloud {
    fn on(&self, event: &Event) {
        if let Event::NotSaved { reason, .. } = event {
            talk::say(format!("not saved this time, and the run goes on: {reason}"));
        }
        self.0.on(event);
    }
}

fn ended(exit: &anyhow::Result<Exit>) -> Ended {
    let (exit, message) = match exit {
        Ok(exit @ Exit::Done) => (*exit, "over: everything is settled".to_owned()),
        Ok(exit @ Exit::Beyond) => (
            *exit,
            "over: some records failed, were skipped or cancelled beyond what is tolerated, or are open".to_owned(),
        ),
        Ok(exit @ Exit::Stopped) => {
            (*exit, "stopped early: no key, credit, budget or model is left; it can be gone on with".to_owned())
        }
        Ok(exit @ Exit::Interrupted) => (*exit, "interrupted; everything settled is safe".to_owned()),
        Ok(exit) => (*exit, "ended".to_owned()),
        Err(error) => (exit::of(error), format!("stopped by an error: {error:#}")),
    };
    Ended { exit_status: exit as u8, message }
}

impl Working<'_> {
    /// Tells what the step will take of the disk, where that is worth telling: reckoned from the length of its source and
    /// the first records in it.
    pub(super) async fn forecast(&self, step: &Step, output: &Path) {
        // A sample takes next to nothing.
        if self.args.sample.is_some() {
            return;
        }
        let Some(expected) = self.expected(step).await else { return };
        let (state, output) = (self.args.state.state.clone(), output.to_owned());
        let told = tokio::task::spawn_blocking(move || disk_forecast::told(&expected, &state, &output)).await;
        if let Ok(Some(told)) = told {
            talk::say(told);
        }
    }

    /// Reckons what is to be expected; `None` where the source cannot be read, which is told when it is.
    async fn expected(&self, step: &Step) -> Option<Expected> {
        let input = self.chosen.manifest.inputs.get(&step.name)?;
        let is_compressed = |name: &String| {
            Path::new(name).extension().is_some_and(|extension| extension == "gz" || extension == "zst")
        };
        let lengths = input
            .parts
            .iter()
            .zip(&input.lengths)
            .map(|(name, length)| length.saturating_mul(if is_compressed(name) { COMPRESSION } else { 1 }));
        let length: u64 = lengths.sum();
        let reads = step.source.open(&Starts::new()).ok()?.next(FIRST).await.ok()?;
        let last = reads.last()?;
        let n_first = reads.len() as u64;
        // So many bytes of the source are so many records.
        let n_in_source = match last.next_offset {
            0 => n_first,
            offset => u64::try_from(u128::from(n_first) * u128::from(length) / u128::from(offset)).ok()?.max(1),
        };
        let samples = u64::from(step.handler.samples().max(1));
        let n_records = n_in_source.min(step.limit.unwrap_or(u64::MAX)).saturating_mul(samples);
        let first_bytes: u64 = reads.iter().map(|read| read.record.bytes.len() as u64).sum();
        Some(Expected {
            n_records,
            n_settled: self.recovered.settled.n_settled(step.number),
            record_bytes: first_bytes / n_first,
            journal_bytes: self.chosen.folder.size(),
            answer_bytes: None,
        })
    }
}
