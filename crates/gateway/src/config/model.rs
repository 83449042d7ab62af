//! Models: weighted places on channels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Count, Key, MaxInFlight, PriceTag, RateLimits, Span};

/// A weighted place on a channel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name in this file, in reports and in routes.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Further names under which it is asked for. A name that several models have leads to all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The channel.
    pub channel: String,
    /// The vendor's name of the model; the same as `name` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the key is found. Without it none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// How many requests may be in flight.
    #[serde(default)]
    pub max_in_flight: MaxInFlight,
    /// What its vendor allows in a time.
    #[serde(default)]
    pub limits: RateLimits,
    /// How many of a route's requests it gets, in proportion to the other models there. With 0 it is asked only under its
    /// own names.
    #[serde(default = "weight")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: u32,
    /// What it can do, where that is known. A request that needs more goes to other models.
    #[serde(default)]
    pub abilities: AbilitySettings,
    /// Members that a request for a text gets where it has none of that name, such as `temperature: 0.7`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, Value>,
    /// What its tokens cost. Without it, spending on it is counted in tokens alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceTag>,
    /// Which demands on the form of an answer it takes. Where it is left out, the most is tried, and what is refused is
    /// not asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonSupport>,
    /// How long its whole answer may take, where that is less than the channel says. Only a dialect says so.
    #[serde(skip)]
    pub timeout: Option<Span>,
    /// The table by which its tokens are counted before anything is sent; found by the model's name where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerName>,
}

impl Model {
    /// Makes a model of which nothing more is said.
    #[must_use]
    pub fn new(name: String, channel: String) -> Self {
        Self {
            name,
            aliases: Vec::new(),
            channel,
            model: None,
            key: None,
            max_in_flight: MaxInFlight::default(),
            limits: RateLimits::default(),
            weight: weight(),
            abilities: AbilitySettings::default(),
            defaults: BTreeMap::new(),
            price: None,
            json: None,
            timeout: None,
            tokenizer: None,
        }
    }
}

/// What a model can do. What is not said is assumed to be there, but for `prefill`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AbilitySettings {
    /// Whether it takes tools.
    pub tools: Option<bool>,
    /// Whether it takes images.
    pub vision: Option<bool>,
    /// How many tokens request and answer may have together.
    pub context: Option<Count>,
    /// Whether it goes on with an answer that the request has begun, so that a stream that was cut can be continued.
    pub prefill: Option<bool>,
}

/// Which demands on the form of an answer a model takes. What it does not take is told to it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JsonSupport {
    /// `response_format` with a JSON Schema.
    Schema,
    /// `response_format` that asks for some JSON object.
    Object,
    /// No `response_format` at all.
    None,
}

/// A table of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerName {
    /// OpenAI's of 2024 and later: gpt-4o, gpt-4.1, gpt-5, o1 and those after them.
    O200kBase,
    /// OpenAI's of 2023: gpt-4, gpt-3.5-turbo, text-embedding-3.
    Cl100kBase,
}

fn weight() -> u32 {
    1
}
