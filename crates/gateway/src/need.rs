//! What a request needs of the one who answers it.

use crate::{balance::Session, config::JsonSupport, resolve::Declared};

/// What a request needs of the one who answers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// An estimate of its tokens, and of its answer's where that is known, for the limits.
    pub tokens: u64,
    /// The session to which it belongs, for routes that keep one together.
    pub session: Option<Session>,
    /// What whoever answers must be able to do.
    pub abilities: Wants,
}

/// Abilities that a request needs. A model that is said not to have one of them is not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// It offers tools.
    pub tools: bool,
    /// It shows images.
    pub vision: bool,
    /// It demands an answer by a schema. That is a wish: where no member of the route takes one, the schema is told to the
    /// model in words.
    pub schema: bool,
    /// It has at least so many tokens, together with the answer that it asks for. An estimate must be on the low side, so
    /// that no request is refused for a guess.
    pub context: u64,
}

impl Wants {
    /// Returns what a model lacks of this, in words.
    pub(crate) fn lacking(self, declared: Declared) -> Option<&'static str> {
        let Declared { tools, vision, context, .. } = declared;
        match self {
            Self { tools: true, .. } if !tools => Some("takes no tools"),
            Self { vision: true, .. } if !vision => Some("takes no images"),
            Self { context: needed, .. } if context.is_some_and(|context| context < needed) => {
                Some("has too short a context")
            }
            _ => None,
        }
    }

    /// Returns whether a model takes the schema, if there is one.
    pub(crate) fn is_content_with(self, json: Option<JsonSupport>) -> bool {
        !self.schema || !matches!(json, Some(JsonSupport::Object | JsonSupport::None))
    }
}
