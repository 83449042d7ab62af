//! Every chore of this repository, so that a person and the CI do the same thing: `cargo xtask --help`.
//!
//! It deliberately has no library and no dependency on the crates it looks after (a bench, which measures them, is the
//! exception): a broken tree must still be able to say what is broken.
#![expect(clippy::disallowed_methods, reason = "starting programs and reading their environment is what this is for")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for the terminal")]

mod bench;
mod generate;
#[cfg(target_os = "linux")]
mod load;
mod shell;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The chores of this repository")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything that is tested, and installs what that needs where it may.
    Test {
        /// Run only these steps.
        steps: Vec<String>,
    },
    /// Checks the repository itself: names, sizes, documents and what they claim.
    Tidy,
    /// Writes the generated reference under docs/reference.
    Generate {
        /// Write nothing; fail if a file is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Runs a benchmark, or lists them.
    Bench {
        /// Which one; without it they are listed.
        name: Option<String>,
        /// What is passed on to the benchmark.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Loads a gateway: a part of the benchmark, in a process of its own.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    BenchLoad(load::Load),
    /// The benchmark's vendor, in a process of its own.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    BenchVendor(load::Serve),
    /// The benchmark's bare relay, in a process of its own.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    BenchRelay(load::Relay),
}

fn main() -> ExitCode {
    // Not `main() -> Result`: that would print a backtrace of ours where the failure is in what we started.
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        // These stand anywhere: the benchmark starts them, and so may whoever looks into it.
        #[cfg(target_os = "linux")]
        Command::BenchLoad(load) => load::run_load(&load),
        #[cfg(target_os = "linux")]
        Command::BenchVendor(serve) => load::run_vendor(&serve),
        #[cfg(target_os = "linux")]
        Command::BenchRelay(relay) => load::run_relay(&relay),
        Command::Test { steps } => test::run(&shell::root()?, &steps),
        Command::Tidy => tidy::run(&shell::root()?),
        Command::Generate { check } => generate::run(&shell::root()?, check),
        Command::Bench { name, rest } => bench::run(&shell::root()?, name.as_deref(), &rest),
    }
}
