//! A prompt run against an instant vendor, side by side with two tuned Python loops.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Result, ensure};

use super::{
    measure::{self, Measured},
    vendor::{self, Vendor},
};

const SCRIPT: &str = "counting: totals\nfaults:\n  - { kind: unavailable, rate: 0.01, asks: 1 }\n";
const IN_FLIGHT: usize = 64;

pub(super) fn run(root: &Path, rest: &[String]) -> Result<()> {
    let n: u64 = rest.first().map_or(Ok(200_000), |n| n.parse())?;
    let rounds: usize = rest.get(1).map_or(Ok(5), |n| n.parse())?;
    let binary = measure::binary(root)?;
    let folder = measure::folder(root, "prompt")?;
    let vendor = Vendor::start(&binary, &folder, SCRIPT)?;
    vendor::write_pipeline(&folder, &vendor.url, IN_FLIGHT, n, 980)?;
    // The loops do less (no journal, no order, no retries) and get fewer records: their figures are per record.
    let (n_aiohttp, n_sdk) = ((n / 10).max(1000), (n / 40).max(500));
    for (name, n) in [("aiohttp.jsonl", n_aiohttp), ("sdk.jsonl", n_sdk)] {
        write_requests(&folder.join(name), n)?;
    }
    let python = root.join("target/tools/python/bin/python");
    let has_python = python.exists();
    if !has_python {
        println!("the Python peers are left out: `cargo xtask test` makes target/tools/python");
    }
    measure::print_load();
    let mut runs: [Vec<(f64, f64, u64)>; 3] = Default::default();
    for round in 0..rounds {
        let asked_before = vendor.count("asked")?;
        let ours = tidemill(&binary, &folder)?;
        let asked = vendor.count("asked")? - asked_before;
        // Each record once, and once more for each fault: one in a hundred, within a wide margin of chance.
        ensure!(asked >= n && asked <= n + n / 50 + 10, "the vendor was asked {asked} times for {n} records");
        runs[0].push(figures(&ours, n));
        if has_python {
            for (i, (script, input, n)) in
                [("aiohttp_loop.py", "aiohttp.jsonl", n_aiohttp), ("openai_sdk_loop.py", "sdk.jsonl", n_sdk)]
                    .iter()
                    .enumerate()
            {
                let script = root.join("xtask/peers").join(script);
                let script = script.to_string_lossy();
                let in_flight = IN_FLIGHT.to_string();
                let args = [&*script, &vendor.url, input, "peer.jsonl", &in_flight];
                runs[i + 1].push(figures(&measure::run(&folder, &python, &args)?, *n));
            }
        }
        println!("round {} of {rounds}", round + 1);
    }
    measure::print_load();
    println!(
        "\n{n} records of 1 KB, instant vendor in another process, {IN_FLIGHT} in flight, 1 % faults, median (least to greatest):"
    );
    let ours = measure::spread(runs[0].iter().map(|run| run.1).collect()).0;
    for (name, runs) in ["tidemill", "aiohttp loop", "OpenAI SDK loop"].iter().zip(&runs) {
        if runs.is_empty() {
            continue;
        }
        let (rate, slowest, fastest) = measure::spread(runs.iter().map(|run| run.0).collect());
        let (cpu, least, most) = measure::spread(runs.iter().map(|run| run.1).collect());
        let memory = runs.iter().map(|run| run.2).max().unwrap_or(0);
        println!(
            "{name:<16} {rate:>8.0} records/s ({slowest:.0} to {fastest:.0})  {cpu:>7.1} us CPU per record ({least:.1} to {most:.1}), \
             {:.1} x ours, {memory} MB",
            cpu / ours
        );
    }
    Ok(fs::remove_dir_all(folder)?)
}

/// Writes the requests that our pipeline makes, ready to send: the loops need not render.
fn write_requests(path: &Path, n: u64) -> Result<()> {
    let schema = concat!(
        r#"{"type":"object","properties":{"category":{"enum":["technical","business","general"]},"#,
        r#""confidence":{"type":"integer","minimum":0,"maximum":100},"urgent":{"type":"boolean"},"#,
        r#""reason":{"type":"string","maxLength":120}},"required":["category","confidence","urgent","reason"],"#,
        r#""additionalProperties":false}"#
    );
    let mut out = std::io::BufWriter::new(fs::File::create(path)?);
    let text = "the parcel came late and one of the cups was broken, what can you do for me? ".repeat(13);
    for i in 0..n {
        writeln!(
            out,
            r#"{{"model":"m","messages":[{{"role":"user","content":"Label message {i}: {}"}}],"response_format":{{"type":"json_schema","json_schema":{{"name":"answer","strict":true,"schema":{schema}}}}}}}"#,
            &text[..980]
        )?;
    }
    Ok(out.flush()?)
}

/// One whole run: start, journal, ordered output.
pub(super) fn tidemill(binary: &Path, folder: &Path) -> Result<Measured> {
    let state = folder.join(".tidemill");
    if state.exists() {
        fs::remove_dir_all(state)?;
    }
    measure::run(folder, binary, &["run", "pipeline.yaml"])
}

/// Records per second, CPU microseconds per record, memory.
fn figures(measured: &Measured, n: u64) -> (f64, f64, u64) {
    (n as f64 / measured.seconds, measured.cpu / n as f64 * 1e6, measured.anonymous_mb)
}
