//! What an answer has said before it was cut, for whoever goes on with it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};

use super::{ask::Ask, endpoint::Call};

/// What an answer has said so far.
pub(super) struct SoFar {
    text: String,
    /// Whether there is nothing but text: half a call of a tool cannot be gone on with.
    is_text: bool,
    /// The upstreams that broke off.
    pub(super) broken: Vec<usize>,
}

impl SoFar {
    /// Begins with nothing, where a request wants its answer to be gone on with and that can be done.
    pub(super) fn of(ask: &Ask) -> Option<Self> {
        let is_one = ask.scan.as_ref().is_some_and(|scan| scan.n_choices == 1);
        let can_be = ask.goes_on && is_one && ask.call == Call::Chat;
        can_be.then(|| Self { text: String::new(), is_text: true, broken: Vec::new() })
    }

    pub(super) fn add(&mut self, data: &[u8]) {
        #[derive(Deserialize)]
        struct Chunk<'a> {
            #[serde(borrow, default)]
            choices: Vec<Choice<'a>>,
        }
        #[derive(Deserialize)]
        struct Choice<'a> {
            #[serde(borrow, default)]
            delta: Delta<'a>,
        }
        #[derive(Default, Deserialize)]
        struct Delta<'a> {
            #[serde(borrow, default)]
            content: Option<Cow<'a, str>>,
            #[serde(default)]
            tool_calls: Option<IgnoredAny>,
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else { return };
        for Choice { delta } in chunk.choices {
            self.is_text &= delta.tool_calls.is_none();
            self.text.push_str(delta.content.as_deref().unwrap_or_default());
        }
    }

    /// Returns the request for the rest.
    pub(super) fn request(&self, ask: &Ask) -> Option<Bytes> {
        let scan = ask.scan.as_ref().filter(|_| self.is_text && !self.text.is_empty())?;
        scan.prefilled(&ask.body, &self.text)
    }
}
