//! Ports in memory.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use domain::{
    BoxFuture, End, EndClass, Entry, Failure, FailureKind, Header, Located, Origin, Outcome, Read, Record, RecordKey,
    SkipReason, StepNumber,
    ports::{
        Artefact, Change, Fingerprint, Found, Inspected, Journal, JournalError, KeyTableError, Merge, Outcomes,
        Projection, Records, Recovered, Rejected, RequestTable, Sink, SinkError, Source, SourceError, Starts,
    },
};
use serde_json::value::RawValue;

/// Records from a list.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    lines: Arc<Vec<Bytes>>,
    n_read: Arc<AtomicUsize>,
}

impl MemorySource {
    /// Makes `n` records `{"n":0}`, `{"n":1}` and so on.
    #[must_use]
    pub fn counting(n: u64) -> Self {
        let lines = (0..n).map(|i| Bytes::from(format!(r#"{{"n":{i}}}"#))).collect();
        Self { lines: Arc::new(lines), n_read: Arc::default() }
    }

    /// Returns how many records have been read, over all readings.
    #[must_use]
    pub fn n_read(&self) -> usize {
        self.n_read.load(Ordering::Relaxed)
    }
}

impl Source for MemorySource {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn fingerprint(&self) -> Result<Fingerprint, SourceError> {
        Ok(Fingerprint { parts: vec![self.name()], lengths: vec![self.lines.len() as u64], samples: Vec::new() })
    }

    fn compare(&self, before: &Fingerprint) -> Result<Change, SourceError> {
        let now = self.fingerprint()?;
        Ok(if now == *before { Change::Unchanged } else { Change::Appended { now } })
    }

    fn open(&self, starts: &Starts) -> Result<Box<dyn Records>, SourceError> {
        let (position, _) = starts.get(&0).copied().unwrap_or_default();
        Ok(Box::new(MemoryRecords { source: self.clone(), position }))
    }

    fn inspect(&self, record: &Record) -> Result<Inspected, (SkipReason, String)> {
        let text = std::str::from_utf8(&record.bytes).map_err(|e| (SkipReason::BadText, e.to_string()))?;
        serde_json::from_str::<&RawValue>(text).map_err(|e| (SkipReason::BadRecord, e.to_string()))?;
        Ok(Inspected { user_key: None })
    }
}

struct MemoryRecords {
    source: MemorySource,
    position: u64,
}

impl Records for MemoryRecords {
    fn next(&mut self, max: usize) -> BoxFuture<'_, Result<Vec<Read>, SourceError>> {
        let from = self.position as usize;
        let to = (from + max).min(self.source.lines.len());
        let reads: Vec<Read> = (from..to)
            .map(|i| {
                let record = Record {
                    key: RecordKey { step: 0, part: 0, sample: 0, position: i as u64 },
                    origin: Origin { line: i as u64 + 1, offset: i as u64 },
                    bytes: self.source.lines[i].clone(),
                    row: None,
                };
                Read { record, next_offset: i as u64 + 1, flaw: None }
            })
            .collect();
        self.position = to as u64;
        self.source.n_read.fetch_add(reads.len(), Ordering::Relaxed);
        Box::pin(async move { Ok(reads) })
    }
}

/// What a [`MemorySink`] shows. It outlives the sink, as files outlive a process.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Live projections, in order.
    pub live: Arc<Mutex<Vec<(RecordKey, EndClass)>>>,
    /// The final output, once it is in place.
    pub merged: Arc<Mutex<Option<Vec<Outcome>>>>,
    /// Positions of records that the final output does not take.
    pub rejecting: Arc<Mutex<BTreeSet<u64>>>,
    /// How often the sink cannot be reached when it is to write what it holds.
    pub n_away: Arc<Mutex<u32>>,
}

/// A sink that keeps what it is given.
#[derive(Debug, Default)]
pub struct MemorySink {
    shown: Shown,
}

impl MemorySink {
    /// Makes a sink that shows into `shown`.
    #[must_use]
    pub fn new(shown: &Shown) -> Self {
        Self { shown: shown.clone() }
    }
}

impl Sink for MemorySink {
    fn prepare(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn open(&mut self, _is_new: bool) -> Result<(), SinkError> {
        Ok(())
    }

    fn project(&mut self, settled: &[Projection]) -> Result<(), SinkError> {
        let shown = settled.iter().map(|p| (p.outcome.key, p.outcome.end.class()));
        self.shown.live.lock().expect("no holder panics").extend(shown);
        Ok(())
    }

    fn restore(&mut self, _record: &Record) -> Result<Option<Box<RawValue>>, SinkError> {
        Ok(None)
    }

    fn merge(&mut self) -> Result<Box<dyn Merge>, SinkError> {
        Ok(Box::new(MemoryMerge { shown: self.shown.clone(), outcomes: Vec::new(), rejected: Vec::new() }))
    }
}

struct MemoryMerge {
    shown: Shown,
    outcomes: Vec<Outcome>,
    rejected: Vec<Rejected>,
}

impl Merge for MemoryMerge {
    fn write(&mut self, _record: &Record, outcome: &Outcome) -> Result<(), SinkError> {
        let is_rejected = self.shown.rejecting.lock().expect("no holder panics").contains(&outcome.key.position);
        if is_rejected && outcome.end == End::Succeeded {
            let failure = Failure::new(FailureKind::WriteRejected, "too long for its column");
            self.rejected.push(Rejected { key: outcome.key, failure });
            return Ok(());
        }
        self.outcomes.push(outcome.clone());
        Ok(())
    }

