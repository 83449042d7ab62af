//! Keeping the flow full: no batches, no barriers; whatever ends is replaced at once.
//!
//! One loop puts everything that happens in line: records from the feed, ends of attempts, timers, the user's wishes.
//! Attempts run as tasks of their own and come back as messages; only this loop changes what the run knows.

mod queued;
mod slots;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use domain::{
    AnswerMeta, End, Event, Failure, FailureGroup, Planned, RecordKey, Spent, StepNumber, StopReason, Timestamp,
    Waiting,
    ports::{Handler, KeyTable, NotBefore, Projection, Recovered, Sink, Source},
};
use tokio::{
    sync::{Notify, mpsc},
    task::{JoinError, JoinHandle, JoinSet},
    time::Instant,
};

use queued::Queued;
use slots::{NO_SLOT, Slots};

use crate::{
    admit::{Admitted, Gate},
    execute::{self, Attempt, AttemptEnd, Shared},
    feed::{Fed, FedAll, Feed, Item},
    retry::Jitter,
    run::{Context, Control, EngineError, Flow},
    settle::Projector,
};

/// One reading of the source.
pub(crate) struct Pass {
    pub(crate) step: StepNumber,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) flow: Flow,
    pub(crate) limit: Option<u64>,
    pub(crate) keys: Option<Box<dyn KeyTable>>,
}

/// What a pass gives back.
pub(crate) struct PassDone {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) keys: Option<Box<dyn KeyTable>>,
}

/// How a pass ended.
pub(crate) enum PassEnd {
    /// The source was read to its end, and whatever was begun has ended.
    Read {
        /// Whether every one of them is settled; if not, another pass is due.
        is_settled: bool,
    },
    /// It stopped early, with so many answers lost in flight.
    Stopped(StopReason, usize),
}

/// So many items may be ready before the feed has to wait.
const MAX_READY: usize = 256;
/// So many items may wait for their next attempt.
const MAX_BACKOFF: usize = 8192;
/// So much memory may the items that are not in flight hold, beyond a first one.
const MAX_HELD: usize = 32 << 20;
/// So many answers may be here without being durable.
const MAX_UNCOMMITTED: usize = 2048;

/// Runs one pass.
pub(crate) async fn run_pass(
    pass: Pass,
    context: &Context,
    recovered: &mut Recovered,
) -> Result<(PassEnd, PassDone), EngineError> {
    let shared = Arc::new(Shared {
        handler: Arc::clone(&pass.handler),
        journal: Arc::clone(&context.journal),
        clock: Arc::clone(&context.clock),
        reporter: Arc::clone(&context.reporter),
        budgets: pass.flow.budgets,
        deadline: pass.flow.deadline,
        n_asking: AtomicUsize::new(0),
        answered: Notify::new(),
        n_uncommitted: AtomicUsize::new(0),
        next_derived: AtomicU64::new(recovered.next_derived.get(&pass.step).copied().unwrap_or_default()),
    });
    let mine = |key: &RecordKey| key.step == pass.step;
    let feed = Feed {
        step: pass.step,
        source: Arc::clone(&pass.source),
        handler: Arc::clone(&pass.handler),
        limit: pass.limit,
        keys: pass.keys,
        settled: recovered.settled.clone(),
        spent: recovered.spent.iter().filter(|(key, _)| mine(key)).map(|(key, spent)| (*key, *spent)).collect(),
        open: recovered.open.extract_if(|key, _| mine(key)).collect(),
        starts: (recovered.resume_at.iter().filter(|((step, _), _)| *step == pass.step))
            .map(|((_, part), start)| (*part, *start))
            .collect(),
    };
    let (sender, fed) = mpsc::channel(4);
    let flowing = Flowing {
        step: pass.step,
        context,
        recovered,
        jitter: Jitter::new(pass.flow.seed),
        gate: Gate::new(pass.flow.pause),
        flow: pass.flow,
        feeding: Some(tokio::spawn(feed.run(sender))),
        fed: Some(fed),
        fed_all: None,
        ready: VecDeque::new(),
        held: 0,
        backoff: BinaryHeap::new(),
        parked: BinaryHeap::new(),
        n_queued: 0,
        tasks: JoinSet::new(),
        n_in_flight: 0,
        slots: Slots::default(),
        waiting: None,
        is_full: false,
        told: None,
        projector: Projector::new(pass.sink),
        is_complete: true,
        stopping: None,
        stop_at: None,
        shared,
    };
    flowing.run().await
}

/// Runs something that blocks off this thread.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(defect)
}

