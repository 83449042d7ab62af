//! `tidemill pause`, `unpause`, and what `tidemill cancel` says to a run that another process works on.

use store::{RunFolder, RunState};

use super::{monitor, runs};
use crate::{
    args::Steer,
    control::{Told, Verb},
    exit::{ConfigurationError, Exit},
    progress::{Mode, counted},
    talk,
};

/// Has a run ask nothing new until it is told to go on.
pub(super) fn pause(args: &Steer) -> anyhow::Result<Exit> {
    let folder = runs::find(&args.state.state, &args.run)?;
    let in_flight = steer(&folder, Verb::Pause)?;
    let id = folder.id();
    let waits = match in_flight {
        0 => String::new(),
        n => format!(" ({} in flight are still waited for)", counted(n, "request")),
    };
    talk::say(format!("run {id} is paused: nothing new is asked{waits}; go on with: tidemill unpause {id}"));
    Ok(Exit::Done)
}

/// Has a paused run go on.
pub(super) fn unpause(args: &Steer) -> anyhow::Result<Exit> {
    let folder = runs::find(&args.state.state, &args.run)?;
    steer(&folder, Verb::Unpause)?;
    talk::say(format!("run {} goes on", folder.id()));
    Ok(Exit::Done)
}

/// Has the process that works on the run call it off, and waits until it is over unless `no_wait`.
pub(super) fn call_off(folder: &RunFolder, no_wait: bool, progress: Mode) -> anyhow::Result<Exit> {
    steer(folder, Verb::Cancel)?;
    let id = folder.id();
    talk::say(format!("run {id} is being cancelled: what is in flight is waited for"));
    if no_wait {
        return Ok(Exit::Done);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exit = runtime.block_on(monitor::follow(folder, progress, "it is over"));
    runtime.shutdown_background();
    exit
}

/// Tells the process that works on a run what to do; returns how many requests are in flight.
fn steer(folder: &RunFolder, verb: Verb) -> anyhow::Result<u64> {
    let id = folder.id();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let Some(mut client) = monitor::attach(folder).await? else {
            let message = match runs::state(folder)? {
                RunState::Done => format!("run {id} is done: there is nothing to steer"),
                _ => format!("run {id} is not being worked on; go on with it: {}", monitor::command(folder)?),
            };
            return Err(ConfigurationError(message).into());
        };
        let said = |refused| anyhow::anyhow!("run {id}: {refused}");
        match client.ask(verb).await.map_err(said)? {
            Told::Ok => {}
            other => anyhow::bail!("run {id}: its process ended before it could be told ({other:?})"),
        }
        // What is in flight is told for comfort only.
        Ok(match client.ask(Verb::Status).await {
            Ok(Told::Standing(now)) => now.in_flight,
            _ => 0,
        })
    })
}
