//! The journal on the disk that crashes, and on the real one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod crash;
mod damage;
mod listening;
mod requests;
mod resume;
mod story;
mod walk;
