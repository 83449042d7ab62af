//! Streams of 66 events: all ready at once, and one every 10 ms.

use anyhow::Result;

use super::{
    Stage,
    figures::Table,
    loaded::{self, Vendor, exactly},
    peers::{self, Kind},
};

/// With more connections than this `LiteLLM` would need minutes for each round.
const LITELLM_CONNECTIONS: usize = 100;

pub(super) fn run(stage: &Stage) -> Result<()> {
    let vendor = Vendor::start(stage)?;
    let peers = peers::start(stage, &vendor, &peers::ALL)?;
    for connections in [16, 1000] {
        let title = format!("Streams: 66 events that are ready (11.7 kB), {connections} connections");
        let columns = [("CPU µs a stream", 1), ("streams/s", 0), ("first event p50 ms", 2), ("whole p99 ms", 2)];
        let mut table = Table::new(title, &columns);
        for round in 0..stage.rounds {
            for peer in &peers {
                if peer.kind == Kind::LiteLlm && connections > LITELLM_CONNECTIONS {
                    continue;
                }
                let args = format!("--connections {connections} --stream {}", exactly(peer, "--events 66"));
                if round == 0 {
                    loaded::load(stage, &vendor, peer, &format!("{args} --seconds 1"))?;
                }
                let loaded = loaded::load(stage, &vendor, peer, &format!("{args} --seconds {}", stage.seconds))?;
                let [first, whole] = ["first_p50_us", "whole_p99_us"].map(|name| loaded.number(name) / 1e3);
                table.add(peer.name, &[loaded.cpu_us_per("answered"), loaded.rate(), first, whole]);
            }
        }
        table.print();
    }
    vendor.script("pace_us=10000")?;
    let columns = [
        ("CPU µs an event", 1),
        ("first event p50 ms", 2),
        ("first event p99 ms", 2),
        ("gap p50 ms", 2),
        ("gap p99 ms", 2),
    ];
    let mut table = Table::new("Paced streams: an event every 10 ms, 32 streams", &columns);
    for _ in 0..stage.rounds {
        for peer in &peers {
            // Their events are spread over the 10 ms, or each tick would be a burst.
            let args = format!("--connections 32 --stream --stagger-us 313 {}", exactly(peer, "--events 66"));
            let loaded = loaded::load(stage, &vendor, peer, &format!("{args} --seconds {}", stage.seconds))?;
            let times =
                ["first_p50_us", "first_p99_us", "gap_p50_us", "gap_p99_us"].map(|name| loaded.number(name) / 1e3);
            table.add(peer.name, &[&[loaded.cpu_us_per("events")], times.as_slice()].concat());
        }
    }
    table.print();
    Ok(())
}
