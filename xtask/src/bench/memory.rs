//! Memory at two sizes, and how soon a great run that is resumed asks again.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::{
    measure,
    prompt::tidemill,
    vendor::{self, Vendor},
};

pub(super) fn run(root: &Path, rest: &[String]) -> Result<()> {
    let small: u64 = rest.first().map_or(Ok(1_000_000), |n| n.parse())?;
    let great: u64 = rest.get(1).map_or(Ok(10_000_000), |n| n.parse())?;
    let binary = measure::binary(root)?;
    measure::print_load();
    let mut peaks = Vec::new();
    for n in [small, great] {
        let folder = measure::folder(root, "memory")?;
        let vendor = Vendor::start(&binary, &folder, "counting: totals\n")?;
        vendor::write_pipeline(&folder, &vendor.url, 64, n, 100)?;
        let measured = tidemill(&binary, &folder)?;
        println!(
            "{n} short records: {} MB anonymous at the most, {:.0} records/s, {:.1} us CPU per record",
            measured.anonymous_mb,
            n as f64 / measured.seconds,
            measured.cpu / n as f64 * 1e6,
        );
        peaks.push(measured.anonymous_mb);
        if n == great {
            resume(&binary, &folder, &vendor, n)?;
        }
        fs::remove_dir_all(folder)?;
    }
    let [small_peak, great_peak] = peaks[..] else { bail!("two sizes are measured") };
    println!("memory at {great} is {:.2} x that at {small}", great_peak as f64 / small_peak as f64);
    Ok(())
}

/// A thousand records more: the time from the start of the process to its first request.
fn resume(binary: &Path, folder: &Path, vendor: &Vendor, n: u64) -> Result<()> {
    vendor::write_records(&folder.join("records.jsonl"), n, n + 1000, 100)?;
    let before = vendor.count("asked")?;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| measure::run(folder, binary, &["run", "pipeline.yaml"]));
        while vendor.count("asked")? == before && begun.elapsed() < Duration::from_secs(120) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let first = begun.elapsed().as_secs_f64();
        let measured = running.join().map_err(|_| anyhow::anyhow!("the run panicked"))??;
        let asked = vendor.count("asked")? - before;
        println!(
            "resume of {n} settled records: first new request after {first:.2} s; {asked} asked; finished after {:.1} s, {} MB",
            measured.seconds, measured.anonymous_mb,
        );
        Ok(())
    })
}
