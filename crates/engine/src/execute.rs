//! One attempt, from its mark to its entries in the journal.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use domain::{
    Answer, AnswerMeta, Attempted, BoxFuture, Clock, Derived, End, Entry, Event, Failure, FailureGroup, FailureKind,
    Header, Located, Member, NoteKind, Noted, Outcome, Parked, Planned, Receipt, Record, RecordKey, Reporter, Spent,
    Timestamp, Usage, WorkItem,
    ports::{AttemptContext, Ended, Handler, Journal, JournalError, MemberEnd, Notes, Permit, Projection, Rest},
};
use futures_util::FutureExt as _;
use tokio::{sync::Notify, time::Instant};

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
    /// Attempts that wait for their answer.
    pub(crate) n_asking: AtomicUsize,
    /// Told when an answer arrives: its place is free before its outcome is durable.
    pub(crate) answered: Notify,
    /// Answers that are here and not yet durable. Dispatch and feed stop while there are too many.
    pub(crate) n_uncommitted: AtomicUsize,
    /// What answers cost that are here and not yet booked, where there is a budget: what is spent must be known before the
    /// next attempt is made, however long a commit takes.
    pub(crate) bills: Option<Mutex<Vec<(String, Usage)>>>,
    /// The position of the next derived record.
    pub(crate) next_derived: AtomicU64,
}

impl Shared {
    /// Notes what the answers in these entries cost.
    fn bill(&self, entries: &[Entry]) {
        let Some(bills) = &self.bills else { return };
        let metas = entries.iter().filter_map(|entry| match &entry.header {
            Header::Outcome(outcome) => Some(&outcome.meta),
            Header::Attempted(attempted) => Some(&attempted.meta),
            _ => None,
        });
        let billed = metas.filter_map(|meta| Some((meta.upstream.clone().unwrap_or_default(), meta.usage?)));
        bills.lock().unwrap_or_else(PoisonError::into_inner).extend(billed);
    }

