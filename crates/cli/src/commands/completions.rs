//! `tidemill completions`.

use clap::CommandFactory as _;

use crate::{
    args::{Args, Completions},
    exit::Exit,
    talk,
};

/// Writes the script with which a shell completes the command line.
pub(super) fn run(args: &Completions) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "tidemill", &mut script);
    talk::data(String::from_utf8(script)?.trim_end());
    Ok(Exit::Done)
}
