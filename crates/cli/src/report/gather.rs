//! Taking what a journal holds once, from its first entry to its last, and adding up: while it is written
//! ([`super::heard`]), or from disk.
//!
//! What takes memory: two bytes a record ([`Ends`]), four bytes a record whose answer others took, and for everything
//! else a constant. Where duplicates were answered, or the examples at hand do not suffice, the journal is read a
//! second time: what an answer was billed is known by then, and which outcomes are the last ones.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use domain::{
    AnswerMeta, Attempted, Billed, Entry, FailureKind, Header, Outcome, PartNumber, Reason, RecordKey, SampleNumber,
    StepNumber, Timestamp,
    ports::{Damage, JournalError},
};
use store::{Journal, LocalDisk};

use super::{
    ends::Ends,
    examples::{Examples, SHOWN, Why},
    histogram::Histogram,
    said,
    timeline::Timeline,
};

/// Names that are counted one by one, of upstreams, models and reasons to stop; a vendor that makes up a new one for
/// each answer does not fill the memory.
const NAMES: usize = 64;
/// Where names beyond those are counted.
pub(super) const OTHER_NAMES: &str = "…";
/// Processes that are told one by one.
const PROCESSES: usize = 100;

/// All that a journal tells, added up.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// How each record has ended.
    pub(super) ends: Ends,
    /// Records that did not succeed.
    pub(super) examples: Examples,
    /// When processes worked.
    pub(super) processes: Processes,
    /// Records settled over time: succeeded, failed in any way, skipped.
    pub(super) settled: Timeline,
    /// Failed attempts that were followed by another one.
    pub(super) retried: BTreeMap<(FailureKind, Option<Reason>), u64>,
    /// Attempts that were journaled, those of the outcomes among them.
    pub(super) attempts: u64,
    /// By upstream: all of its answers, those that failed included.
    pub(super) upstreams: BTreeMap<String, Upstream>,
    /// Why models stopped.
    pub(super) finish_reasons: Names,
    /// Tokens of answers, where they were told.
    pub(super) answer_tokens: Histogram,
    /// Characters of answers.
    pub(super) answer_characters: Histogram,
    /// Outcomes that took another record's answer, so that nothing was asked.
    pub(super) answered_without_asking: u64,
    /// What those would have been billed.
    pub(super) saved: Billed,
    /// Bytes that cannot be read.
    pub(super) damage: Vec<Damage>,
    /// How often the answer of a record was taken by others.
    followers: HashMap<(StepNumber, PartNumber, SampleNumber), Vec<u32>>,
}

/// What an upstream did.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    /// Its answers.
    pub(super) answers: u64,
    /// Answers for which it told the tokens.
    pub(super) billed: u64,
    /// Those tokens.
    pub(super) usage: domain::Usage,
    /// By the name that it gives the model.
    pub(super) models: Names,
    /// From send to the whole answer, in milliseconds.
    pub(super) latency: Histogram,
    /// Tokens of the answer for each second of that, in tenths.
    pub(super) speed: Histogram,
}

/// Names and how often they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(pub(super) BTreeMap<String, u64>);

impl Names {
    fn add(&mut self, name: &str) {
        let name = if self.0.len() < NAMES || self.0.contains_key(name) { name } else { OTHER_NAMES };
        match self.0.get_mut(name) {
            Some(n) => *n += 1,
            None => {
                self.0.insert(name.to_owned(), 1);
            }
        }
    }
}

/// When processes worked on the run.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// How many began.
    pub(super) n: u64,
    /// The first ones.
    pub(super) told: Vec<Process>,
    /// How many ended without a word.
    pub(super) n_killed: u64,
    /// Requests that were asked again because their answers were lost with a process.
    pub(super) asked_again: u64,
    /// Milliseconds from the beginning of each process to its end.
    pub(super) working_ms: u64,
    /// The first entry of all.
    pub(super) first: Option<Timestamp>,
    /// The last entry of all.
    pub(super) last: Option<Timestamp>,
    /// Whether the last process is at work.
    pub(super) is_running: bool,
    now: Option<Process>,
}

/// One process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) begun: Timestamp,
    /// Its last entry.
    pub(super) last: Timestamp,
    pub(super) version: String,
    /// What it said when it stopped; nothing where it was killed, or is at work.
    pub(super) stopped: Option<String>,
    /// Records that it settled.
    pub(super) settled: u64,
}

