//! What the vendor does: latencies, limits, faults and answers.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    draw::{self, Draws, Salt},
    duration::Span,
    fault::{Fault, FaultKind},
    lack::Lacks,
    openai::bill::Usage,
    shape::{Shape, ShapeKind},
};

/// No drawn latency is longer than this, however wide the distribution.
const LONGEST_LATENCY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the vendor does with what it is asked.
///
/// Everything in it has a default: an empty script answers every request at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// The seed of every draw: of latencies, of faults, of answers.
    pub seed: u64,
    /// The name of the one model in the list of models. Any model may be asked for, and is named in the answer.
    pub model: String,
    /// How long an answer takes, from the whole request to the first byte. Faults take as long.
    pub latency: Latency,
    /// So many requests are worked on at once; where more are in flight, each takes longer in proportion. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub knee: Option<u32>,
    /// The wait between two events of a streamed answer.
    pub stream_pause: Span,
    /// What a successful answer says.
    pub answer: Answer,
    /// How much may be asked; what exceeds it is answered with 429 and `Retry-After`.
    pub limits: Limits,
    /// What goes wrong, and how often. The rates add up to at most 1.
    pub faults: Vec<Fault>,
    /// In which shapes answers come that no fault spoils. The rates add up to at most 1.
    pub shapes: Vec<Shape>,
    /// Whether a chat calls a tool wherever it is given some. Where the request demands a call, it calls one anyway.
    pub calls_tools: bool,
    /// The name under which each answer has a thought beside it; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    /// What the vendor does not take of a request.
    pub lacks: Lacks,
    /// How tokens are counted for the bill.
    pub usage: Usage,
    /// What the vendor remembers of what it was asked.
    pub counting: Counting,
    /// The API key without which every request is answered with 401; none by default.
    pub require_key: Option<String>,
    /// How many of the last requests are kept, to be looked at under `/simulate/requests`. None by default.
    pub remember: u32,
    /// Whether every connection is closed as soon as it is accepted.
    pub dead: bool,
    /// What changes in the script, and how long after the vendor's start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<Later>,
}

/// A change of the script while it is played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Later {
    /// How long after the vendor's start.
    pub at: Span,
    /// The keys of a script that get another value. All others keep theirs.
    pub change: serde_json::Map<String, serde_json::Value>,
}

/// How long an answer takes, drawn for each ask of each request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Latency {
    /// Always the same time.
    Fixed(Span),
    /// Any time between two ends, all equally likely.
    Uniform {
        /// The shortest time.
        from: Span,
        /// The longest time.
        to: Span,
    },
    /// Mostly near the median, seldom much longer: the shape of real vendors.
    Lognormal {
        /// Half of the answers take longer than this.
        median: Span,
        /// The standard deviation of the time's logarithm: 0.5 puts one answer in a hundred beyond 3.2 medians.
        sigma: f64,
    },
}

/// How much may be asked at once and over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The most requests admitted in any span of one second.
    #[schemars(range(min = 1))]
    pub requests_per_second: Option<u32>,
    /// The most requests admitted in any span of one minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// Tokens that come back every minute, and the most that may be saved up. A request takes those of its prompt before it
    /// is answered and those of its answer behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<u32>,
    /// The most requests in flight at any moment.
    #[schemars(range(min = 1))]
    pub in_flight: Option<u32>,
    /// Whose headers tell of the limits on requests and tokens, with every answer. Without it, only a refusal tells how long
    /// to wait, in `Retry-After` and `retry-after-ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Spelling>,
}

/// Whose headers, and whose words of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spelling {
    /// OpenAI's: `x-ratelimit-remaining-requests` and its siblings, with `6m0s` as a length of time.
    #[serde(rename = "openai")]
    OpenAi,
    /// Azure's: the same in seconds, and `x-ms-retry-after-ms`.
    Azure,
    /// Anthropic's: `anthropic-ratelimit-requests-remaining` and its siblings, with moments of RFC 3339.
    Anthropic,
    /// The IETF's draft: `ratelimit-remaining` and its siblings, of requests only.
    Ietf,
    /// Gemini's: nothing but `RetryInfo` in the body of a refusal.
    Gemini,
    /// Nothing but words in the body of a refusal: "Please try again in 1.2s".
    Words,
    /// Nothing but `Retry-After` as a date of HTTP, beside the `Date` at the vendor.
    Dates,
}

