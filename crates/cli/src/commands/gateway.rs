//! `tidemill gateway`.

mod seen;
mod top;

use std::{net::SocketAddr, path::Path, sync::Arc};

use domain::Clock;
use gateway::{
    Gateway, ModelsFile,
    face::{self, Live, Serving},
};
use provider::transport::{Limits, Transport};
use simulate::Vendor;

use crate::{
    args::{Gateway as Args, GatewayCommand, GatewayServe, LogChoice},
    clock::SystemClock,
    compose::{environment, simulated},
    exit::{ConfigurationError, Exit},
    pipeline, talk,
};

/// How many clients may knock at once before they are let in; the system lowers it to what it allows.
const BACKLOG: i32 = 4_096;

/// Serves until it is told to stop.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        None => serve(&args.serve),
        Some(GatewayCommand::Top(args)) => top::run(args),
    }
}

/// What is served, and the simulated vendors that live as long as it does.
struct Opened {
    serving: Arc<Serving>,
    _vendors: Vec<Vendor>,
}

fn serve(args: &GatewayServe) -> anyhow::Result<Exit> {
    // The allocator asks for great pages, of which a server at rest fills little; where they cannot be had off, it is no harm.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let (models, diagnostics) = pipeline::models_file(&args.config)?;
    super::check::tell(&diagnostics);
    let Some(models) = models else { return Ok(Exit::Configuration) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = open(models, args.config.parent().unwrap_or(Path::new("")), args.log, &clock)?;
    if !args.host.is_loopback() && !opened.serving.has_keys() && !args.allow_anonymous {
        let message = format!(
            "{} can be reached by others, and the models file has no keys for clients: list them under `gateway: keys:`, or \
             say --allow-anonymous",
            args.host
        );
        return Err(ConfigurationError(message).into());
    }
    let live = Arc::new(Live::new(Arc::clone(&opened.serving)));
    let listener = listen(SocketAddr::new(args.host, args.port))?;
    let n_workers = args.workers.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let face = face::serve(listener, &live, n_workers, &clock)?;
    talk::data(format!("http://{}/v1", face.address()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let close = face.closer();
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        talk::say("stopping: no new requests are taken; waiting for answers in flight (again: stop at once)");
        face.drain();
        tokio::spawn(async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            close();
        });
        // The threads are waited for beside the runtime, which hears the second signal.
        tokio::task::spawn_blocking(|| face.join()).await?;
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(Exit::Done)
}

fn open(
    mut models: ModelsFile,
    folder: &Path,
    log: Option<LogChoice>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Opened> {
    let vendors = simulated::start(&mut models)?;
    let mistakes = |mistakes: Vec<gateway::ConfigMistake>| {
        ConfigurationError(mistakes.into_iter().map(|mistake| mistake.message).collect::<Vec<_>>().join("; "))
    };
    let resolved = environment::resolve(&models, folder).map_err(mistakes)?;
    let settings = environment::resolve_face(&models, folder).map_err(mistakes)?;
    let transport = Arc::new(Transport::new(Limits::default()));
    let gateway = Arc::new(Gateway::new(&resolved, transport, Arc::clone(clock)));
    let serving = Serving::new(&resolved, gateway, settings.clone(), clock.now());
    let serving = seen::seen(serving, None, &settings, folder, log, clock)?;
    Ok(Opened { serving: Arc::new(serving), _vendors: vendors })
}

fn listen(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let domain = if address.is_ipv4() { rustix::net::AddressFamily::INET } else { rustix::net::AddressFamily::INET6 };
    let refused = |e: rustix::io::Errno| {
        let e = std::io::Error::from(e);
        let help = match e.kind() {
            std::io::ErrorKind::AddrInUse => "; something listens there already: choose another with --port",
            std::io::ErrorKind::PermissionDenied => "; ports below 1024 want more rights: choose another with --port",
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
