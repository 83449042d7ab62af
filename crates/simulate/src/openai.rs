//! OpenAI's wire format: requests read, answers written.

pub(crate) mod bill;
mod call;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod error;
pub(crate) mod models;
pub(crate) mod others;
pub(crate) mod responses;
mod stream;
mod told;

use serde_json::value::RawValue;

use error::WireError;

/// The time at which every answer says it was made. A real one would differ from run to run, and an answer here is a
/// function of its request, to the byte.
pub(crate) const CREATED: u64 = 1_767_225_600;

/// Returns the name of the model as JSON text, which every request has.
fn model_of(model: Option<&RawValue>) -> Result<&RawValue, WireError> {
    let model = model.filter(|model| model.get().starts_with('"'));
    model.ok_or_else(|| WireError::invalid(Some("model"), "the request names no `model`"))
}

/// Estimates the tokens of a text of this many bytes, as a rule of thumb has it for English.
fn tokens(n_bytes: usize) -> usize {
    n_bytes.div_ceil(4)
}
