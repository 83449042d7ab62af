//! Requested names that are no model, alias or route.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// What becomes of requested names that stand nowhere else.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NameSettings {
    /// Patterns with `*` for any characters, and the model or route that they lead to. The one with most characters before
    /// its first `*` counts.
    pub patterns: BTreeMap<String, String>,
    /// The model or route that all other names lead to. Without it they are refused.
    #[schemars(example = &"auto")]
    pub default: Option<String>,
    /// Whether a model that is asked for by name is a wish: where it cannot be asked now, another one of `auto` answers.
    /// Only a dialect says so; otherwise a request waits for the model that it names.
    #[serde(skip)]
    pub are_wishes: bool,
}
