//! Routes: what requested names lead to.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Share, Span};

/// The models of a route: a list of their names, or that with how one of them is chosen.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RouteTo {
    /// Names of models; their weights say how many requests each gets.
    Models(Vec<String>),
    /// The same with more to say.
    Settings(RouteSettings),
}

/// A route.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// Names of models.
    #[schemars(length(min = 1))]
    pub models: Vec<String>,
    /// How one of them is chosen.
    #[serde(default)]
    pub choose: Choose,
    /// Asking a second model while the first is slow. Not unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge: Option<HedgeSettings>,
}

/// How one of a route's models is chosen, among those that can be asked now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// Each gets its share by weight.
    #[default]
    Weighted,
    /// The better of two that are drawn: the one with the lower latency and fewer requests in flight, for its weight.
    LeastLoaded,
    /// The first of the list.
    Ordered,
    /// The same one for the same session, as long as it can be asked.
    Sticky,
}

/// Asking a second model while the first is slow; the answer that comes first counts.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HedgeSettings {
    /// How long the first model is waited for.
    pub after: Span,
    /// How many requests of a hundred may be asked twice; 5 % unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Share>,
}

impl RouteTo {
    /// Returns the names of the models.
    #[must_use]
    pub fn models(&self) -> &[String] {
        match self {
            Self::Models(models) => models,
            Self::Settings(settings) => &settings.models,
        }
    }

    /// Returns how one of them is chosen.
    #[must_use]
    pub fn choose(&self) -> Choose {
        match self {
            Self::Models(_) => Choose::default(),
            Self::Settings(settings) => settings.choose,
        }
    }

    /// Returns when a second model is asked besides.
    #[must_use]
    pub fn hedge(&self) -> Option<HedgeSettings> {
        match self {
            Self::Models(_) => None,
            Self::Settings(settings) => settings.hedge,
        }
    }
}
