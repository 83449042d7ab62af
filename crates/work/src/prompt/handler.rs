//! The prompt as a kind of work.

use std::{borrow::Cow, sync::Arc, time::Instant};

use bytes::Bytes;
use domain::{
    Answer, AnswerMeta, BoxFuture, Failure, FailureKind, Outcome, Planned, Reason, Record, SampleNumber, Unplanned,
    WorkItem, json,
    ports::{Ask, AttemptContext, Class, Ended, Handler, ModelClient, ModelRequest, Prior, Reservation, Reserve},
    request_hash,
};
use serde_json::{Value, value::RawValue};

use super::{
    Prompt,
    attach::Attachments,
    body::Body,
    complaint::Complaint,
    extract::said,
    made::{Facts, Making, compacted},
    parse::{Message, parse},
    render::Renderer,
    validate::{Check, of_answer},
    verdict::Policy,
};
use crate::{mistake::Mistakes, reply::was_judged, template::Inputs};

/// Asks a model about each record.
pub struct PromptHandler {
    client: Arc<dyn ModelClient>,
    attachments: Arc<dyn Attachments>,
    /// The models, or routes, that are asked.
    routes: Vec<Arc<str>>,
    /// How often each of them is.
    draws: u32,
    ask: Ask,
    renderer: Renderer,
    body: Body,
    policy: Policy,
    check: Check,
    making: Option<Making>,
    complaint: Complaint,
    until: Option<(u32, u32)>,
    dedupes: bool,
    new_fields: Vec<String>,
    identity: Value,
}

impl PromptHandler {
    /// Makes a handler.
    ///
    /// # Errors
    /// Every mistake in `config` and `inputs`; see [`Prompt::mistakes`].
    pub fn new(
        config: &Prompt,
        inputs: Inputs,
        client: Arc<dyn ModelClient>,
        attachments: Arc<dyn Attachments>,
    ) -> Result<Self, Mistakes> {
        let mistakes = config.mistakes_with(&inputs);
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        let identity = serde_json::json!({ "prompt": config, "inputs": inputs });
        let making = Making::new(config, &inputs)?;
        let renderer = Renderer::new(config, inputs)?;
        Ok(Self {
            client,
            attachments,
            routes: config.routes().into_iter().map(Arc::from).collect(),
            draws: config.draws().max(1),
            ask: if config.stream { Ask::ChatStream } else { Ask::Chat },
            body: Body::new(config, renderer.examples(config)?),
            renderer,
            policy: Policy::new(config)?,
            check: Check::new(config.output.as_ref())?,
            making,
            complaint: Complaint::new(config),
            until: config.until_accepted.as_ref().map(|until| (until.accepted, until.candidates)),
            dedupes: config.dedupe,
            new_fields: config.new_fields(),
            identity,
        })
    }

    /// Returns the names of the fields that answers add to a record, in order.
    #[must_use]
    pub fn new_fields(&self) -> &[String] {
        &self.new_fields
    }

    /// Returns all that decides what is asked and what is taken for an answer: two runs with the same identity over the
    /// same records are the same run.
    #[must_use]
    pub fn identity(&self) -> &Value {
        &self.identity
    }

    /// Returns how many accepted answers are wanted of each record, and how many are asked for at most, where records
    /// are asked for until then.
    #[must_use]
    pub fn until(&self) -> Option<(u32, u32)> {
        self.until
    }

    /// Returns whether identical requests are asked once.
    #[must_use]
    pub fn dedupes(&self) -> bool {
        self.dedupes
    }

    /// Judges the body of an answer: now, or again when it is read back from the journal. `attempts` are those made so
    /// far, and `known` is what is known besides the body.
    #[must_use]
    pub fn judge(&self, record: &Record, raw: Bytes, attempts: u32, known: AnswerMeta) -> Ended {
        let parsed = parse(&raw);
        let meta = AnswerMeta {
            usage: parsed.meta.usage.or(known.usage),
            // What the upstream's support can look up stands in the headers; the body's id is the next best.
            request_id: known.request_id.or(parsed.meta.request_id),
            upstream: known.upstream,
            latency_ms: known.latency_ms,
            ..parsed.meta
        };
        match parsed.message.and_then(|message| self.output_of(record, message, attempts, &meta)) {
            Ok(output) => Ended::Done(Answer { output, raw, meta, derived: Vec::new() }),
            Err(failure) => Ended::Failed(failure, raw, meta),
        }
    }

    fn output_of(
        &self,
        record: &Record,
        mut message: Message<'_>,
        attempts: u32,
        meta: &AnswerMeta,
    ) -> Result<Box<RawValue>, Failure> {
        self.policy.declined(&mut message)?;
        let said = said(&message.content);
        self.policy.hold(&message, &said)?;
        let output = match message.tool_calls {
            // It was held to be an answer.
            Some(calls) if said.answer.trim().is_empty() => Ok(of_answer(&compacted(calls.get()))),
            _ => self.check.output_of(&said.answer),
        };
        let invalid = |(reason, what)| Failure::new(FailureKind::InvalidOutput, what).because(reason);
        let output = output.map_err(invalid)?;
        let Some(making) = &self.making else { return raw(output) };
        let (model, sample) = self.place_of(record.key.sample);
        let thought = said.thought.as_deref().filter(|thought| !thought.is_empty());
        let facts = Facts {
            text: &message.content,
            answer: &said.answer,
            reasoning: message.reasoning.as_deref().or(thought),
            tool_calls: message.tool_calls,
            meta,
            asked_model: &self.routes[model],
            sample,
            attempts,
        };
        making.make(record, output, &facts).and_then(raw)
    }

