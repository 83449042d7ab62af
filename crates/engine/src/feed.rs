//! Pulling records under backpressure, dropping what is settled, forming items.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use domain::{
    Failure, Planned, Read, Record, RecordKey, Reporter, SampleNumber, SettledSet, SkipReason, Spent, StepNumber,
    WorkItem,
    ports::{Grouping, Handler, KeyTable, OpenItem, Prior, Records, Source, Starts},
};
use tokio::sync::{mpsc, watch};

use crate::{
    away::Away,
    dispatch::{Until, first_candidates},
    plan::{self, Plan},
    run::{Control, EngineError},
};

/// A work item with what earlier attempts left behind.
pub(crate) struct Item {
    pub(crate) work: WorkItem,
    /// What each member has spent, side by side with the members.
    pub(crate) spent: Vec<Spent>,
    pub(crate) prior: Prior,
}

impl Item {
    /// Returns what the item has spent as a whole: as much as the member that has spent most.
    pub(crate) fn spent(&self) -> Spent {
        let mut most = Spent::default();
        for spent in &self.spent {
            most.raise_to(*spent);
        }
        most
    }

    /// Divides a chunk into two, each of which begins with what its members have spent.
    pub(crate) fn halves(mut self) -> (Self, Self) {
        let middle = self.work.members.len() / 2;
        let (members, spent) = (self.work.members.split_off(middle), self.spent.split_off(middle));
        // A chunk is called by its first member.
        let id = members.first().map_or(self.work.id, |(record, _)| record.key);
        let back = Self { work: WorkItem { id, members }, spent, prior: Prior::default() };
        (self, back)
    }

    /// Returns about how much memory it holds, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.work.members.iter().map(|(record, planned)| record.bytes.len() + planned.body.len() + 512).sum()
    }
}

/// What the feed hands on.
pub(crate) enum Fed {
    /// Work to do.
    Item(Box<Item>),
    /// A record that is settled without work.
    Skip(Record, SkipReason, String),
    /// A record that failed before any attempt.
    Fail(Record, Failure),
}

/// Where the feed reads, and what it needs to know.
pub(crate) struct Feed {
    pub(crate) step: StepNumber,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) limit: Option<u64>,
    pub(crate) keys: Option<Box<dyn KeyTable>>,
    /// What was settled when the pass began. Nothing that is settled during a pass is read again in it.
    pub(crate) settled: SettledSet,
    /// How often each record is worked on.
    pub(crate) samples: SampleNumber,
    /// Where records are asked for until so many answers are accepted.
    pub(crate) until: Option<Until>,
    /// What succeeded before the pass began, where [`Feed::until`] is set.
    pub(crate) succeeded: SettledSet,
    /// Only the records of these numbers, counted from 0 over the whole source: a sample.
    pub(crate) only: Option<Arc<BTreeSet<u64>>>,
    /// Of unsettled records, the last answer that was not what was asked for.
    pub(crate) refuted: HashMap<RecordKey, (Failure, Bytes)>,
    pub(crate) spent: HashMap<RecordKey, Spent>,
    pub(crate) open: HashMap<RecordKey, OpenItem>,
    /// Where to start in each part.
    pub(crate) starts: Starts,
    /// Who is told of a source that cannot be reached now.
    pub(crate) reporter: Arc<dyn Reporter>,
    /// What the user wants.
    pub(crate) control: watch::Receiver<Control>,
}

/// What the feed gives back at its end.
pub(crate) struct FedAll {
    /// Records in the source, up to the limit.
    pub(crate) n_records: u64,
    pub(crate) keys: Option<Box<dyn KeyTable>>,
}

/// Records are read and handed on in batches: so large, or so heavy.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

