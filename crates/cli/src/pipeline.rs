//! The pipeline file: what it may hold, and what only the whole of it can tell.

mod budget;
mod check;
mod estimate;
mod kinds;
mod places;
mod routes;
mod tables;

use std::{borrow::Cow, fmt, path::PathBuf};

use connect::Taken;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use simulate::Span;
use work::{
    embed::Embed,
    prompt::{Prompt, Require},
};

use crate::report::Format;

use budget::BudgetConfig;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use check::read_for_a_run;
#[cfg(test)]
pub(crate) use check::read_models;
pub(crate) use check::{Places, Ready, Wish, check, check_for, import, look, models_file};
pub(crate) use estimate::{EstimateConfig, TokenMode, TokenSample};
pub(crate) use places::Named;
pub(crate) use routes::models_of;
pub(crate) use tables::{Reader, Written};

/// A pipeline: one or more steps, each from a source through work to a sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pipeline {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    #[expect(dead_code, reason = "the schema holds it to 1; the next format will look at it")]
    pub(crate) version: u32,
    /// The pipeline's name: letters, digits, `-`, `_` and `.`. Runs are named after it.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    pub(crate) name: String,
    /// The models file, relative to the folder of this file. `--models` names another one.
    #[serde(default)]
    pub(crate) models: Option<PathBuf>,
    /// The most that the run may spend.
    #[serde(default)]
    pub(crate) budget: Option<BudgetConfig>,
    /// The steps by name, in the order in which they run.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) steps: Steps,
    /// What happens when every step is done.
    #[serde(default)]
    pub(crate) finish: Finish,
    /// What `tidemill estimate` does unless the command line says otherwise.
    #[serde(default)]
    pub(crate) estimate: EstimateConfig,
}

impl Pipeline {
    /// Returns whether a step reads standard input.
    pub(crate) fn is_piped(&self) -> bool {
        self.steps.0.iter().any(|(_, step)| step.source.table.is_standard_input())
    }
}

/// Steps by name, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps(pub(crate) Vec<(String, StepConfig)>);

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> de::Visitor<'de> for InOrder {
            type Value = Steps;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("steps by name")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Steps, A::Error> {
                let mut steps = Vec::new();
                while let Some(step) = map.next_entry()? {
                    steps.push(step);
                }
                Ok(Steps(steps))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl JsonSchema for Steps {
    fn schema_name() -> Cow<'static, str> {
        "Steps".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Steps by name, in the order in which they run.",
            "additionalProperties": generator.subschema_for::<StepConfig>(),
        })
    }
}

/// One step: source → work → sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepConfig {
    /// Where records come from.
    pub(crate) source: SourceConfig,
    /// What is done with each record.
    pub(crate) work: WorkConfig,
    /// Where the outcomes go.
    pub(crate) sink: connect::SinkConfig,
    /// How the step flows.
    #[serde(default)]
    pub(crate) flow: FlowConfig,
    /// How many records may fail before the run counts as failed.
    #[serde(default)]
    pub(crate) tolerate: Tolerate,
}

impl StepConfig {
    /// Returns what a source has to know of the columns that the answers go to.
    pub(crate) fn answers(&self) -> connect::AnswerColumns {
        let taken = match self.source.pending {
            Some(Pending { errors }) => Taken::Pending { errors },
            None if self.sink.overwrites() => Taken::Overwritten,
            None => Taken::Refused,
        };
        connect::AnswerColumns { names: self.sink.names(&self.work.new_fields()), taken }
    }
}

/// Where records come from: one kind of table, and what the work sees of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct SourceConfig {
    /// The table.
    #[serde(flatten)]
    pub(crate) table: connect::SourceConfig,
    /// The fields that `record_json` shows to the model, in the record's order; all of them unless given.
    #[serde(default)]
    pub(crate) fields: Option<Vec<String>>,
    /// How many of `fields` must hold something for a record to be worked on; others are skipped as `missing_field`.
    #[serde(default)]
    pub(crate) require: Option<Require>,
    /// An expression over the record's fields, such as `lang == 'zh' and score > 3`. Records for which it is not true are
    /// skipped as `filtered`. A field that a record does not have is false; text that is a number is compared as one.
    #[serde(default, rename = "where")]
    pub(crate) where_: Option<String>,
    /// Whether `record_json` leaves out the fields of a record that are null or an empty text.
    #[serde(default)]
    pub(crate) omit_empty: bool,
    /// Whether only records are worked on that lack an answer: those of which a column that an answer goes to is empty, or
    /// not there. The others are skipped as `answered`, and no answer of theirs is replaced.
    #[serde(default, deserialize_with = "pending")]
    #[schemars(with = "Option<PendingAsWritten>")]
    pub(crate) pending: Option<Pending>,
}

/// Which records lack an answer: `true`, or what else counts as none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Pending {
    /// Whether a text that begins with `ERROR: ` is no answer. AI-DataFlux leaves such texts where it got none.
    pub(crate) errors: bool,
}

