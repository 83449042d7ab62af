//! The models file, as its user writes it.

mod channel;
mod count;
mod face;
mod key;
mod limits;
mod model;
mod names;
mod price;
mod route;
mod span;

use std::collections::BTreeMap;

use domain::price::Prices;
use provider::tokens::{Table, Tokenizer};
use schemars::JsonSchema;
use serde::Deserialize;

pub use channel::{Channel, FromEnvironment, HttpVersion, Setting};
pub use count::{Count, Share, Size};
pub use face::{FaceClass, FaceKeySettings, FaceSettings, LogFormat, LogSettings, QueueSettings};
pub use key::Key;
pub use limits::{MaxInFlight, Rate, RateLimits};
pub use model::{AbilitySettings, JsonSupport, Model, TokenizerName};
pub use names::NameSettings;
pub use price::{Amount, PriceTag};
pub use route::{Choose, HedgeSettings, RouteSettings, RouteTo};
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
    /// means all of them that have a weight, unless it stands here.
    #[serde(default)]
    pub routes: BTreeMap<String, RouteTo>,
    /// Requested names that stand nowhere else.
    #[serde(default)]
    pub names: NameSettings,
    /// The gateway as a server. `tidemill run` has no use for it.
    #[serde(default)]
    pub gateway: FaceSettings,
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
        check(said(json!({ "weight": 0, "aliases": ["x"], "abilities": { "context": "128k" } })), true);
        check(said(json!({ "abilities": { "tool": true } })), false);
        check(said(json!({ "chat_path": "/chat", "timeout": "1s" })), false);
        check(json!({ "channels": {}, "models": [{ "name": "m", "channel": "a", "wieght": 2 }] }), false);
        let beside = |key: &str, value: Value| {
            let mut file = with_key(&json!({ "env": "KEY" }));
            file[key] = value;
            file
        };
        check(beside("routes", json!({ "r": ["m"], "s": { "models": ["m"], "choose": "least_loaded" } })), true);
        check(beside("routes", json!({ "s": { "models": ["m"], "choose": "random" } })), false);
        check(beside("routes", json!({ "s": { "models": ["m"], "hedge": { "after": "2s", "at_most": "5%" } } })), true);
        check(beside("routes", json!({ "s": { "models": ["m"], "hedge": { "after": 2 } } })), false);
        check(beside("names", json!({ "patterns": { "gpt-*": "m" }, "default": "m" })), true);
        check(beside("names", json!({ "are_wishes": true })), false);
        check(beside("gateway", json!({ "keys": [{ "name": "a", "key": { "env": "A" }, "class": "batch" }] })), true);
        check(beside("gateway", json!({ "keys": [{ "name": "a", "key": "sk-planted-4711" }] })), false);
        check(beside("gateway", json!({ "queue": { "length": 10, "wait": "1s" }, "body_limit": "1MB" })), true);
        check(beside("gateway", json!({ "log": { "format": "xml" } })), false);
        let channel = |key: &str, value: Value| {
            let mut file = with_key(&json!({ "env": "KEY" }));
            file["channels"]["a"][key] = value;
            file
        };
        check(channel("http", json!(2)), true);
        check(channel("http", json!(3)), false);
        check(channel("proxy", json!({ "env": "PROXY" })), true);
        check(channel("timeout", json!("10m")), true);
        check(channel("timeout", json!(10)), false);
        check(channel("chat_path", json!("/x")), false);
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
