//! Serving until it is told to stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use domain::Clock;
use gateway::face::{self, Face};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use super::{
    reload::{Reload, Why},
    room,
    watch::Watch,
};
use crate::{
    args::GatewayServe,
    clock::SystemClock,
    exit::{ConfigurationError, Exit},
    talk,
};

/// How many clients may knock at once before they are let in; the system lowers it to what it allows.
const BACKLOG: i32 = 4_096;
/// How often it is looked whether the last requests of an old configuration have ended.
const RETIRING: Duration = Duration::from_secs(1);

/// Serves until it is told to stop.
pub(super) fn run(args: &GatewayServe) -> anyhow::Result<Exit> {
    // The allocator asks for great pages, of which a server at rest fills little; where they cannot be had off, it is no harm.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Some(mut reload) = Reload::first(args, &clock)? else { return Ok(Exit::Configuration) };
    room::make();
    let listener = listen(SocketAddr::new(args.host, args.port))?;
    let n_workers = args.workers.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before it is told that it serves: whoever reads that may send signals.
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let face = face::serve(listener, reload.live(), n_workers, &clock)?;
    talk::data(format!("http://{}/v1", face.address()));
    follow(&runtime, &mut signals, &mut reload);
    drain(&runtime, &mut signals, face, args.drain.0)
}

/// What is heard while it serves.
enum Heard {
    Stop,
    Reload(Why),
    /// A while is over.
    Tick,
}

/// Follows changes of the configuration until it is told to stop.
fn follow(runtime: &Runtime, signals: &mut Signals, reload: &mut Reload) {
    let watching = |files: &[std::path::PathBuf]| {
        let _entered = runtime.enter();
        Watch::new(files)
    };
    let mut files = reload.files();
    let mut watch = watching(&files);
    // They were read before they were watched, and may have been changed between.
    reload.again(Why::Noticed);
    loop {
        let now = reload.files();
        if now != files {
            (watch, files) = (watching(&now), now);
            reload.again(Why::Noticed);
            continue;
        }
        let is_retiring = reload.retire();
        let Signals { interrupt, terminate, hangup } = &mut *signals;
        let heard = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => Heard::Stop,
                _ = terminate.recv() => Heard::Stop,
                _ = hangup.recv() => Heard::Reload(Why::Asked),
                () = watch.changed() => Heard::Reload(Why::Noticed),
                () = sleep(RETIRING), if is_retiring => Heard::Tick,
            }
        });
        // Outside of the runtime: files are read, and simulated vendors started.
        match heard {
            Heard::Stop => return,
            Heard::Reload(why) => reload.again(why),
            Heard::Tick => {}
        }
    }
}

/// Lets the answers in flight end, for so long.
fn drain(runtime: &Runtime, signals: &mut Signals, face: Face, limit: Duration) -> anyhow::Result<Exit> {
    talk::say("stopping: no new requests are taken; waiting for answers in flight (again: stop at once)");
    let (close, n_open) = (face.closer(), face.counter());
    runtime.block_on(async {
        // The threads are waited for beside the runtime, which hears the second signal.
        let mut ended = tokio::task::spawn_blocking(|| face.join());
        let exit = tokio::select! {
            ended = &mut ended => {
                ended?;
                return Ok(Exit::Done);
            }
            () = signals.stop() => Exit::Interrupted,
            () = sleep(limit) => {
                let limit = simulate::Span(limit);
                talk::say(format!("stopped after {limit} (--drain): connections that were cut: {}", n_open()));
                Exit::Beyond
            }
        };
        close();
        ended.await?;
        Ok(exit)
    })
}

/// The signals that are listened to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn listen(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let domain = if address.is_ipv4() { rustix::net::AddressFamily::INET } else { rustix::net::AddressFamily::INET6 };
    let refused = |e: rustix::io::Errno| {
        let e = std::io::Error::from(e);
        let help = match e.kind() {
            std::io::ErrorKind::AddrInUse => "; something listens there already: choose another with --port",
            std::io::ErrorKind::PermissionDenied => "; ports below 1024 want more rights: choose another with --port",
            std::io::ErrorKind::AddrNotAvailable => {
                "; this machine has no such address: choose one of its own with --host"
            }
            _ => "",
        };
        ConfigurationError(format!("cannot listen on {address}: {e}{help}"))
    };
    let socket = rustix::net::socket(domain, rustix::net::SocketType::STREAM, None).map_err(refused)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true).map_err(refused)?;
    rustix::net::bind(&socket, &address).map_err(refused)?;
    rustix::net::listen(&socket, BACKLOG).map_err(refused)?;
    Ok(socket.into())
}
