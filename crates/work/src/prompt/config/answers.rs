//! What answers are worth.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What answers are worth that are cut off, empty, refused, or not as they should be. Each way to fail is counted by
/// its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Answers {
    /// An answer that was cut off at the limit of tokens. `retry` asks the same again, `{ more_tokens: 2 }` with a limit
    /// twice as high, four times the next time, and so on; `accept` takes what is there. `retry` unless given.
    pub length: OnLength,
    /// An answer without text. `retry` unless given.
    pub empty: OnAnswer,
    /// An answer in which the model declines, or that a content filter stopped. `accept` makes what it says the answer.
    /// `fail` unless given.
    pub refused: OnAnswer,
    /// Whether an answer must come with the model's reasoning, in a think block or beside the text. `optional` unless
    /// given.
    pub think: Think,
    /// A regular expression that the answer, without its thought, must match somewhere; `^…$` for all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// A regular expression that the answer, without its thought, must match nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reject: Option<String>,
    /// Whether an answer that is not what was asked for is sent back with what is wrong with it, when the model is asked
    /// again. Yes unless given.
    pub complain: bool,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            length: OnLength::Retry,
            empty: OnAnswer::Retry,
            refused: OnAnswer::Fail,
            think: Think::Optional,
            pattern: None,
            reject: None,
            complain: true,
        }
    }
}

/// What is done with an answer that falls short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnAnswer {
    /// The same is asked again, within `retries.content`.
    Retry,
    /// The record has failed.
    Fail,
    /// It is taken as it is.
    Accept,
}

/// What is done with an answer that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLength {
    /// The same is asked again, within `retries.content`.
    Retry,
    /// The record has failed.
    Fail,
    /// What is there is judged.
    Accept,
    /// It is asked again with so many times the tokens, within `retries.content`.
    MoreTokens(f64),
}

/// Whether an answer must come with the model's reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Think {
    /// It must.
    Required,
    /// It may.
    Optional,
}

/// How many answers of a record are wanted, and how many are asked for at most.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UntilAccepted {
    /// Accepted answers that are wanted of each record.
    #[schemars(range(min = 1))]
    pub accepted: u32,
    /// The most that are asked for.
    #[schemars(range(min = 1, max = 10_000))]
    pub candidates: u32,
    /// An expression that is true for an answer that is accepted, such as `answer.score > 3`; it may name what `derive`
    /// may. Every valid answer is accepted unless given.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub where_: Option<String>,
}
