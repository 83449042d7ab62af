//! What a pipeline file says about embeddings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{mistake::Mistake, template::Template};

/// An embedding of each record: a list of numbers that stands for what a text means.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Embed {
    /// The model, or a route of the models file. `auto` lets the gateway choose.
    #[serde(default = "auto")]
    pub model: String,
    /// The text that is embedded: a Jinja template, as that of a prompt.
    pub input: String,
    /// The name of the new field.
    #[serde(default = "into")]
    pub into: String,
    /// How many records go into one request. 16 unless given.
    #[serde(default = "batch")]
    #[schemars(range(min = 1, max = 2048))]
    pub batch: usize,
    /// How many numbers an embedding has, for models that let one choose; every embedding is held to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub dimensions: Option<u32>,
    /// Parameters of the request, passed on as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
}

impl Embed {
    /// The most texts that vendors take in one request.
    const LARGEST: usize = 2048;

    /// Returns the names of the fields that are added to a record.
    #[must_use]
    pub fn new_fields(&self) -> Vec<String> {
        vec![self.into.clone()]
    }

    /// Returns the models, or routes, that records are asked of.
    #[must_use]
    pub fn routes(&self) -> Vec<&str> {
        vec![&self.model]
    }

    /// Returns every mistake that can be seen without a record.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut all = Vec::new();
        let mut add = |path: &[&str], message: String| all.push(Mistake::new(path, message));
        if self.model.trim().is_empty() {
            add(&["model"], "names no model; leave it out for `auto`".to_owned());
        }
        if self.input.trim().is_empty() {
            add(&["input"], "the template is empty".to_owned());
        }
        if self.into.trim().is_empty() {
            add(&["into"], "the new field needs a name".to_owned());
        }
        if !(1..=Self::LARGEST).contains(&self.batch) {
            add(&["batch"], format!("is between 1 and {}", Self::LARGEST));
        }
        if self.dimensions == Some(0) {
            add(&["dimensions"], "an embedding has at least one number".to_owned());
        }
        for name in self.parameters.iter().flat_map(Map::keys) {
            let why = match name.as_str() {
                "model" | "input" => "stands beside `parameters`",
                "dimensions" => "`dimensions` stands beside `parameters`, so that every embedding is held to it",
                _ => continue,
            };
            let why = if name == "dimensions" { why.to_owned() } else { format!("`{name}` {why}") };
            add(&["parameters", name], format!("cannot be set here: {why}"));
        }
        if let Err((line, message)) = Template::check(&self.input) {
            all.push(Mistake::new(&["input"], message).at_line(Some(line)));
        }
        all
    }
}

fn auto() -> String {
    "auto".to_owned()
}

fn into() -> String {
    "embedding".to_owned()
}

fn batch() -> usize {
    16
}
