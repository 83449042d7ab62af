//! What a pipeline file says about a prompt.

mod answers;
mod attach;
mod by;
mod fields;
mod made;
mod mistakes;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use answers::{Answers, OnAnswer, OnLength, Think, UntilAccepted};
pub use attach::{Attach, Detail};
pub use by::{By, Case};
pub use fields::{Field, Fields, Kind};
pub use made::{Derive, Derived, Expressed, Keep, Known};

pub(super) use mistakes::LIMITS;

/// A prompt for each record, and the fields that its answer must have.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// The model, or a route of the models file. `auto` lets the gateway choose.
    #[serde(default = "auto")]
    pub model: String,
    /// Several models, or routes, instead of `model`: every record is asked of each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub models: Option<Vec<String>>,
    /// How often each record is asked, of each model; every answer is a record of the output. Once unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub samples: Option<u32>,
    /// What the model is told before the prompt: a template too. It stands first, also where the record's own messages
    /// begin with a system message; those are sent whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The field that holds the record's own conversation, an array of messages: sent whole and untouched, behind
    /// `system`. In a CSV file it is the text of such an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<String>,
    /// The field that holds the tools of the record's own conversation: sent untouched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<String>,
    /// The prompt: a Jinja template. It may name every top-level field of the record, `record["any name"]`, and
    /// `record_json`, the record as JSON. Beside `messages` it may be left out, and becomes the last message otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Examples of records and their answers, sent before each prompt as if they had been asked and answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<Vec<Example>>,
    /// Images and files that go with the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<Vec<Attach>>,
    /// The fields of the answer, in the order in which they are written. Sent to the model as a JSON Schema, and
    /// checked here. Without it the answer's text becomes the one field `answer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Fields>,
    /// How a request tells the model of `output`. As a JSON Schema unless given; answers are checked in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// Fields that are made from the answer, by name: a template, or `{ value: EXPRESSION }` for a value that is no
    /// text. They may name `answer` (the object, or the text without the thought), `text` (all that the model said),
    /// `reasoning`, every field of the record, and `record_json`. One that is called as a field of `output` replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derive: Option<Derive>,
    /// What else is known of an answer, and the names of the new fields that hold it: `{ reasoning: why }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// What answers are worth that are cut off, empty, refused, or not as they should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// Lets the answer come in pieces, so that nothing on the way cuts a long one off for being silent. What is kept is
    /// the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// Asks once for records whose requests are the same, and gives each of them the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dedupe: bool,
    /// Asks for each record until so many answers are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_accepted: Option<UntilAccepted>,
    /// Parameters of the request, passed on as they are: `temperature`, `max_tokens` and what else the model takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
    /// Other prompts for records in which a field holds this or that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

/// A record and its answer, to show the model what is wanted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The fields that the template names.
    pub record: Map<String, Value>,
    /// The answer: the fields of `output`, or text.
    pub answer: Value,
}

/// How a request tells the model what its answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// By the JSON Schema of `output`.
    #[default]
    Schema,
    /// That it is a JSON object, and no more.
    Json,
    /// Not at all: the prompt says it.
    None,
}

impl Prompt {
    /// The field that a prompt without `output` makes.
    pub const ANSWER: &str = "answer";

    /// Returns the names of the fields that the answer adds to a record, in order.
    #[must_use]
    pub fn new_fields(&self) -> Vec<String> {
        let mut names = match &self.output {
            Some(fields) => fields.kept().map(str::to_owned).collect(),
            None => vec![Self::ANSWER.to_owned()],
        };
        let derived = self.derive.iter().flat_map(|derive| derive.0.iter().map(|(name, _)| name));
        let kept = self.keep.iter().flat_map(|keep| keep.0.iter().map(|(_, name)| name));
        for name in derived.chain(kept) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        for name in self.cases().flat_map(|(_, prompt)| prompt.new_fields()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Returns the models, or routes, that records are asked of.
    #[must_use]
    pub fn routes(&self) -> Vec<&str> {
        match &self.models {
            Some(models) => models.iter().map(String::as_str).collect(),
            None => vec![&self.model],
        }
    }

    /// Returns how often each record is asked of each model, at most.
    pub(super) fn draws(&self) -> u32 {
        match &self.until_accepted {
            Some(until) => until.candidates,
            None => self.samples.unwrap_or(1),
        }
    }

    /// Returns whether requests offer tools, so that asking for one is an answer.
    pub(super) fn has_tools(&self) -> bool {
        self.tools.is_some() || self.parameters.as_ref().is_some_and(|parameters| parameters.contains_key("tools"))
    }
}

fn auto() -> String {
    "auto".to_owned()
}
