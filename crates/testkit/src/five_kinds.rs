//! The five kinds of work in small: what each does to the outside world, with nothing else.
//!
//! The outside (a [`World`]) survives a kill, as vendors and clusters do. It counts what was done to it, so that a
//! suite can tell whether a killed and resumed run did anything twice.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{
    AnswerMeta, BoxFuture, Failure, FailureKind, NoteKind, Planned, Receipt, Record, RecordKey, Timestamp, Unplanned,
    WorkItem,
    ports::{AttemptContext, Ended, Grouping, Handler, MemberEnd, Permit, Reserve, Rest},
};
use serde_json::value::RawValue;

use crate::answer;

/// The outside.
#[derive(Debug, Default)]
pub struct Outside {
    /// Prompts answered, by record.
    pub asked: BTreeMap<RecordKey, u32>,
    /// Remote objects by tag: the records in them and how often they were looked at.
    pub objects: HashMap<String, (Vec<RecordKey>, u32)>,
    /// Whether the answer to the next creation of the third chunk is cut off.
    pub cuts_next: bool,
    /// How often a tag was created: more than once is a double purchase.
    pub created: HashMap<String, u32>,
    /// Effects of agents' tools, by record and step.
    pub effects: BTreeMap<(RecordKey, usize), u32>,
}

/// The outside, shared by the lives of one run.
#[derive(Clone, Debug)]
pub struct World(Arc<Mutex<Outside>>);

impl Default for World {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Outside { cuts_next: true, ..Outside::default() })))
    }
}

impl World {
    /// Looks at the outside.
    ///
    /// # Panics
    /// Where another holder has panicked.
    pub fn outside(&self) -> MutexGuard<'_, Outside> {
        self.0.lock().expect("no holder panics")
    }
}

/// One of the five kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A record, a question, an answer.
    Prompt,
    /// A chunk of a provider batch, harvested in two parts, with one line lost the first time. The answer to one creation
    /// is cut off: the batch exists, and nobody was told its receipt.
    Batch,
    /// A shard of a cluster job, whose node is lost the first time.
    Shard,
    /// An agent that takes three steps, each with an effect.
    Agent,
    /// A page that fans out into three records.
    Scrape,
}

/// Work of one kind, done to a world.
#[derive(Clone, Debug)]
pub struct SmallWork {
    /// What it does.
    pub kind: Kind,
    /// Whom it does it to.
    pub world: World,
}

const STEPS: usize = 3;

impl SmallWork {
    async fn prompt(&self, item: &WorkItem) -> Ended {
        *self.world.outside().asked.entry(item.id).or_default() += 1;
        tokio::time::sleep(Duration::from_micros(200)).await;
        Ended::Done(answer(&item.id.position.to_string()))
    }

