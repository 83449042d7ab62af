//! One attempt, from its mark to its entries in the journal.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use domain::{
    Answer, AnswerMeta, Attempted, BoxFuture, Clock, Derived, End, Entry, Event, Failure, FailureKind, Header, Member,
    NoteKind, Noted, Outcome, Parked, Planned, Receipt, Record, Reporter, Spent, Timestamp, WorkItem,
    ports::{AttemptContext, Ended, Handler, Journal, JournalError, MemberEnd, Notes, Permit, Projection, Rest},
};
use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::{
    classify::{Disposition, classify},
    feed::Item,
    retry::Budgets,
};

/// What every attempt of a pass shares.
pub(crate) struct Shared {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reporter: Arc<dyn Reporter>,
    pub(crate) budgets: Budgets,
    pub(crate) deadline: Duration,
    /// Answers that are here and not yet durable. Dispatch stops while there are too many.
    pub(crate) n_uncommitted: AtomicUsize,
    /// The position of the next derived record.
    pub(crate) next_derived: AtomicU64,
}

/// What an attempt left, when its entries are durable.
pub(crate) struct Attempt {
    /// The slot of its mark.
    pub(crate) slot: u32,
    pub(crate) end: AttemptEnd,
}

pub(crate) enum AttemptEnd {
    /// Records are settled: show them.
    Settled(Vec<Projection>),
    /// Try again; the failed attempt is journaled.
    Retry(Box<Item>, Failure),
    /// The lane paid: back into the queue.
    Requeue(Box<Item>, Failure),
    /// It waits outside; some members may have come back.
    Parked(Box<Item>, Timestamp, Vec<Projection>),
    /// A chunk came back; members that are not among the settled ones are for the next pass.
    Harvested { settled: Vec<Projection>, retried: Vec<(domain::RecordKey, Spent)> },
    /// The journal failed: the run stops.
    JournalFailed(JournalError),
}

/// Makes one attempt and journals what came of it. Nothing acts on the verdict before that is durable.
pub(crate) async fn attempt(shared: Arc<Shared>, mut item: Box<Item>, slot: u32, permit: Permit) -> Attempt {
    let id = item.work.id;
    let number = item.spent.total() + 1;
    if let Err(error) = shared.journal.asking(slot, &id, number) {
        return Attempt { slot, end: AttemptEnd::JournalFailed(error) };
    }
    shared.reporter.on(&Event::Asked { key: id });
    let ended = perform(&shared, &item, number, permit).await;
    shared.reporter.on(&Event::Answered { key: id });
    shared.n_uncommitted.fetch_add(1, Ordering::Relaxed);
    let (entries, end) = judge(&shared, &mut item, ended);
    let end = if entries.is_empty() {
        // Nothing durable tells that this attempt came back, so its mark must not speak of a lost answer.
        match shared.journal.asking(slot, &id, 0) {
            Ok(()) => end(item),
            Err(error) => AttemptEnd::JournalFailed(error),
        }
    } else {
        match shared.journal.append(entries).await {
            Ok(_) => end(item),
            Err(error) => AttemptEnd::JournalFailed(error),
        }
    };
    shared.n_uncommitted.fetch_sub(1, Ordering::Relaxed);
    Attempt { slot, end }
}

/// Calls the handler under the deadline; a panic is a failure of ours, not the end of the run.
async fn perform(shared: &Shared, item: &Item, number: u32, permit: Permit) -> Ended {
    let deadline = Instant::now() + shared.deadline;
    let notes = ItemNotes { shared, work: &item.work };
    let context = AttemptContext { number, deadline: deadline.into_std(), permit, prior: &item.prior, notes: &notes };
    let performed = AssertUnwindSafe(shared.handler.perform(&item.work, context)).catch_unwind();
    // The handler keeps the deadline itself and can word it better. This is the net below it, and not an earlier one.
    match tokio::time::timeout_at(deadline + Duration::from_secs(1), performed).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(panic)) => {
            let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let message = format!("the work panicked: {}", said.unwrap_or("no message"));
            Ended::Failed(Failure::new(FailureKind::Internal, message), Bytes::new(), AnswerMeta::default())
        }
        Err(_) => {
            let message = format!("no end within {:?}", shared.deadline);
            Ended::Failed(Failure::new(FailureKind::Timeout, message), Bytes::new(), AnswerMeta::default())
        }
    }
}