fn defect(error: JoinError) -> EngineError {
    EngineError::Defect(format!("a task of the engine panicked: {error}"))
}

struct Flowing<'a> {
    step: StepNumber,
    context: &'a Context,
    recovered: &'a mut Recovered,
    shared: Arc<Shared>,
    flow: Flow,
    gate: Gate,
    jitter: Jitter,
    feeding: Option<JoinHandle<Result<FedAll, EngineError>>>,
    fed: Option<mpsc::Receiver<Vec<Fed>>>,
    fed_all: Option<FedAll>,
    ready: VecDeque<Box<Item>>,
    /// What the ready items weigh.
    held: usize,
    backoff: BinaryHeap<Queued<Instant>>,
    parked: BinaryHeap<Queued<Timestamp>>,
    n_queued: u64,
    tasks: JoinSet<Attempt>,
    n_in_flight: usize,
    slots: Slots,
    /// Why the first ready item cannot start.
    waiting: Option<NotBefore>,
    /// Whether the run itself, and not a lane, has no room.
    is_full: bool,
    told: Option<Waiting>,
    projector: Projector,
    /// Whether nothing was left for another pass.
    is_complete: bool,
    stopping: Option<StopReason>,
    stop_at: Option<Instant>,
}

impl Flowing<'_> {
    async fn run(mut self) -> Result<(PassEnd, PassDone), EngineError> {
        let mut control = self.context.control.clone();
        control.mark_changed();
        loop {
            self.dispatch();
            self.tell_waiting();
            if self.is_over() {
                break;
            }
            let wants_feed = self.fed.is_some()
                && (self.ready.is_empty() || (self.ready.len() < MAX_READY && self.held < MAX_HELD))
                && self.backoff.len() < MAX_BACKOFF
                && !self.is_behind();
            let next = self.next_timer();
            let shared = Arc::clone(&self.shared);
            let for_width = self.waiting.as_ref().is_some_and(|wait| wait.at.is_none());
            let handler = Arc::clone(&self.shared.handler);
            tokio::select! {
                Some(joined) = self.tasks.join_next() => {
                    self.came_back(joined.map_err(defect)?)?;
                    // Ends come in the groups of the journal's commits: take the whole group before looking around.
                    while let Some(joined) = self.tasks.try_join_next() {
                        self.came_back(joined.map_err(defect)?)?;
                    }
                }
                batch = receive(&mut self.fed), if wants_feed => match batch {
                    Some(batch) => self.take(batch),
                    None => self.fed = None,
                },
                ended = join(&mut self.feeding), if self.feeding.is_some() => {
                    self.feeding = None;
                    let fed_all = ended.map_err(defect)??;
                    if self.stopping.is_none() {
                        let n_records = fed_all.n_records;
                        self.context.reporter.on(&Event::SourceRead { step: self.step, n_records });
                    }
                    self.fed_all = Some(fed_all);
                }
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
                () = handler.width_freed(), if for_width => {}
                () = shared.answered.notified(), if self.is_full => {}
                written = self.projector.written(), if !self.projector.is_idle() => written?,
                Ok(()) = control.changed() => {
                    let wish = *control.borrow_and_update();
                    self.obey(wish);
                }
            }
            self.wake_due();
        }
        self.end().await
    }

    /// Starts whatever may start.
    fn dispatch(&mut self) {
        self.waiting = None;
        self.is_full = false;
        if self.stopping.is_some() {
            return;
        }
        while let Some(item) = self.ready.front() {
            self.is_full = self.shared.n_asking.load(Ordering::Relaxed) >= self.flow.max_in_flight || self.is_behind();
            if self.is_full {
                return;
            }
            match self.gate.admit(&*self.shared.handler, item, self.flow.deadline) {
                Admitted::Now(permit) => {
                    let Some(item) = self.ready.pop_front() else { return };
                    self.held -= item.weight();
                    let slot = self.slots.take();
                    self.n_in_flight += 1;
                    self.shared.n_asking.fetch_add(1, Ordering::Relaxed);
                    self.tasks.spawn(execute::attempt(Arc::clone(&self.shared), item, slot, permit));
                }
                Admitted::Later(wait) => {
                    self.waiting = Some(wait);
                    return;
                }
                Admitted::Closed(failure) => {
                    self.stop(StopReason::Closed(failure.to_string()));
                    return;
                }
            }
        }
    }

    /// Takes what the feed sends. Records that need no work are settled together, in one commit.
    fn take(&mut self, batch: Vec<Fed>) {
        let at = self.context.clock.now();
        let mut entries = Vec::new();
        let mut settled: Vec<Projection> = Vec::new();
        for fed in batch {
            let (record, end) = match fed {
                Fed::Item(item) => {
                    self.make_ready(item);
                    continue;
                }
                Fed::Skip(record, reason, message) => (record, End::Skipped { reason, message }),
                Fed::Fail(record, failure) => (record, End::Failed(failure)),
            };
            let none = (Planned::default(), AnswerMeta::default());
            let entry = execute::outcome(&record, &none.0, end, Bytes::new(), none.1, 0, at);
            settled.push(execute::projection(&record, &entry));
            entries.push(entry);
        }
        if !entries.is_empty() {
            let shared = Arc::clone(&self.shared);
            self.n_in_flight += 1;
            shared.n_uncommitted.fetch_add(entries.len(), Ordering::Relaxed);
            self.tasks.spawn(async move {
                let n = entries.len();
                let end = match shared.journal.append(entries).await {
                    Ok(_) => AttemptEnd::Settled(settled),
                    Err(error) => AttemptEnd::JournalFailed(error),
                };
                shared.n_uncommitted.fetch_sub(n, Ordering::Relaxed);
                Attempt { slot: NO_SLOT, end }
            });
        }
    }

    /// Books the end of an attempt: its entries are durable.
    fn came_back(&mut self, attempt: Attempt) -> Result<(), EngineError> {
        self.n_in_flight -= 1;
        self.slots.give_back(attempt.slot);
        match attempt.end {
            AttemptEnd::Settled(settled) => self.settled(settled),
            AttemptEnd::Retry(item, failure, meta) => {
                self.billed(&meta);
                self.retry(item, &failure);
            }
            AttemptEnd::Requeue(item, failure) => {
                let Failure { kind, message, .. } = failure;
                self.context.reporter.on(&Event::LanePaused { kind, message });
                self.make_ready_first(item);
            }
            AttemptEnd::Parked { item, look_again_at, settled, retried } => {
                self.settled(settled);
                self.left_behind(retried);
                self.n_queued += 1;
                self.parked.push(Queued { due: Reverse(look_again_at), number: Reverse(self.n_queued), item });
            }
            AttemptEnd::Harvested { settled, retried } => {
                self.settled(settled);
                self.left_behind(retried);
            }
            AttemptEnd::JournalFailed(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn settled(&mut self, settled: Vec<Projection>) {
        for Projection { outcome, .. } in &settled {
            let (key, class) = (outcome.key, outcome.end.class());
            self.recovered.settled.insert(&key);
            self.recovered.tally.entry(key.step).or_default().add(class);
            if !self.recovered.spent.is_empty() {
                self.recovered.spent.remove(&key);
            }
            self.billed(&outcome.meta);
            self.context.reporter.on(&Event::Settled { key, class });
        }
        self.projector.show(settled);
    }

    /// Books what an answer cost.
    fn billed(&mut self, meta: &AnswerMeta) {
        let Some(usage) = meta.usage else { return };
        let upstream = meta.upstream.clone().unwrap_or_default();
        self.recovered.billed.entry(self.step).or_default().add(&upstream, usage);
        self.context.reporter.on(&Event::Billed { upstream, usage, latency_ms: meta.latency_ms });
    }

    /// Records that came back from a chunk without an end: the next pass reads them again.
    fn left_behind(&mut self, retried: Vec<(RecordKey, Spent)>) {
        self.is_complete &= retried.is_empty();
        self.recovered.spent.extend(retried);
    }

    /// Returns whether too much is waiting for the journal or the sink: the slowest stage sets the pace.
    fn is_behind(&self) -> bool {
        self.shared.n_uncommitted.load(Ordering::Relaxed) >= MAX_UNCOMMITTED || self.projector.is_behind()
    }

    fn retry(&mut self, item: Box<Item>, failure: &Failure) {
        if failure.kind.group() == Some(FailureGroup::Api) {
            self.gate.failed();
        }
        let wait = self.flow.backoff.wait(item.spent().total(), failure, &mut self.jitter);
        self.context.reporter.on(&Event::AttemptFailed {
            key: item.work.id,
            kind: failure.kind,
            reason: failure.reason,
            message: failure.message.clone(),
            next_in_ms: millis(wait),
        });
        self.n_queued += 1;
        let due = Reverse(Instant::now() + wait);
        self.backoff.push(Queued { due, number: Reverse(self.n_queued), item });
    }

    fn make_ready(&mut self, item: Box<Item>) {
        self.held += item.weight();
        self.ready.push_back(item);
    }

    /// What was begun goes before what is new: a record should not wait for the whole source between two attempts.
    fn make_ready_first(&mut self, item: Box<Item>) {
        self.held += item.weight();
        self.ready.push_front(item);
    }

    fn wake_due(&mut self) {
        let now = Instant::now();
        while self.backoff.peek().is_some_and(|queued| queued.due.0 <= now) {
            if let Some(queued) = self.backoff.pop() {
                self.make_ready_first(queued.item);
            }
        }
        if self.parked.is_empty() {
            return;
        }
        let now = self.context.clock.now();
        while self.parked.peek().is_some_and(|queued| queued.due.0 <= now) {
            if let Some(queued) = self.parked.pop() {
                self.make_ready_first(queued.item);
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let now = Instant::now();
        let lane = self.waiting.as_ref().and_then(|wait| wait.at).map(Instant::from_std);
        let backoff = self.backoff.peek().map(|queued| queued.due.0);
        let parked = self.parked.peek().map(|queued| {
            let ms = queued.due.0.0.saturating_sub(self.context.clock.now().0);
            // At least a moment, so that a clock that was set back does not make this loop spin.
            now + Duration::from_millis(ms.max(1))
        });
        match self.stopping {
            Some(_) => self.stop_at,
            None => [lane, backoff, parked].into_iter().flatten().min(),
        }
    }

    fn obey(&mut self, wish: Control) {
        match wish {
            // Being built: see `Control`.
            Control::Run | Control::Pause | Control::Cancel => {}
            Control::Drain => {
                self.context.reporter.on(&Event::Draining { in_flight: self.n_in_flight as u64 });
                self.stop(StopReason::Interrupted);
            }
            Control::Stop => {
                self.stop(StopReason::Interrupted);
                self.stop_at = Some(Instant::now());
            }
        }
    }

    /// Starts nothing new; what is in flight has the grace period.
    fn stop(&mut self, reason: StopReason) {
        if self.stopping.is_none() {
            self.stopping = Some(reason);
            self.stop_at = Some(Instant::now() + self.flow.grace);
            self.fed = None;
        }
    }

    fn is_over(&self) -> bool {
        let is_stopped = self.stopping.is_some()
            && (self.n_in_flight == 0 || self.stop_at.is_some_and(|stop_at| stop_at <= Instant::now()));
        let is_read = self.fed.is_none() && self.fed_all.is_some();
        let is_idle =
            self.ready.is_empty() && self.backoff.is_empty() && self.parked.is_empty() && self.n_in_flight == 0;
        is_stopped || (is_read && is_idle)
    }

    async fn end(mut self) -> Result<(PassEnd, PassDone), EngineError> {
        let n_lost = self.n_in_flight;
        self.tasks.abort_all();
        drop(self.fed.take());
        if let Some(feeding) = self.feeding.take() {
            // A source that hangs must not hold up a stop.
            feeding.abort();
        }
        let sink = self.projector.finish().await?;
        self.recovered.next_derived.insert(self.step, self.shared.next_derived.load(Ordering::Relaxed));
        let done = PassDone { sink, keys: self.fed_all.and_then(|fed_all| fed_all.keys) };
        let end = match self.stopping {
            Some(reason) => PassEnd::Stopped(reason, n_lost),
            None => PassEnd::Read { is_settled: self.is_complete },
        };
        Ok((end, done))
    }

    /// Tells the reader why nothing can start, when that changes.
    fn tell_waiting(&mut self) {
        let reason = match &self.waiting {
            Some(wait) => Some(wait.reason.clone()),
            None if self.is_full => Some(Waiting::Width),
            None if self.n_in_flight > 0 || !self.ready.is_empty() => None,
            None if !self.backoff.is_empty() => Some(Waiting::Backoff),
            None if !self.parked.is_empty() => Some(Waiting::Parked),
            None => None,
        };
        if reason != self.told {
            let until = self.next_timer().map(|at| {
                let wait = millis(at.saturating_duration_since(Instant::now()));
                Timestamp(self.context.clock.now().0 + wait)
            });
            self.context.reporter.on(&Event::Waits { step: self.step, reason: reason.clone(), until });
            self.told = reason;
        }
    }
}

async fn receive(fed: &mut Option<mpsc::Receiver<Vec<Fed>>>) -> Option<Vec<Fed>> {
    match fed {
        Some(fed) => fed.recv().await,
        None => std::future::pending().await,
    }
}

async fn join<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
