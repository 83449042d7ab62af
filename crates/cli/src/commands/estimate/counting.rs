//! Reading a step's source, and counting what its requests and answers hold.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use domain::{
    BoxFuture, Failure, FailureKind, Read, Record, RecordKey, SkipReason, Unplanned,
    ports::{Handler, ModelAnswer, ModelClient, ModelRequest, Permit, Reservation, Reserve, Source, Starts},
};
use provider::tokens::{Table, Tokenizer};

use super::{AnswerEstimate, COUNTED, Counts, StepEstimate, answers::Answers, known, spread::Spread};
use crate::{
    args::Estimate,
    compose::looking,
    pipeline::{Ready, StepConfig, TokenSample, models_of},
    progress::counted,
    talk,
};

/// Records are read in batches of this size.
const BATCH: usize = 512;

/// Nobody is asked while it is estimated.
struct Nobody;

impl ModelClient for Nobody {
    fn reserve(&self, _ask: &Reservation<'_>) -> Reserve {
        Reserve::Closed(Failure::new(FailureKind::Internal, "an estimate asks for nothing"))
    }

    fn width_freed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn complete(&self, _: ModelRequest, _: Permit) -> BoxFuture<'_, Result<ModelAnswer, (Failure, bytes::Bytes)>> {
        Box::pin(std::future::ready(Err((
            Failure::new(FailureKind::Internal, "an estimate asks for nothing"),
            bytes::Bytes::new(),
        ))))
    }
}

/// What is added up while the source is read.
struct Counting<'a> {
    ready: &'a Ready,
    known: &'a known::Step,
    counts: Counts,
    answers: Answers,
    estimate: StepEstimate,
    tokenizers: BTreeMap<String, Tokenizer>,
    /// Requests and their bytes, by route.
    routes: BTreeMap<String, Route>,
    /// Every so manieth request is counted.
    every: u64,
    n_planned: u64,
    prompts: Vec<u64>,
    max_tokens: Option<u64>,
    /// Tokens counted here, and billed, of requests that are answered.
    counted_answered: u64,
    billed_answered: u64,
    distinct: Option<Distinct>,
    is_embeddings: bool,
}

#[derive(Default)]
struct Route {
    requests: u64,
    bytes: u64,
    counted_tokens: u64,
    counted_bytes: u64,
}

/// Estimates one step.
pub(super) async fn of_step(
    ready: &Ready,
    number: usize,
    args: &Estimate,
    counts: Counts,
    known: &known::Step,
    shown: usize,
) -> anyhow::Result<StepEstimate> {
    let (name, config) = &ready.pipeline.steps.0[number];
    let nobody: Arc<dyn ModelClient> = Arc::new(Nobody);
    let (source, work) = looking::at(ready, u16::try_from(number)?, config, &nobody)?;
    let handler = work.handler;
    let total = match super::super::run::count(&source).await? {
        Some(total) => total,
        None => super::super::run::read_through(&*source).await?,
    };
    let total = total.min(args.limit.unwrap_or(u64::MAX)).saturating_mul(u64::from(handler.samples().max(1)));
    let mut counting = Counting {
        ready,
        known,
        counts,
        // What a run put into a table stands there.
        answers: Answers::of(
            config,
            if config.is_table_in_place() { Answers::default() } else { known.answers.clone() },
        ),
        estimate: StepEstimate { step: name.clone(), ..StepEstimate::default() },
        tokenizers: BTreeMap::new(),
        routes: BTreeMap::new(),
        every: match counts.sample {
            None => total.div_ceil(COUNTED).max(1),
            Some(_) => 1,
        },
        n_planned: 0,
        prompts: Vec::new(),
        max_tokens: None,
        counted_answered: 0,
        billed_answered: 0,
        distinct: work.dedupes.then(Distinct::default),
        is_embeddings: false,
    };
    counting.estimate.is_at_most = work.until.is_some();
    let mut records = source.open(&Starts::new())?;
    let mut told = Instant::now();
    'source: loop {
        let reads = records.next(BATCH).await?;
        if reads.is_empty() {
            break;
        }
        for read in reads {
            if args.limit.is_some_and(|limit| read.record.key.position >= limit) {
                break 'source;
            }
            counting.take(read, u16::try_from(number)?, &*source, &*handler, shown)?;
        }
        if told.elapsed().as_secs() >= 5 {
            told = Instant::now();
            talk::say(format!("step {name}: {} looked at", counted(counting.estimate.records, "record")));
        }
    }
    if counts.mode.counts_answers() && config.is_table_in_place() {
        counting.take_answered_rows(u16::try_from(number)?, config, &nobody).await?;
    }
    Ok(counting.finish(args))
}

