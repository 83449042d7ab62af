//! The five kinds of work through one engine: run, killed at every append in three ways, resumed.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{
    BoxFuture, Entry, Located, RecordKey, StepNumber,
    ports::{Disk, Journal, JournalError, Outcomes, Recovered},
};
use engine::{Backoff, Context, Control, DerivedSource, Flow, Step, StepAccount, StepEnd, begin, run_step};
use store::Options;
use testkit::{
    CrashDisk, MemorySink, MemorySource, Shown, SteppingClock,
    five_kinds::{Kind, SmallWork, World},
};
use tokio::sync::{Notify, watch};

const N_RECORDS: u64 = 30;

/// Where a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Killed before the append reaches the disk.
    BeforeWrite,
    /// Killed when it is durable and nobody knows yet.
    AfterSync,
    /// The power fails before the append: what was not synced is lost in part.
    PowerFailure,
}

/// A journal under which the process dies at its nth append.
struct DeadlyJournal {
    inner: store::Journal,
    n_appends: AtomicUsize,
    dies_at: Option<(usize, Death)>,
    dead: Arc<Notify>,
}

impl Journal for DeadlyJournal {
    fn append(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<Located, JournalError>> {
        Box::pin(async move {
            let n = self.n_appends.fetch_add(1, Ordering::SeqCst) + 1;
            match self.dies_at {
                Some((at, Death::BeforeWrite | Death::PowerFailure)) if n >= at => {
                    self.dead.notify_one();
                    std::future::pending().await
                }
                Some((at, Death::AfterSync)) if n >= at => {
                    self.inner.append(entries).await?;
                    self.dead.notify_one();
                    std::future::pending().await
                }
                _ => self.inner.append(entries).await,
            }
        })
    }

    fn read(&self, at: Located) -> Result<Option<Entry>, JournalError> {
        self.inner.read(at)
    }

    fn asking(&self, slot: u32, key: &RecordKey, attempt: u32) -> Result<(), JournalError> {
        self.inner.asking(slot, key, attempt)
    }

    fn outcomes(&self, step: StepNumber) -> Result<Box<dyn Outcomes>, JournalError> {
        self.inner.outcomes(step)
    }
}

/// One life of the process: `None` when it died.
fn live(disk: &CrashDisk, work: &SmallWork, shown: &Shown, dies_at: Option<(usize, Death)>) -> Option<StepAccount> {
    let options = Options { window: Duration::ZERO, group: 1, queue: 64, segment_bytes: 4096, accept_damage: false };
    let port: Arc<dyn Disk> = Arc::new(disk.clone());
    let (inner, mut recovered) = store::Journal::open(port, Path::new("/run"), 1, options).unwrap();
    let dead = Arc::new(Notify::new());
    let journal = Arc::new(DeadlyJournal { inner, n_appends: AtomicUsize::new(0), dies_at, dead: Arc::clone(&dead) });
    let context = Context {
        journal,
        clock: Arc::new(SteppingClock::new(50)),
        reporter: Arc::new(()),
        control: watch::Sender::new(Control::Run).subscribe(),
        version: "test".to_owned(),
    };
    // The runtime goes down with everything that runs in it, as a process does.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        tokio::select! {
            account = steps(work, shown, &context, &mut recovered) => Some(account),
            () = dead.notified() => None,
        }
    })
}

async fn steps(work: &SmallWork, shown: &Shown, context: &Context, recovered: &mut Recovered) -> StepAccount {
    begin(context, recovered).await.unwrap();
    let flow = Flow {
        max_in_flight: 4,
        backoff: Backoff { first: Duration::from_millis(1), max: Duration::from_millis(2) },
        ..Flow::default()
    };
    let first = Step {
        number: 0,
        name: "first".to_owned(),
        source: Arc::new(MemorySource::counting(N_RECORDS)),
        handler: Arc::new(work.clone()),
        sink: Box::new(MemorySink::new(shown)),
        flow: flow.clone(),
        limit: None,
        keys: None,
        requests: None,
    };
    let account = finished(run_step(first, context, recovered).await.unwrap());
    if work.kind != Kind::Scrape {
        return account;
    }
    assert_eq!((account.records, account.succeeded), (N_RECORDS, N_RECORDS), "accounting closes per step");
    let rows = Step {
        number: 1,
        name: "rows".to_owned(),
        source: Arc::new(DerivedSource::new(Arc::clone(&context.journal), 0, N_RECORDS)),
        handler: Arc::new(SmallWork { kind: Kind::Prompt, world: work.world.clone() }),
        sink: Box::new(MemorySink::new(shown)),
        flow,
        limit: None,
        keys: None,
        requests: None,
    };
    finished(run_step(rows, context, recovered).await.unwrap())
}