/// What to do with the item once the entries are durable.
type Then = Box<dyn FnOnce(Box<Item>) -> AttemptEnd + Send>;

/// Turns the end of an attempt into entries, and into what follows when they are durable.
fn judge(shared: &Shared, item: &mut Item, ended: Ended) -> (Vec<Entry>, Then) {
    let at = shared.clock.now();
    match ended {
        Ended::Done(answer) => {
            let (record, planned) = &item.work.members[0];
            let entry = succeeded(shared, record, planned, answer, item.spent.total() + 1, at);
            let projections = vec![projection(record, &entry)];
            (vec![entry], Box::new(|_| AttemptEnd::Settled(projections)))
        }
        Ended::Failed(failure, raw, meta) => match classify(&failure, &mut item.spent, &shared.budgets) {
            Disposition::PauseLane => (Vec::new(), Box::new(|item| AttemptEnd::Requeue(item, failure))),
            Disposition::Retry => {
                let attempted = Attempted { key: item.work.id, failure: failure.clone(), at };
                let entry = Entry { header: Header::Attempted(attempted), raw };
                (vec![entry], Box::new(|item| AttemptEnd::Retry(item, failure)))
            }
            Disposition::GiveUp => {
                let attempts = item.spent.total().max(1);
                let entries: Vec<Entry> = (item.work.members.iter().enumerate())
                    .map(|(n, (record, planned))| {
                        let raw = if n == 0 { raw.clone() } else { Bytes::new() };
                        let end = End::Failed(failure.clone());
                        outcome(record, planned, end, raw, meta.clone(), attempts, at)
                    })
                    .collect();
                let projections = project_all(&item.work, &entries);
                (entries, Box::new(|_| AttemptEnd::Settled(projections)))
            }
        },
        Ended::Parked(receipt, look_again_at) => {
            let entry = parked(&item.work, &item.work.members, receipt.clone(), look_again_at, at);
            (
                vec![entry],
                Box::new(move |mut item| {
                    item.prior.receipt = Some(receipt);
                    AttemptEnd::Parked(item, look_again_at, Vec::new())
                }),
            )
        }
        Ended::Harvested(ends, rest) => harvest(shared, item, ends, rest, at),
    }
}

/// Settles the members of a chunk that came back: all of them in one commit.
fn harvest(
    shared: &Shared,
    item: &mut Item,
    ends: Vec<(domain::RecordKey, MemberEnd)>,
    rest: Rest,
    at: Timestamp,
) -> (Vec<Entry>, Then) {
    let mut ends: std::collections::HashMap<_, _> = ends.into_iter().collect();
    let mut entries = Vec::new();
    let mut settled = Vec::new();
    let mut retried = Vec::new();
    let mut out = Vec::new();
    for (record, planned) in std::mem::take(&mut item.work.members) {
        // A member's own budget is the chunk's: what the chunk spent as a whole, the member has spent.
        let mut spent = item.spent;
        let failed = match ends.remove(&record.key) {
            Some(MemberEnd::Done(answer)) => {
                let entry = succeeded(shared, &record, &planned, answer, spent.total() + 1, at);
                settled.push(projection(&record, &entry));
                entries.push(entry);
                continue;
            }
            Some(MemberEnd::Failed(failure, raw, meta)) => (failure, raw, meta),
            None if matches!(rest, Rest::Parked(..)) => {
                out.push((record, planned));
                continue;
            }
            None => {
                let failure = Failure::new(FailureKind::Missing, "the remote object came back without this record");
                (failure, Bytes::new(), AnswerMeta::default())
            }
        };
        let (failure, raw, meta) = failed;
        if classify(&failure, &mut spent, &shared.budgets) == Disposition::Retry {
            retried.push((record.key, spent));
            entries.push(Entry { header: Header::Attempted(Attempted { key: record.key, failure, at }), raw });
        } else {
            let end = if failure.kind == FailureKind::Missing { End::Missing } else { End::Failed(failure) };
            let entry = outcome(&record, &planned, end, raw, meta, spent.total().max(1), at);
            settled.push(projection(&record, &entry));
            entries.push(entry);
        }
    }
    match rest {
        Rest::Parked(receipt, look_again_at) if !out.is_empty() => {
            entries.push(parked(&item.work, &out, receipt.clone(), look_again_at, at));
            item.work.members = out;
            (
                entries,
                Box::new(move |mut item| {
                    item.prior.receipt = Some(receipt);
                    AttemptEnd::Parked(item, look_again_at, settled)
                }),
            )
        }
        _ => (entries, Box::new(|_| AttemptEnd::Harvested { settled, retried })),
    }
}