/// [`Pending`] as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Pending")]
enum PendingAsWritten {
    /// Whether only records are worked on of which an answer column is empty.
    Is(bool),
    /// What counts as empty besides.
    But(PendingBut),
}

/// What counts as empty besides what is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PendingBut {
    /// Whether a text that begins with `ERROR: ` does, as AI-DataFlux leaves it where it got no answer.
    errors: bool,
}

/// Reads `pending`: `false` is none.
fn pending<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Pending>, D::Error> {
    Ok(match Option::<PendingAsWritten>::deserialize(deserializer)? {
        None | Some(PendingAsWritten::Is(false)) => None,
        Some(PendingAsWritten::Is(true)) => Some(Pending { errors: false }),
        Some(PendingAsWritten::But(PendingBut { errors })) => Some(Pending { errors }),
    })
}

/// What is done with each record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum WorkConfig {
    /// A model is asked about it.
    Prompt(Box<Prompt>),
    /// A model turns a text of it into numbers.
    Embed(Embed),
}

/// How a step flows.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FlowConfig {
    /// The most attempts in flight, whatever the models would allow.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) max_in_flight: Option<usize>,
    /// How often a failed attempt is followed by another one.
    pub(crate) retries: Retries,
    /// How long to wait before trying again.
    pub(crate) backoff: BackoffConfig,
    /// A pause of the whole step after a failure on the way to the model. None unless given.
    pub(crate) pause: Option<PauseConfig>,
    /// How long one attempt may take, from send to the whole answer. 10 minutes unless given.
    pub(crate) deadline: Option<Span>,
    /// How often what is settled so far is put in place while the run goes on, where the output is a table in which every row
    /// of the source stands: an Excel workbook, or a file that is written in place. Never unless given: whoever wants to look
    /// before the end looks into `NAME.partial.jsonl`. Saves that take long are made less often, so that they take no more
    /// than 5 % of the run.
    pub(crate) save_every: Option<Span>,
    /// How long an interrupted run waits for answers in flight. 30 seconds unless given.
    pub(crate) grace: Option<Span>,
}

/// Failed attempts that are followed by another one, by group: 3 means four attempts at most.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retries {
    /// On the way to the model: errors of the server, timeouts, cut connections. Being throttled costs no retry.
    pub(crate) api: u32,
    /// What the model said: an answer that is not what was asked for.
    pub(crate) content: u32,
    /// Faults of Tidemill itself.
    pub(crate) system: u32,
}

impl Default for Retries {
    fn default() -> Self {
        let engine::Budgets { api, content, system } = engine::Budgets::default();
        Self { api, content, system }
    }
}

/// Exponential backoff with jitter.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BackoffConfig {
    /// The wait after the first failed attempt; it doubles with each one. 500 ms unless given.
    pub(crate) first: Option<Span>,
    /// The longest wait. 1 minute unless given.
    pub(crate) max: Option<Span>,
}

/// A pause of the whole step.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseConfig {
    /// How long.
    pub(crate) r#for: Span,
    /// For how long after its beginning no other failure begins one.
    pub(crate) window: Span,
}

/// How many records may fail or be skipped before the exit status says so. Blank lines never count.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tolerate {
    /// Failed and missing records: a number, a share such as `5%`, or `any`. 0 unless given.
    pub(crate) failed: Tolerance,
    /// Records skipped though there was something to do (bad lines, missing fields): likewise.
    pub(crate) skipped: Tolerance,
}

/// A number of records, a share of them, or any number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tolerance {
    /// So many.
    Records(u64),
    /// So many of a hundred.
    Percent(f64),
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::Records(0)
    }
}

impl Tolerance {
    /// Returns how many of `n` records are tolerated.
    pub(crate) fn of(self, n: u64) -> u64 {
        match self {
            Self::Records(records) => records,
            Self::Percent(percent) => (n as f64 * percent / 100.0).floor() as u64,
        }
    }
}

impl<'de> Deserialize<'de> for Tolerance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl de::Visitor<'_> for Either {
            type Value = Tolerance;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of records, a share such as `5%`, or `any`")
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Tolerance, E> {
                Ok(Tolerance::Records(n))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Tolerance, E> {
                if text == "any" {
                    return Ok(Tolerance::Percent(100.0));
                }
                let percent = text.strip_suffix('%').and_then(|n| n.parse::<f64>().ok());
                match percent.filter(|n| (0.0..=100.0).contains(n)) {
                    Some(percent) => Ok(Tolerance::Percent(percent)),
                    None => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Tolerance {
    fn schema_name() -> Cow<'static, str> {
        "Tolerance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of records, a share such as `5%`, or `any`.",
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": r"^(any|[0-9]+(\.[0-9]+)?%)$",
            "examples": [0, "5%", "any"],
        })
    }
}

/// What happens when every step is done.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Finish {
    /// The file for the account of the run; `NAME.accounting.json` beside the first output unless given.
    pub(crate) accounting: Option<PathBuf>,
    /// Reports of the run, written beside the first output: `NAME.report.md`, `NAME.report.html`, `NAME.report.json`. None
    /// unless given; `tidemill report` makes one at any time.
    pub(crate) report: Vec<Format>,
}
