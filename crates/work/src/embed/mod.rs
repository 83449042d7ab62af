//! A record becomes a text, a model answers with numbers, and they become a new field.
//!
//! Records go out in batches: one request holds the texts of several neighbours. Each record ends on its own, with its
//! own numbers, exactly as the model wrote them; what is kept of the reply with a record is its own member of it.

mod config;
mod handler;
mod reply;
#[cfg(test)]
mod tests;

pub use config::Embed;
pub use handler::EmbedHandler;