/// What a successful answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// What the request's `response_format` demands, else a sentence. A request is always answered alike.
    #[default]
    Conform,
    /// Always this text.
    Fixed(String),
    /// The text of the last user message.
    Echo,
    /// Bytes that are made before anybody asks, for benchmarks: the vendor looks for `"stream":true` in a request and for
    /// nothing else. Together with `counting: totals` and without latency, limits and faults it costs hardly any CPU.
    Ready(Ready),
}

/// Answers that are made before anybody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ready {
    /// The bytes of a body that comes whole.
    #[schemars(range(min = 512))]
    pub length: usize,
    /// The events of a stream, `[DONE]` among them.
    #[schemars(range(min = 4))]
    pub events: usize,
    /// The bytes of all events together.
    pub stream_length: usize,
}

impl Default for Ready {
    fn default() -> Ready {
        Ready { length: 1_024, events: 66, stream_length: 11_700 }
    }
}

/// The name of a thought beside an answer, which differs among vendors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reasoning {
    /// `reasoning_content`, as `DeepSeek` began it.
    ReasoningContent,
    /// `reasoning`, as `OpenRouter` and newer vLLM have it.
    Reasoning,
}

/// What the vendor remembers of what it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// How often each request was asked.
    #[default]
    PerRequest,
    /// Totals, and how often each request was asked that a fault once struck: memory grows with the faults, not with the
    /// requests. A request that no fault struck counts as asked for the first time whenever it comes.
    Totals,
}