fn succeeded(
    shared: &Shared,
    record: &Record,
    planned: &Planned,
    answer: Answer,
    attempts: u32,
    at: Timestamp,
) -> Entry {
    let Answer { output, raw, meta, derived } = answer;
    let mut entry = outcome(record, planned, End::Succeeded, raw, meta, attempts, at);
    if let Header::Outcome(outcome) = &mut entry.header {
        outcome.output = Some(output);
        outcome.derived = (!derived.is_empty()).then(|| Derived {
            base: shared.next_derived.fetch_add(derived.len() as u64, Ordering::Relaxed),
            records: derived,
        });
    }
    entry
}

/// Makes the outcome of a record.
pub(crate) fn outcome(
    record: &Record,
    planned: &Planned,
    end: End,
    raw: Bytes,
    meta: AnswerMeta,
    attempts: u32,
    at: Timestamp,
) -> Entry {
    let outcome = Outcome {
        key: record.key,
        line: record.origin.line,
        offset: record.origin.offset,
        hash: record.hash(),
        request: planned.request,
        end,
        output: None,
        attempts,
        meta,
        derived: None,
        at,
        restored: false,
    };
    Entry { header: Header::Outcome(Box::new(outcome)), raw }
}

/// Makes what the sink shows of an entry.
pub(crate) fn projection(record: &Record, entry: &Entry) -> Projection {
    let Header::Outcome(outcome) = &entry.header else { unreachable!("only outcomes are projected") };
    Projection { record: record.clone(), outcome: (**outcome).clone() }
}

fn project_all(work: &WorkItem, entries: &[Entry]) -> Vec<Projection> {
    work.members.iter().zip(entries).map(|((record, _), entry)| projection(record, entry)).collect()
}

fn parked(
    work: &WorkItem,
    out: &[(Record, Planned)],
    receipt: Receipt,
    look_again_at: Timestamp,
    at: Timestamp,
) -> Entry {
    let parked = Parked { id: work.id, members: spans(out), receipt, look_again_at, at };
    Entry { header: Header::Parked(parked), raw: Bytes::new() }
}

/// Writes members down as spans: a chunk of fifty thousand neighbours is one.
fn spans(members: &[(Record, Planned)]) -> Vec<Member> {
    let mut spans: Vec<Member> = Vec::new();
    for (record, _) in members {
        match spans.last_mut() {
            Some(last)
                if (last.first.step, last.first.part, last.first.sample)
                    == (record.key.step, record.key.part, record.key.sample)
                    && last.first.position + last.n == record.key.position =>
            {
                last.n += 1;
            }
            _ => spans.push(Member { first: record.key, n: 1 }),
        }
    }
    spans
}

/// The handler's way into the journal.
struct ItemNotes<'a> {
    shared: &'a Shared,
    work: &'a WorkItem,
}

impl Notes for ItemNotes<'_> {
    fn note<'a>(&'a self, kind: NoteKind, tag: &'a str, raw: Bytes) -> BoxFuture<'a, Result<(), JournalError>> {
        let noted = Noted {
            id: self.work.id,
            members: spans(&self.work.members),
            kind,
            tag: tag.to_owned(),
            at: self.shared.clock.now(),
        };
        let entry = Entry { header: Header::Noted(noted), raw };
        Box::pin(async move { self.shared.journal.append(vec![entry]).await.map(|_| ()) })
    }
}
