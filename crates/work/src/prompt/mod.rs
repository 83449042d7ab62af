//! A record becomes a prompt, a model answers, and the answer becomes new fields.
//!
//! The life of one record: `render` fills the templates from the record's own text, with the record's own conversation
//! (`messages`), `examples` and what goes with it (`attach`); `body` puts that into a request; the model client answers;
//! `parse` reads the answer's envelope, `verdict` says whether what is in it will do, `extract` finds the JSON in what
//! the model said, `validate` holds it against the fields that were asked for, and `made` makes fields of it. An answer
//! that is not what was asked for goes back with a `complaint`. What is kept are the declared fields in declared order,
//! each value exactly as the model wrote it; the raw answer is kept too, also where it is invalid.

mod attach;
mod body;
mod cases;
mod complaint;
mod config;
mod examples;
mod extract;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod made;
mod messages;
mod parse;
mod render;
#[cfg(test)]
mod tests;
mod validate;
mod verdict;

pub use crate::{
    mistake::{Mistake, Mistakes},
    template::{Filter, Inputs, Require, Template},
};
pub use attach::Attachments;
pub use cases::CasesHandler;
pub use config::{
    Answers, Attach, By, Case, Derive, Derived, Detail, Example, Expressed, Field, Fields, Keep, Kind, Known, OnAnswer,
    OnLength, Prompt, ResponseFormat, Think, UntilAccepted,
};
pub use handler::PromptHandler;
