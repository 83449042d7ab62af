//! The end of a step: outputs in source order, and accounts that add up.

mod account;
mod merge;
mod save;

pub use account::{Checked, StepAccount, check};

pub(crate) use merge::{Finish, finish};
pub(crate) use save::{next_after, save};
