//! What a pipeline file says about a prompt.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use super::{Template, fields};

/// A prompt for each record, and the fields that its answer must have.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// The model, or a route of the models file. `auto` lets the gateway choose.
    #[serde(default = "auto")]
    pub model: String,
    /// What the model is told before the prompt: a template too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The prompt: a Jinja template. It may name every top-level field of the record, and `record_json`, the record
    /// as JSON.
    pub template: String,
    /// The fields of the answer, in the order in which they are written. Sent to the model as a JSON Schema, and
    /// checked here. Without it the answer's text becomes the one field `answer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Fields>,
    /// Parameters of the request, passed on as they are: `temperature`, `max_tokens` and what else the model takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
}

/// A field of the answer: a type with its bounds, or a choice of values.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The type of the value. Not needed beside `enum`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The values that are allowed.
    #[serde(default, rename = "enum", skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<Value>>,
    /// What the field means, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Number>,
    /// The greatest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Number>,
    /// The least number of characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    /// The greatest number of characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// A regular expression that a part of the text must match; `^…$` for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// What each element of an array is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Field>>,
    /// The least number of elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_items: Option<u64>,
    /// The greatest number of elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u64>,
    /// The fields of an object. An object without them may hold anything, and then the model is not held to the schema
    /// while it writes: the answer is checked here alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Fields>,
    /// Whether `null` is allowed too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nullable: bool,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// Named values.
    Object,
}

impl Kind {
    /// Returns the word of JSON Schema and of the pipeline file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

/// Fields by name, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub Vec<(String, Field)>);

/// The fields of a record that the work may see in `record_json`, and when a record is worth asking about.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inputs {
    /// The fields; all of them where nothing is said.
    pub fields: Option<Vec<String>>,
    /// How many of them must hold something.
    pub require: Require,
}

/// How many of the chosen fields must hold something: neither null nor blank text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Require {
    /// Every one.
    #[default]
    All,
    /// At least one.
    Any,
}

/// A mistake in a prompt's configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The way to the value, from the prompt's own keys down.
    pub path: Vec<String>,
    /// The line within the value, from 1, where it is a template.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.join(".");
        match self.line {
            Some(line) => write!(f, "{path}, line {line}: {}", self.message),
            None => write!(f, "{path}: {}", self.message),
        }
    }
}

/// All mistakes of a prompt's configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct PromptError(pub Vec<Mistake>);

impl Prompt {
    /// The field that a prompt without `output` makes.
    pub const ANSWER: &str = "answer";

    /// Returns the names of the fields that the answer adds to a record, in order.
    #[must_use]
    pub fn new_fields(&self) -> Vec<String> {
        match &self.output {
            Some(fields) => fields.0.iter().map(|(name, _)| name.clone()).collect(),
            None => vec![Self::ANSWER.to_owned()],
        }
    }

    /// Returns every mistake that can be seen without a record.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut add = |path: &[&str], line, message: String| {
            mistakes.push(Mistake { path: path.iter().map(|&key| key.to_owned()).collect(), line, message });
        };
        if self.model.trim().is_empty() {
            add(&["model"], None, "names no model; leave it out for `auto`".to_owned());
        }
        if self.template.trim().is_empty() {
            add(&["template"], None, "the template is empty".to_owned());
        }
        for (key, text) in [("system", self.system.as_deref()), ("template", Some(self.template.as_str()))] {
            if let Some(Err((line, message))) = text.map(Template::check) {
                add(&[key], Some(line), message);
            }
        }
        for name in self.parameters.iter().flat_map(Map::keys) {
            let why = match name.as_str() {
                "model" => "the model stands in `model` beside `parameters`",
                "messages" => "the messages are made from `system` and `template`",
                "stream" | "stream_options" => "answers are taken whole",
                "n" => "one answer is used for each record",
                "response_format" if self.output.is_some() => "it is made from `output`",
                _ => continue,
            };
            add(&["parameters", name], None, format!("cannot be set here: {why}"));
        }
        if let Some(output) = &self.output {
            fields::mistakes(output, &mut vec!["output".to_owned()], &mut mistakes);
        }
        mistakes
    }
}

fn auto() -> String {
    "auto".to_owned()
}

// A map type would lose the order of the file, or hide a name that stands in it twice.
impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named;
        impl<'de> Visitor<'de> for Named {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("fields by name, such as `category: { enum: [a, b] }`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(String, Field)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if fields.iter().any(|(known, _)| *known == name) {
                        return Err(de::Error::custom(format_args!("the field `{name}` is there twice")));
                    }
                    fields.push((name, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Named)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, field)| (name, field)))
    }
}

impl JsonSchema for Fields {
    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "Fields by name, in the order in which they are written.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": generator.subschema_for::<Field>(),
        })
    }
}
