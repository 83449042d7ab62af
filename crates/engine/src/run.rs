//! One step from start to end: pass by pass until every record is settled, then the outputs.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::{
    Clock, Entry, Event, Header, Reporter, Started, StepNumber, StopReason, Stopped,
    ports::{
        Handler, Journal, JournalError, KeyTable, KeyTableError, Recovered, RequestTable, Sink, SinkError, Source,
        SourceError,
    },
};
use tokio::sync::watch;

use crate::{
    dispatch::{self, Budget, PassEnd, Until},
    finish::{self, StepAccount},
    retry::{Backoff, Budgets, Pause},
};

/// What the user wants of a run that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// Go on.
    #[default]
    Run,
    /// Start nothing new until told to go on.
    Pause,
    /// Start nothing new; when what is in flight is here, every record that is left ends as cancelled.
    Cancel,
    /// Start nothing new, wait for what is in flight up to the grace period, then stop.
    Drain,
    /// Stop at once; what is in flight is asked again by the next start.
    Stop,
}

/// How a step flows.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The most attempts in flight, whatever the lanes would allow.
    pub max_in_flight: usize,
    /// Failed attempts that are followed by another one, by group.
    pub budgets: Budgets,
    /// How long to wait before trying again.
    pub backoff: Backoff,
    /// A pause of the whole step after a failure on the way to the model.
    pub pause: Option<Pause>,
    /// How long one attempt may take.
    pub deadline: Duration,
    /// How long a drain waits for what is in flight.
    pub grace: Duration,
    /// What the run may spend.
    pub budget: Option<Budget>,
    /// Asks for each record until so many answers are accepted: the handler's samples are the candidates.
    pub until: Option<Until>,
    /// How often what is settled so far is put in place, where the sink can do that. Saves that take long are made less
    /// often.
    pub save_every: Option<Duration>,
    /// Works on the records of these numbers only, counted from 0 over the whole source, and then ends as
    /// [`StepEnd::Sampled`].
    pub only: Option<Arc<BTreeSet<u64>>>,
    /// Feeds the jitter.
    pub seed: u64,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            max_in_flight: 4096,
            budgets: Budgets::default(),
            backoff: Backoff::default(),
            pause: None,
            deadline: Duration::from_secs(600),
            grace: Duration::from_secs(30),
            budget: None,
            until: None,
            save_every: None,
            only: None,
            seed: 0,
        }
    }
}

/// One step, ready to run.
pub struct Step {
    /// Its number in the pipeline.
    pub number: StepNumber,
    /// Its name.
    pub name: String,
    /// Where records come from.
    pub source: Arc<dyn Source>,
    /// What is done with them.
    pub handler: Arc<dyn Handler>,
    /// Where outcomes go.
    pub sink: Box<dyn Sink>,
    /// How it flows.
    pub flow: Flow,
    /// Only so many records from the start of the source.
    pub limit: Option<u64>,
    /// The user keys seen so far, where a key field is configured.
    pub keys: Option<Box<dyn KeyTable>>,
    /// The requests answered so far, where identical requests are to be asked once.
    pub requests: Option<Box<dyn RequestTable>>,
}

/// What a step works with.
#[derive(Clone)]
pub struct Context {
    /// The truth.
    pub journal: Arc<dyn Journal>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The reader of events.
    pub reporter: Arc<dyn Reporter>,
    /// What the user wants.
    pub control: watch::Receiver<Control>,
    /// The version that is written into the journal.
    pub version: String,
}

/// Why a step could not go on. The journal is sound in every case: the same command goes on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The output cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The table of user keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyTableError),
    /// A record is not what it was when it was settled.
    #[error(
        "`{source_name}` line {line} is not what it was when its answer was settled: the file was changed during the run; \
         put the old file back, or start over with --fresh (the old run is kept)"
    )]
    SourceChanged {
        /// The source.
        source_name: String,
        /// The line.
        line: u64,
    },
    /// A defect of ours.
    #[error("{0}; this is a defect of Tidemill, the journal is sound")]
    Defect(String),
}

/// A reader of events that cannot fail a run: what it panics at, it does not hear.
struct Guarded(Arc<dyn Reporter>);

impl Reporter for Guarded {
    fn on(&self, event: &Event) {
        // The reader's own state may be odd after a panic; that is the reader's trouble and nobody else's.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.0.on(event)));
    }
}

