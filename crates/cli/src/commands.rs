//! The verbs.

mod again;
mod check;
mod choose;
mod completions;
mod data;
mod diff;
mod dry_run;
mod estimate;
mod gateway;
mod import;
mod messages;
mod monitor;
mod pause;
mod reference;
mod report;
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
        Command::Import(args) => import::run(&args),
        Command::Estimate(args) => estimate::run(&args),
        Command::Retry(args) => again::retry(&args),
        Command::Reparse(args) => again::reparse(&args),
        Command::Cancel(args) => again::cancel(&args),
        Command::Report(args) => report::run(&args),
        Command::Monitor(args) => monitor::run(&args),
        Command::Pause(args) => pause::pause(&args),
        Command::Unpause(args) => pause::unpause(&args),
        Command::Runs(args) => runs::run(&args),
        Command::Gateway(args) => gateway::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Data(args) => data::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Reference(args) => reference::run(&args),
    }
}

/// The words that `--kind` takes.
pub(crate) fn kinds() -> clap::builder::PossibleValuesParser {
    let kinds = domain::FailureKind::ALL.into_iter().map(domain::FailureKind::word);
    let reasons = domain::Reason::ALL.into_iter().map(domain::Reason::word);
    kinds.chain(reasons).chain(["cancelled"]).collect::<Vec<_>>().into()
}
