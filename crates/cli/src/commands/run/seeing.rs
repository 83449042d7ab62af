//! How a run is seen and steered while it goes: its progress, its control socket, the signals, the disk's forecast.

use std::{path::Path, sync::Arc};

use domain::{Billed, Reporter, StepNumber};
use engine::{Control, Status, Step};
use tokio::{sync::watch, task::JoinHandle};

use super::Working;
use crate::{
    control::{ControlSocket, Ended},
    disk_forecast::{self, Expected},
    exit::{self, Exit},
    progress::{Facts, Mode, Progress},
    signals, talk,
};

/// Text takes so many times as much as it does compressed, more or less.
const COMPRESSION: u64 = 5;

/// What shows a run and takes wishes for it.
pub(super) struct Seen {
    status: Arc<Status>,
    control: watch::Sender<Control>,
    progress: Progress,
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
        let progress = Progress::begin(mode, facts, Arc::clone(&status), clock, control.subscribe());
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
        Ok(Self { status, control, progress, socket })
    }

    /// Returns what the engine tells of.
    pub(super) fn reporter(&self) -> Arc<dyn Reporter> {
        self.status.clone()
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
        if let Some(socket) = self.socket {
            socket.end(ended(exit)).await;
        }
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

/// A forecast that is told when the records are counted, or never.
pub(super) struct Forecasting(JoinHandle<()>);

impl Drop for Forecasting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Working<'_> {
    /// Tells what the step will take of the disk as soon as its records are counted.
    pub(super) fn forecast(&self, seen: &Seen, step: &Step, output: &Path) -> Option<Forecasting> {
        // A part of a source says nothing of the rest.
        if self.args.limit.is_some() || self.args.sample.is_some() {
            return None;
        }
        let input = self.chosen.manifest.inputs.get(&step.name)?;
        let is_compressed = |name: &String| {
            Path::new(name).extension().is_some_and(|extension| extension == "gz" || extension == "zst")
        };
        let bytes = input
            .parts
            .iter()
            .zip(&input.lengths)
            .map(|(name, length)| length.saturating_mul(if is_compressed(name) { COMPRESSION } else { 1 }));
        // Each record stands in the output once for each of its samples.
        let source_bytes = bytes.sum::<u64>().saturating_mul(u64::from(step.handler.samples().max(1)));
        let (step, output) = (step.name.clone(), output.to_owned());
        let (folder, state) = (self.chosen.folder.clone(), self.args.state.state.clone());
        let mut watched = seen.progress.watched();
        Some(Forecasting(tokio::spawn(async move {
            let counted =
                watched.wait_for(|now| now.as_ref().is_some_and(|now| now.step == step && now.total.is_some()));
            let Ok(Some((n_records, n_settled))) =
                counted.await.map(|now| now.as_ref().and_then(|now| Some((now.total?, now.settled))))
            else {
                return;
            };
            let told = tokio::task::spawn_blocking(move || {
                let journal_bytes = folder.size();
                let expected = Expected { n_records, n_settled, source_bytes, journal_bytes, answer_bytes: None };
                disk_forecast::told(&expected, &state, &output)
            });
            if let Ok(Some(told)) = told.await {
                talk::say(told);
            }
        })))
    }
}