/// A script that cannot be followed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The rate of a fault is no probability.
    #[error("the rate {rate} of fault `{kind}` is not between 0 and 1")]
    Rate {
        /// The fault's kind.
        kind: FaultKind,
        /// The rate as given.
        rate: f64,
    },
    /// The faults strike more often than always.
    #[error("the rates of the faults add up to {sum}, more than 1")]
    RateSum {
        /// What they add up to.
        sum: f64,
    },
    /// The rate of a shape is no probability, or it never occurs.
    #[error("shape `{kind}`: {problem}")]
    Shape {
        /// The shape's kind.
        kind: ShapeKind,
        /// What is wrong.
        problem: &'static str,
    },
    /// More answers have a shape than there are answers.
    #[error("the rates of the shapes add up to {sum}, more than 1")]
    ShapeSum {
        /// What they add up to.
        sum: f64,
    },
    /// The share of cached tokens is no share.
    #[error("`usage.cached` is {0}, which is not between 0 and 1")]
    Cached(f64),
    /// A fault has a key that its kind has no use for, or a value that cannot be.
    #[error("fault `{kind}`: {problem}")]
    Fault {
        /// The fault's kind.
        kind: FaultKind,
        /// What is wrong, and what to write instead.
        problem: &'static str,
    },
    /// The latency cannot be drawn.
    #[error("the latency cannot be drawn: {0}")]
    Latency(&'static str),
    /// A change that does not result in a script.
    #[error("the change `{change}`: {problem}")]
    Change {
        /// The keys that it has.
        change: String,
        /// What is wrong.
        problem: String,
    },
    /// An answer that is made before anybody asks cannot have these sizes.
    #[error("`answer.ready`: {0}")]
    Ready(&'static str),
    /// A limit admits nothing.
    #[error("the limit `{0}` is 0, which admits nothing; leave it out for no limit")]
    Limit(&'static str),
}

impl Default for Script {
    fn default() -> Script {
        Script {
            seed: 0,
            model: "simulated".to_owned(),
            latency: Latency::default(),
            knee: None,
            stream_pause: Span::ZERO,
            answer: Answer::default(),
            limits: Limits::default(),
            faults: Vec::new(),
            shapes: Vec::new(),
            calls_tools: false,
            reasoning: None,
            lacks: Lacks::default(),
            usage: Usage::default(),
            counting: Counting::default(),
            require_key: None,
            remember: 0,
            dead: false,
            later: Vec::new(),
        }
    }
}

impl Default for Latency {
    fn default() -> Latency {
        Latency::Fixed(Span::ZERO)
    }
}

impl Script {
    /// Checks that the script can be followed: what the types alone do not say.
    pub fn check(&self) -> Result<(), ScriptError> {
        self.latency.check()?;
        let limits = &self.limits;
        let admitting = [
            ("requests_per_second", limits.requests_per_second),
            ("requests_per_minute", limits.requests_per_minute),
            ("tokens_per_minute", limits.tokens_per_minute),
            ("in_flight", limits.in_flight),
            ("knee", self.knee),
        ];
        if let Some((name, _)) = admitting.into_iter().find(|(_, limit)| *limit == Some(0)) {
            return Err(ScriptError::Limit(name));
        }
        if let Answer::Ready(ready) = &self.answer {
            crate::ready::check(ready)?;
        }
        for fault in &self.faults {
            fault.check()?;
        }
        let sum: f64 = self.faults.iter().map(|fault| fault.rate).sum();
        // Ten rates of 0.1 add up to a little more than 1 in floating point.
        if sum > 1.0 + 1e-9 {
            return Err(ScriptError::RateSum { sum });
        }
        for shape in &self.shapes {
            let kind = shape.kind;
            if !(0.0..=1.0).contains(&shape.rate) {
                return Err(ScriptError::Shape { kind, problem: "its `rate` is not between 0 and 1" });
            }
            if shape.asks == Some(0) {
                return Err(ScriptError::Shape { kind, problem: "`asks` is 0, so that it never occurs; leave it out" });
            }
        }
        let sum: f64 = self.shapes.iter().map(|shape| shape.rate).sum();
        if sum > 1.0 + 1e-9 {
            return Err(ScriptError::ShapeSum { sum });
        }
        if !(0.0..=1.0).contains(&self.usage.cached) {
            return Err(ScriptError::Cached(self.usage.cached));
        }
        let mut changed = Script { later: Vec::new(), ..self.clone() };
        for later in &self.later {
            changed = changed.changed(&later.change)?;
        }
        Ok(())
    }

    /// Returns the script with other values for these keys.
    ///
    /// # Errors
    /// Where the result is no script, or cannot be followed.
    pub fn changed(&self, change: &serde_json::Map<String, serde_json::Value>) -> Result<Script, ScriptError> {
        let refused = |problem: String| {
            let keys: Vec<&str> = change.keys().map(String::as_str).collect();
            ScriptError::Change { change: keys.join(", "), problem }
        };
        let mut script = serde_json::to_value(self).map_err(|error| refused(error.to_string()))?;
        if let Some(members) = script.as_object_mut() {
            members.extend(change.clone());
        }
        let script: Script = serde_json::from_value(script).map_err(|error| refused(error.to_string()))?;
        script.check()?;
        Ok(script)
    }

    /// Returns how long the answer takes when the request with this hash is asked for the `ask`-th time.
    pub fn latency_for(&self, request_hash: u128, ask: u32) -> Duration {
        let mut draws = Draws::new(draw::word(self.seed, request_hash, ask, Salt::Latency));
        match self.latency {
            Latency::Fixed(Span(time)) => time,
            Latency::Uniform { from: Span(from), to: Span(to) } => from + to.saturating_sub(from).mul_f64(draws.unit()),
            Latency::Lognormal { median: Span(median), sigma } => {
                let seconds = median.as_secs_f64() * (sigma * draws.normal()).exp();
                Duration::try_from_secs_f64(seconds).map_or(LONGEST_LATENCY, |time| time.min(LONGEST_LATENCY))
            }
        }
    }
}

impl Reasoning {
    /// Returns the name itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Reasoning::ReasoningContent => "reasoning_content",
            Reasoning::Reasoning => "reasoning",
        }
    }
}

impl Latency {
    fn check(self) -> Result<(), ScriptError> {
        match self {
            Latency::Uniform { from, to } if from > to => Err(ScriptError::Latency("`from` is longer than `to`")),
            Latency::Lognormal { sigma, .. } if !sigma.is_finite() || sigma < 0.0 => {
                Err(ScriptError::Latency("`sigma` is not a number from 0 up"))
            }
            _ => Ok(()),
        }
    }
}
