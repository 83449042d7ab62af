//! What the one binary does, and the one place of concrete types.
//!
//! A command line becomes a command (`args`, `commands/`); a pipeline file becomes a pipeline (`config/`
//! reads, `pipeline` checks); a pipeline becomes steps with real sources, sinks and models (`compose/`). What goes to
//! standard output is data; everything said to people goes to standard error.

mod args;
mod clock;
mod commands;
mod compose;
mod config;
mod control;
mod dialect;
mod disk_forecast;
mod exit;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(debug_assertions)]
mod kill_points;
mod lang;
mod language;
mod pipeline;
mod progress;
mod report;
mod signals;
mod talk;

use std::process::ExitCode;

/// Does what the process's arguments say, and returns the status to leave with.
#[must_use]
pub fn main() -> ExitCode {
    let args = lang::parse();
    match commands::run(args) {
        Ok(exit) => exit.into(),
        Err(error) => {
            talk::error(&error);
            exit::of(&error).into()
        }
    }
}
