//! The same run with everything on that costs something per record, against the plain one; and against another binary.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use super::{
    measure, prompt,
    vendor::{self, Vendor},
};

const SCRIPT: &str = "counting: totals\nfaults:\n  - { kind: unavailable, rate: 0.01, asks: 1 }\n";
const IN_FLIGHT: usize = 64;

pub(super) fn run(root: &Path, rest: &[String]) -> Result<()> {
    let n: u64 = rest.first().map_or(Ok(200_000), |n| n.parse())?;
    let rounds: usize = rest.get(1).map_or(Ok(5), |n| n.parse())?;
    let other = rest.get(2).map(PathBuf::from);
    let binary = measure::binary(root)?;
    let plain = measure::folder(root, "everything/plain")?;
    let full = measure::folder(root, "everything/full")?;
    let vendor = Vendor::start(&binary, &plain, SCRIPT)?;
    for folder in [&plain, &full] {
        vendor::write_pipeline(folder, &vendor.url, IN_FLIGHT, n, 980)?;
    }
    fs::write(full.join("pipeline.yaml"), include_str!("everything.yaml"))?;
    let models = fs::read_to_string(full.join("models.yaml"))?;
    let priced = models.replace(" }\n", ", price: { prompt: 0.15, completion: 0.6, currency: USD } }\n");
    // The channel's line ends alike: only the model has a price.
    let priced = priced.replacen(", price: { prompt: 0.15, completion: 0.6, currency: USD } }\n", " }\n", 1);
    fs::write(full.join("models.yaml"), priced)?;
    measure::print_load();
    let mut ran: Vec<(&str, Vec<f64>, Vec<f64>)> = Vec::new();
    for round in 0..rounds {
        let mut add = |name: &'static str, binary: &Path, folder: &Path| -> Result<()> {
            let before = vendor.count("asked")?;
            let measured = prompt::tidemill(binary, folder)?;
            let asked = vendor.count("asked")? - before;
            ensure!(asked >= n && asked <= n + n / 50 + 10, "the vendor was asked {asked} times for {n} records");
            let at = match ran.iter().position(|(known, ..)| *known == name) {
                Some(at) => at,
                None => {
                    ran.push((name, Vec::new(), Vec::new()));
                    ran.len() - 1
                }
            };
            ran[at].1.push(measured.cpu / n as f64 * 1e6);
            ran[at].2.push(n as f64 / measured.seconds);
            Ok(())
        };
        if let Some(other) = &other {
            add("the other binary, plain", other, &plain)?;
        }
        add("plain", &binary, &plain)?;
        add("everything on", &binary, &full)?;
        println!("round {} of {rounds}", round + 1);
    }
    measure::print_load();
    println!(
        "\n{n} records of 1 KB, instant vendor in another process, {IN_FLIGHT} in flight, 1 % faults, median (least to greatest):"
    );
    let first = measure::spread(ran[0].1.clone()).0;
    for (name, cpu, rates) in ran {
        let (rate, ..) = measure::spread(rates);
        let (cpu, least, most) = measure::spread(cpu);
        println!(
            "{name:<24} {rate:>8.0} records/s  {cpu:>6.1} us CPU per record ({least:.1} to {most:.1}), {:.2} x the first",
            cpu / first
        );
    }
    fs::remove_dir_all(plain)?;
    Ok(fs::remove_dir_all(full)?)
}
