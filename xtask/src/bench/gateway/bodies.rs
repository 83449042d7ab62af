//! Great bodies: what is resident for each request in flight, each way. Each figure is of a new process.

use anyhow::Result;

use super::{
    Stage,
    figures::Table,
    loaded::{self, Vendor, exactly, resident},
    peers::{self, Kind},
    processes,
};

/// A name, the size of a body in bytes, and how many are in flight.
const SIZES: [(&str, usize, usize); 2] = [("100 kB", 100_000, 64), ("10 MB", 10_000_000, 8)];

pub(super) fn run(stage: &Stage) -> Result<()> {
    let columns = [
        ("peak MB", 1),
        ("MB a request in flight", 2),
        ("of the body's size", 2),
        ("CPU ms a request", 3),
        ("MB/s", 0),
    ];
    let mut tables = Vec::new();
    for (name, size, in_flight) in SIZES {
        for is_request in [true, false] {
            let way = if is_request { "requests" } else { "answers" };
            tables.push(Table::new(format!("Great bodies: {way} of {name}, {in_flight} in flight"), &columns));
            let Some(table) = tables.last_mut() else { continue };
            let vendor = Vendor::start(stage)?;
            // With a wait, so that requests are whole in the gateway while the vendor thinks.
            let (script, args) = if is_request {
                ("delay_us=200000".to_owned(), format!("--body {size}"))
            } else {
                (format!("answer={size}"), format!("--length {size}"))
            };
            vendor.script(&script)?;
            for peer in &peers::start(stage, &vendor, &[Kind::Nginx, Kind::Tidemill])? {
                let rest = resident(peer);
                let check = if is_request { exactly(peer, "--length 1024") } else { String::new() };
                let args = format!("--connections {in_flight} --seconds {} {args} {check}", stage.seconds);
                let pid = peer.pid().unwrap_or_default();
                let (peak, loaded) = processes::peak_while(pid, || loaded::load(stage, &vendor, peer, &args));
                let loaded = loaded?;
                let each = (peak - rest) / in_flight as f64;
                let cpu = loaded.cpu_us_per("answered") / 1e3;
                let size = size as f64 / 1e6;
                table.add(peer.name, &[peak, each, each / size, cpu, loaded.rate() * size]);
            }
        }
    }
    tables.iter().for_each(Table::print);
    Ok(())
}