impl Feed {
    /// Reads the source to its end (or its limit) and sends what is to be done. Ends early, without error, when the
    /// receiver is gone.
    pub(crate) async fn run(mut self, sender: mpsc::Sender<Vec<Fed>>) -> Result<FedAll, EngineError> {
        // An index of user keys that a crash of the machine made doubtful is filled again from the start.
        let mut refill = self.keys.as_ref().is_some_and(|keys| !keys.is_whole());
        if refill && self.settled.n_settled(self.step) == 0 {
            // There is nothing to be put in again.
            self.filled()?;
            refill = false;
        }
        let starts = if refill { Starts::new() } else { std::mem::take(&mut self.starts) };
        let mut records = self.source.open(&starts)?;
        let mut former = Former::new(self.handler.grouping(), std::mem::take(&mut self.open), &self.settled);
        let mut n_records: u64 = starts.values().map(|(position, _)| position).sum();
        let mut batch = Vec::with_capacity(BATCH);
        let mut weight = 0;
        'source: loop {
            let reads = self.next(&mut *records).await?;
            if reads.is_empty() {
                break;
            }
            for mut read in reads {
                if self.limit.is_some_and(|limit| n_records >= limit) {
                    break 'source;
                }
                // Positions are not always dense (derived records): the count is of those that were seen.
                n_records += 1;
                read.record.key.step = self.step;
                if self.only.as_ref().is_some_and(|only| !only.contains(&(n_records - 1))) {
                    continue;
                }
                let samples = self.samples_of(&read.record);
                if samples.is_empty() {
                    if refill
                        && let (Some(keys), Ok(inspected)) = (&mut self.keys, self.source.inspect(&read.record))
                        && let Some(user_key) = inspected.user_key
                    {
                        keys.insert(&user_key, (read.record.key.part, read.record.key.position))?;
                    }
                    continue;
                }
                // All samples of a record go in one batch: whoever takes it knows them all.
                if let [sample] = *samples {
                    read.record.key.sample = sample;
                    weight += self.plan(read, &mut former, &mut batch)?;
                } else {
                    for sample in samples {
                        let mut read = read.clone();
                        read.record.key.sample = sample;
                        weight += self.plan(read, &mut former, &mut batch)?;
                    }
                }
                if (batch.len() >= BATCH || weight >= BATCH_BYTES)
                    && sender.send(std::mem::take(&mut batch)).await.is_err()
                {
                    return Ok(FedAll { n_records, keys: self.keys });
                }
                if batch.is_empty() {
                    weight = 0;
                }
            }
        }
        if refill {
            self.filled()?;
        }
        for work in former.rest() {
            batch.push(self.item(work));
        }
        if !batch.is_empty() && sender.send(batch).await.is_err() {
            return Ok(FedAll { n_records, keys: self.keys });
        }
        Ok(FedAll { n_records, keys: self.keys })
    }

    /// Reads on, and waits while something stands in the way that may pass.
    async fn next(&mut self, records: &mut dyn Records) -> Result<Vec<Read>, EngineError> {
        let mut away = Away::new(self.step, &self.reporter);
        loop {
            let error = match records.next(BATCH).await {
                Ok(reads) => return Ok(reads),
                Err(error) if records.may_pass() => error,
                Err(error) => return Err(error.into()),
            };
            if away.wait(&error.0, &self.control).await.is_err() {
                return Err(error.into());
            }
        }
    }

    fn filled(&mut self) -> Result<(), EngineError> {
        self.keys.as_mut().map_or(Ok(()), |keys| keys.filled()).map_err(Into::into)
    }

    /// Returns the samples of a record that are to be worked on now.
    fn samples_of(&self, record: &Record) -> Vec<SampleNumber> {
        match self.until {
            Some(until) => first_candidates(until, record, &self.settled, &self.succeeded),
            None => {
                let is_open =
                    |sample: &SampleNumber| !self.settled.contains(&RecordKey { sample: *sample, ..record.key });
                (0..self.samples).filter(is_open).collect()
            }
        }
    }

    /// Plans one sample of a record, adds what comes of it, and returns about how much memory that holds: a small record
    /// may name a large file.
    fn plan(&mut self, read: Read, former: &mut Former, batch: &mut Vec<Fed>) -> Result<usize, EngineError> {
        let sample = read.record.key.sample;
        let mut weight = read.record.bytes.len();
        match plan::plan(read, &*self.source, &*self.handler, self.keys.as_mut())? {
            // What stands in the way of a record is told once, with its first sample.
            Plan::Skip(..) | Plan::Fail(..) if sample > 0 => {}
            Plan::Skip(record, reason, message) => batch.push(Fed::Skip(record, reason, message)),
            Plan::Fail(record, failure) => batch.push(Fed::Fail(record, failure)),
            Plan::Work(record, planned) => {
                weight += planned.body.len();
                let formed = former.add(record, planned);
                batch.extend(formed.map(|work| self.item(work)));
            }
        }
        Ok(weight)
    }

    fn item(&mut self, (work, prior): (WorkItem, Prior)) -> Fed {
        let of = |(record, _): &(Record, Planned)| self.spent.get(&record.key).copied().unwrap_or_default();
        let spent = work.members.iter().map(of).collect();
        let prior = Prior { refuted: self.refuted.remove(&work.id), ..prior };
        Fed::Item(Box::new(Item { work, spent, prior }))
    }
}

