//! Showing what is settled: the live output, off the engine's own thread.

use std::collections::VecDeque;

use domain::ports::{Projection, Sink, SinkError};
use tokio::task::JoinHandle;

use crate::run::EngineError;

/// Settled records on their way to the sink. One batch is written at a time; the next one gathers meanwhile.
pub(crate) struct Projector {
    sink: Option<Box<dyn Sink>>,
    waiting: VecDeque<Projection>,
    writing: Option<JoinHandle<Written>>,
    held_back: Option<String>,
}

/// The sink comes back from its thread with what became of the batch.
type Written = (Box<dyn Sink>, Result<(), SinkError>);

/// More settled records than this may not wait for the sink: the slowest stage sets the pace.
const MAX_WAITING: usize = 4096;
const BATCH: usize = 1024;

impl Projector {
    pub(crate) fn new(sink: Box<dyn Sink>) -> Self {
        Self { sink: Some(sink), waiting: VecDeque::new(), writing: None, held_back: None }
    }

    /// Takes settled records and begins to write if nothing is being written.
    pub(crate) fn show(&mut self, settled: impl IntoIterator<Item = Projection>) {
        self.waiting.extend(settled);
        self.begin();
    }

    /// Returns whether the sink is too far behind.
    pub(crate) fn is_behind(&self) -> bool {
        self.waiting.len() > MAX_WAITING
    }

    /// Returns whether everything is shown.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.writing.is_none()
    }

    fn begin(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let Some(mut sink) = self.sink.take() else { return };
        let n = self.waiting.len().min(BATCH);
        let batch: Vec<Projection> = self.waiting.drain(..n).collect();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let written = sink.project(&batch);
            (sink, written)
        }));
    }

    /// Ends when the batch that is being written is written; never, if there is none.
    pub(crate) async fn written(&mut self) -> Result<(), EngineError> {
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        let joined = writing.await;
        self.writing = None;
        let (sink, written) = joined.map_err(|e| EngineError::Defect(format!("the sink panicked: {e}")))?;
        self.held_back = sink.held_back();
        self.sink = Some(sink);
        written?;
        self.begin();
        Ok(())
    }

    /// Returns why the sink shows nothing at the moment, as it said after the last batch.
    pub(crate) fn held_back(&self) -> Option<&String> {
        self.held_back.as_ref()
    }

    /// Gives the sink back; everything has been shown.
    pub(crate) async fn finish(mut self) -> Result<Box<dyn Sink>, EngineError> {
        while !self.is_idle() {
            self.begin();
            self.written().await?;
        }
        self.sink.ok_or_else(|| EngineError::Defect("the sink is gone".to_owned()))
    }
}
