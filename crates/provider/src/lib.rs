//! How a vendor is spoken to.
//!
//! [`transport`] is the one HTTP client of Tidemill: every byte to a vendor goes through it. Beside it stands one folder
//! per wire format, which knows how a request is put and how an answer, or a refusal, is read. What comes out is the
//! same for all of them: a [`Replied`] or a [`Failed`]. Nothing here asks twice, waits, or chooses between vendors; that
//! is the gateway's and the engine's business.
//!
//! ```
//! use domain::Secret;
//! use provider::{Chat, transport::Endpoint};
//!
//! let endpoint = Endpoint::parse("https://api.example.com/v1")?;
//! let chat = Chat::new(endpoint, "small-model", Some(Secret::new("sk-planted-4711")))?;
//! assert!(!format!("{chat:?}").contains("4711"));
//! # Ok::<(), provider::transport::EndpointError>(())
//! ```

mod openai;
mod reply;
pub mod transport;

pub use openai::Chat;
pub use reply::{Failed, Replied};
