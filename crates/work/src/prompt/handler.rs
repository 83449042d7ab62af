//! The prompt as a kind of work.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use domain::{
    Answer, AnswerMeta, BoxFuture, Failure, FailureKind, Planned, Record, Unplanned, WorkItem,
    ports::{Ask, AttemptContext, Class, Ended, Handler, ModelAnswer, ModelClient, ModelRequest, Reservation, Reserve},
    request_hash,
};
use serde_json::{Value, json};

use super::{Inputs, Prompt, PromptError, body::Body, parse::parse, render::Renderer, validate::Check};

/// Asks a model about each record.
pub struct PromptHandler {
    client: Arc<dyn ModelClient>,
    route: Arc<str>,
    renderer: Renderer,
    body: Body,
    check: Check,
    new_fields: Vec<String>,
    identity: Value,
}

impl PromptHandler {
    /// Makes a handler for records of `source`, which is how messages call it.
    ///
    /// # Errors
    /// Every mistake in `config`; see [`Prompt::mistakes`].
    pub fn new(
        config: &Prompt,
        inputs: Inputs,
        source: &str,
        client: Arc<dyn ModelClient>,
    ) -> Result<Self, PromptError> {
        let mistakes = config.mistakes();
        if !mistakes.is_empty() {
            return Err(PromptError(mistakes));
        }
        Ok(Self {
            client,
            route: Arc::from(config.model.as_str()),
            identity: json!({ "prompt": config, "inputs": inputs }),
            renderer: Renderer::new(config, inputs, source)?,
            body: Body::new(config),
            check: Check::new(config.output.as_ref())?,
            new_fields: config.new_fields(),
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

    /// Judges the body of an answer: now, or again when it is read back from the journal.
    #[must_use]
    pub fn judge(&self, raw: Bytes) -> Ended {
        let parsed = parse(&raw);
        let meta = parsed.meta;
        let verdict = parsed.content.and_then(|content| {
            self.check.output_of(&content).map_err(|what| Failure::new(FailureKind::InvalidOutput, what))
        });
        match verdict {
            Ok(output) => Ended::Done(Answer { output, raw, meta, derived: Vec::new() }),
            Err(failure) => Ended::Failed(failure, raw, meta),
        }
    }
}

impl Handler for PromptHandler {
    fn plan(&self, record: &Record) -> Result<Planned, Unplanned> {
        let body = self.body.with(&self.renderer.render(record)?);
        // Four bytes a token is near enough for limits; the upstream's count is what is accounted for.
        let tokens = u32::try_from(body.len() / 4).unwrap_or(u32::MAX);
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
            let Some((_, planned)) = item.members.first() else {
                let failure = Failure::new(FailureKind::Internal, "an item without a record");
                return Ended::Failed(failure, Bytes::new(), AnswerMeta::default());
            };
            let (body, deadline) = (planned.body.clone(), attempt.deadline);
            let request = ModelRequest { ask: Ask::Chat, route: Arc::clone(&self.route), body, deadline };
            match self.client.complete(request, attempt.permit).await {
                Ok(answer) => with_transport(self.judge(answer.body.clone()), answer),
                Err((failure, raw)) => Ended::Failed(failure, raw, AnswerMeta::default()),
            }
        })
    }
}

/// Adds what the transport knows to what stands in the body.
fn with_transport(mut ended: Ended, answer: ModelAnswer) -> Ended {
    let (Ended::Done(Answer { meta, .. }) | Ended::Failed(_, _, meta)) = &mut ended else { return ended };
    meta.upstream = Some(answer.upstream.to_string());
    meta.latency_ms = Some(u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX));
    meta.usage = meta.usage.or(answer.usage);
    // What the upstream's support can look up stands in the headers; the body's id is the next best.
    meta.request_id = answer.request_id.or_else(|| meta.request_id.take());
    ended
}
