//! The one binary, and the one place of concrete types.

#[cfg_attr(not(test), expect(dead_code, reason = "the commands that read configuration come next"))]
mod config;

fn main() {}
