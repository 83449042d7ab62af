//! The real binary against the scripted vendor: what a user sees, and what is on disk afterwards.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests start the real binary, read what CI sets, and wait for another process in real time"
)]

mod story;

mod asking;
mod bad_input;
mod commands;
mod data;
mod databases;
mod dataflux;
mod examples;
mod faults;
mod formats;
mod gateway;
mod in_place;
mod main_job;
mod money;
mod report;
mod resume;
mod secrets;
mod seeing;
mod their_failures;
mod their_models;
mod top;
mod words;
mod workbooks;
