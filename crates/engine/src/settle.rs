//! Showing what is settled: the live output, off the engine's own thread.

use std::collections::VecDeque;

use domain::ports::{Merge, Projection, Sink, SinkError};
use tokio::task::JoinHandle;

use crate::run::EngineError;

/// Settled records on their way to the sink. One batch is written at a time; the next one gathers meanwhile.
pub(crate) struct Projector {
    sink: Option<Box<dyn Sink>>,
    waiting: VecDeque<Projection>,
    writing: Option<JoinHandle<(Box<dyn Sink>, Written)>>,
    held_back: Option<String>,
    wants_output: bool,
}

/// What the sink comes back with from its thread.
enum Written {
    /// What became of a batch.
    Batch(Result<(), SinkError>),
    /// An output that was begun. One that cannot be begun now is begun later, and the final one tells why it cannot be.
    Begun(Result<Box<dyn Merge>, SinkError>),
}

/// More settled records than this may not wait for the sink: the slowest stage sets the pace.
const MAX_WAITING: usize = 4096;
const BATCH: usize = 1024;

impl Projector {
    pub(crate) fn new(sink: Box<dyn Sink>) -> Self {
        Self { sink: Some(sink), waiting: VecDeque::new(), writing: None, held_back: None, wants_output: false }
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
        if self.waiting.is_empty() && !self.wants_output {
            return;
        }
        let Some(mut sink) = self.sink.take() else { return };
        if std::mem::take(&mut self.wants_output) {
            self.writing = Some(tokio::task::spawn_blocking(move || {
                let begun = sink.merge();
                (sink, Written::Begun(begun))
            }));
            return;
        }
        let n = self.waiting.len().min(BATCH);
        let batch: Vec<Projection> = self.waiting.drain(..n).collect();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let written = sink.project(&batch);
            (sink, Written::Batch(written))
        }));
    }

    /// Has an output begun as soon as the sink is not busy: [`Projector::written`] gives it.
    pub(crate) fn begin_output(&mut self) {
        self.wants_output = true;
        self.begin();
    }

    /// Ends when the batch that is being written is written, or an output is begun; never, if there is nothing of the kind.
    pub(crate) async fn written(&mut self) -> Result<Option<Result<Box<dyn Merge>, SinkError>>, EngineError> {
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        let joined = writing.await;
        self.writing = None;
        let (sink, written) = joined.map_err(|e| EngineError::Defect(format!("the sink panicked: {e}")))?;
        self.held_back = sink.held_back();
        self.sink = Some(sink);
        let begun = match written {
            Written::Batch(written) => written.map(|()| None)?,
            Written::Begun(begun) => Some(begun),
        };
        self.begin();
        Ok(begun)
    }

    /// Returns why the sink shows nothing at the moment, as it said after the last batch.
    pub(crate) fn held_back(&self) -> Option<&String> {
        self.held_back.as_ref()
    }

    /// Gives the sink back; everything has been shown.
    pub(crate) async fn finish(mut self) -> Result<Box<dyn Sink>, EngineError> {
        self.wants_output = false;
        while !self.is_idle() {
            self.begin();
            self.written().await?;
        }
        self.sink.ok_or_else(|| EngineError::Defect("the sink is gone".to_owned()))
    }
}
