//! Templates and expressions, filled from a record's own text.
//!
//! The way of a record: `filter` says whether it is kept at all, `reader` takes from its text what templates name
//! (`value`, `names`), and `render` fills the templates. An `expression` is a template without a text around it; a
//! `condition` is one that only compares (`tokens`), and needs no engine.

mod condition;
mod expression;
mod filter;
mod language;
mod names;
mod reader;
mod render;
mod tokens;
mod value;

pub use filter::Filter;
pub use language::Template;
pub use reader::{Inputs, Require};

pub(crate) use expression::Expression;
pub(crate) use language::{environment, said, undefined_in, with_bare_record_json};
pub(crate) use names::looked_up;
pub(crate) use reader::{Seen, Shown, Trouble, Wants};
pub(crate) use render::Templates;
pub(crate) use value::{Named, text_of, value_of};
