//! The models file, as its user writes it.

mod price;
mod span;

use std::{borrow::Cow, collections::BTreeMap, fmt, path::PathBuf};

use domain::price::Prices;
use provider::tokens::{Table, Tokenizer};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

pub use price::{Amount, PriceTag};
pub use span::Span;

/// Channels, the models on them, and the names under which they are asked for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelsFile {
    /// Endpoints by name.
    pub channels: BTreeMap<String, Channel>,
    /// The models, each a weighted place on a channel.
    #[schemars(length(min = 1))]
    pub models: Vec<Model>,
    /// What requested names lead to: lists of model names. Every model is also reached by its own name, and `auto`
    /// means all of them unless it stands here.
    #[serde(default)]
    pub routes: BTreeMap<String, Vec<String>>,
}

/// An endpoint: exactly one of `url` and `simulated`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The base URL, up to the version: `https://api.example.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Setting>,
    /// The built-in scripted vendor with its script, instead of a URL.
    ///
    /// Whoever composes the process starts it and puts its address into `url` before the file is resolved: the gateway
    /// does not know that a vendor is simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<serde_json::Value>,
    /// Headers that every request on this channel carries. Keys belong into `key`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How long a streamed answer may be silent between two events before it counts as lost; 2 minutes unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Span>,
}

/// A value that stands in the file, or in the environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Setting {
    /// The value itself.
    Literal(String),
    /// Where it stands.
    From(FromEnvironment),
}

/// A value in the environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromEnvironment {
    /// The name of the variable.
    #[schemars(length(min = 1))]
    pub env: String,
    /// The value where the variable is not set, or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// A weighted place on a channel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name in this file, in reports and in routes.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The channel.
    pub channel: String,
    /// The vendor's name of the model; the same as `name` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the key is found. Without it none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// How many requests may be in flight.
    #[serde(default = "max_in_flight")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_in_flight: usize,
    /// How many of a route's requests it gets, in proportion to the other models there.
    #[serde(default = "weight")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: u32,
    /// What its tokens cost. Without it, spending on it is counted in tokens alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceTag>,
    /// Which demands on the form of an answer it takes. Where it is left out, the most is tried, and what is refused is
    /// not asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonSupport>,
    /// The table by which its tokens are counted before anything is sent; found by the model's name where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerName>,
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

impl ModelsFile {
    /// Returns what tokens cost, by the names of the models. Models without a price are not in it, and neither are those
    /// whose price is a mistake, which [`crate::resolve()`] tells.
    #[must_use]
    pub fn prices(&self) -> Prices {
        let priced = |model: &Model| Some((model.name.clone(), model.price.as_ref()?.price().ok()?));
        Prices(self.models.iter().filter_map(priced).collect())
    }

    /// Returns what counts the tokens of the model of this name before they are sent; for a name that is none here, what
    /// counts best by that name.
    #[must_use]
    pub fn tokenizer_of(&self, model: &str) -> Tokenizer {
        let known = self.models.iter().find(|known| known.name == model);
        let declared = known.and_then(|known| known.tokenizer).map(|name| match name {
            TokenizerName::O200kBase => Table::O200kBase,
            TokenizerName::Cl100kBase => Table::Cl100kBase,
        });
        Tokenizer::of(known.and_then(|known| known.model.as_deref()).unwrap_or(model), declared)
    }
}

fn max_in_flight() -> usize {
    64
}

fn weight() -> u32 {
    1
}

/// Where a key is found: `{ env: NAME }` or `{ file: PATH }`, and never the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// In a variable of the environment.
    Env(String),
    /// In a file that holds nothing else.
    File(PathBuf),
}

/// Told to whoever writes a key into the file. It does not repeat what stands there.
const NO_LITERAL: &str = "a key never stands in the file itself; write `key: { env: NAME }` with the name of an \
                          environment variable, or `key: { file: PATH }`";

