//! Small types that use every feature of serde that configuration may use, and files that get them wrong.

mod documents;
mod mistakes;
mod rendering;
mod secrets;
mod slips;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error};

use super::{Diagnostic, Document, read};

/// A miniature of the pipeline file.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sample {
    /// The version of this format. It is 1.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// What the run is called.
    #[serde(default)]
    #[schemars(length(min = 1, max = 20))]
    name: Option<String>,
    #[serde(default)]
    #[schemars(extend("maxProperties" = 2))]
    steps: BTreeMap<String, Step>,
    #[serde(default)]
    colour: Option<Colour>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    extra: Extra,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Step {
    source: Source,
    /// What is done with each record
    work: Work,
    #[serde(default)]
    fields: Vec<String>,
}

/// A flattened enum beside ordinary keys, as `source: { jsonl: ..., require: all }`.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Source {
    #[serde(flatten)]
    from: From,
    #[serde(default)]
    require: Option<Require>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum From {
    Jsonl(Jsonl),
    Csv { path: String },
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Jsonl {
    path: String,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Require {
    /// All of them.
    All,
    /// One of them.
    Any,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Work {
    Prompt { template: String, model: Option<String> },
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Colour {
    Red,
    Green,
    Rgb(u8, u8, u8),
}

#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    #[schemars(range(min = 1, max = 4096))]
    width: Option<u16>,
    total: Option<u64>,
    share: Option<f64>,
    strict: Option<bool>,
    #[schemars(regex(pattern = r"^\d+(ms|s|m|h)$"), example = "2s")]
    wait: Option<String>,
    #[schemars(extend("exclusiveMinimum" = 0))]
    rate: Option<f64>,
}

#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Extra {
    one_or_many: Option<OneOrMany>,
    shape: Option<Shape>,
    words: BTreeSet<String>,
    by_number: BTreeMap<u8, String>,
    pair: Option<(u8, String)>,
    anything: serde_json::Value,
    even: Option<Even>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
    Named(Named),
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    of: u8,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Shape {
    Circle { radius: f64 },
    Square { side: f64 },
}

/// A type whose schema says less than its parser.
#[derive(Debug, PartialEq, JsonSchema)]
#[schemars(transparent)]
struct Even(u32);

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            number if number % 2 == 0 => Ok(Self(number)),
            number => Err(D::Error::custom(format!("{number} is odd"))),
        }
    }
}

/// A step that is right, to put beside what is wrong.
pub(super) const STEP: &str = "source: { jsonl: { path: a } }, work: { prompt: { template: t } }";

pub(super) fn sample(text: &str) -> (Option<Sample>, Document, Vec<Diagnostic>) {
    read::<Sample>(Path::new("p.yaml"), text)
}
