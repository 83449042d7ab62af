//! Which upstream answers.
//!
//! A request names a route; a route leads to models; a model is a weighted place on a channel. This crate knows the
//! state of every such upstream (its width, its health, its turn) and keeps it to itself: engine and work see a
//! [`domain::ports::ModelClient`] that gives a permit or says when and why not. It fails over between upstreams within
//! one attempt and never asks twice over time; it speaks no wire format (that is `provider`), and for the engine it
//! keeps no queue: the engine has one.
//!
//! In the order of a request's life:
//!
//! - `config`, `resolve`: what the models file says, and what comes of it
//! - `names`: from a requested name to a route; `need`: what a request needs of the one who answers it
//! - `client`: the port; `reserve` before a request, `complete` with it
//! - `face`: OpenAI's wire format before all of it, for clients that are not in this process
//! - `queue`: the waiting line before the lanes, for the HTTP face alone
//! - `lanes`: the state of all upstreams; `limit`, `health`, `balance` say whether one has a place, is well, has its turn
//! - `failover`, `forward`: one upstream after the other, each asked once
//! - `abilities`: what an upstream turns out not to take, and is not asked for again
//!
//! ```
//! let file: gateway::ModelsFile = serde_json::from_str(
//!     r#"{"channels": {"local": {"url": "http://127.0.0.1:8000/v1"}}, "models": [{"name": "small", "channel": "local"}]}"#,
//! )?;
//! let resolved = gateway::resolve(&file, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
//! assert_eq!(resolved.map(|it| it.names.find("auto").is_some()), Ok(true));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod abilities;
mod balance;
mod client;
mod config;
pub mod face;
mod failover;
mod forward;
mod health;
mod jitter;
mod lanes;
mod limit;
mod names;
mod need;
mod queue;
mod resolve;

pub use abilities::{Learned, Notice};
pub use balance::Session;
pub use client::Gateway;
pub use config::{
    AbilitySettings, Amount, Channel, Choose, Count, FaceClass, FaceKeySettings, FaceSettings, FromEnvironment,
    HedgeSettings, HttpVersion, JsonSupport, Key, LogFormat, LogSettings, MaxInFlight, Model, ModelsFile, NameSettings,
    PriceTag, QueueSettings, Rate, RateLimits, RouteSettings, RouteTo, Setting, Share, Size, Span, TokenizerName,
};
pub use forward::Forward;
pub use names::Names;
pub use need::{Need, Wants};
pub use resolve::{
    ConfigMistake, Declared, FaceConfig, FaceKey, Hedge, Resolved, Route, Upstream, resolve, resolve_face,
};
