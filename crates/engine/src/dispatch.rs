//! Keeping the flow full: no batches, no barriers; whatever ends is replaced at once.
//!
//! One loop puts everything that happens in line: records from the feed, ends of attempts, timers, the user's wishes.
//! Attempts run as tasks of their own and come back as messages; only this loop changes what the run knows.

mod call_off;
mod came_back;
mod candidates;
mod duplicates;
mod queued;
mod saves;
mod slots;
mod spending;
mod waits;

use std::{
    collections::{BinaryHeap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use domain::{
    AnswerMeta, End, Entry, Event, Planned, RecordKey, StepNumber, StopReason, Timestamp, Waiting,
    ports::{Handler, KeyTable, NotBefore, Projection, Recovered, RequestTable, Sink, Source},
};
use tokio::{
    sync::{Notify, mpsc},
    task::{JoinError, JoinHandle, JoinSet},
    time::Instant,
};

use candidates::Candidates;
pub use candidates::Until;
pub(crate) use candidates::first_candidates;
use duplicates::Duplicates;
use queued::Queued;
use saves::Saves;
use slots::{NO_SLOT, Slots};
pub use spending::Budget;
use spending::Spending;

use crate::{
    admit::{Admitted, Gate},
    execute::{self, Attempt, AttemptEnd, Shared},
    feed::{Fed, FedAll, Feed, Item},
    retry::Jitter,
    run::{Context, EngineError, Flow},
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
    pub(crate) requests: Option<Box<dyn RequestTable>>,
}

/// What a pass gives back.
pub(crate) struct PassDone {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) keys: Option<Box<dyn KeyTable>>,
    pub(crate) requests: Option<Box<dyn RequestTable>>,
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
        bills: pass.flow.budget.as_ref().map(|_| Mutex::default()),
        next_derived: AtomicU64::new(recovered.next_derived.get(&pass.step).copied().unwrap_or_default()),
    });
    let mine = |key: &RecordKey| key.step == pass.step;
    let samples = pass.handler.samples().max(1);
    // Where a record is worked on several times, or only some records are, a later start could pass over one; and a limit
    // counts records over all parts.
    let has_parts = recovered.resume_at.keys().any(|(step, part)| *step == pass.step && *part > 0);
    let begins_late = samples == 1 && pass.flow.only.is_none() && (pass.limit.is_none() || !has_parts);
    let feed = Feed {
        step: pass.step,
        source: Arc::clone(&pass.source),
        handler: Arc::clone(&pass.handler),
        limit: pass.limit,
        keys: pass.keys,
        settled: recovered.settled.clone(),
        spent: recovered.spent.iter().filter(|(key, _)| mine(key)).map(|(key, spent)| (*key, *spent)).collect(),
        open: recovered.open.extract_if(|key, _| mine(key)).collect(),
        samples,
        until: pass.flow.until,
        only: pass.flow.only.clone(),
        succeeded: pass.flow.until.map(|_| recovered.succeeded.clone()).unwrap_or_default(),
        refuted: recovered.refuted.extract_if(|key, _| mine(key)).collect(),
        starts: (recovered.resume_at.iter().filter(|((step, _), _)| *step == pass.step && begins_late))
            .map(|((_, part), start)| (*part, *start))
            .collect(),
        reporter: Arc::clone(&context.reporter),
        control: context.control.clone(),
    };
    let (sender, fed) = mpsc::channel(4);
    let spending = pass.flow.budget.clone().map(|budget| Spending::new(budget, recovered.billed.values()));
    let saves = Saves::new(pass.flow.save_every, &pass.source, pass.limit);
    let flowing = Flowing {
        step: pass.step,
        context,
        recovered,
        jitter: Jitter::new(pass.flow.seed),
        gate: Gate::new(pass.flow.pause),
        spending,
        duplicates: pass.requests.map(Duplicates::new),
        candidates: pass.flow.until.map(Candidates::new),
        samples: samples as usize,
        ends_each: u64::from(samples),
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
        told_until: None,
        told_held_back: None,
        saves,
        projector: Projector::new(pass.sink),
        is_complete: true,
        is_paused: false,
        is_called_off: false,
        called_off: Vec::new(),
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
    spending: Option<Spending>,
    duplicates: Option<Duplicates>,
    candidates: Option<Candidates>,
    /// How often each record is worked on: so many items at the front of the line may want different lanes.
    samples: usize,
    /// How many ends each record is expected to have: for those who look at the progress.
    ends_each: u64,
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
    told_until: Option<Instant>,
    /// Why the sink shows nothing, as it was told last.
    told_held_back: Option<String>,
    saves: Saves,
    projector: Projector,
    /// Whether nothing was left for another pass.
    is_complete: bool,
    is_paused: bool,
    /// Whether the user called the run off; items that are left gather in `called_off`.
    is_called_off: bool,
    called_off: Vec<Item>,
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
                && self.has_room_for_duplicates()
                && !self.is_behind();
            let next = self.next_timer();
            let shared = Arc::clone(&self.shared);
            // A request that ends may change what the lanes said, whatever it was: it may have used fewer tokens than was
            // thought.
            let for_width = self.waiting.is_some();
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
                    Some(batch) => self.take(batch)?,
                    None => self.fed = None,
                },
                ended = join(&mut self.feeding), if self.feeding.is_some() => {
                    self.feeding = None;
                    let fed_all = ended.map_err(defect)??;
                    // How many candidates will be asked for is known at the end alone.
                    if self.stopping.is_none() && self.candidates.is_none() {
                        let n_records = fed_all.n_records.saturating_mul(self.ends_each);
                        self.context.reporter.on(&Event::SourceRead { step: self.step, n_records });
                    }
                    self.fed_all = Some(fed_all);
                }
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
                () = handler.width_freed(), if for_width => {}
                () = shared.answered.notified(), if self.is_full => {}
                written = self.projector.written(), if !self.projector.is_idle() => {
                    let begun = written?;
                    self.begun(begun);
                    self.tell_held_back();
                }
                save = self.saves.next() => self.save(save),
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
        self.call_off();
        // With nothing to start, a spent budget stops nothing: what is settled can still become an output.
        if self.stopping.is_some() || self.is_paused || self.ready.is_empty() {
            return;
        }
        if let Some(told) = self.spent() {
            self.stop_for_budget(told);
            return;
        }
        while !self.ready.is_empty() {
            if let Some(told) = self.spent() {
                return self.stop_for_budget(told);
            }
            self.is_full = self.shared.n_asking.load(Ordering::Relaxed) >= self.flow.max_in_flight || self.is_behind();
            if self.is_full || !self.start_one() {
                return;
            }
        }
    }

    /// Tells which part of the budget is spent, if one is, with the answers that are here and not yet durable.
    fn spent(&mut self) -> Option<String> {
        let spending = self.spending.as_mut()?;
        for (upstream, usage) in self.shared.take_bills() {
            spending.add(&upstream, &usage);
        }
        spending.spent()
    }

    /// Starts the first ready item whose lane has a place, and returns whether there was one. Where records are asked of
    /// several models, the next few are looked at: one model that is full does not keep the others waiting.
    fn start_one(&mut self) -> bool {
        for n in 0..self.ready.len().min(self.samples) {
            match self.gate.admit(&*self.shared.handler, &self.ready[n], self.flow.deadline) {
                Admitted::Now(permit) => {
                    let Some(item) = self.ready.remove(n) else { return false };
                    self.held -= item.weight();
                    let slot = self.slots.take();
                    self.n_in_flight += 1;
                    self.shared.n_asking.fetch_add(1, Ordering::Relaxed);
                    self.tasks.spawn(execute::attempt(Arc::clone(&self.shared), item, slot, permit));
                    self.waiting = None;
                    return true;
                }
                Admitted::Later(wait) => {
                    self.waiting.get_or_insert(wait);
                }
                Admitted::Closed(failure) => {
                    self.stop(StopReason::Closed(failure.to_string()));
                    return false;
                }
            }
        }
        false
    }

    /// Takes what the feed sends. Records that need no work are settled together, in one commit.
    fn take(&mut self, batch: Vec<Fed>) -> Result<(), EngineError> {
        let at = self.context.clock.now();
        let mut entries = Vec::new();
        let mut settled: Vec<Projection> = Vec::new();
        for fed in batch {
            let (record, end) = match fed {
                Fed::Item(item) => {
                    if let Some(candidates) = &mut self.candidates {
                        candidates.out(&item.work.id);
                    }
                    self.take_item(item)?;
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
        self.settle_without_work(entries, settled);
        Ok(())
    }

    /// Journals ends that cost no attempt, in one commit.
    fn settle_without_work(&mut self, entries: Vec<Entry>, settled: Vec<Projection>) {
        if entries.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.n_in_flight += 1;
        shared.n_uncommitted.fetch_add(entries.len(), Ordering::Relaxed);
        self.tasks.spawn(async move {
            let n = entries.len();
            let end = match shared.journal.append(entries).await {
                Ok(at) => AttemptEnd::Settled(settled, at),
                Err(error) => AttemptEnd::JournalFailed(error),
            };
            shared.n_uncommitted.fetch_sub(n, Ordering::Relaxed);
            Attempt { slot: NO_SLOT, end }
        });
    }

    /// Returns whether too much is waiting for the journal or the sink: the slowest stage sets the pace.
    fn is_behind(&self) -> bool {
        self.shared.n_uncommitted.load(Ordering::Relaxed) >= MAX_UNCOMMITTED || self.projector.is_behind()
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

    fn is_over(&self) -> bool {
        let is_stopped = self.stopping.is_some()
            && (self.n_in_flight == 0 || self.stop_at.is_some_and(|stop_at| stop_at <= Instant::now()));
        let is_read = self.fed.is_none() && self.fed_all.is_some();
        let is_idle = self.ready.is_empty()
            && self.backoff.is_empty()
            && self.parked.is_empty()
            && self.n_in_flight == 0
            && self.called_off.is_empty();
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
        self.saves.end().await;
        let sink = self.projector.finish().await?;
        self.recovered.next_derived.insert(self.step, self.shared.next_derived.load(Ordering::Relaxed));
        let done = PassDone {
            sink,
            keys: self.fed_all.and_then(|fed_all| fed_all.keys),
            requests: self.duplicates.map(Duplicates::into_table),
        };
        let end = match self.stopping {
            Some(reason) => PassEnd::Stopped(reason, n_lost),
            None => PassEnd::Read { is_settled: self.is_complete },
        };
        Ok((end, done))
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
