//! What can be done with a record.
//!
//! Each kind of work is a folder and implements [`domain::ports::Handler`]. A handler plans (what to ask, as a pure
//! function of the record), performs one attempt, and judges what came back. It never retries, never waits for a
//! place, and knows neither vendors nor files: the engine and the [`domain::ports::ModelClient`] do that.
//!
//! ```
//! use work::prompt::Prompt;
//!
//! let prompt: Prompt = serde_json::from_str(r#"{
//!     "template": "Sort this ticket:\n{{ body }",
//!     "output": {"category": {"enum": ["bug", "wish"]}, "weight": {"type": "integer", "min_length": 3}}
//! }"#)?;
//! let mistakes: Vec<String> = prompt.mistakes().iter().map(|mistake| mistake.to_string()).collect();
//! assert_eq!(mistakes, [
//!     "template, line 2: unexpected `}`, expected end of variable block",
//!     "output.weight.min_length: only a `string` has a length",
//! ]);
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod embed;
mod mistake;
pub mod prompt;
mod reply;
mod template;
