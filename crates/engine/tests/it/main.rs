//! The engine with fakes: in paused time, and killed at every append.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod control;
mod five_kinds;
mod flow;
mod main_job;
mod story;
