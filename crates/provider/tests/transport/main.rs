//! The transport, and what is spoken over it, against servers on loopback that are written byte by byte, so that they can
//! misbehave exactly.

mod abilities;
mod http;
mod server;
mod stream;
mod tls;