impl Counting<'_> {
    /// Counts the answers that stand in a table of a database, which gives only rows without one where those are wanted.
    async fn take_answered_rows(
        &mut self,
        number: u16,
        config: &StepConfig,
        nobody: &Arc<dyn ModelClient>,
    ) -> anyhow::Result<()> {
        let mut all = config.clone();
        all.source.pending = None;
        all.sink.overwrite();
        let (source, _) = looking::at(self.ready, number, &all, nobody)?;
        let mut records = source.open(&Starts::new())?;
        loop {
            let reads = records.next(BATCH).await?;
            if reads.is_empty() {
                return Ok(());
            }
            for read in reads.iter().filter(|read| read.flaw.is_none()) {
                self.count_answer(&read.record, number);
            }
        }
    }

    fn count_answer(&mut self, record: &Record, step: u16) {
        let ready = self.ready;
        let routes = ready.pipeline.steps.0[usize::from(step)].1.routes();
        let tokenizer = self.tokenizer(routes.first().copied().unwrap_or_default());
        self.answers.take(record, self.counts.most(), tokenizer);
    }

    fn take(
        &mut self,
        read: Read,
        step: u16,
        source: &dyn Source,
        handler: &dyn Handler,
        shown: usize,
    ) -> anyhow::Result<()> {
        self.estimate.records += 1;
        let Read { mut record, flaw, .. } = read;
        let is_sound = flaw.as_ref().is_none_or(|(reason, _)| *reason == SkipReason::Answered);
        let is_in_table = self.ready.pipeline.steps.0[usize::from(step)].1.is_table_in_place();
        let is_known = self.known.answered.contains(&RecordKey { step, ..record.key });
        if self.counts.mode.counts_answers() && is_sound && !is_known && !is_in_table {
            self.count_answer(&source.whole(&record)?, step);
        }
        if let Some((reason, _)) = flaw {
            *self.estimate.skipped.entry(reason.word()).or_default() += 1;
            return Ok(());
        }
        if let Err((reason, _)) = source.inspect(&record) {
            *self.estimate.skipped.entry(reason.word()).or_default() += 1;
            return Ok(());
        }
        for sample in 0..handler.samples().max(1) {
            record.key = RecordKey { step, sample, ..record.key };
            match handler.plan(&record) {
                Ok(planned) => self.request(&record, &planned, shown)?,
                Err(Unplanned::Skip(reason, _)) => {
                    *self.estimate.skipped.entry(reason.word()).or_default() += 1;
                    break;
                }
                Err(Unplanned::Fail(_)) => {
                    self.estimate.failed += 1;
                    break;
                }
            }
        }
        Ok(())
    }

    fn request(&mut self, record: &Record, planned: &domain::Planned, shown: usize) -> anyhow::Result<()> {
        let body = &planned.body;
        self.n_planned += 1;
        if self.estimate.first_requests.len() < shown {
            self.estimate.first_requests.push(serde_json::from_slice(body)?);
        }
        if let (Some(distinct), Some(request)) = (&mut self.distinct, planned.request)
            && !distinct.insert(request)
        {
            return Ok(());
        }
        let usage = self.known.usage.get(&record.key);
        let is_answered = self.known.settled.contains(&record.key);
        self.estimate.answered += u64::from(is_answered);
        let is_wanted = match self.counts.sample {
            Some(TokenSample::First(n)) => (self.prompts.len() as u64) < n,
            _ => self.n_planned.is_multiple_of(self.every),
        };
        let is_counted = usage.is_some() || (!is_answered && is_wanted);
        let route = route_of(body);
        let tokens = match is_counted {
            true if is_embeddings(body) => {
                self.is_embeddings = true;
                Some(self.tokenizer(&route).count_embeddings_body(body))
            }
            true => Some(self.tokenizer(&route).count_chat_body(body)),
            false => None,
        };
        if self.max_tokens.is_none() {
            self.max_tokens = max_tokens_of(body);
        }
        if let (Some(usage), Some(tokens)) = (usage, tokens) {
            self.counted_answered += tokens;
            self.billed_answered += usage.prompt_tokens;
        }
        if is_answered {
            return Ok(());
        }
        self.estimate.requests += 1;
        let of_route = self.routes.entry(route).or_default();
        of_route.requests += 1;
        of_route.bytes += body.len() as u64;
        if let Some(tokens) = tokens {
            of_route.counted_tokens += tokens;
            of_route.counted_bytes += body.len() as u64;
            self.prompts.push(tokens);
        }
        Ok(())
    }

    /// Returns what counts the tokens of a route: by its first model, as the models of a route are much alike.
    fn tokenizer(&mut self, route: &str) -> Tokenizer {
        if let Some(tokenizer) = self.tokenizers.get(route) {
            return *tokenizer;
        }
        let models = &self.ready.models;
        let first = models_of(models, route).first().map_or(route, |model| &model.name);
        let tokenizer = match self.ready.pipeline.estimate.encoding {
            None => models.tokenizer_of(first),
            Some(encoding) => Tokenizer::of(first, Some(encoding.table())),
        };
        self.tokenizers.insert(route.to_owned(), tokenizer);
        tokenizer
    }

    fn finish(mut self, args: &Estimate) -> StepEstimate {
        let mut estimate = self.estimate;
        self.prompts.sort_unstable();
        if self.counts.mode.counts_prompts() {
            estimate.input = Spread::of(self.prompts.clone(), estimate.requests);
        }
        if self.counts.mode.counts_answers() {
            estimate.output = self.answers.spread();
        }
        let at = |share: f64| {
            let last = self.prompts.len().saturating_sub(1);
            self.prompts.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
        };
        (estimate.prompt_p50, estimate.prompt_p90, estimate.prompt_max) = (at(0.5), at(0.9), at(1.0));
        let ratio = (self.counted_answered > 0).then(|| self.billed_answered as f64 / self.counted_answered as f64);
        estimate.billed_per_counted = ratio;
        let retried = self.known.billed_per_answer();
        estimate.answer = match (self.known.answer_tokens(), args.answer_tokens, self.max_tokens) {
            _ if self.is_embeddings => AnswerEstimate::Nothing,
            (_, Some(tokens), _) => AnswerEstimate::Given { tokens },
            (Some((tokens, answers)), None, _) => AnswerEstimate::Measured { tokens, answers },
            (None, None, Some(tokens)) => AnswerEstimate::AtMost { tokens },
            (None, None, None) => AnswerEstimate::Unknown,
        };
        let answer = match estimate.answer {
            AnswerEstimate::Measured { tokens, .. } => Some(tokens),
            AnswerEstimate::Given { tokens } | AnswerEstimate::AtMost { tokens } => Some(tokens as f64),
            AnswerEstimate::Nothing => Some(0.0),
            AnswerEstimate::Unknown => None,
        };
        for (route, of_route) in &self.routes {
            let per_byte = match of_route.counted_bytes {
                0 => 0.0,
                bytes => of_route.counted_tokens as f64 / bytes as f64,
            };
            let prompt = of_route.bytes as f64 * per_byte * ratio.unwrap_or(1.0) * retried;
            let completion = answer.map(|tokens| tokens * of_route.requests as f64 * retried);
            estimate.prompt_tokens += prompt.round() as u64;
            if let Some(completion) = completion {
                *estimate.answer_tokens.get_or_insert(0) += completion.round() as u64;
            }
            estimate.cost.add(&self.ready.models, route, prompt, completion);
        }
        estimate.tokenizers = self.tokenizers.values().map(|tokenizer| table_of(*tokenizer)).collect();
        estimate.tokenizers.dedup();
        estimate
    }
}

