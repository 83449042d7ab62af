//! The vendor as its clients see it: over raw sockets, and through the official SDK.

mod client;

mod answers;
mod broken;
mod changing;
mod conform;
mod counts;
mod endpoints;
mod faults;
mod lacks;
mod limits;
mod script;
mod sdk;
mod shapes;
mod stream;
mod usage;
