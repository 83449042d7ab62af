//! Reading parts on a thread of its own.

use std::{collections::VecDeque, io, sync::Arc, vec};

use domain::{
    BoxFuture, Read, StepNumber,
    ports::{Records, SourceError, Starts},
};
use tokio::sync::mpsc;

use super::{AnswerColumns, Format, Last, Shape as _, Splitter, Started, cut::About};
use crate::{
    ByteSize,
    file::{Part, cannot},
};

/// How much is read at once. Records are slices of the block, so one that waits for a retry keeps its block alive: with
/// 4,096 records in flight blocks of this size hold 256 MiB at the very worst, and larger ones are not faster.
pub(super) const BLOCK: usize = 64 << 10;

/// How much is read at once for counting.
const COUNTED: usize = 256 << 10;

/// Blocks that may wait for the engine.
const BLOCKS_AHEAD: usize = 4;

/// What the reading thread says.
enum Batch {
    /// The records that ended in one block.
    Reads(Vec<Read>),
    /// The parts are over. Said explicitly, so that a thread that died is not taken for the end.
    End,
    /// They cannot be read on.
    Broken(SourceError),
}

/// What is read, and how it is called.
pub(super) struct Reading<F> {
    pub(super) format: Arc<F>,
    pub(super) parts: Arc<[Part]>,
    pub(super) step: StepNumber,
    pub(super) max: ByteSize,
    /// The columns of answers, where a record that has them is only passed over.
    pub(super) answers: AnswerColumns,
}

impl<F: Format> Reading<F> {
    /// Begins with a part where `starts` says.
    pub(super) fn start(&self, part: &Part, starts: &Starts) -> Result<Begun<F>, SourceError> {
        let (position, offset) = starts.get(&part.number).copied().unwrap_or_default();
        let answers = self.answers.clone();
        let mut about = About { answers, ..about(&*self.format, part, self.step, self.max) };
        let Started { reader, offset, shape } = self.format.start(part, offset, &mut about)?;
        Ok(Begun { reader, splitter: Splitter::new(about, shape, position, offset) })
    }

    /// Starts the thread. It ends with the last part, or when the receiver is dropped.
    pub(super) fn aside(self, name: &str, starts: Starts) -> Result<Box<dyn Records>, SourceError> {
        // What is wrong with the first part is told at once, unless it takes long to get there.
        let first = match self.parts.first() {
            Some(part) if part.is_plain() => Some(self.start(part, &starts)?),
            _ => None,
        };
        let (sender, batches) = mpsc::channel(BLOCKS_AHEAD);
        let thread = std::thread::Builder::new().name("table-read".to_owned());
        let spawned = thread.spawn(move || {
            let end = match self.run(first, &starts, &sender) {
                Ok(true) => Batch::End,
                Ok(false) => return,
                Err(error) => Batch::Broken(error),
            };
            // That nobody listens any more is the only thing that can go wrong.
            let _ = sender.blocking_send(end);
        });
        spawned.map_err(|error| SourceError(format!("cannot read `{name}`: no thread for it ({error})")))?;
        Ok(Box::new(Batches { name: name.to_owned(), batches, ready: Vec::new().into_iter(), is_over: false }))
    }

    /// Reads to the end of the last part; returns false where nobody listens any more.
    fn run(
        &self,
        mut first: Option<Begun<F>>,
        starts: &Starts,
        sender: &mpsc::Sender<Batch>,
    ) -> Result<bool, SourceError> {
        for part in &*self.parts {
            let begun = match first.take() {
                Some(begun) => begun,
                None => self.start(part, starts)?,
            };
            let Begun { mut reader, mut splitter } = begun;
            loop {
                let mut cut = Vec::new();
                let block = reader.block(BLOCK).map_err(|error| broken(part, &error))?;
                let is_over = block.is_empty();
                let done = if is_over { splitter.finish(&mut cut) } else { splitter.push(&block.into(), &mut cut) };
                while !cut.is_empty() {
                    if sender.blocking_send(Batch::Reads(splitter.dress(&mut cut))).is_err() {
                        return Ok(false);
                    }
                }
                done.map_err(SourceError)?;
                // A block in the middle of a long record sends nothing, so this is where a dropped receiver is noticed.
                if sender.is_closed() {
                    return Ok(false);
                }
                if is_over {
                    break;
                }
            }
        }
        Ok(true)
    }
}

/// Records that are read by whoever wants the next one, in its own thread.
pub(crate) type Rows = Box<dyn Iterator<Item = Result<Read, SourceError>> + Send>;

