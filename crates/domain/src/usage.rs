//! Tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The tokens that an answer was billed for, as the upstream counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the request, those from a cache included.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// Tokens of the request that the upstream had in its cache, which many vendors sell for less.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// Tokens of the answer that were spent on reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Adds another count to this one.
    pub fn add(&mut self, other: Usage) {
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.cached_tokens += other.cached_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
    }

    /// Returns the tokens of request and answer together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.prompt_tokens + self.completion_tokens
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Tokens billed by each upstream, by its name in the models file: every answer that came, those that failed included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Billed(pub BTreeMap<String, Usage>);

impl Billed {
    /// Adds the bill of one answer.
    pub fn add(&mut self, upstream: &str, usage: Usage) {
        match self.0.get_mut(upstream) {
            Some(sum) => sum.add(usage),
            None => {
                self.0.insert(upstream.to_owned(), usage);
            }
        }
    }

    /// Adds other bills to these.
    pub fn extend(&mut self, other: &Billed) {
        for (upstream, usage) in &other.0 {
            self.add(upstream, *usage);
        }
    }

    /// Returns the tokens of all upstreams.
    #[must_use]
    pub fn total(&self) -> Usage {
        let mut total = Usage::default();
        self.0.values().for_each(|usage| total.add(*usage));
        total
    }
}
