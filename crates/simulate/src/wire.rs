//! HTTP/1.1 as the vendor speaks it, well or badly.
//!
//! A server from the shelf would not let a script break the protocol, and costs more than an answer that was made before.
//!
//! - `reading`: requests off a connection
//! - `writing`: answers onto it, in the manner that a fault asks for
//! - `gzip`: a body that is packed although nobody asked

mod gzip;
mod reading;
mod writing;

pub(crate) use reading::{Connection, LONGEST, Malformed, Request};
pub(crate) use writing::{deliver, framed, write};
