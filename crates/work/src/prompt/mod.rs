//! A record becomes a prompt, a model answers, and the answer becomes new fields.
//!
//! The life of one record: `render` fills the template from the record's own text, `body` puts the prompt into a
//! request, the model client answers, `parse` reads the answer's envelope, `extract` finds the JSON in what the model
//! said, and `validate` holds it against the fields that were asked for. What is kept are the declared fields in
//! declared order, each value exactly as the model wrote it; the raw answer is kept too, also where it is invalid.

mod body;
mod config;
mod extract;
mod fields;
mod handler;
mod parse;
mod record;
mod render;
#[cfg(test)]
mod tests;
mod validate;

pub use config::{Field, Fields, Inputs, Kind, Mistake, Prompt, PromptError, Require};
pub use handler::PromptHandler;
pub use render::Template;
