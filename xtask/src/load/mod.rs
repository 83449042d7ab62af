//! The load tool, the vendor and the floor of the gateway's benchmark, each run as a process of its own so that its CPU is apart.
//!
//! Each is a loop over epoll and raw sockets: on a machine with two cores everything that they take is missing to the
//! gateway between them. They speak only as much HTTP/1.1 as the benchmark needs, and check all of that.

mod answer;
mod client;
mod histogram;
mod poll;
mod relay;
mod talk;
mod vendor;

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(crate) use client::Load;
pub(crate) use relay::Relay;
pub(crate) use vendor::Serve;

/// Runs the load tool; what it found is printed, a name and a number on each line.
pub(crate) fn run_load(load: &Load) -> Result<()> {
    raise_open_files();
    client::run(load)
}

/// Runs the vendor until it is killed; its address is the first line that it prints.
pub(crate) fn run_vendor(serve: &Serve) -> Result<()> {
    raise_open_files();
    vendor::run(serve)
}

/// Runs the bare relay until it is killed; its address is the first line that it prints.
pub(crate) fn run_relay(relay: &Relay) -> Result<()> {
    raise_open_files();
    relay::run(relay)
}

/// Raises the limit of open files to what this process may have, for itself and what it starts, and returns it.
pub(crate) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Refused at worst; then what is short of files says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
