//! Work whose every attempt follows a script.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{
    Answer, AnswerMeta, BoxFuture, Failure, FailureKind, Planned, Record, RecordKey, Unplanned, Waiting, WorkItem,
    ports::{AttemptContext, Ended, Handler, NotBefore, Permit, Reserve},
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
}

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
        }
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
        Ok(Planned { body: record.bytes.clone(), request: None, tokens: 1 })
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
            let failed = |failure| Ended::Failed(failure, Bytes::from_static(b"raw"), AnswerMeta::default());
            let reply = (self.script)(key, n_before as u32);
            let ended = match reply {
                Reply::Answer(after) => {
                    tokio::time::sleep(after).await;
                    Ended::Done(answer(&key.position.to_string()))
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
