//! What stands between load and vendor: nothing, a bare relay, nginx, `LiteLLM`, ours.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    super::measure,
    Stage,
    loaded::{self, Vendor},
    processes,
};
use crate::shell;

/// Which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Direct,
    /// Copies bytes and looks at nothing: the floor.
    Relay,
    Nginx,
    LiteLlm,
    Tidemill,
}

/// All of them, in the order in which they take turns.
pub(super) const ALL: [Kind; 5] = [Kind::Direct, Kind::Relay, Kind::Nginx, Kind::LiteLlm, Kind::Tidemill];

/// A gateway that runs, until it is dropped.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Host and port for whole answers.
    pub(super) address: String,
    /// Host and port for streams.
    pub(super) stream_address: String,
    child: Option<Child>,
}

impl Peer {
    /// Returns its first process; the vendor's is not one of a gateway.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Returns the seconds of CPU that its processes have taken; without a gateway there are none.
    pub(super) fn cpu(&self) -> f64 {
        self.pid().map_or(f64::NAN, processes::cpu)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // Politely, so that nginx ends its workers; what does not listen is killed.
        let pid = rustix::process::Pid::from_child(child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(5) {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Starts all peers that are there and wanted, and says what is not.
pub(super) fn start(stage: &Stage, vendor: &Vendor, wanted: &[Kind]) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for kind in wanted {
        let started = match kind {
            Kind::Direct => Ok(direct(vendor)),
            Kind::Relay if !stage.leaves_out("relay") => relay(stage, vendor),
            Kind::Nginx if !stage.leaves_out("nginx") => nginx(stage, vendor),
            Kind::LiteLlm if !stage.leaves_out("litellm") => litellm(stage, vendor),
            Kind::Tidemill if stage.tidemill.is_some() => tidemill(stage, vendor),
            Kind::Relay | Kind::Nginx | Kind::LiteLlm | Kind::Tidemill => continue,
        };
        match started {
            Ok(peer) => peers.push(peer),
            Err(why) => println!("left out: {why:#}"),
        }
    }
    Ok(peers)
}

impl Stage {
    fn leaves_out(&self, name: &str) -> bool {
        self.without.iter().any(|without| without == name)
    }
}

fn direct(vendor: &Vendor) -> Peer {
    let address = vendor.address.clone();
    Peer { name: "direct", kind: Kind::Direct, stream_address: address.clone(), address, child: None }
}

fn relay(stage: &Stage, vendor: &Vendor) -> Result<Peer> {
    let mut command = Command::new(&stage.xtask);
    command.args(["bench-relay", "--to", &vendor.address]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut address = String::new();
    BufReader::new(child.stdout.take().context("the relay has no output")?).read_line(&mut address)?;
    let address = address.trim().to_owned();
    Ok(Peer { name: "bare relay", kind: Kind::Relay, stream_address: address.clone(), address, child: Some(child) })
}

fn nginx(stage: &Stage, vendor: &Vendor) -> Result<Peer> {
    // Debian has it where only root looks.
    let programs = ["nginx", "/usr/sbin/nginx"];
    let program = programs.into_iter().find(|program| shell::works(Command::new(program).arg("-v")));
    let program = program.context("nginx is not here; on Debian `apt-get install nginx-light` brings it")?;
    let folder = measure::folder(&stage.root, "gateway/nginx")?;
    let (address, stream_address) = (free_address()?, free_address()?);
    let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
    let text = include_str!("../../../peers/gateway/nginx.conf");
    let text = text.replace("VENDOR", &vendor.address).replace("STREAM_PORT", &port(&stream_address));
    fs::write(folder.join("nginx.conf"), text.replace("PORT", &port(&address)))?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&folder).args(["-c", "nginx.conf", "-e", "stderr"]);
    let peer =
        Peer { name: "nginx", kind: Kind::Nginx, address, stream_address, child: Some(spawn(&folder, command)?) };
    ready(peer, Duration::from_secs(5), &folder, |peer| is_healthy(peer, "/counts"))
}

fn litellm(stage: &Stage, vendor: &Vendor) -> Result<Peer> {
    let program = stage.root.join("target/tools/litellm/bin/litellm");
    if !program.exists() {
        bail!("LiteLLM is not in target/tools/litellm; `cargo xtask bench gateway install-peers` brings it");
    }
    let folder = measure::folder(&stage.root, "gateway/litellm")?;
    let address = free_address()?;
    let text = include_str!("../../../peers/gateway/litellm.yaml").replace("VENDOR", &vendor.address);
    fs::write(folder.join("litellm.yaml"), text)?;
    let port = address.rsplit(':').next().unwrap_or_default();
    let mut command = Command::new(program);
    command.args(["--config", "litellm.yaml", "--host", "127.0.0.1", "--num_workers", "1", "--telemetry", "False"]);
    // Prices from its own wheel: it would fetch them otherwise.
    command.args(["--port", port]).env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("LITELLM_LOG", "ERROR");
    let child = Some(spawn(&folder, command)?);
    let peer = Peer { name: "LiteLLM", kind: Kind::LiteLlm, stream_address: address.clone(), address, child };
    ready(peer, Duration::from_secs(120), &folder, |peer| is_healthy(peer, "/health/liveliness"))
}

fn tidemill(stage: &Stage, vendor: &Vendor) -> Result<Peer> {
    let program = stage.tidemill.as_ref().context("our binary is left out")?;
    if !shell::works(Command::new(program).args(["gateway", "--help"])) {
        bail!("`{}` has no `gateway` yet", program.display());
    }
    let folder = measure::folder(&stage.root, "gateway/tidemill")?;
    let address = free_address()?;
    let text = include_str!("../../../peers/gateway/tidemill.yaml").replace("VENDOR", &vendor.address);
    fs::write(folder.join("models.yaml"), text)?;
    let port = address.rsplit(':').next().unwrap_or_default();
    let mut command = Command::new(program);
    command.args(["gateway", "--config", "models.yaml", "--host", "127.0.0.1", "--port", port]);
    let child = Some(spawn(&folder, command)?);
    let peer = Peer { name: "Tidemill", kind: Kind::Tidemill, stream_address: address.clone(), address, child };
    ready(peer, Duration::from_secs(10), &folder, |peer| is_healthy(peer, "/healthz"))
}

fn is_healthy(peer: &Peer, path: &str) -> bool {
    loaded::get(&peer.address, path).is_ok_and(|answer| answer.contains(" 200 "))
}

/// Starts a gateway in its folder; what it says goes to the file `said` there.
fn spawn(folder: &Path, mut command: Command) -> Result<Child> {
    let said = fs::File::create(folder.join("said"))?;
    command.current_dir(folder).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    let name = PathBuf::from(command.get_program());
    command.spawn().with_context(|| format!("`{}` cannot be started", name.display()))
}

fn ready(mut peer: Peer, patience: Duration, folder: &Path, is_ready: impl Fn(&Peer) -> bool) -> Result<Peer> {
    let began = Instant::now();
    while !is_ready(&peer) {
        let is_over = peer.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        if is_over || began.elapsed() > patience {
            let said = fs::read_to_string(folder.join("said")).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            let last = lines[lines.len().saturating_sub(5)..].join("\n");
            bail!("{} is not ready after {:.0?}; it said:\n{last}", peer.name, began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // The first worker has answered; the others are to be there, too, when memory is looked at.
    std::thread::sleep(Duration::from_millis(300));
    Ok(peer)
}

/// Returns an address on loopback whose port is free now.
fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
