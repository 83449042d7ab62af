//! The end of a step: outputs in source order, and accounts that add up.

mod account;
mod merge;

pub use account::{Checked, StepAccount, check};

pub(crate) use merge::{Finish, finish};