/// Reads the parts from their beginning.
pub(super) struct Here<F: Format> {
    reading: Reading<F>,
    n_begun: usize,
    begun: Option<Begun<F>>,
    /// What was cut, and no record made of it yet.
    cut: Vec<Read>,
    ready: VecDeque<Read>,
    /// What stands in the way behind these.
    broken: Option<SourceError>,
    /// Whether the part was read to its end.
    is_over: bool,
}

impl<F: Format> Here<F> {
    pub(super) fn new(reading: Reading<F>) -> Self {
        Self { reading, n_begun: 0, begun: None, cut: Vec::new(), ready: VecDeque::new(), broken: None, is_over: false }
    }

    /// Reads one block, or makes records of what is left of one; returns whether there was anything.
    fn block(&mut self) -> Result<bool, SourceError> {
        if let (false, Some(begun)) = (self.cut.is_empty(), &mut self.begun) {
            self.ready.extend(begun.splitter.dress(&mut self.cut));
            return Ok(true);
        }
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        if self.is_over {
            (self.begun, self.is_over) = (None, false);
        }
        let Some(begun) = &mut self.begun else {
            let Some(part) = self.reading.parts.get(self.n_begun) else { return Ok(false) };
            self.begun = Some(self.reading.start(part, &Starts::new())?);
            self.n_begun += 1;
            return Ok(true);
        };
        let part = &self.reading.parts[self.n_begun - 1];
        let block = begun.reader.block(BLOCK).map_err(|error| broken(part, &error))?;
        self.is_over = block.is_empty();
        let done = match self.is_over {
            true => begun.splitter.finish(&mut self.cut),
            false => begun.splitter.push(&block.into(), &mut self.cut),
        };
        self.broken = done.err().map(SourceError);
        Ok(true)
    }
}

impl<F: Format> Iterator for Here<F> {
    type Item = Result<Read, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            match self.block() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    // Behind it there is nothing.
                    (self.begun, self.reading.parts) = (None, Arc::from([]));
                    return Some(Err(error));
                }
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

fn about<F: Format>(format: &F, part: &Part, step: StepNumber, max: ByteSize) -> About {
    let name = Arc::from(part.place.name.as_str());
    About { name, words: format.words(), step, part: part.number, max, first: 1, answers: AnswerColumns::default() }
}

/// Counts the records of a part without making any.
pub(super) fn count<F: Format>(format: &F, part: &Part) -> Result<u64, SourceError> {
    let mut about = about(format, part, 0, ByteSize(u64::MAX));
    let Started { mut reader, mut shape, .. } = format.start(part, 0, &mut about)?;
    let wrong = |what: String| SourceError(format!("`{}` {what}", part.place.name));
    let (mut n, mut n_behind) = (0, 0);
    loop {
        let block = reader.block(COUNTED).map_err(|error| broken(part, &error))?;
        if block.is_empty() {
            let last = shape.end(n_behind).map_err(wrong)?;
            return Ok(n + u64::from(!matches!(last, Last::Nothing)));
        }
        let (ended, behind) = shape.count(&block).map_err(|(_, what)| wrong(format!("cannot be read on: {what}")))?;
        n += ended;
        n_behind = if ended > 0 { behind } else { n_behind + behind };
    }
}

pub(super) fn broken(part: &Part, error: &io::Error) -> SourceError {
    SourceError(cannot("read", &part.place, error))
}

/// A part that is being read, with what cuts it.
pub(super) struct Begun<F: Format> {
    pub(super) reader: crate::file::Reader,
    pub(super) splitter: Splitter<F::Shape>,
}

/// What the thread has read.
struct Batches {
    name: String,
    batches: mpsc::Receiver<Batch>,
    ready: vec::IntoIter<Read>,
    is_over: bool,
}

impl Records for Batches {
    fn next(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<Read>, SourceError>> {
        Box::pin(async move {
            while self.ready.len() == 0 && !self.is_over {
                match self.batches.recv().await {
                    Some(Batch::Reads(reads)) => self.ready = reads.into_iter(),
                    Some(Batch::End) => self.is_over = true,
                    Some(Batch::Broken(error)) => return Err(error),
                    None => {
                        let message = format!("the thread that reads `{}` ended before the file did", self.name);
                        return Err(SourceError(message));
                    }
                }
            }
            Ok(self.ready.by_ref().take(max.max(1)).collect())
        })
    }
}