    /// A remote object: intent, creation, parking, looking again, harvest.
    async fn remote(&self, item: &WorkItem, attempt: AttemptContext<'_>) -> Ended {
        if let Some(Receipt(tag)) = &attempt.prior.receipt {
            return self.look(item, tag);
        }
        // An intent without a receipt: the object may have been created. Its tag finds it; only a tag that cannot be
        // found is created.
        let intent = attempt.prior.notes.last().map(|(note, _)| note.tag.clone());
        let tag = intent.unwrap_or_else(|| format!("{}-{}", item.id, self.world.outside().created.len()));
        if attempt.prior.notes.is_empty()
            && let Err(error) = attempt.notes.note(NoteKind::Intent, &tag, Bytes::new()).await
        {
            panic!("the journal failed: {error}");
        }
        {
            let mut outside = self.world.outside();
            if !outside.objects.contains_key(&tag) {
                let keys = item.members.iter().map(|(record, _)| record.key).collect();
                outside.objects.insert(tag.clone(), (keys, 0));
                *outside.created.entry(tag.clone()).or_default() += 1;
            }
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
        if self.kind == Kind::Batch && item.id.position == 12 && std::mem::take(&mut self.world.outside().cuts_next) {
            let failure = Failure::new(FailureKind::Unavailable, "the connection was cut");
            return Ended::Failed(failure, Bytes::new(), AnswerMeta::default());
        }
        Ended::Parked(Receipt(tag), Timestamp(0))
    }

    fn look(&self, item: &WorkItem, tag: &str) -> Ended {
        let mut outside = self.world.outside();
        let Some((keys, n_looks)) = outside.objects.get_mut(tag) else { panic!("a receipt without an object: {tag}") };
        *n_looks += 1;
        let (keys, is_first_look) = (keys.clone(), *n_looks == 1);
        let ours = item.members.iter().map(|(record, _)| record.key);
        let done = |key: RecordKey| (key, MemberEnd::Done(answer(&key.position.to_string())));
        match self.kind {
            // The first look brings the first half.
            Kind::Batch if is_first_look && keys.len() > 1 => {
                let half = keys.len() / 2;
                let ends = ours.filter(|key| keys[..half].contains(key)).map(done).collect();
                Ended::Harvested(ends, Rest::Parked(Receipt(tag.to_owned()), Timestamp(0)))
            }
            // The batch that holds record 10 first comes back without it.
            Kind::Batch => {
                let n_held = outside.objects.values().filter(|(keys, _)| keys.iter().any(|k| k.position == 10)).count();
                let ends = ours.filter(|key| key.position != 10 || n_held > 1).map(done).collect();
                Ended::Harvested(ends, Rest::Over)
            }
            // The node is lost: what had not been written comes back missing.
            _ if is_first_look => Ended::Harvested(
                ours.filter(|key| key.position % 5 != 4).map(done).collect(),
                Rest::Parked(Receipt(tag.to_owned()), Timestamp(0)),
            ),
            _ => Ended::Harvested(ours.map(done).collect(), Rest::Over),
        }
    }

    async fn agent(&self, item: &WorkItem, attempt: AttemptContext<'_>) -> Ended {
        let n_done = attempt.prior.notes.iter().filter(|(note, _)| note.kind == NoteKind::Progress).count();
        for step in n_done..STEPS {
            *self.world.outside().effects.entry((item.id, step)).or_default() += 1;
            tokio::time::sleep(Duration::from_micros(100)).await;
            let observation = Bytes::from(format!("observation {step}"));
            if let Err(error) = attempt.notes.note(NoteKind::Progress, &step.to_string(), observation).await {
                panic!("the journal failed: {error}");
            }
        }
        Ended::Done(answer(&item.id.position.to_string()))
    }

    async fn scrape(&self, item: &WorkItem) -> Ended {
        *self.world.outside().asked.entry(item.id).or_default() += 1;
        tokio::time::sleep(Duration::from_micros(200)).await;
        let mut page = answer("page");
        page.derived = (0..3)
            .filter_map(|n| {
                let row = serde_json::json!({ "page": item.id.position, "row": n });
                RawValue::from_string(row.to_string()).ok()
            })
            .collect();
        Ended::Done(page)
    }
}

impl Handler for SmallWork {
    fn grouping(&self) -> Grouping {
        match self.kind {
            Kind::Batch => Grouping::Chunk { records: 6, bytes: 1 << 20 },
            Kind::Shard => Grouping::Chunk { records: 10, bytes: 1 << 20 },
            Kind::Prompt | Kind::Agent | Kind::Scrape => Grouping::Single,
        }
    }

    fn plan(&self, record: &Record) -> Result<Planned, Unplanned> {
        Ok(Planned { body: record.bytes.clone(), request: None, tokens: 1 })
    }

    fn reserve(&self, _item: &WorkItem, _deadline: Instant) -> Reserve {
        Reserve::Permit(Permit::new(()))
    }

    fn width_freed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn perform<'a>(&'a self, item: &'a WorkItem, attempt: AttemptContext<'a>) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            match self.kind {
                Kind::Prompt => self.prompt(item).await,
                Kind::Batch | Kind::Shard => self.remote(item, attempt).await,
                Kind::Agent => self.agent(item, attempt).await,
                Kind::Scrape => self.scrape(item).await,
            }
        })
    }
}
