//! How a vendor is spoken to.
//!
//! [`transport`] is the one HTTP client of Tidemill: every byte to a vendor goes through it. Beside it stands one folder
//! per wire format, which knows how a request is put and how an answer, or a refusal, is read. What comes out is the
//! same for all of them: a [`Replied`] or a [`Failed`]. Nothing here asks twice, waits, or chooses between vendors; that
//! is the gateway's and the engine's business.
//!
//! ```
//! use domain::Secret;
//! use provider::{OpenAi, transport::Endpoint};
//!
//! let endpoint = Endpoint::parse("https://api.example.com/v1")?;
//! let model = OpenAi::new(endpoint, "small-model", Some(Secret::new("sk-planted-4711")))?;
//! assert!(!format!("{model:?}").contains("4711"));
//! # Ok::<(), provider::transport::EndpointError>(())
//! ```

mod abilities;
mod openai;
mod reply;
pub mod tokens;
pub mod transport;
pub mod watch {
    //! Watching an answer go by.
    pub use crate::openai::watch::{Events, Kind, Watch, usage_in};
}

pub use abilities::{Abilities, Json, Lack};
pub use openai::{Hints, Left, OpenAi, Passing, Path, Question, Scan};
pub use reply::{Failed, Replied};