    /// Takes what was noted since the last time.
    pub(crate) fn take_bills(&self) -> Vec<(String, Usage)> {
        self.bills
            .as_ref()
            .map_or_else(Vec::new, |bills| std::mem::take(&mut *bills.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What an attempt left, when its entries are durable.
pub(crate) struct Attempt {
    /// The slot of its mark.
    pub(crate) slot: u32,
    pub(crate) end: AttemptEnd,
}

pub(crate) enum AttemptEnd {
    /// Records are settled: show them.
    Settled(Vec<Projection>, Located),
    /// Try again; the failed attempt is journaled.
    Retry(Box<Item>, Failure, AnswerMeta),
    /// The lane paid: back into the queue.
    Requeue(Box<Item>, Failure),
    /// Its halves are tried by themselves.
    Divided(Box<Item>, Failure),
    /// It waits outside; some members may have come back.
    Parked { item: Box<Item>, look_again_at: Timestamp, settled: Vec<Projection>, left: Vec<Left> },
    /// A chunk came back; members that are not among the settled ones are for the next pass.
    Harvested { settled: Vec<Projection>, left: Vec<Left> },
    /// The journal failed: the run stops.
    JournalFailed(JournalError),
}

/// A record that came back from a chunk without an end.
pub(crate) struct Left {
    pub(crate) key: RecordKey,
    pub(crate) spent: Spent,
    /// Whether it was charged with the attempt.
    pub(crate) counts: bool,
    /// Its answer was billed, whatever it was worth.
    pub(crate) meta: AnswerMeta,
}

/// Makes one attempt and journals what came of it. Nothing acts on the verdict before that is durable.
pub(crate) async fn attempt(shared: Arc<Shared>, mut item: Box<Item>, slot: u32, permit: Permit) -> Attempt {
    let id = item.work.id;
    let number = item.spent().total() + 1;
    if let Err(error) = shared.journal.asking(slot, &id, number) {
        shared.n_asking.fetch_sub(1, Ordering::Relaxed);
        return Attempt { slot, end: AttemptEnd::JournalFailed(error) };
    }
    shared.reporter.on(&Event::Asked { key: id });
    let ended = perform(&shared, &mut item, number, permit).await;
    shared.n_asking.fetch_sub(1, Ordering::Relaxed);
    shared.n_uncommitted.fetch_add(1, Ordering::Relaxed);
    shared.answered.notify_one();
    shared.reporter.on(&Event::Answered { key: id });
    let judged = judge(&shared, &mut item, ended, number);
    shared.bill(&judged.entries);
    let journaled = match judged.entries.is_empty() {
        true => Ok(Located { segment: 0, offset: 0 }),
        false => shared.journal.append(judged.entries).await,
    };
    // Neither an outcome nor a failed attempt will tell that this one came back, so its mark must not speak of a lost
    // answer.
    let journaled = match judged.clears_mark {
        true => journaled.and_then(|at| shared.journal.asking(slot, &id, 0).map(|()| at)),
        false => journaled,
    };
    let end = match journaled {
        Ok(at) => (judged.then)(item, at),
        Err(error) => AttemptEnd::JournalFailed(error),
    };
    shared.n_uncommitted.fetch_sub(1, Ordering::Relaxed);
    Attempt { slot, end }
}

/// Calls the handler under the deadline; a panic is a failure of ours, not the end of the run.
async fn perform(shared: &Shared, item: &mut Item, number: u32, permit: Permit) -> Ended {
    let deadline = Instant::now() + shared.deadline;
    let notes = ItemNotes { shared, work: &item.work, noted: Mutex::default() };
    let context = AttemptContext { number, deadline: deadline.into_std(), permit, prior: &item.prior, notes: &notes };
    let performed = AssertUnwindSafe(shared.handler.perform(&item.work, context)).catch_unwind();
    // The handler keeps the deadline itself and can word it better. This is the net below it, and not an earlier one.
    let performed = tokio::time::timeout_at(deadline + Duration::from_secs(1), performed).await;
    // What it noted counts for the next attempt too, in this process as after a crash.
    let noted = notes.noted.into_inner().unwrap_or_else(PoisonError::into_inner);
    item.prior.notes.extend(noted);
    match performed {
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
type Then = Box<dyn FnOnce(Box<Item>, Located) -> AttemptEnd + Send>;

/// What an attempt comes to.
struct Judged {
    entries: Vec<Entry>,
    clears_mark: bool,
    then: Then,
}

impl Judged {
    fn new(entries: Vec<Entry>, then: impl FnOnce(Box<Item>, Located) -> AttemptEnd + Send + 'static) -> Self {
        Self { entries, clears_mark: false, then: Box::new(then) }
    }

    fn clearing_the_mark(mut self) -> Self {
        self.clears_mark = true;
        self
    }
}

/// Turns the end of attempt `number` into entries, and into what follows when they are durable.
fn judge(shared: &Shared, item: &mut Item, ended: Ended, number: u32) -> Judged {
    let at = shared.clock.now();
    let ended = match ended {
        Ended::Divided(failure) if item.work.members.len() < 2 => {
            Ended::Failed(failure, Bytes::new(), AnswerMeta::default())
        }
        other => other,
    };
    match ended {
        Ended::Divided(failure) => {
            // After a crash the whole is tried again, and divided again.
            Judged::new(Vec::new(), |item, _| AttemptEnd::Divided(item, failure)).clearing_the_mark()
        }
        Ended::Done(answer) => {
            let (record, planned) = &item.work.members[0];
            let entry = succeeded(shared, record, planned, answer, number, at);
            let projections = vec![projection(record, &entry)];
            Judged::new(vec![entry], |_, at| AttemptEnd::Settled(projections, at))
        }
        Ended::Failed(failure, raw, meta) => match classify(&failure, &mut item.spent(), &shared.budgets) {
            Disposition::PauseLane => {
                Judged::new(Vec::new(), |item, _| AttemptEnd::Requeue(item, failure)).clearing_the_mark()
            }
            Disposition::Retry => {
                if let Some(group) = failure.kind.group() {
                    item.spent.iter_mut().for_each(|spent| spent.add(group));
                }
                let members = if item.work.members.len() > 1 { spans(&item.work.members) } else { Vec::new() };
                let key = item.work.id;
                if failure.kind.group() == Some(FailureGroup::Content) {
                    item.prior.refuted = Some((failure.clone(), raw.clone()));
                }
                let attempted =
                    Attempted { key, members, left: false, failure: failure.clone(), meta: meta.clone(), at };
                let entry = Entry { header: Header::Attempted(attempted), raw };
                Judged::new(vec![entry], |item, _| AttemptEnd::Retry(item, failure, meta))
            }
            Disposition::GiveUp => {
                let entries: Vec<Entry> = (item.work.members.iter().enumerate())
                    .map(|(n, (record, planned))| {
                        // One answer came: it is kept, and was billed, once.
                        let (raw, meta) = match n {
                            0 => (raw.clone(), meta.clone()),
                            _ => (Bytes::new(), AnswerMeta { usage: None, ..meta.clone() }),
                        };
                        let end = End::Failed(failure.clone());
                        outcome(record, planned, end, raw, meta, number, at)
                    })
                    .collect();
                let projections = project_all(&item.work, &entries);
                Judged::new(entries, |_, at| AttemptEnd::Settled(projections, at))
            }
        },
        Ended::Parked(receipt, look_again_at) => {
            let entry = parked(&item.work, &item.work.members, receipt.clone(), look_again_at, at);
            Judged::new(vec![entry], move |mut item, _| {
                item.prior.receipt = Some(receipt);
                AttemptEnd::Parked { item, look_again_at, settled: Vec::new(), left: Vec::new() }
            })
            .clearing_the_mark()
        }
        Ended::Harvested(ends, rest) => harvest(shared, item, ends, rest, at),
    }
}

/// Settles the members of a chunk that came back: all of them in one commit.
fn harvest(shared: &Shared, item: &mut Item, ends: Vec<(RecordKey, MemberEnd)>, rest: Rest, at: Timestamp) -> Judged {
    let mut ends: std::collections::HashMap<_, _> = ends.into_iter().collect();
    let mut entries = Vec::new();
    let mut settled = Vec::new();
    let mut left = Vec::new();
    let mut out = Vec::new();
    let mut out_spent = Vec::new();
    let members = std::mem::take(&mut item.work.members);
    for ((record, planned), mut spent) in members.into_iter().zip(std::mem::take(&mut item.spent)) {
        let number = spent.total() + 1;
        let (failure, raw, meta) = match ends.remove(&record.key) {
            Some(MemberEnd::Done(answer)) => {
                let entry = succeeded(shared, &record, &planned, answer, number, at);
                settled.push(projection(&record, &entry));
                entries.push(entry);
                continue;
            }
            Some(MemberEnd::Failed(failure, raw, meta)) => (failure, raw, meta),
            None if matches!(rest, Rest::Parked(..)) => {
                out.push((record, planned));
                out_spent.push(spent);
                continue;
            }
            None => {
                let failure = Failure::new(FailureKind::Missing, "the remote object came back without this record");
                (failure, Bytes::new(), AnswerMeta::default())
            }
        };
        match classify(&failure, &mut spent, &shared.budgets) {
            Disposition::GiveUp => {
                let end = if failure.kind == FailureKind::Missing { End::Missing } else { End::Failed(failure) };
                let entry = outcome(&record, &planned, end, raw, meta, number, at);
                settled.push(projection(&record, &entry));
                entries.push(entry);
            }
            // Where the lane pays, the member goes into another object as if it had not been in this one. The entry
            // still says that it left: a kind without a group charges nobody.
            Disposition::Retry | Disposition::PauseLane => {
                let attempted =
                    Attempted { key: record.key, members: Vec::new(), left: true, failure, meta: meta.clone(), at };
                let counts = attempted.n_charged() > 0;
                entries.push(Entry { header: Header::Attempted(attempted), raw });
                left.push(Left { key: record.key, spent, counts, meta });
            }
        }
    }
    match rest {
        Rest::Parked(receipt, look_again_at) if !out.is_empty() => {
            entries.push(parked(&item.work, &out, receipt.clone(), look_again_at, at));
            (item.work.members, item.spent) = (out, out_spent);
            Judged::new(entries, move |mut item, _| {
                item.prior.receipt = Some(receipt);
                AttemptEnd::Parked { item, look_again_at, settled, left }
            })
            .clearing_the_mark()
        }
        _ => Judged::new(entries, |_, _| AttemptEnd::Harvested { settled, left }).clearing_the_mark(),
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
    let outcome = Outcome { request: planned.request, meta, attempts, ..Outcome::of(record, end, at) };
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
    /// What is durable, for the next attempt.
    noted: Mutex<Vec<(Noted, Bytes)>>,
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
        let entry = Entry { header: Header::Noted(noted.clone()), raw: raw.clone() };
        Box::pin(async move {
            self.shared.journal.append(vec![entry]).await?;
            self.noted.lock().unwrap_or_else(PoisonError::into_inner).push((noted, raw));
            Ok(())
        })
    }
}
