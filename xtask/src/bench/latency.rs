//! A vendor that takes its time: is the flow kept full?

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{
    measure,
    vendor::{self, Vendor},
};

pub(super) fn run(root: &Path, _rest: &[String]) -> Result<()> {
    let binary = measure::binary(root)?;
    case(root, &binary, "50 ms", 100, 60_000, 2000.0)?;
    case(root, &binary, "1 s", 4096, 100_000, 4096.0)
}

/// Runs `n` records against a latency, and prints the rate of the whole run and that after the ramp.
fn case(root: &Path, binary: &Path, latency: &str, in_flight: usize, n: u64, ideal: f64) -> Result<()> {
    let folder = measure::folder(root, "latency")?;
    let span = latency.replace(' ', "");
    let vendor = Vendor::start(binary, &folder, &format!("counting: totals\nlatency: {{ fixed: {span} }}\n"))?;
    vendor::write_pipeline(&folder, &vendor.url, in_flight, n, 980)?;
    measure::print_load();
    let floor = floor(root, &span, in_flight)?;
    let (measured, ramp, steady) = std::thread::scope(|scope| {
        let running = scope.spawn(|| measure::run(&folder, binary, &["run", "pipeline.yaml"]));
        let watched = watch(&vendor, in_flight as u64, n);
        let measured = running.join().map_err(|_| anyhow::anyhow!("the run panicked"))??;
        let (ramp, steady) = watched?;
        anyhow::Ok((measured, ramp, steady))
    })?;
    let whole = n as f64 / measured.seconds;
    println!(
        "{latency}, {in_flight} in flight, {n} records: {whole:.0}/s over the whole run with start and ordered output \
         ({:.1} % of the ideal {ideal:.0}); full after {ramp:.2} s, from then on {steady:.0}/s ({:.1} %); \
         a bare client that only sends and reads gets {floor:.0}/s here ({:.1} % of that); {:.1} us CPU per record, {} MB",
        whole * 100.0 / ideal,
        steady * 100.0 / ideal,
        steady * 100.0 / floor,
        measured.cpu / n as f64 * 1e6,
        measured.anonymous_mb,
    );
    Ok(fs::remove_dir_all(folder)?)
}

/// What a bare client of the same vendor gets: it neither parses nor writes anything. The vendor's own timer is in it.
pub(super) fn floor(root: &Path, span: &str, in_flight: usize) -> Result<f64> {
    let script = format!(r#"{{"counting":"totals","latency":{{"fixed":"{span}"}}}}"#);
    let in_flight = in_flight.to_string();
    let args =
        ["run", "--release", "--locked", "-q", "-p", "simulate", "--example", "load", "--", &in_flight, "10", &script];
    let measured = measure::run(root, Path::new("cargo"), &args)?;
    let rate = measured.stdout.split("answers, ").nth(1).and_then(|rest| rest.split("/s").next());
    rate.and_then(|rate| rate.trim().parse().ok()).context("the bare client told no rate")
}

/// Watches the vendor: how long until the flow is full (from the first request), and the rate between then and the
/// moment when nothing is left to start.
pub(super) fn watch(vendor: &Vendor, in_flight: u64, n: u64) -> Result<(f64, f64)> {
    let until = Instant::now() + Duration::from_secs(300);
    let (mut first, mut full, mut last) = (None, None, None);
    while Instant::now() < until {
        let (now, asked, answered) = (Instant::now(), vendor.count("asked")?, vendor.count("answered")?);
        if asked > 0 {
            first.get_or_insert(now);
        }
        if vendor.count("peak_in_flight")? >= in_flight * 99 / 100 && full.is_none() {
            full = Some((now, answered));
        }
        if asked < n {
            last = Some((now, answered));
        }
        if answered >= n {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let (first, (full_at, at_full)) = (first.context("nothing was asked")?, full.context("the flow was never full")?);
    let (last_at, at_last) = last.context("it was over at once")?;
    let steady = (at_last - at_full) as f64 / last_at.duration_since(full_at).as_secs_f64();
    Ok((full_at.duration_since(first).as_secs_f64(), steady))
}
