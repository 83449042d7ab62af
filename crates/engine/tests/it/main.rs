//! The engine with fakes: in paused time, and killed at every append.

mod control;
mod five_kinds;
mod flow;
mod story;
