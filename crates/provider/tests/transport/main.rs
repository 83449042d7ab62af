//! The transport, and what is spoken over it, against servers on loopback that are written byte by byte, so that they can
//! misbehave exactly.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod abilities;
mod http;
mod http2;
mod server;
mod stream;
mod tls;
mod ways;
