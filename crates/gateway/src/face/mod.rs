//! The HTTP face: OpenAI's wire format before the lanes.
//!
//! What happens to one request, in the order of the modules:
//!
//! - `listen`, `http1`, `patient`, `untaken`: a connection is accepted and handed to the worker with the fewest; HTTP/1.1 or 2 is
//!   spoken on it
//! - `endpoint`, `guard`: what is called, and whether this client may
//! - `bodies`, `receive`: its body is read, when there is memory for it
//! - `ask`, `form`: it is looked through once; the requested name becomes a route
//! - `relay`, `attempt`: a place is taken, waited for in the line where none is free, and the request passed on; upstreams
//!   are asked one after the other until one begins to answer
//! - `body`, `stream`, `so_far`, `unstreamed`: what it says is handed on as it comes, watched from the side
//! - `account`: the end is told to the lanes, and to `metrics` and `log`
//! - `ending`: who is still answered when the face is stopped, and what the others are told
//! - `own`, `openapi`: what the gateway says about itself
//!
//! Nothing is retried over time here, and nothing is read out of an answer that the client does not get.

mod account;
mod ask;
mod attempt;
mod bodies;
mod body;
mod ending;
mod endpoint;
mod exchange;
mod form;
mod guard;
mod hedge;
mod http1;
mod key_ring;
mod listen;
mod live;
mod log;
mod metrics;
mod openapi;
mod own;
mod patient;
mod problem;
mod receive;
mod relay;
mod so_far;
mod stream;
mod unstreamed;
mod untaken;

pub use account::{Audience, Ended, Outcome};
pub(crate) use bodies::longest_body;
pub use listen::{Face, serve};
pub use live::{Live, Serving};
pub use log::{AccessLog, LogTarget, LogTrouble};
pub use metrics::Metrics;
