//! `tidemill estimate`: tokens and cost before anything is asked.
//!
//! Prompts are rendered and counted with the tables that come with the binary: every request where there are up to some
//! tens of thousands, evenly spaced ones and the bytes of all where there are more. What answers will take is not known
//! before; where a run of the pipeline has answers already (a sample, say), it is reckoned with those, and with what the
//! upstream really billed for the prompts that were counted here.

mod answers;
mod counting;
mod known;
mod price;
mod spread;

use std::collections::BTreeMap;

use domain::price::amount;
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::Estimate,
    exit::Exit,
    pipeline::{self, TokenMode, TokenSample},
    progress::{counted, thousands},
    talk,
};
use known::Known;
use price::Priced;
use spread::Spread;

/// What a pipeline would take.
#[derive(Debug, Serialize)]
pub(crate) struct Estimated {
    pub(crate) pipeline: String,
    /// What is counted.
    pub(crate) mode: TokenMode,
    pub(crate) steps: Vec<StepEstimate>,
}

/// What a step would take. Tokens and cost are of what is left to ask.
#[derive(Debug, Default, Serialize)]
pub(crate) struct StepEstimate {
    pub(crate) step: String,
    /// Records in the source.
    pub(crate) records: u64,
    /// Records that would be skipped, by reason.
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    /// Records that would fail before any attempt.
    pub(crate) failed: u64,
    /// Requests that are answered already, in the run that would go on.
    pub(crate) answered: u64,
    /// Requests that are left to ask.
    pub(crate) requests: u64,
    /// Whether these are the most: candidates are asked for only as far as they are needed.
    pub(crate) is_at_most: bool,
    /// Tokens of the prompts of those.
    pub(crate) prompt_tokens: u64,
    /// Tokens of a prompt: the median, nine of ten, and the longest one counted.
    pub(crate) prompt_p50: u64,
    pub(crate) prompt_p90: u64,
    pub(crate) prompt_max: u64,
    /// Tokens of the prompts that are left, as they differ; nothing where answers alone are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Spread>,
    /// Tokens of the answers that are there already, as JSON of the new fields; nothing where prompts alone are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Spread>,
    /// The tables by which tokens were counted.
    pub(crate) tokenizers: Vec<String>,
    /// What the upstream billed for a token that was counted here, where it has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) billed_per_counted: Option<f64>,
    /// Tokens of an answer.
    pub(crate) answer: AnswerEstimate,
    /// Tokens of the answers that are left; nothing where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer_tokens: Option<u64>,
    /// What it costs, where prices are known.
    pub(crate) cost: Priced,
    #[serde(skip)]
    pub(crate) first_requests: Vec<Value>,
}

/// How long an answer is reckoned to be.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "snake_case", tag = "basis")]
pub(crate) enum AnswerEstimate {
    /// As the answers that a run has already.
    Measured { tokens: f64, answers: u64 },
    /// As the user said.
    Given { tokens: u64 },
    /// At most what the request allows.
    AtMost { tokens: u64 },
    /// There are none: embeddings are asked for.
    Nothing,
    /// Nothing is known.
    #[default]
    Unknown,
}

/// Up to so many requests every one is counted.
const COUNTED: u64 = 20_000;

/// Estimates a pipeline.
pub(super) fn run(args: &Estimate) -> anyhow::Result<Exit> {
    let Some(estimated) = of_pipeline(args, 0)? else { return Ok(Exit::Configuration) };
    if args.json {
        talk::data(serde_json::to_string(&estimated)?);
    } else {
        tell(&estimated);
    }
    Ok(Exit::Done)
}

