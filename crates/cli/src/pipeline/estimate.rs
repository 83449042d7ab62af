//! What is estimated of a pipeline.

use std::{borrow::Cow, str::FromStr};

use provider::tokens::Table;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// What `tidemill estimate` does unless the command line says otherwise.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EstimateConfig {
    /// What is counted: the prompts, the answers that are there, or both. Prompts unless given.
    pub(crate) mode: Option<TokenMode>,
    /// How many records of each source are counted, the first ones; what they take is reckoned for all. Unless given, all,
    /// and of very many as many as tell.
    pub(crate) sample: Option<TokenSample>,
    /// The table by which tokens are counted. The model's own unless given.
    pub(crate) encoding: Option<Encoding>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenMode {
    /// What would be sent.
    #[default]
    In,
    /// The answers that are there: in the journal of the run, and in the columns of the table.
    Out,
    /// Both.
    #[value(alias = "io")]
    Both,
}

impl TokenMode {
    pub(crate) fn counts_prompts(self) -> bool {
        self != Self::Out
    }

    pub(crate) fn counts_answers(self) -> bool {
        self != Self::In
    }
}

/// A table of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Encoding {
    /// That of newer models of OpenAI's.
    #[serde(rename = "o200k_base")]
    O200kBase,
    /// That of older ones.
    #[serde(rename = "cl100k_base")]
    Cl100kBase,
}

impl Encoding {
    pub(crate) fn table(self) -> Table {
        match self {
            Self::O200kBase => Table::O200kBase,
            Self::Cl100kBase => Table::Cl100kBase,
        }
    }
}

/// How many records are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenSample {
    /// The first so many.
    First(u64),
    /// Every one.
    All,
}

impl FromStr for TokenSample {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" | "-1" => Ok(Self::All),
            text => match text.parse() {
                Ok(n) if n > 0 => Ok(Self::First(n)),
                _ => Err("write a number of records, or `all`".to_owned()),
            },
        }
    }
}

impl<'de> Deserialize<'de> for TokenSample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl de::Visitor<'_> for Either {
            type Value = TokenSample;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of records, or `all`")
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<TokenSample, E> {
                Ok(TokenSample::First(n))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TokenSample, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for TokenSample {
    fn schema_name() -> Cow<'static, str> {
        "TokenSample".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of records, or `all`.",
            "type": ["integer", "string"],
            "minimum": 1,
            "pattern": "^all$",
            "examples": [100, "all"],
        })
    }
}