fn finished(end: StepEnd) -> StepAccount {
    match end {
        StepEnd::Finished(account) => account,
        other => panic!("not finished: {other:?}"),
    }
}

/// Runs a kind, dying at the given append, then undisturbed; returns how many lives it took.
fn run(kind: Kind, dies_at: Option<(usize, Death)>) -> usize {
    let disk = CrashDisk::new();
    let work = SmallWork { kind, world: World::default() };
    let shown = Shown::default();
    let mut lives = 1;
    let account = match live(&disk, &work, &shown, dies_at) {
        Some(account) => account,
        None => {
            if let Some((at, Death::PowerFailure)) = dies_at {
                disk.crash(at as u64);
            }
            lives += 1;
            live(&disk, &work, &shown, None).expect("the second life is not disturbed")
        }
    };
    let what = format!("{kind:?} {dies_at:?}");
    let n_expected = if kind == Kind::Scrape { 3 * N_RECORDS } else { N_RECORDS };
    assert_eq!((account.records, account.succeeded), (n_expected, n_expected), "{what}: {account:?}");
    assert!(account.adds_up, "{what}");
    let merged = shown.merged.lock().unwrap();
    let outputs: Vec<String> =
        merged.as_ref().unwrap().iter().map(|o| o.output.as_ref().unwrap().get().to_owned()).collect();
    assert_eq!(outputs.len() as u64, n_expected, "{what}");
    check_world(&work, &account, lives, dies_at.is_some_and(|(_, death)| death == Death::PowerFailure), &what);
    lives
}

/// Nothing was done twice that was durable once.
fn check_world(work: &SmallWork, account: &StepAccount, lives: usize, power_failed: bool, what: &str) {
    let outside = work.world.outside();
    let n_twice = outside.asked.values().map(|n| u64::from(*n) - 1).sum::<u64>();
    // The marks of what is in flight are not synced: they are exact after a kill, and a power failure may lose some.
    let is_told = power_failed || n_twice <= account.asked_again_after_crash;
    assert!(is_told, "{what}: {n_twice} asked twice, and the account says otherwise");
    assert!(n_twice <= 4, "{what}: no more than what was in flight");
    assert!(outside.created.values().all(|n| *n == 1), "{what}: a remote object was bought twice");
    match work.kind {
        // Five chunks, and one more for the record that the first one lost. After a kill between intent and creation
        // nothing is created anew: the tag is the same.
        Kind::Batch => assert_eq!(outside.created.len(), 6, "{what}: {:?}", outside.created),
        Kind::Shard => assert_eq!(outside.created.len(), 3, "{what}: {:?}", outside.created),
        Kind::Agent => {
            let n_repeated = outside.effects.values().filter(|n| **n > 1).count();
            assert!(n_repeated <= if lives > 1 { 4 } else { 0 }, "{what}: {n_repeated} steps were repeated");
        }
        Kind::Prompt | Kind::Scrape => {}
    }
}

/// Kills the kind at every append that an undisturbed run makes.
fn killed_everywhere(kind: Kind) {
    assert_eq!(run(kind, None), 1);
    for death in [Death::BeforeWrite, Death::AfterSync, Death::PowerFailure] {
        let mut at = 1;
        // The first append beyond the end of the run does not kill any more.
        while run(kind, Some((at, death))) == 2 {
            at += 1;
        }
        assert!(at > 10, "{kind:?} was killed {at} times only");
    }
}

#[test]
fn a_prompt_killed_at_every_append_ends_as_if_it_had_not_been() {
    killed_everywhere(Kind::Prompt);
}

#[test]
fn a_batch_killed_at_every_append_is_bought_once() {
    killed_everywhere(Kind::Batch);
}

#[test]
fn a_shard_killed_at_every_append_is_submitted_once() {
    killed_everywhere(Kind::Shard);
}

#[test]
fn an_agent_killed_at_every_append_goes_on_behind_its_last_step() {
    killed_everywhere(Kind::Agent);
}

#[test]
fn a_page_killed_at_every_append_fans_out_once() {
    killed_everywhere(Kind::Scrape);
}
