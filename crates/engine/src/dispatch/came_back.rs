//! Taking what came back: ends of attempts whose entries are durable.

use std::{cmp::Reverse, time::Duration};

use bytes::Bytes;
use domain::{
    AnswerMeta, End, EndClass, Entry, Event, Failure, FailureGroup, Header, Located, Planned, Record, RecordKey, Spent,
    Timestamp,
    ports::{Ended, Handler, Prior, Projection},
};
use tokio::time::Instant;

use super::{Flowing, MAX_BACKOFF, MAX_HELD, Queued, duplicates::Request, millis};
use crate::{
    execute::{self, Attempt, AttemptEnd, Left},
    feed::Item,
    plan,
    run::EngineError,
};

impl Flowing<'_> {
    /// Books the end of an attempt: its entries are durable.
    pub(super) fn came_back(&mut self, attempt: Attempt) -> Result<(), EngineError> {
        self.n_in_flight -= 1;
        self.slots.give_back(attempt.slot);
        match attempt.end {
            AttemptEnd::Settled(settled, at) => self.settled(settled, Some(at))?,
            AttemptEnd::Retry(item, failure, meta) => {
                self.counted(item.work.members.len());
                self.billed(&meta);
                self.retry(item, &failure);
            }
            AttemptEnd::Requeue(item, failure) => {
                let Failure { kind, message, .. } = failure;
                self.context.reporter.on(&Event::LanePaused { kind, message });
                self.make_ready_first(item);
            }
            AttemptEnd::Divided(item, failure) => {
                self.told_failed(item.work.id, &failure, Duration::ZERO);
                let (front, back) = item.halves();
                // The front one is to be the first.
                self.make_ready_first(Box::new(back));
                self.make_ready_first(Box::new(front));
            }
            AttemptEnd::Parked { item, look_again_at, settled, left } => {
                self.settled(settled, None)?;
                self.left_behind(left);
                self.n_queued += 1;
                self.parked.push(Queued { due: Reverse(look_again_at), number: Reverse(self.n_queued), item });
            }
            AttemptEnd::Harvested { settled, left } => {
                self.settled(settled, None)?;
                self.left_behind(left);
            }
            AttemptEnd::JournalFailed(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Books ends; `at` is where the outcome lies, where there is one and it was asked for.
    fn settled(&mut self, settled: Vec<Projection>, at: Option<Located>) -> Result<(), EngineError> {
        for Projection { record, outcome } in &settled {
            let (key, class) = (outcome.key, outcome.end.class());
            self.recovered.settled.insert(&key);
            self.counted(usize::from(outcome.is_of_attempt()));
            self.recovered.tally.entry(key.step).or_default().add(class);
            if !self.recovered.spent.is_empty() {
                self.recovered.spent.remove(&key);
            }
            self.billed(&outcome.meta);
            self.context.reporter.on(&Event::Settled { key, class });
            if self.candidates.is_some() {
                if class == EndClass::Succeeded {
                    self.recovered.succeeded.insert(&key);
                }
                self.next_candidate(record, &outcome.end)?;
            }
        }
        if let (Some(at), Some(duplicates)) = (at, &mut self.duplicates) {
            duplicates.reached(at)?;
            if let [Projection { outcome, .. }] = settled.as_slice()
                && outcome.same_as.is_none()
            {
                let waiting = duplicates.settled(outcome, at)?;
                if !waiting.is_empty() {
                    self.answer_alike(waiting, at)?;
                }
            }
        }
        self.projector.show(settled);
        Ok(())
    }

    /// Books attempts that counted.
    fn counted(&mut self, n: usize) {
        *self.recovered.attempts.entry(self.step).or_default() += n as u64;
    }

    /// Books what an answer cost.
    fn billed(&mut self, meta: &AnswerMeta) {
        let Some(usage) = meta.usage else { return };
        let upstream = meta.upstream.clone().unwrap_or_default();
        self.recovered.billed.entry(self.step).or_default().add(&upstream, usage);
        self.context.reporter.on(&Event::Billed { upstream, usage, latency_ms: meta.latency_ms });
    }

    /// Records that came back from a chunk without an end: the next pass reads them again.
    fn left_behind(&mut self, left: Vec<Left>) {
        self.is_complete &= left.is_empty();
        for Left { key, spent, counts, meta } in left {
            self.counted(usize::from(counts));
            self.billed(&meta);
            self.recovered.spent.insert(key, spent);
        }
    }

    fn retry(&mut self, item: Box<Item>, failure: &Failure) {
        if failure.kind.group() == Some(FailureGroup::Api) {
            self.gate.failed();
        }
        let wait = self.flow.backoff.wait(item.spent().total(), failure, &mut self.jitter);
        self.told_failed(item.work.id, failure, wait);
        self.n_queued += 1;
        let due = Reverse(Instant::now() + wait);
        self.backoff.push(Queued { due, number: Reverse(self.n_queued), item });
    }

    fn told_failed(&self, key: RecordKey, failure: &Failure, wait: Duration) {
        self.context.reporter.on(&Event::AttemptFailed {
            key,
            kind: failure.kind,
            reason: failure.reason,
            message: failure.message.clone(),
            next_in_ms: millis(wait),
        });
    }

    /// Takes an item to be worked on, unless its request has been made for another record.
    pub(super) fn take_item(&mut self, item: Box<Item>) -> Result<(), EngineError> {
        let Some(duplicates) = &mut self.duplicates else {
            self.make_ready(item);
            return Ok(());
        };
        match duplicates.look_up(item, &*self.shared.journal, &self.recovered.settled)? {
            Request::New(item) => self.make_ready(item),
            Request::Asked => {}
            Request::Answered(item, entry) => self.settle_alike(vec![*item], &entry),
        }
        Ok(())
    }

    /// Answers records with the answer to their identical request, whose outcome lies at `at`.
    fn answer_alike(&mut self, items: Vec<Item>, at: Located) -> Result<(), EngineError> {
        let Some(entry) = self.shared.journal.read(at)? else {
            // Damaged in this very moment: then they are asked for themselves.
            items.into_iter().for_each(|item| self.make_ready(Box::new(item)));
            return Ok(());
        };
        if matches!(&entry.header, Header::Outcome(outcome) if outcome.end == End::Cancelled) {
            self.called_off.extend(items);
            return Ok(());
        }
        self.settle_alike(items, &entry);
        Ok(())
    }

    fn settle_alike(&mut self, items: Vec<Item>, entry: &Entry) {
        let now = self.context.clock.now();
        let (mut entries, mut settled) = (Vec::new(), Vec::new());
        for (record, planned) in items.into_iter().flat_map(|item| item.work.members) {
            let Some(alike) = alike(&*self.shared.handler, &record, &planned, entry, now) else { continue };
            settled.push(execute::projection(&record, &alike));
            entries.push(alike);
        }
        self.settle_without_work(entries, settled);
    }

    /// Where records are asked for until so many answers are accepted: puts the next candidate in line for one that was
    /// not.
    fn next_candidate(&mut self, record: &Record, end: &End) -> Result<(), EngineError> {
        let Some(candidates) = &mut self.candidates else { return Ok(()) };
        let next = candidates.ended(&record.key, end.class(), &self.recovered.settled);
        let Some(key) = next else { return Ok(()) };
        let record = Record { key, ..record.clone() };
        // Planned once already for another sample: it is pure, so it comes out again.
        if let Some((record, planned)) = plan::again(record, &*self.shared.handler) {
            let work = domain::WorkItem { id: key, members: vec![(record, planned)] };
            let item = Box::new(Item { work, spent: vec![Spent::default()], prior: Prior::default() });
            self.take_item(item)?;
        }
        Ok(())
    }

    /// Returns whether more records may be read as far as those are concerned that wait for another one's answer.
    pub(super) fn has_room_for_duplicates(&self) -> bool {
        self.duplicates.as_ref().is_none_or(|duplicates| {
            let (n, held) = duplicates.waiting();
            n < MAX_BACKOFF && held < MAX_HELD
        })
    }
}

/// Makes the outcome of a record from that of another one with the identical request. Nothing was billed for it.
fn alike(handler: &dyn Handler, record: &Record, planned: &Planned, of: &Entry, now: Timestamp) -> Option<Entry> {
    let Header::Outcome(asked) = &of.header else { return None };
    let leader: RecordKey = asked.same_as.unwrap_or(asked.key);
    let (mut end, mut output) = (asked.end.clone(), asked.output.clone());
    // What is made of an answer may depend on the record, so it is judged for this one.
    match handler.judge_again(record, asked, &of.raw) {
        Some(Ended::Done(answer)) => (end, output) = (End::Succeeded, Some(answer.output)),
        Some(Ended::Failed(failure, ..)) => (end, output) = (End::Failed(failure), None),
        _ => {}
    }
    if let End::Failed(failure) = &mut end {
        failure.message = format!("the identical request of line {} failed: {}", asked.line, failure.message);
    }
    let meta = AnswerMeta { usage: None, latency_ms: None, ..asked.meta.clone() };
    let mut entry = execute::outcome(record, planned, end, Bytes::new(), meta, 0, now);
    if let Header::Outcome(outcome) = &mut entry.header {
        (outcome.output, outcome.same_as) = (output, Some(leader));
    }
    Some(entry)
}