impl Processes {
    fn start(&mut self, at: Timestamp, version: &str, asked_again: u64) {
        self.end(None);
        self.n += 1;
        self.asked_again += asked_again;
        self.now = Some(Process { begun: at, last: at, version: version.to_owned(), stopped: None, settled: 0 });
    }

    fn end(&mut self, stopped: Option<&str>) {
        let Some(mut process) = self.now.take() else { return };
        process.stopped = stopped.map(str::to_owned);
        self.n_killed += u64::from(stopped.is_none());
        self.working_ms += process.last.0.saturating_sub(process.begun.0);
        if self.told.len() < PROCESSES {
            self.told.push(process);
        }
    }

    /// Ends the last process, which was killed or is at work.
    fn close(&mut self, is_running: bool) {
        self.is_running = is_running && self.now.is_some();
        self.end(None);
        self.n_killed -= u64::from(self.is_running);
    }

    fn at(&mut self, at: Timestamp) {
        self.first.get_or_insert(at);
        self.last = self.last.max(Some(at));
        if let Some(process) = &mut self.now {
            process.last = process.last.max(at);
        }
    }
}

impl Gathered {
    /// Reads the journal in `folder`; one that does not exist yet is empty. `is_running` says whether a process is at work.
    ///
    /// # Errors
    /// Where it cannot be read at all.
    pub(super) fn of(folder: &Path, is_running: bool) -> Result<Self, JournalError> {
        let mut gathered = Self::default();
        if !folder.exists() {
            return Ok(gathered);
        }
        gathered.damage = Journal::replay(&LocalDisk, folder, &mut |entry| gathered.take(&entry))?;
        gathered.complete(folder, is_running)
    }

    /// Ends the adding up, once every entry of the journal in `folder` was taken.
    ///
    /// # Errors
    /// Where the journal must be read a second time, and cannot be.
    pub(super) fn complete(mut self, folder: &Path, is_running: bool) -> Result<Self, JournalError> {
        self.processes.close(is_running);
        if self.lacks_something() {
            self.examples = Examples::default();
            Journal::replay(&LocalDisk, folder, &mut |entry| self.take_again(&entry))?;
        }
        Ok(self)
    }

    /// Takes the next entry.
    pub(super) fn take(&mut self, entry: &Entry) {
        match &entry.header {
            Header::Outcome(outcome) => self.take_outcome(outcome, &entry.raw),
            Header::Attempted(attempted) => self.take_attempt(attempted, &entry.raw),
            Header::Reopened(reopened) => {
                self.ends.reopen(&reopened.key);
                self.examples.reopen(&reopened.key);
                self.processes.at(reopened.at);
            }
            Header::Started(started) => {
                self.processes.start(started.at, &started.version, started.asked_again);
                self.processes.at(started.at);
                self.settled.reach(started.at.0);
            }
            Header::Stopped(stopped) => {
                self.processes.at(stopped.at);
                self.settled.reach(stopped.at.0);
                self.processes.end(Some(&stopped.reason));
            }
            Header::Noted(noted) => self.processes.at(noted.at),
            Header::Parked(parked) => self.processes.at(parked.at),
        }
    }

    fn take_outcome(&mut self, outcome: &Outcome, raw: &[u8]) {
        self.ends.settle(outcome);
        self.examples.settle(outcome, raw);
        self.processes.at(outcome.at);
        // An answer that is judged again was counted when it came.
        if outcome.reparsed {
            return;
        }
        if let Some(process) = &mut self.processes.now {
            process.settled += 1;
        }
        let series = match outcome.end {
            domain::End::Succeeded => 0,
            domain::End::Skipped { .. } => 2,
            _ => 1,
        };
        self.settled.reach(outcome.at.0)[series] += 1;
        if let Some(leader) = &outcome.same_as {
            self.answered_without_asking += 1;
            self.follow(leader);
            return;
        }
        if outcome.is_of_attempt() {
            self.attempts += 1;
            self.take_answer(&outcome.meta, raw);
        }
    }

