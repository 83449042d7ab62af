//! Saves: outputs that are put in place while the run goes on.

use std::{sync::Arc, time::Duration};

use domain::{
    Event,
    ports::{Merge, SinkError, Source},
};
use tokio::{task::JoinHandle, time::Instant};

use super::Flowing;
use crate::{finish, run::EngineError};

/// When the next save is due, or the one that is being made.
pub(super) struct Saves {
    every: Option<Duration>,
    source: Arc<dyn Source>,
    limit: Option<u64>,
    due: Option<Instant>,
    begun_at: Instant,
    saving: Option<JoinHandle<Result<(), EngineError>>>,
    /// What was settled when the last save was begun: without anything new there is nothing to save.
    n_settled: u64,
}

/// What there is to do.
pub(super) enum Save {
    /// A save is due.
    Due,
    /// One is over; why it was not made, if so.
    Over(Option<String>),
}

impl Saves {
    pub(super) fn new(every: Option<Duration>, source: &Arc<dyn Source>, limit: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            every,
            source: Arc::clone(source),
            limit,
            due: every.map(|every| now + every),
            begun_at: now,
            saving: None,
            n_settled: 0,
        }
    }

    /// Ends when a save is due, or over; never, where there are none.
    pub(super) async fn next(&mut self) -> Save {
        if let Some(saving) = &mut self.saving {
            let saved = saving.await;
            self.saving = None;
            return Save::Over(match saved {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            });
        }
        match self.due {
            Some(due) => {
                tokio::time::sleep_until(due).await;
                Save::Due
            }
            None => std::future::pending().await,
        }
    }

    /// Waits for the save that is being made: the next output takes its place.
    pub(super) async fn end(&mut self) {
        self.due = None;
        if let Some(saving) = self.saving.take() {
            // The final output tells what stands in the way, if it still does.
            let _ = saving.await;
        }
    }
}

impl Flowing<'_> {
    /// Begins a save that is due, and sees to the next one where one is over.
    pub(super) fn save(&mut self, save: Save) {
        match save {
            Save::Over(reason) => self.saved(reason),
            Save::Due => {
                let n_settled = self.recovered.settled.n_settled(self.step);
                let has_news = n_settled > self.saves.n_settled;
                self.saves.n_settled = n_settled;
                self.saves.begun_at = Instant::now();
                self.saves.due = self.saves.every.filter(|_| !has_news).map(|every| Instant::now() + every);
                if has_news {
                    self.projector.begin_output();
                }
            }
        }
    }

    /// Goes on with a save whose output was begun.
    pub(super) fn begun(&mut self, merge: Option<Result<Box<dyn Merge>, SinkError>>) {
        match merge {
            None => {}
            Some(Err(error)) => self.saved(Some(error.message)),
            Some(Ok(merge)) => {
                let journal = Arc::clone(&self.context.journal);
                let (source, limit) = (Arc::clone(&self.saves.source), self.saves.limit);
                self.saves.saving = Some(tokio::spawn(finish::save(self.step, source, journal, merge, limit)));
            }
        }
    }

    fn saved(&mut self, reason: Option<String>) {
        if let Some(reason) = reason {
            self.context.reporter.on(&Event::NotSaved { step: self.step, reason });
        }
        let took = self.saves.begun_at.elapsed();
        self.saves.due = self.saves.every.map(|every| Instant::now() + finish::next_after(took, every));
    }
}