/// Requests seen, each once: a bit for each of 2^28 hashes, so that memory is the same for any number of records. Two
/// requests of ten million fall on one bit about once in 27, which makes the estimate of distinct ones less than two in
/// a hundred too low.
struct Distinct(Vec<u64>);

impl Default for Distinct {
    fn default() -> Self {
        Self(vec![0; 1 << 22])
    }
}

impl Distinct {
    fn insert(&mut self, request: u128) -> bool {
        let bit = (request as u64) & ((1 << 28) - 1);
        let word = &mut self.0[usize::try_from(bit / 64).unwrap_or_default()];
        let is_new = *word & (1 << (bit % 64)) == 0;
        *word |= 1 << (bit % 64);
        is_new
    }
}

fn route_of(body: &[u8]) -> String {
    let mut route = None;
    let text = std::str::from_utf8(body).unwrap_or_default();
    // It was written as an object a moment ago.
    let _ = domain::json::members(text, |name, value| {
        if name == "model" && route.is_none() {
            route = serde_json::from_str(value.get()).ok();
        }
    });
    route.unwrap_or_default()
}

fn is_embeddings(body: &[u8]) -> bool {
    let mut has_input = false;
    let _ =
        domain::json::members(std::str::from_utf8(body).unwrap_or_default(), |name, _| has_input |= name == "input");
    has_input
}

fn table_of(tokenizer: Tokenizer) -> String {
    let table = match tokenizer.table() {
        Table::O200kBase => "o200k_base",
        Table::Cl100kBase => "cl100k_base",
    };
    if tokenizer.is_exact() { table.to_owned() } else { format!("{table}, which is near but not the model's own") }
}

fn max_tokens_of(body: &[u8]) -> Option<u64> {
    let mut found = None;
    let _ = domain::json::members(std::str::from_utf8(body).ok()?, |name, value| {
        if matches!(&*name, "max_tokens" | "max_completion_tokens") {
            found = value.get().parse().ok();
        }
    });
    found
}