/// How a step ended.
#[derive(Debug)]
pub enum StepEnd {
    /// Every record is settled and the outputs are in place.
    Finished(StepAccount),
    /// Outputs could not be completed: some records are not settled or their journal is damaged. The account tells.
    Incomplete(StepAccount),
    /// The records that were chosen as a sample are settled. No output is written; a run without the choice goes on with
    /// the others.
    Sampled,
    /// It stopped early and can be gone on with; so many answers were lost in flight.
    Stopped(StopReason, usize),
}

/// Runs a step, or goes on with it: `recovered` is what the journal knew when it was opened.
///
/// # Errors
/// Where the journal, the source or the sink fail; records never do.
pub async fn run_step(step: Step, context: &Context, recovered: &mut Recovered) -> Result<StepEnd, EngineError> {
    let Step { number, name, source, handler, mut sink, flow, limit, mut keys, mut requests } = step;
    let context = &Context { reporter: Arc::new(Guarded(Arc::clone(&context.reporter))), ..context.clone() };
    let is_new = recovered.settled.n_settled(number) == 0;
    sink = dispatch::blocking(move || {
        let mut sink = sink;
        sink.prepare().and_then(|()| sink.open(is_new)).map(|()| sink)
    })
    .await??;
    let n_settled = recovered.settled.n_settled(number);
    context.reporter.on(&Event::StepStarted {
        step: number,
        name: name.clone(),
        n_settled,
        n_asked_again: recovered.n_asked_again_before,
    });

    // How many candidates will be asked for is known at the end alone.
    let ends_each = handler.samples().max(1);
    let _counting = flow.until.is_none().then(|| count(number, &source, ends_each, limit, &context.reporter));

    // A pass reads the source once. Members of a chunk that came back without an answer are left for the next pass,
    // which finds them like a restart would; budgets see to it that passes end.
    loop {
        let pass = dispatch::Pass {
            step: number,
            source: Arc::clone(&source),
            handler: Arc::clone(&handler),
            sink,
            flow: flow.clone(),
            limit,
            keys: keys.take(),
            requests: requests.take(),
        };
        let (end, done) = dispatch::run_pass(pass, context, recovered).await?;
        (sink, keys, requests) = (done.sink, done.keys, done.requests);
        match end {
            PassEnd::Stopped(reason, n_lost) => return Ok(StepEnd::Stopped(reason, n_lost)),
            PassEnd::Read { is_settled: true } => break,
            PassEnd::Read { is_settled: false } => {}
        }
    }
    if flow.only.is_some() {
        return Ok(StepEnd::Sampled);
    }
    context.reporter.on(&Event::Finishing { step: number });
    let finish = finish::Finish {
        step: number,
        name,
        source,
        sink,
        limit,
        samples: handler.samples().max(1),
        until: flow.until,
    };
    finish::finish(finish, context, recovered).await
}

/// Counts the records beside the run, for those who look at it. Dropping what is returned ends the telling.
fn count(
    step: StepNumber,
    source: &Arc<dyn Source>,
    ends_each: u32,
    limit: Option<u64>,
    reporter: &Arc<dyn Reporter>,
) -> Counting {
    let (source, reporter) = (Arc::clone(source), Arc::clone(reporter));
    Counting(tokio::spawn(async move {
        // A source that cannot be counted cannot be read either, which is told where it is read.
        let counted = tokio::task::spawn_blocking(move || source.count()).await;
        if let Ok(Ok(Some(n))) = counted {
            let n_records = n.min(limit.unwrap_or(u64::MAX)).saturating_mul(u64::from(ends_each));
            reporter.on(&Event::Counted { step, n_records });
        }
    }))
}

struct Counting(tokio::task::JoinHandle<()>);

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins a process's work on a run: journals that it began, and how many answers were lost with the process before.
///
/// # Errors
/// Where the journal cannot be written.
pub async fn begin(context: &Context, recovered: &mut Recovered) -> Result<(), EngineError> {
    let asked_again = std::mem::take(&mut recovered.n_lost_in_flight);
    let started = Started { at: context.clock.now(), version: context.version.clone(), asked_again };
    context.journal.append(vec![entry(Header::Started(started))]).await?;
    recovered.n_asked_again_before += asked_again;
    recovered.n_processes += 1;
    Ok(())
}

/// Ends a process's work on a run in good order. Not to be called where answers were lost in flight: without this word
/// the next start counts them from their marks.
///
/// # Errors
/// Where the journal cannot be written.
pub async fn conclude(context: &Context, reason: &str) -> Result<(), EngineError> {
    let stopped = Stopped { at: context.clock.now(), reason: reason.to_owned() };
    context.journal.append(vec![entry(Header::Stopped(stopped))]).await?;
    Ok(())
}

pub(crate) fn entry(header: Header) -> Entry {
    Entry { header, raw: bytes::Bytes::new() }
}