/// Forms items: single records, chunks, and again those items that an earlier process had begun.
struct Former {
    grouping: Grouping,
    begun: HashMap<RecordKey, Begun>,
    /// Which begun item a record belongs to.
    member_of: HashMap<RecordKey, RecordKey>,
    chunk: Vec<(Record, Planned)>,
    chunk_bytes: usize,
}

/// An item that an earlier process had begun, while its records are read again.
struct Begun {
    item: OpenItem,
    members: Vec<(Record, Planned)>,
    n_awaited: u64,
}

impl Former {
    fn new(grouping: Grouping, open: HashMap<RecordKey, OpenItem>, settled: &SettledSet) -> Self {
        let mut member_of = HashMap::new();
        let mut begun = HashMap::new();
        for (id, item) in open {
            let mut n_awaited = 0;
            for member in &item.members {
                let keys = (0..member.n).map(|n| RecordKey { position: member.first.position + n, ..member.first });
                for key in keys.filter(|key| !settled.contains(key)) {
                    member_of.insert(key, id);
                    n_awaited += 1;
                }
            }
            begun.insert(id, Begun { item, members: Vec::new(), n_awaited });
        }
        Self { grouping, begun, member_of, chunk: Vec::new(), chunk_bytes: 0 }
    }

    /// Adds a record; returns an item when one is complete.
    fn add(&mut self, record: Record, planned: Planned) -> Option<(WorkItem, Prior)> {
        if !self.member_of.is_empty()
            && let Some(id) = self.member_of.remove(&record.key)
            && let Some(begun) = self.begun.get_mut(&id)
        {
            begun.members.push((record, planned));
            begun.n_awaited -= 1;
            let is_complete = begun.n_awaited == 0;
            return is_complete.then(|| self.take_begun(id)).flatten();
        }
        let Grouping::Chunk { records, bytes } = self.grouping else {
            let work = WorkItem { id: record.key, members: vec![(record, planned)] };
            return Some((work, Prior::default()));
        };
        self.chunk_bytes += planned.body.len();
        self.chunk.push((record, planned));
        (self.chunk.len() >= records || self.chunk_bytes >= bytes).then(|| self.take_chunk()).flatten()
    }

    /// Returns what is left when the source has ended: the last chunk, and begun items whose other members are settled
    /// or gone.
    fn rest(&mut self) -> Vec<(WorkItem, Prior)> {
        let mut begun: Vec<RecordKey> = self.begun.keys().copied().collect();
        begun.sort_unstable();
        let mut rest: Vec<(WorkItem, Prior)> = begun.into_iter().filter_map(|id| self.take_begun(id)).collect();
        rest.extend(self.take_chunk());
        rest
    }

    fn take_begun(&mut self, id: RecordKey) -> Option<(WorkItem, Prior)> {
        let Begun { item, members, .. } = self.begun.remove(&id)?;
        if members.is_empty() {
            return None;
        }
        let receipt = item.parked.map(|parked| parked.receipt);
        Some((WorkItem { id, members }, Prior { notes: item.notes, receipt, refuted: None }))
    }

    fn take_chunk(&mut self) -> Option<(WorkItem, Prior)> {
        let members = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        let id = members.first()?.0.key;
        Some((WorkItem { id, members }, Prior::default()))
    }
}