// serde's derive would do, but for its message, which quotes what it found: the key.
impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase", deny_unknown_fields)]
        enum Place {
            Env(String),
            File(PathBuf),
        }

        struct Reference;
        impl<'de> Visitor<'de> for Reference {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{ env: NAME }` or `{ file: PATH }`")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Key, E> {
                Err(E::custom(NO_LITERAL))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Key, A::Error> {
                Ok(match Place::deserialize(MapAccessDeserializer::new(map))? {
                    Place::Env(name) => Key::Env(name),
                    Place::File(path) => Key::File(path),
                })
            }
        }
        deserializer.deserialize_any(Reference)
    }
}

impl JsonSchema for Key {
    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let branch = |name: &str, description: &str| {
            json_schema!({
                "type": "object",
                "properties": { name: { "type": "string", "minLength": 1, "description": description } },
                "required": [name],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "Where the key is found: `{ env: NAME }` or `{ file: PATH }`, and never the key itself.",
            "oneOf": [
                branch("env", "The name of an environment variable."),
                branch("file", "The path of a file that holds the key and nothing else."),
            ],
            // What stands here by mistake is a secret: a message about it must not quote it.
            "writeOnly": true,
            "examples": [{ "env": "API_KEY" }],
        })
    }
}

#[cfg(test)]
mod tests {
    use schemars::schema_for;
    use serde_json::{Value, json};

    use super::*;

    fn with_key(key: &Value) -> Value {
        json!({
            "channels": { "a": { "url": { "env": "URL", "default": "http://h" } } },
            "models": [{ "name": "m", "channel": "a", "key": key }],
        })
    }

    #[test]
    fn schema_and_type_agree() {
        let schema = schema_for!(ModelsFile);
        let check = |file: Value, is_fine: bool| {
            assert_eq!(jsonschema::is_valid(schema.as_value(), &file), is_fine, "schema of {file}");
            assert_eq!(serde_json::from_value::<ModelsFile>(file.clone()).is_ok(), is_fine, "type of {file}");
        };
        check(with_key(&json!({ "env": "KEY" })), true);
        check(with_key(&json!({ "file": "key.txt" })), true);
        check(with_key(&json!({ "env": "KEY", "file": "key.txt" })), false);
        check(with_key(&json!({ "envv": "KEY" })), false);
        check(with_key(&json!({})), false);
        let said = |what: Value| {
            let mut file = with_key(&json!({ "env": "KEY" }));
            file["models"][0].as_object_mut().unwrap().append(&mut what.as_object().unwrap().clone());
            file
        };
        check(said(json!({ "json": "object", "tokenizer": "o200k_base" })), true);
        check(said(json!({ "json": "none", "tokenizer": "cl100k_base" })), true);
        check(said(json!({ "json": "text" })), false);
        check(said(json!({ "tokenizer": "o200k" })), false);
        check(said(json!({ "price": { "prompt": 1, "completion": "2", "currency": "USD" } })), true);
        check(said(json!({ "price": { "prompt": 1, "currency": "USD" } })), false);
        check(said(json!({ "price": { "prompt": [1], "completion": 2, "currency": "USD" } })), false);
        check(json!({ "channels": {}, "models": [{ "name": "m", "channel": "a", "wieght": 2 }] }), false);
        check(
            json!({ "channels": { "a": { "url": { "env": "A", "defualt": "b" } } }, "models": [{ "name": "m", "channel": "a" }] }),
            false,
        );
        check(
            json!({ "channels": { "a": { "simulated": { "any": 1 } } }, "models": [{ "name": "m", "channel": "a" }] }),
            true,
        );
    }

    #[test]
    fn prices_are_found_by_the_names_of_models() {
        let tag = json!({ "prompt": 0.15, "completion": "0.60", "cached": 0.075, "currency": "USD" });
        let model = |name: &str, price: Value| json!({ "name": name, "channel": "a", "model": "v", "price": price });
        let models = json!([model("a", tag), { "name": "b", "channel": "a" }]);
        let file = json!({ "channels": { "a": { "url": "http://h" } }, "models": models });
        assert!(jsonschema::is_valid(schema_for!(ModelsFile).as_value(), &file));
        let prices = serde_json::from_value::<ModelsFile>(file).unwrap().prices();
        assert_eq!(prices.0.keys().collect::<Vec<_>>(), ["a"]);
        let price = &prices.0["a"];
        assert_eq!((price.prompt, price.cached, price.completion), (150_000, 75_000, 600_000));
    }

    #[test]
    fn tokens_are_counted_by_what_is_declared_or_by_the_vendors_name() {
        let models = json!([
            { "name": "gpt-4o", "channel": "a", "model": "gpt-4" },
            { "name": "b", "channel": "a", "model": "gpt-4o", "tokenizer": "cl100k_base" },
            { "name": "c", "channel": "a", "model": "qwen-max" },
        ]);
        let file = json!({ "channels": { "a": { "url": "http://h" } }, "models": models });
        let file: ModelsFile = serde_json::from_value(file).unwrap();
        let counts = |name: &str| {
            let tokenizer = file.tokenizer_of(name);
            (tokenizer.table(), tokenizer.is_exact())
        };
        assert_eq!(counts("gpt-4o"), (Table::Cl100kBase, true));
        assert_eq!(counts("b"), (Table::Cl100kBase, true));
        assert_eq!(counts("c"), (Table::O200kBase, false));
        assert_eq!(counts("gpt-4.1"), (Table::O200kBase, true));
    }

    #[test]
    fn a_key_in_the_file_is_refused_and_not_repeated() {
        let file = with_key(&json!("sk-planted-4711"));
        assert!(!jsonschema::is_valid(schema_for!(ModelsFile).as_value(), &file));
        let error = serde_json::from_value::<ModelsFile>(file).unwrap_err().to_string();
        assert!(error.contains("{ env: NAME }") && !error.contains("4711"), "{error}");
    }
}
