//! What a gateway adds to the latency at half of what the slower of nginx and ours can do, in an open loop.

use anyhow::{Context, Result};

use super::{
    Stage,
    figures::Table,
    loaded::{self, Vendor, exactly},
    peers::{self, Kind, Peer},
};

pub(super) fn run(stage: &Stage) -> Result<()> {
    let vendor = Vendor::start(stage)?;
    let peers = peers::start(stage, &vendor, &peers::ALL)?;
    let (slow, quick): (Vec<&Peer>, Vec<&Peer>) = peers.iter().partition(|peer| peer.kind == Kind::LiteLlm);
    let mut greatest = Vec::new();
    for peer in quick.iter().filter(|peer| matches!(peer.kind, Kind::Nginx | Kind::Tidemill)) {
        greatest.push(greatest_rate(stage, &vendor, peer)?);
    }
    if let Some(half) = greatest.into_iter().min_by(f64::total_cmp).map(|rate| (rate / 2.0).floor()) {
        compare(stage, &vendor, &quick, half)?;
    }
    // At that rate it could answer nothing in time: it gets half of its own.
    for peer in slow {
        let half = greatest_rate(stage, &vendor, peer)? / 2.0;
        let direct = peers.first().context("no direct way")?;
        compare(stage, &vendor, &[direct, peer], half)?;
    }
    Ok(())
}

fn greatest_rate(stage: &Stage, vendor: &Vendor, peer: &Peer) -> Result<f64> {
    let args = format!("--connections 64 --seconds {} {}", stage.seconds, exactly(peer, "--length 1024"));
    loaded::load(stage, vendor, peer, &args)?;
    Ok(loaded::load(stage, vendor, peer, &args)?.rate())
}

/// Loads some peers evenly at a rate. The first one is the direct way, which the others are held against.
fn compare(stage: &Stage, vendor: &Vendor, peers: &[&Peer], rate: f64) -> Result<()> {
    let columns = [("added p50 µs", 0), ("added p99 µs", 0), ("p50 µs", 0), ("p99 µs", 0), ("CPU µs a request", 1)];
    let mut table = Table::new(format!("Latency at {rate:.0} requests/s, 64 connections, open loop"), &columns);
    for _ in 0..stage.rounds {
        let mut direct = [0.0; 2];
        for peer in peers {
            let seconds = stage.seconds.max(50.0 / rate);
            let check = exactly(peer, "--length 1024");
            let args = format!("--connections 64 --rate {rate} --seconds {seconds} {check}");
            let loaded = loaded::load(stage, vendor, peer, &args)?;
            let times = ["whole_p50_us", "whole_p99_us"].map(|name| loaded.number(name));
            let added = if peer.kind == Kind::Direct {
                direct = times;
                [f64::NAN; 2]
            } else {
                [times[0] - direct[0], times[1] - direct[1]]
            };
            table.add(peer.name, &[added[0], added[1], times[0], times[1], loaded.cpu_us_per("answered")]);
        }
    }
    table.print();
    Ok(())
}