/// Estimates the pipeline at `args.file`, keeping the first `shown` requests of each step; `None` where it has mistakes,
/// which are told.
pub(super) fn of_pipeline(args: &Estimate, shown: usize) -> anyhow::Result<Option<Estimated>> {
    let checked = pipeline::check(args.file.path(), args.models.as_deref())?;
    super::check::tell(&checked.diagnostics);
    let Some(ready) = checked.ready else { return Ok(None) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = &ready.pipeline.estimate;
    let counts = Counts { mode: args.mode.or(config.mode).unwrap_or_default(), sample: args.sample.or(config.sample) };
    let known = Known::find(&args.state.state, &ready, counts)?;
    let mut steps = Vec::new();
    for number in 0..ready.pipeline.steps.0.len() {
        let known = known.of_step(u16::try_from(number)?);
        steps.push(runtime.block_on(counting::of_step(&ready, number, args, counts, known, shown))?);
    }
    runtime.shutdown_background();
    Ok(Some(Estimated { pipeline: ready.pipeline.name, mode: counts.mode, steps }))
}

/// What is counted, and of how many records.
#[derive(Clone, Copy)]
struct Counts {
    mode: TokenMode,
    sample: Option<TokenSample>,
}

impl Counts {
    /// Returns how many records are counted at most, where not all are.
    fn most(self) -> u64 {
        match self.sample {
            None => COUNTED,
            Some(TokenSample::First(n)) => n,
            Some(TokenSample::All) => u64::MAX,
        }
    }
}

/// Tells an estimate to people.
pub(super) fn tell(estimated: &Estimated) {
    for step in &estimated.steps {
        let mut parts = Vec::new();
        for (reason, n) in &step.skipped {
            parts.push(format!("{} skipped ({reason})", thousands(*n)));
        }
        if step.failed > 0 {
            parts.push(format!("{} fail before any attempt", thousands(step.failed)));
        }
        if step.answered > 0 {
            parts.push(format!("{} answered already", thousands(step.answered)));
        }
        let rest = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        talk::say(format!(
            "step {}: {}, {} to ask{rest}",
            step.step,
            counted(step.records, "record"),
            if step.is_at_most {
                format!("at most {}", counted(step.requests, "request"))
            } else {
                counted(step.requests, "request")
            }
        ));
        if estimated.mode.counts_answers() {
            talk::say(match &step.output {
                Some(spread) => {
                    format!("  answers that are there: {} tokens ({})", thousands(spread.total), spread.told())
                }
                None => "  answers that are there: none".to_owned(),
            });
        }
        if step.requests == 0 || !estimated.mode.counts_prompts() {
            continue;
        }
        let billed = match step.billed_per_counted {
            Some(ratio) => format!(", times {ratio:.3} as billed so far"),
            None => String::new(),
        };
        talk::say(format!(
            "  prompts: {} tokens (half up to {}, nine of ten up to {}, longest {}; counted by {}{billed})",
            thousands(step.prompt_tokens),
            thousands(step.prompt_p50),
            thousands(step.prompt_p90),
            thousands(step.prompt_max),
            step.tokenizers.join(", ")
        ));
        if let Some(spread) = &step.input {
            talk::say(format!("  a prompt: {} tokens", spread.told()));
        }
        let answers = thousands(step.answer_tokens.unwrap_or_default());
        let told = match &step.answer {
            AnswerEstimate::Nothing => None,
            AnswerEstimate::Measured { tokens, answers: n } => {
                Some(format!("  answers: {answers} tokens ({tokens:.1} each, as the {} so far)", counted(*n, "answer")))
            }
            AnswerEstimate::Given { tokens } => Some(format!("  answers: {answers} tokens ({tokens} each, as given)")),
            AnswerEstimate::AtMost { tokens } => Some(format!(
                "  answers: at most {answers} tokens (`max_tokens` is {tokens}); `run --sample 20` measures"
            )),
            AnswerEstimate::Unknown => {
                Some("  answers: not known before; `run --sample 20` measures, `--answer-tokens N` sets".to_owned())
            }
        };
        if let Some(told) = told {
            talk::say(told);
        }
        step.cost.tell(step.answer_tokens.is_some(), matches!(step.answer, AnswerEstimate::AtMost { .. }));
    }
    let mut total: BTreeMap<&str, u128> = BTreeMap::new();
    for (currency, range) in estimated.steps.iter().flat_map(|step| &step.cost.by_currency) {
        *total.entry(currency).or_default() += range.expected;
    }
    if estimated.steps.len() > 1 {
        let sums: Vec<String> =
            total.iter().map(|(currency, picos)| format!("{} {currency}", amount(*picos))).collect();
        talk::say(format!("all steps: {}", sums.join(" + ")));
    }
}
