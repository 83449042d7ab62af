//! Work whose every attempt follows a script.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{
    Answer, AnswerMeta, BoxFuture, Failure, FailureKind, Outcome, Planned, Record, RecordKey, Unplanned, Usage,
    Waiting, WorkItem,
    ports::{AttemptContext, Ended, Grouping, Handler, NotBefore, Permit, Reserve},
};
use serde_json::value::RawValue;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// What an attempt does.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers after a time.
    Answer(Duration),
    /// Fails after a time.
    Fail(Duration, Failure),
    /// Never ends.
    Hang,
    /// Panics.
    Panic,
    /// Fails at the lane's cost, and the lane is closed for a time.
    Throttle(Duration),
    /// Fails at the lane's cost, and the lane is closed for good.
    Close,
}

type Script = Box<dyn Fn(RecordKey, u32) -> Reply + Send + Sync>;

/// Work that follows a script: a function of the record and of how often it was asked before (0 the first time).
pub struct ScriptedHandler {
    script: Script,
    width: Arc<Semaphore>,
    freed: Arc<Notify>,
    asked: Mutex<Vec<(RecordKey, tokio::time::Instant)>>,
    closed: Mutex<Option<Failure>>,
    cool_until: Mutex<Option<Instant>>,
    samples: u32,
    chunk: Option<usize>,
    requests: Option<Requests>,
    usage: Option<Usage>,
    rule: Option<Rule>,
}

type Requests = Box<dyn Fn(&Record) -> u128 + Send + Sync>;
type Rule = Box<dyn Fn(&Record, &Bytes) -> Result<Answer, Failure> + Send + Sync>;

struct Place {
    permit: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // First the place, then the word of it: who hears it must find the place free.
        self.permit.take();
        self.freed.notify_one();
    }
}

impl ScriptedHandler {
    /// Makes a handler with so many places.
    pub fn new(width: usize, script: impl Fn(RecordKey, u32) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            script: Box::new(script),
            width: Arc::new(Semaphore::new(width)),
            freed: Arc::default(),
            asked: Mutex::default(),
            closed: Mutex::default(),
            cool_until: Mutex::default(),
            samples: 1,
            chunk: None,
            requests: None,
            usage: None,
            rule: None,
        }
    }

    /// Lets each record be worked on so often.
    #[must_use]
    pub fn sampling(mut self, samples: u32) -> Self {
        self.samples = samples;
        self
    }

    /// Lets so many records make one item. Only what fails as a whole can be scripted for it.
    #[must_use]
    pub fn chunking(mut self, records: usize) -> Self {
        self.chunk = Some(records);
        self
    }

    /// Lets records make the request of this number.
    #[must_use]
    pub fn requesting(mut self, requests: impl Fn(&Record) -> u128 + Send + Sync + 'static) -> Self {
        self.requests = Some(Box::new(requests));
        self
    }

    /// Lets each answer be billed with so much, by the upstream `scripted`.
    #[must_use]
    pub fn billing(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Lets answers that were paid for be judged again by this rule.
    #[must_use]
    pub fn judging(
        mut self,
        rule: impl Fn(&Record, &Bytes) -> Result<Answer, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.rule = Some(Box::new(rule));
        self
    }

    fn meta(&self) -> AnswerMeta {
        AnswerMeta { usage: self.usage, upstream: Some("scripted".to_owned()), ..AnswerMeta::default() }
    }

    /// Returns what was asked, and when (in the runtime's time), in order.
    #[must_use]
    pub fn asked(&self) -> Vec<(RecordKey, tokio::time::Instant)> {
        self.asked.lock().expect("no holder panics").clone()
    }
}

/// Makes an answer with one field.
#[must_use]
pub fn answer(text: &str) -> Answer {
    let output = serde_json::json!({ "answer": text }).to_string();
    Answer {
        output: RawValue::from_string(output).expect("it was just written as JSON"),
        raw: Bytes::copy_from_slice(text.as_bytes()),
        meta: AnswerMeta::default(),
        derived: Vec::new(),
    }
}

impl Handler for ScriptedHandler {
    fn plan(&self, record: &Record) -> Result<Planned, Unplanned> {
        let request = self.requests.as_ref().map(|request| request(record));
        Ok(Planned { body: record.bytes.clone(), request, tokens: 1 })
    }

    fn grouping(&self) -> Grouping {
        self.chunk.map_or(Grouping::Single, |records| Grouping::Chunk { records, bytes: usize::MAX })
    }

    fn samples(&self) -> u32 {
        self.samples
    }

    fn judge_again(&self, record: &Record, outcome: &Outcome, raw: &Bytes) -> Option<Ended> {
        let rule = self.rule.as_ref()?;
        Some(match rule(record, raw) {
            Ok(answer) => Ended::Done(Answer { meta: outcome.meta.clone(), ..answer }),
            Err(failure) => Ended::Failed(failure, raw.clone(), outcome.meta.clone()),
        })
    }

    fn reserve(&self, _item: &WorkItem, _deadline: Instant) -> Reserve {
        if let Some(failure) = &*self.closed.lock().expect("no holder panics") {
            return Reserve::Closed(failure.clone());
        }
        let cool_until = *self.cool_until.lock().expect("no holder panics");
        let now = tokio::time::Instant::now().into_std();
        if let Some(at) = cool_until.filter(|at| *at > now) {
            return Reserve::NotBefore(NotBefore { at: Some(at), reason: Waiting::Throttled });
        }
        match Arc::clone(&self.width).try_acquire_owned() {
            Ok(permit) => Reserve::Permit(Permit::new(Place { permit: Some(permit), freed: Arc::clone(&self.freed) })),
            Err(_) => Reserve::NotBefore(NotBefore { at: None, reason: Waiting::Width }),
        }
    }

    fn width_freed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.freed.notified())
    }

    fn perform<'a>(&'a self, item: &'a WorkItem, attempt: AttemptContext<'a>) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            let key = item.id;
            let n_before = {
                let mut asked = self.asked.lock().expect("no holder panics");
                let n_before = asked.iter().filter(|(k, _)| *k == key).count();
                asked.push((key, tokio::time::Instant::now()));
                n_before
            };
            let failed = |failure| Ended::Failed(failure, Bytes::from_static(b"raw"), self.meta());
            let reply = (self.script)(key, n_before as u32);
            let ended = match reply {
                Reply::Answer(after) => {
                    tokio::time::sleep(after).await;
                    Ended::Done(Answer { meta: self.meta(), ..answer(&key.position.to_string()) })
                }
                Reply::Fail(after, failure) => {
                    tokio::time::sleep(after).await;
                    failed(failure)
                }
                Reply::Hang => std::future::pending().await,
                Reply::Panic => panic!("as scripted"),
                Reply::Throttle(pause) => {
                    let until = tokio::time::Instant::now() + pause;
                    *self.cool_until.lock().expect("no holder panics") = Some(until.into_std());
                    failed(Failure::new(FailureKind::Throttled, "slow down").costing_the_lane())
                }
                Reply::Close => {
                    let failure = Failure::new(FailureKind::Unauthorized, "the key is dead");
                    *self.closed.lock().expect("no holder panics") = Some(failure.clone());
                    failed(failure.costing_the_lane())
                }
            };
            drop(attempt.permit);
            ended
        })
    }
}
