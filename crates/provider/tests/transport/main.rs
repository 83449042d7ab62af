//! The transport against servers on loopback that are written byte by byte, so that they can misbehave exactly.

mod http;
mod server;
mod tls;
