//! Embeddings as a kind of work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use domain::{
    Answer, AnswerMeta, BoxFuture, Failure, FailureKind, Outcome, Planned, Record, SkipReason, Unplanned, WorkItem,
    json,
    ports::{
        Ask, AttemptContext, Class, Ended, Grouping, Handler, MemberEnd, ModelAnswer, ModelClient, ModelRequest,
        Reservation, Reserve, Rest,
    },
    request_hash,
};
use serde_json::{Value, value::RawValue};

use super::{
    Embed,
    reply::{embedding_in, read, shares},
};
use crate::{
    mistake::Mistakes,
    reply::was_judged,
    template::{Inputs, Templates, Trouble},
};

const INPUT: &str = "input";

/// The most bytes of texts in one request: what vendors take is counted in tokens, and this is well below it.
const MAX_BYTES: usize = 1 << 20;

/// After so many records in a row that were turned down by themselves, the reason is not looked for any more.
const TURNED_DOWN: u32 = 32;

/// Asks a model for the embedding of each record, several in one request.
pub struct EmbedHandler {
    client: Arc<dyn ModelClient>,
    route: Arc<str>,
    templates: Templates,
    batch: usize,
    /// What stands before and behind the texts of a request.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// The name of the new field as a JSON string.
    into: String,
    dimensions: Option<u32>,
    new_fields: Vec<String>,
    /// How many records in a row were turned down by themselves, while none was answered.
    n_turned_down: AtomicU32,
}

impl Embed {
    /// Renders the text for one record, to see whether it can be.
    ///
    /// # Errors
    /// Why it cannot. Mistakes of the configuration itself are none here; see [`Embed::mistakes`].
    pub fn try_out(&self, inputs: Inputs, record: &Record) -> Result<(), Unplanned> {
        match Templates::new(&[(INPUT, &self.input)], Vec::new(), inputs) {
            Ok(templates) => text_of(&templates, record).map(drop),
            Err(_) => Ok(()),
        }
    }
}

impl EmbedHandler {
    /// Makes a handler.
    ///
    /// # Errors
    /// Every mistake in `config` and `inputs`; see [`Embed::mistakes`].
    pub fn new(config: &Embed, inputs: Inputs, client: Arc<dyn ModelClient>) -> Result<Self, Mistakes> {
        let mistakes = config.mistakes();
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        let mut tail = String::from("]");
        let dimensions = config.dimensions.map(|n| ("dimensions", Value::from(n)));
        let parameters = config.parameters.iter().flatten().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in dimensions.into_iter().chain(parameters) {
            tail.push_str(&format!(",{}:{value}", Value::from(name)));
        }
        tail.push('}');
        Ok(Self {
            client,
            route: Arc::from(config.model.as_str()),
            templates: Templates::new(&[(INPUT, &config.input)], Vec::new(), inputs)?,
            batch: config.batch,
            head: format!("{{\"model\":{},\"input\":[", Value::from(config.model.as_str())).into(),
            tail: tail.into(),
            into: Value::from(config.into.as_str()).to_string(),
            dimensions: config.dimensions,
            new_fields: config.new_fields(),
            n_turned_down: AtomicU32::new(0),
        })
    }

    /// Returns the names of the fields that answers add to a record, in order.
    #[must_use]
    pub fn new_fields(&self) -> &[String] {
        &self.new_fields
    }

