//! The verbs.

mod check;
mod choose;
mod reference;
mod run;
mod runs;
mod simulate;

use crate::{
    args::{Args, Command},
    exit::Exit,
};

/// Does what the command line says.
///
/// # Errors
/// What went wrong, in words for people.
pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Runs(args) => runs::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Reference(args) => reference::run(&args),
    }
}