    /// Returns what a sample stands for: the number of the model, and which of its answers.
    fn place_of(&self, sample: SampleNumber) -> (usize, u32) {
        let model = usize::try_from(sample / self.draws).unwrap_or(usize::MAX);
        (model.min(self.routes.len() - 1), sample % self.draws)
    }

    /// Returns what is asked in place of what was planned, where the last answer was not what was asked for.
    fn asked_again(&self, planned: &Bytes, prior: &Prior) -> Option<Bytes> {
        let (failure, raw) = prior.refuted.as_ref()?;
        if failure.reason == Some(Reason::Length) {
            let factor = self.policy.more_tokens()?;
            let used = parse(raw).meta.usage.map_or(0, |usage| usage.completion_tokens);
            return self.body.with_more_tokens(planned, raised(factor, self.body.limit()?, used));
        }
        if !self.policy.complains() {
            return None;
        }
        let complaint = self.complaint.about(failure)?;
        let message = parse(raw).message.ok()?;
        // The thought is the model's own business: no template of a model shows it its earlier ones.
        let said = said(&message.content);
        let said = if said.answer.trim().is_empty() { Cow::Borrowed(&*message.content) } else { said.answer };
        if said.trim().is_empty() {
            return None;
        }
        self.body.with_complaint(planned, said.trim(), &complaint)
    }
}

/// Takes an object that was written here for JSON, once it is whole.
fn raw(json: String) -> Result<Box<RawValue>, Failure> {
    RawValue::from_string(json).map_err(|error| Failure::new(FailureKind::Internal, json::in_words(&error)))
}

/// Returns how many times the tokens are allowed, after an answer of `used` tokens was cut off: the next power of
/// `factor`. How often that has happened is read off the answer, so that a new process knows it too.
fn raised(factor: f64, limit: u64, used: u64) -> f64 {
    let mut raised = factor;
    // Vendors count a few tokens more or less than they allow.
    while raised * limit as f64 <= used as f64 * 1.05 && raised < 1e6 {
        raised *= factor;
    }
    raised
}

impl Handler for PromptHandler {
    fn samples(&self) -> SampleNumber {
        self.draws.saturating_mul(u32::try_from(self.routes.len()).unwrap_or(u32::MAX))
    }

    fn judge_again(&self, record: &Record, outcome: &Outcome, raw: &Bytes) -> Option<Ended> {
        let has_answer = !raw.is_empty() && was_judged(&outcome.end);
        has_answer.then(|| self.judge(record, raw.clone(), outcome.attempts, outcome.meta.clone()))
    }

    fn plan(&self, record: &Record) -> Result<Planned, Unplanned> {
        let rendered = self.renderer.render(record, Some(&*self.attachments))?;
        let (model, draw) = self.place_of(record.key.sample);
        let body = self.body.with(model, &rendered);
        // Four bytes a token is near enough for limits; the upstream's count is what is accounted for.
        let tokens = u32::try_from((body.len() - rendered.parts.len()) / 4).unwrap_or(u32::MAX);
        let mut request = request_hash(&body);
        if draw > 0 {
            // Another draw is another request, though its body is the same.
            let mut both = [0; 20];
            both[..16].copy_from_slice(&request.to_le_bytes());
            both[16..].copy_from_slice(&draw.to_le_bytes());
            request = request_hash(&both);
        }
        Ok(Planned { request: Some(request), body, tokens: tokens.saturating_add(rendered.parts_tokens) })
    }

    fn reserve(&self, item: &WorkItem, deadline: Instant) -> Reserve {
        let tokens = item.members.iter().fold(0_u32, |sum, (_, planned)| sum.saturating_add(planned.tokens));
        let (model, _) = self.place_of(item.id.sample);
        self.client.reserve(&Reservation { route: &self.routes[model], tokens, class: Class::Normal, deadline })
    }

    fn width_freed(&self) -> BoxFuture<'_, ()> {
        self.client.width_freed()
    }

    fn perform<'a>(&'a self, item: &'a WorkItem, attempt: AttemptContext<'a>) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            let Some((record, planned)) = item.members.first() else {
                let failure = Failure::new(FailureKind::Internal, "an item without a record");
                return Ended::Failed(failure, Bytes::new(), AnswerMeta::default());
            };
            let AttemptContext { number, deadline, permit, prior, .. } = attempt;
            let body = self.asked_again(&planned.body, prior).unwrap_or_else(|| planned.body.clone());
            let (model, _) = self.place_of(record.key.sample);
            let request = ModelRequest { ask: self.ask, route: Arc::clone(&self.routes[model]), body, deadline };
            match self.client.complete(request, permit).await {
                Ok(answer) => {
                    let known = AnswerMeta {
                        upstream: Some(answer.upstream.to_string()),
                        latency_ms: Some(u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX)),
                        usage: answer.usage,
                        request_id: answer.request_id,
                        ..AnswerMeta::default()
                    };
                    self.judge(record, answer.body, number, known)
                }
                Err((failure, raw)) => Ended::Failed(failure, raw, AnswerMeta::default()),
            }
        })
    }
}