    /// Makes the body of a request with these texts, each a JSON string.
    fn body<'a>(&self, texts: impl Iterator<Item = &'a [u8]> + Clone) -> Bytes {
        let length: usize = texts.clone().map(|text| text.len() + 1).sum();
        let mut body = Vec::with_capacity(self.head.len() + self.tail.len() + length);
        body.extend_from_slice(&self.head);
        for (i, text) in texts.enumerate() {
            if i > 0 {
                body.push(b',');
            }
            body.extend_from_slice(text);
        }
        body.extend_from_slice(&self.tail);
        body.into()
    }

    /// Returns the text in the request that was planned for one record.
    fn text_in<'a>(&self, planned: &'a Planned) -> &'a [u8] {
        let text = planned.body.strip_prefix(self.head.as_slice());
        text.and_then(|text| text.strip_suffix(self.tail.as_slice())).unwrap_or(&planned.body)
    }

    /// Judges a record's own member of a reply.
    fn judge(&self, member: &str) -> Result<Box<RawValue>, Failure> {
        let embedding = embedding_in(member, self.dimensions)?;
        let mut output = String::with_capacity(self.into.len() + embedding.get().len() + 3);
        output.push('{');
        output.push_str(&self.into);
        output.push(':');
        json::compact(embedding.get(), &mut output);
        output.push('}');
        RawValue::from_string(output).map_err(|error| Failure::new(FailureKind::Internal, json::in_words(&error)))
    }

    /// A vendor turns down a whole request for one text that it does not like, and often does not say which. Where it
    /// turns down every one, nobody's text is the reason, and looking for it would multiply the requests.
    fn turned_down(&self, mut failure: Failure, n: usize) -> Ended {
        if self.n_turned_down.load(Ordering::Relaxed) < TURNED_DOWN {
            return Ended::Divided(failure);
        }
        failure.message.push_str(&format!(
            " (a request with {n} records; {TURNED_DOWN} others were turned down one by one, and none was answered since)"
        ));
        Ended::Failed(failure, Bytes::new(), AnswerMeta::default())
    }

    /// Gives each record of an item its own part of the answer.
    fn harvest(&self, item: &WorkItem, answer: ModelAnswer) -> Ended {
        let n = item.members.len();
        let read = read(&answer.body, n);
        let meta = AnswerMeta {
            upstream: Some(answer.upstream.to_string()),
            latency_ms: Some(u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX)),
            usage: read.meta.usage.or(answer.usage),
            request_id: answer.request_id.or(read.meta.request_id),
            ..read.meta
        };
        let members = match read.members {
            Ok(members) => members,
            Err(failure) => return Ended::Failed(failure, answer.body.clone(), meta),
        };
        let mut shares = meta.usage.map(|usage| shares(usage, n));
        let ends = item.members.iter().zip(members).map(|((record, _), member)| {
            let meta = AnswerMeta { usage: shares.as_mut().and_then(Iterator::next), ..meta.clone() };
            // Of the reply's own bytes: nothing is copied, and the whole of them goes when the last one is durable.
            let raw = answer.body.slice_ref(member.get().as_bytes());
            let end = match self.judge(member.get()) {
                Ok(output) => MemberEnd::Done(Answer { output, raw, meta, derived: Vec::new() }),
                Err(failure) => MemberEnd::Failed(failure, raw, meta),
            };
            (record.key, end)
        });
        Ended::Harvested(ends.collect(), Rest::Over)
    }
}

/// Renders the text of a record.
fn text_of(templates: &Templates, record: &Record) -> Result<String, Unplanned> {
    let rendered = templates.look(record).and_then(|seen| templates.render(INPUT, &seen)).and_then(|text| {
        // Vendors turn down the whole request for one text without anything in it.
        let is_blank = text.trim().is_empty();
        let blank = || Trouble::skip(SkipReason::Filtered, "the text is empty: there is nothing to embed");
        if is_blank { Err(blank()) } else { Ok(text) }
    });
    rendered.map_err(Unplanned::from)
}

impl Handler for EmbedHandler {
    fn grouping(&self) -> Grouping {
        Grouping::Chunk { records: self.batch, bytes: MAX_BYTES }
    }

    fn judge_again(&self, _: &Record, outcome: &Outcome, raw: &Bytes) -> Option<Ended> {
        let member = str::from_utf8(raw).ok().filter(|member| !member.is_empty() && was_judged(&outcome.end))?;
        let meta = outcome.meta.clone();
        Some(match self.judge(member) {
            Ok(output) => Ended::Done(Answer { output, raw: raw.clone(), meta, derived: Vec::new() }),
            Err(failure) => Ended::Failed(failure, raw.clone(), meta),
        })
    }

    fn plan(&self, record: &Record) -> Result<Planned, Unplanned> {
        let text = Value::from(text_of(&self.templates, record)?).to_string();
        let tokens = u32::try_from(text.len() / 4).unwrap_or(u32::MAX);
        // As if it were asked for alone: what stands beside it makes no difference to it.
        let body = self.body(std::iter::once(text.as_bytes()));
        Ok(Planned { request: Some(request_hash(&body)), body, tokens })
    }

    fn reserve(&self, item: &WorkItem, deadline: Instant) -> Reserve {
        let tokens = item.members.iter().fold(0_u32, |sum, (_, planned)| sum.saturating_add(planned.tokens));
        self.client.reserve(&Reservation { route: &self.route, tokens, class: Class::Normal, deadline })
    }

    fn width_freed(&self) -> BoxFuture<'_, ()> {
        self.client.width_freed()
    }

    fn perform<'a>(&'a self, item: &'a WorkItem, attempt: AttemptContext<'a>) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            let body = match item.members.as_slice() {
                [(_, planned)] => planned.body.clone(),
                members => self.body(members.iter().map(|(_, planned)| self.text_in(planned))),
            };
            let AttemptContext { deadline, permit, .. } = attempt;
            let request = ModelRequest { ask: Ask::Embeddings, route: Arc::clone(&self.route), body, deadline };
            match self.client.complete(request, permit).await {
                Ok(answer) => {
                    self.n_turned_down.store(0, Ordering::Relaxed);
                    self.harvest(item, answer)
                }
                Err((failure, _)) if failure.kind == FailureKind::Rejected && item.members.len() > 1 => {
                    self.turned_down(failure, item.members.len())
                }
                Err((failure, raw)) => {
                    if failure.kind == FailureKind::Rejected {
                        self.n_turned_down.fetch_add(1, Ordering::Relaxed);
                    }
                    Ended::Failed(failure, raw, AnswerMeta::default())
                }
            }
        })
    }
}