    fn settle(&mut self) -> Result<Vec<Rejected>, SinkError> {
        let mut n_away = self.shown.n_away.lock().expect("no holder panics");
        if *n_away > 0 {
            *n_away -= 1;
            return Err(SinkError::environment("the table cannot be reached"));
        }
        Ok(std::mem::take(&mut self.rejected))
    }

    fn may_pass(&self) -> bool {
        true
    }

    fn finish(self: Box<Self>) -> Result<Vec<Artefact>, SinkError> {
        *self.shown.merged.lock().expect("no holder panics") = Some(self.outcomes);
        Ok(Vec::new())
    }
}

/// A journal without a disk: durable at once, so that it can be used in paused time.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    entries: Arc<Mutex<Vec<Entry>>>,
    /// Appends that succeed before one fails; `None` for ever.
    appends_left: Arc<Mutex<Option<usize>>>,
    /// How long an append takes.
    commits_take: Arc<Mutex<Duration>>,
}

impl MemoryJournal {
    /// Returns what was appended.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().expect("no holder panics").clone()
    }

    /// Returns what a process would know that opens the journal now: what is settled, how, and what was billed.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        let mut recovered = Recovered::default();
        let mut ended: HashMap<RecordKey, EndClass> = HashMap::new();
        for entry in self.entries() {
            let (key, meta) = match entry.header {
                Header::Outcome(outcome) => {
                    ended.insert(outcome.key, outcome.end.class());
                    if outcome.reparsed {
                        continue;
                    }
                    *recovered.attempts.entry(outcome.key.step).or_default() += u64::from(outcome.is_of_attempt());
                    (outcome.key, outcome.meta)
                }
                Header::Attempted(attempted) => {
                    *recovered.attempts.entry(attempted.key.step).or_default() += attempted.n_charged();
                    (attempted.key, attempted.meta)
                }
                Header::Reopened(reopened) => {
                    ended.remove(&reopened.key);
                    continue;
                }
                _ => continue,
            };
            if let Some(usage) = meta.usage {
                recovered.billed.entry(key.step).or_default().add(&meta.upstream.unwrap_or_default(), usage);
            }
        }
        for (key, class) in ended {
            recovered.settled.insert(&key);
            recovered.tally.entry(key.step).or_default().add(class);
            if class == EndClass::Succeeded {
                recovered.succeeded.insert(&key);
            }
        }
        recovered
    }

    /// Lets every append take so long.
    pub fn commits_take(&self, time: Duration) {
        *self.commits_take.lock().expect("no holder panics") = time;
    }

    /// Lets every append after `n` more fail, as a full disk does.
    pub fn fail_after(&self, n: usize) {
        *self.appends_left.lock().expect("no holder panics") = Some(n);
    }
}

impl Journal for MemoryJournal {
    fn append(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<Located, JournalError>> {
        Box::pin(async move {
            let takes = *self.commits_take.lock().expect("no holder panics");
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            if let Some(left) = &mut *self.appends_left.lock().expect("no holder panics") {
                if *left == 0 {
                    return Err(JournalError("no space left".to_owned()));
                }
                *left -= 1;
            }
            let mut all = self.entries.lock().expect("no holder panics");
            let offset = u32::try_from(all.len()).expect("a test appends less");
            all.extend(entries);
            Ok(Located { segment: 1, offset })
        })
    }

    fn read(&self, at: Located) -> Result<Option<Entry>, JournalError> {
        Ok(self.entries.lock().expect("no holder panics").get(at.offset as usize).cloned())
    }

    fn asking(&self, _slot: u32, _key: &RecordKey, _attempt: u32) -> Result<(), JournalError> {
        Ok(())
    }

    fn outcomes(&self, _step: StepNumber) -> Result<Box<dyn Outcomes>, JournalError> {
        let mut outcomes = HashMap::new();
        for entry in self.entries() {
            match &entry.header {
                Header::Outcome(outcome) => {
                    outcomes.insert(outcome.key, entry);
                }
                Header::Reopened(reopened) => {
                    outcomes.remove(&reopened.key);
                }
                _ => {}
            }
        }
        Ok(Box::new(MemoryOutcomes(outcomes)))
    }
}

struct MemoryOutcomes(HashMap<RecordKey, Entry>);

impl Outcomes for MemoryOutcomes {
    fn of(&mut self, key: &RecordKey) -> Result<Found, JournalError> {
        Ok(self.0.get(key).map_or(Found::Nothing, |entry| Found::Outcome(Box::new(entry.clone()))))
    }
}

/// A table of requests that outlives the process that fills it.
#[derive(Clone, Debug, Default)]
pub struct MemoryRequests(Arc<Mutex<HashMap<u128, Located>>>);

impl RequestTable for MemoryRequests {
    fn put(&mut self, request: u128, at: Located) -> Result<(), KeyTableError> {
        self.0.lock().expect("no holder panics").insert(request, at);
        Ok(())
    }

    fn get(&self, request: u128) -> Result<Option<Located>, KeyTableError> {
        Ok(self.0.lock().expect("no holder panics").get(&request).copied())
    }

    fn reached(&mut self, _: u32) -> Result<(), KeyTableError> {
        Ok(())
    }
}
