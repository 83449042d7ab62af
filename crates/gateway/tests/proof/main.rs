//! What strangers get from the HTTP face: OpenAI's own SDKs, a fuzzer, crowds, and vendors that misbehave.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod client;
mod house;

mod failures;
mod faults;
mod fuzz;
mod sdk;
mod storm;
