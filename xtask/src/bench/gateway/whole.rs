//! Small requests, whole answers of 1 kB, 64 connections that ask again at once.

use anyhow::Result;

use super::{
    Stage,
    figures::Table,
    loaded::{self, Vendor, exactly},
    peers,
};

pub(super) fn run(stage: &Stage) -> Result<()> {
    let vendor = Vendor::start(stage)?;
    let peers = peers::start(stage, &vendor, &peers::ALL)?;
    let title = "Whole answers: requests of 0.7 kB, answers of 1 kB, 64 connections";
    let mut table = Table::new(title, &[("CPU µs a request", 1), ("requests/s", 0), ("p50 ms", 2), ("p99 ms", 2)]);
    for round in 0..stage.rounds {
        for peer in &peers {
            let args = format!("--connections 64 {}", exactly(peer, "--length 1024"));
            if round == 0 {
                loaded::load(stage, &vendor, peer, &format!("{args} --seconds 1"))?;
            }
            let loaded = loaded::load(stage, &vendor, peer, &format!("{args} --seconds {}", stage.seconds))?;
            let [p50, p99] = ["whole_p50_us", "whole_p99_us"].map(|name| loaded.number(name) / 1e3);
            table.add(peer.name, &[loaded.cpu_us_per("answered"), loaded.rate(), p50, p99]);
        }
    }
    table.print();
    Ok(())
}
