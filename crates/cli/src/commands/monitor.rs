//! `tidemill monitor`: watching a run from another terminal, whether a process works on it or not.

use std::{io, path::Path, sync::Arc, time::Duration};

use serde::Deserialize;
use store::{Locked, RunFolder, RunState};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::Instant,
};

use super::runs;
use crate::{
    args::Monitor,
    control::{Client, Ended, Told, Verb},
    exit::Exit,
    progress::{Display, Mode, Showing},
    talk,
};

/// A process that holds a run's lock and listens to nobody for so long does so for good.
const TO_LISTEN: Duration = Duration::from_secs(10);
/// How often it is looked whether it does.
const EVERY: Duration = Duration::from_millis(100);

/// Shows a run until it ends, and how it ended.
pub(super) fn run(args: &Monitor) -> anyhow::Result<Exit> {
    let folder = runs::find(&args.state.state, &args.run)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exit = runtime.block_on(follow(&folder, args.progress, "it was not being worked on"));
    runtime.shutdown_background();
    exit
}

/// Shows the run in `folder` until nobody works on it; `otherwise` is said where nobody does.
pub(super) async fn follow(folder: &RunFolder, mode: Mode, otherwise: &str) -> anyhow::Result<Exit> {
    match attach(folder).await? {
        Some(client) => watch(folder, client, mode).await,
        None => {
            talk::say(format!("run {}: {otherwise}", folder.id()));
            stands(folder, mode)
        }
    }
}

/// Connects to the process that works on the run; `None` where none does.
///
/// # Errors
/// Where one does and cannot be reached.
pub(super) async fn attach(folder: &RunFolder) -> anyhow::Result<Option<Client>> {
    let begun = Instant::now();
    loop {
        let connected = Client::connect(folder.path()).await;
        match connected {
            Ok(Some(client)) => return Ok(Some(client)),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                anyhow::bail!("run {} belongs to another user, who alone may watch and steer it", folder.id())
            }
            Err(error) => return Err(error.into()),
        }
        // It may be opening its journal, or be about to end.
        let Locked::ByOther(pid) = folder.try_lock()? else { return Ok(None) };
        if begun.elapsed() > TO_LISTEN {
            anyhow::bail!(
                "process {pid} works on run {} and does not listen: it may still be reading its journal (then try again), \
                 or it could make no control socket (then it said so); a signal reaches it all the same: kill -INT {pid}",
                folder.id()
            );
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn watch(folder: &RunFolder, mut client: Client, mode: Mode) -> anyhow::Result<Exit> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let shown = watch::Sender::new(None);
    let showing = Showing::of(Display::new(mode, true), shown.subscribe());
    let mut told = client.ask(Verb::Watch).await;
    let ended = loop {
        match told.map_err(|refused| anyhow::anyhow!("run {}: {refused}", folder.id()))? {
            Told::Standing(now) => {
                let now = Arc::new(*now);
                let before = shown.send_replace(Some(Arc::clone(&now)));
                if let Some(before) = before.filter(|before| before.step != now.step) {
                    showing.step_over(&before);
                }
            }
            Told::Ended(ended) => break Some(ended),
            Told::Gone => break None,
            Told::Starting | Told::Ok => {}
        }
        told = tokio::select! {
            told = client.next() => told,
            _ = interrupt.recv() => return Ok(leave(folder, showing)),
            _ = terminate.recv() => return Ok(leave(folder, showing)),
        };
    };
    let last = shown.borrow().clone();
    if let Some(last) = last {
        showing.step_over(&last);
    }
    drop(showing);
    match ended {
        Some(ended) => Ok(tell(folder, &ended)),
        None => {
            until_free(folder).await?;
            talk::say(format!(
                "run {}: its process ended without a word: it was killed, or the machine ran out of memory. Everything \
                 settled is safe",
                folder.id()
            ));
            stands(folder, mode)
        }
    }
}

fn leave(folder: &RunFolder, showing: Showing) -> Exit {
    drop(showing);
    talk::say(format!("left run {}, which goes on", folder.id()));
    Exit::Interrupted
}

fn tell(folder: &RunFolder, ended: &Ended) -> Exit {
    talk::say(format!("run {}: {}", folder.id(), ended.message));
    exit_of(i32::from(ended.exit_status))
}

/// A process that dies holds its lock for a moment longer.
async fn until_free(folder: &RunFolder) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < TO_LISTEN && matches!(folder.try_lock()?, Locked::ByOther(_)) {
        tokio::time::sleep(EVERY).await;
    }
    Ok(())
}

/// Shows how a run stands that nobody works on, as its journal tells. Returns the exit status that it ended with.
fn stands(folder: &RunFolder, mode: Mode) -> anyhow::Result<Exit> {
    let (_, state) = runs::tell(folder, false, mode == Mode::Json)?;
    if state == RunState::Done {
        return Ok(exit_status(folder)?.map_or(Exit::Done, exit_of));
    }
    talk::say(format!("go on with it: {}", command(folder)?));
    Ok(Exit::Stopped)
}

/// The command that goes on with a run.
pub(super) fn command(folder: &RunFolder) -> anyhow::Result<String> {
    let manifest = store::Manifest::read(folder.path())?;
    let here = std::env::current_dir().unwrap_or_default();
    let file = manifest.file.strip_prefix(&here).unwrap_or(&manifest.file).display().to_string();
    let state = folder.path().ancestors().nth(2).filter(|state| *state != Path::new(".tidemill"));
    let state = state.map(|state| format!(" --state {}", state.display())).unwrap_or_default();
    Ok(format!("tidemill run {file} --task-id {}{state}", folder.id()))
}

fn exit_status(folder: &RunFolder) -> anyhow::Result<Option<i32>> {
    #[derive(Deserialize)]
    struct Account {
        exit_status: i32,
    }
    let text = folder.read("account.json")?;
    Ok(text.and_then(|text| serde_json::from_str::<Account>(&text).ok()).map(|account| account.exit_status))
}

fn exit_of(status: i32) -> Exit {
    let all = [Exit::Done, Exit::Beyond, Exit::Configuration, Exit::Environment, Exit::Stopped, Exit::Interrupted];
    all.into_iter().find(|exit| *exit as i32 == status).unwrap_or(Exit::Environment)
}