    fn take_attempt(&mut self, attempted: &Attempted, raw: &[u8]) {
        self.attempts += attempted.n_charged();
        *self.retried.entry((attempted.failure.kind, attempted.failure.reason)).or_default() += 1;
        self.processes.at(attempted.at);
        self.settled.reach(attempted.at.0);
        self.take_answer(&attempted.meta, raw);
    }

    fn take_answer(&mut self, meta: &AnswerMeta, raw: &[u8]) {
        if let Some(reason) = &meta.finish_reason {
            self.finish_reasons.add(reason);
        }
        // Journals of former versions do not tell it.
        if let Some(characters) = meta.characters.or_else(|| said::characters_of(raw)) {
            self.answer_characters.add(characters);
        }
        if meta.upstream.is_none() && meta.usage.is_none() && meta.latency_ms.is_none() {
            return;
        }
        let name = meta.upstream.as_deref().unwrap_or_default();
        let name = if self.upstreams.len() < NAMES || self.upstreams.contains_key(name) { name } else { OTHER_NAMES };
        let upstream = match self.upstreams.get_mut(name) {
            Some(upstream) => upstream,
            None => self.upstreams.entry(name.to_owned()).or_default(),
        };
        upstream.answers += 1;
        if let Some(model) = &meta.model {
            upstream.models.add(model);
        }
        if let Some(latency) = meta.latency_ms {
            upstream.latency.add(latency);
        }
        let Some(usage) = meta.usage else { return };
        upstream.billed += 1;
        self.answer_tokens.add(usage.completion_tokens);
        if let Some(latency) = meta.latency_ms.filter(|latency| *latency > 0)
            && usage.completion_tokens > 0
        {
            upstream.speed.add(usage.completion_tokens.saturating_mul(10_000) / latency);
        }
        upstream.usage.add(usage);
    }

    fn follow(&mut self, leader: &RecordKey) {
        let Ok(position) = usize::try_from(leader.position) else { return };
        let counts = self.followers.entry((leader.step, leader.part, leader.sample)).or_default();
        if counts.len() <= position {
            counts.resize(position + 1, 0);
        }
        counts[position] = counts[position].saturating_add(1);
    }

    /// Returns whether the journal must be read again: for what duplicates would have cost, or because there are
    /// examples that were not at hand when there was room for them.
    fn lacks_something(&self) -> bool {
        let short = |why, n: &u64| (self.examples.n(why) as u64) < (*n).min(SHOWN as u64);
        self.answered_without_asking > 0
            || self.ends.sums().values().any(|sums| {
                sums.failed.iter().any(|((kind, reason), n)| short(Why::Failed(*kind, *reason), n))
                    || sums.skipped().iter().any(|(reason, n)| short(Why::Skipped(*reason), n))
            })
    }

    fn take_again(&mut self, entry: &Entry) {
        let Header::Outcome(outcome) = &entry.header else { return };
        let class = outcome.end.class();
        let reason = match &outcome.end {
            domain::End::Failed(failure) => failure.reason,
            _ => None,
        };
        if self.ends.of(&outcome.key) == Some((class, reason)) {
            self.examples.settle(outcome, &entry.raw);
        }
        if outcome.reparsed || outcome.same_as.is_some() {
            return;
        }
        let key = &outcome.key;
        let followers = self.followers.get_mut(&(key.step, key.part, key.sample));
        let n = usize::try_from(key.position).ok().and_then(|position| followers?.get_mut(position));
        if let (Some(n), Some(usage)) = (n, outcome.meta.usage) {
            // The first answer is the one that was taken; a later one of the same record was asked for by itself.
            let times = u64::from(std::mem::take(n));
            let upstream = outcome.meta.upstream.as_deref().unwrap_or_default();
            if times > 0 {
                self.saved.add(
                    upstream,
                    domain::Usage {
                        prompt_tokens: usage.prompt_tokens * times,
                        completion_tokens: usage.completion_tokens * times,
                        cached_tokens: usage.cached_tokens * times,
                        reasoning_tokens: usage.reasoning_tokens * times,
                    },
                );
            }
        }
    }

    /// Returns what was billed by each upstream.
    pub(super) fn billed(&self) -> Billed {
        let named = self.upstreams.iter().filter(|(_, upstream)| upstream.billed > 0);
        Billed(named.map(|(name, upstream)| (name.clone(), upstream.usage)).collect())
    }
}
