//! How work flows: a record's life, in order.
//!
//! [`run_step`] takes one step of a pipeline from its source to its sink, between [`begin`] and [`conclude`]. The modules are the stages that a record
//! passes: `feed` pulls it and drops what is settled, `plan` renders its work, `admit` gets a permit or learns why not,
//! `dispatch` keeps the flow full, `execute` makes an attempt, `classify` decides what a failure costs, `retry` says
//! when to try again, `settle` makes the end durable and then shows it, `status` adds up the events for people, and
//! `finish` writes the outputs in source order and closes the accounts. Where a table cannot be reached, `away` waits for it.
//!
//! The engine knows no vendor, no format, no database and no protocol: it sees the ports of `domain` and nothing else.

mod admit;
mod away;
mod classify;
mod derived;
mod dispatch;
mod execute;
mod feed;
mod finish;
mod plan;
mod reparse;
mod reread;
mod retry;
mod run;
mod settle;
mod status;

pub use derived::DerivedSource;
pub use dispatch::{Budget, Until};
pub use finish::{Checked, StepAccount, check};
pub use reparse::{Reparse, Reparsed, reopening, reparse};
pub use retry::{Backoff, Budgets, Pause};
pub use run::{Context, Control, EngineError, Flow, Step, StepEnd, begin, conclude, run_step};
pub use status::{Latency, Snapshot, Status};
