//! Fields that are made from an answer, and what is kept of it.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, MapAccess, Visitor},
};
use serde_json::Value;

/// Fields that are made from the answer, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Derive(pub Vec<(String, Derived)>);

/// How a field is made from the answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Derived {
    /// A template: the field is its text.
    Template(String),
    /// An expression: the field is its value.
    Expression(Expressed),
}

/// A field that is the value of an expression.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expressed {
    /// The expression, such as `answer.tags | length`.
    pub value: String,
}

/// What is kept of an answer, and the names of the new fields, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Keep(pub Vec<(Known, String)>);

/// What is known of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// All that the model said, its thought included.
    Answer,
    /// Its reasoning: what stood beside the answer, or in its think block.
    Reasoning,
    /// The tools that it asked for, as it wrote them.
    ToolCalls,
    /// Why it stopped.
    FinishReason,
    /// The model that answered, as the upstream names it.
    Model,
    /// The upstream's name in the models file.
    Upstream,
    /// The model that was asked, as the pipeline names it.
    AskedModel,
    /// Tokens of the request.
    PromptTokens,
    /// Tokens of the answer, reasoning included.
    CompletionTokens,
    /// Tokens of the request that the upstream had in its cache.
    CachedTokens,
    /// Tokens of the answer that were spent on reasoning.
    ReasoningTokens,
    /// Milliseconds from the request to the whole answer.
    LatencyMs,
    /// Attempts that were made, the last one included.
    Attempts,
    /// The upstream's id of the request.
    RequestId,
    /// The number of the answer among those of the same record and model, from 0.
    Sample,
}

impl Known {
    /// Everything that can be kept, with what it is.
    const ALL: [(Self, &str, &str); 15] = [
        (Self::Answer, "answer", "All that the model said, its thought included."),
        (Self::Reasoning, "reasoning", "The model's reasoning: what stood beside the answer, or in its think block."),
        (Self::ToolCalls, "tool_calls", "The tools that the model asked for, as it wrote them."),
        (Self::FinishReason, "finish_reason", "Why the model stopped."),
        (Self::Model, "model", "The model that answered, as the upstream names it."),
        (Self::Upstream, "upstream", "The name in the models file of what answered."),
        (Self::AskedModel, "asked_model", "The model or route that was asked."),
        (Self::PromptTokens, "prompt_tokens", "Tokens of the request."),
        (Self::CompletionTokens, "completion_tokens", "Tokens of the answer, reasoning included."),
        (Self::CachedTokens, "cached_tokens", "Tokens of the request that the upstream had in its cache."),
        (Self::ReasoningTokens, "reasoning_tokens", "Tokens of the answer that were spent on reasoning."),
        (Self::LatencyMs, "latency_ms", "Milliseconds from the request to the whole answer."),
        (Self::Attempts, "attempts", "Attempts that were made."),
        (Self::RequestId, "request_id", "The upstream's id of the request."),
        (Self::Sample, "sample", "The number of the answer among those of the same record and model, from 0."),
    ];

    /// Returns the word of the pipeline file.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(known, ..)| *known == self).map_or("", |(_, word, _)| word)
    }
}

impl<'de> Deserialize<'de> for Derive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_order(deserializer, "fields by name, such as `label: \"{{ answer.category | upper }}\"`").map(Self)
    }
}

impl Serialize for Derive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, derived)| (name, derived)))
    }
}

impl JsonSchema for Derive {
    fn schema_name() -> Cow<'static, str> {
        "Derive".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Fields by name, in the order in which they are written.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": generator.subschema_for::<Derived>(),
        })
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_order(deserializer, "names of new fields by what they hold, such as `reasoning: why`").map(Self)
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(known, name)| (known, name)))
    }
}

impl JsonSchema for Keep {
    fn schema_name() -> Cow<'static, str> {
        "Keep".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let properties: serde_json::Map<String, Value> = (Known::ALL.iter())
            .map(|(_, word, what)| ((*word).to_owned(), serde_json::json!({ "description": what, "type": "string" })))
            .collect();
        json_schema!({
            "description": "What is known of an answer, and the names of the new fields that hold it.",
            "type": "object",
            "minProperties": 1,
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

/// Reads a map as a list: a map type would lose the order of the file, or hide a key that stands in it twice.
fn in_order<'de, K, V, D>(deserializer: D, expecting: &'static str) -> Result<Vec<(K, V)>, D::Error>
where
    K: DeserializeOwned + PartialEq,
    V: DeserializeOwned,
    D: Deserializer<'de>,
{
    struct InOrder<K, V>(&'static str, PhantomData<(K, V)>);
    impl<'de, K: DeserializeOwned + PartialEq, V: DeserializeOwned> Visitor<'de> for InOrder<K, V> {
        type Value = Vec<(K, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries: Vec<(K, V)> = Vec::new();
            while let Some((key, value)) = map.next_entry::<K, V>()? {
                if entries.iter().any(|(known, _)| *known == key) {
                    return Err(de::Error::custom("a name is there twice"));
                }
                entries.push((key, value));
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(InOrder(expecting, PhantomData))
}
