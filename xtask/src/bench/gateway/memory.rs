//! Memory of a gateway: at rest, with 10,000 idle connections, with 1,000 slow streams. Each time it is a new process.

use std::time::Duration;

use anyhow::Result;

use super::{
    Stage, bodies,
    figures::Table,
    loaded::{self, Held, Vendor, exactly, resident},
    peers::{self, Kind},
    processes,
};

/// `LiteLLM` takes a minute for 1,000 answers and more than one to start: it is looked at at rest only.
const GATEWAYS: [Kind; 3] = [Kind::Nginx, Kind::LiteLlm, Kind::Tidemill];

/// How long connections are left alone before memory is looked at.
const SETTLED: Duration = Duration::from_secs(5);

pub(super) fn run(stage: &Stage) -> Result<()> {
    connections(stage)?;
    bodies::run(stage)
}

fn connections(stage: &Stage) -> Result<()> {
    let vendor = Vendor::start(stage)?;
    let columns =
        [("at rest MB", 1), ("10,000 idle connections MB", 1), ("1,000 slow streams MB", 1), ("both at once MB", 1)];
    let mut table = Table::new("Resident memory", &columns);
    for peer in &peers::start(stage, &vendor, &GATEWAYS)? {
        let rest = resident(peer);
        if peer.kind == Kind::LiteLlm {
            table.add(peer.name, &[rest, f64::NAN, f64::NAN, f64::NAN]);
            continue;
        }
        vendor.script("")?;
        // 10,000 within two seconds: as many in flight as have not been answered, which are few.
        let idle = "--connections 10000 --stagger-us 200 --seconds 2 --length 1024";
        let held = Held::open(stage, peer, idle)?;
        // Idle is what is asked for nothing for a while; right behind the last answer their buffers are still there.
        std::thread::sleep(SETTLED);
        let with_idle = resident(peer);
        vendor.script("pace_us=100000")?;
        let slow =
            format!("--connections 1000 --stagger-us 1000 --stream --seconds 3 {}", exactly(peer, "--events 66"));
        let measure = || {
            let pid = peer.pid().unwrap_or_default();
            let (peak, loaded) = processes::peak_while(pid, || loaded::load(stage, &vendor, peer, &slow));
            loaded.map(|_| peak)
        };
        let both = measure()?;
        drop(held);
        table.add(peer.name, &[rest, with_idle, f64::NAN, both]);
    }
    // Again in new processes: what was freed above need not have gone back to the system.
    vendor.script("pace_us=100000")?;
    for peer in &peers::start(stage, &vendor, &[Kind::Nginx, Kind::Tidemill])? {
        let slow = "--connections 1000 --stagger-us 1000 --stream --seconds 3 --events 66";
        let pid = peer.pid().unwrap_or_default();
        let (peak, loaded) = processes::peak_while(pid, || loaded::load(stage, &vendor, peer, slow));
        loaded?;
        table.add(peer.name, &[f64::NAN, f64::NAN, peak, f64::NAN]);
    }
    table.print();
    Ok(())
}
