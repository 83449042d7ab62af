//! `tidemill gateway`.

mod change;
mod check;
mod log;
mod opening;
mod reload;
mod room;
mod serve;
mod top;
mod watch;

use crate::{
    args::{Gateway, GatewayCommand},
    exit::Exit,
};

/// Serves, or does what stands behind `gateway`.
pub(super) fn run(args: &Gateway) -> anyhow::Result<Exit> {
    match &args.command {
        None => serve::run(&args.serve),
        Some(GatewayCommand::Check(args)) => check::run(args),
        Some(GatewayCommand::Top(args)) => top::run(args),
    }
}
