//! Whole runs: the real binary puts answers into the table they are about, the vendor takes 50 ms and is another process.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Stage, rows};
use crate::bench::{
    latency,
    measure::{self, Measured},
    prompt,
    vendor::Vendor,
};

const IN_FLIGHT: usize = 200;
const LATENCY: &str = "50ms";
/// What 200 in flight of 50 ms each come to in a second.
const IDEAL: f64 = 4000.0;
/// A pause that no save keeps: they are made as often as their bound allows.
const SAVE_EVERY: &str = "1s";

/// One run.
struct Ran {
    measured: Measured,
    /// Seconds until the flow was full.
    ramp: f64,
    /// Records a second from then on until nothing was left to start.
    steady: f64,
    saves: Saves,
}

/// The saves of a run while it asked, as another process sees them.
#[derive(Default)]
struct Saves {
    n: u32,
    /// The seconds in which one was being written.
    seconds: f64,
    /// The seconds that were looked at.
    of: f64,
}

pub(super) fn csv(stage: &Stage) -> Result<()> {
    run(stage, "csv", "csv")
}

pub(super) fn xlsx(stage: &Stage) -> Result<()> {
    run(stage, "excel", "xlsx")
}

fn run(stage: &Stage, format: &str, ending: &str) -> Result<()> {
    let n = stage.rows.unwrap_or(400_000);
    let (binary, folder) = (stage.binary()?, measure::folder(&stage.root, "tables/runs")?);
    let original = folder.join(format!("original.{ending}"));
    rows::write(&folder.join("original.csv"), n, |_| false)?;
    if ending != "csv" {
        measure::run(&folder, &binary, &["data", "convert", "original.csv", &format!("original.{ending}")])?;
    }
    let floor = latency::floor(&stage.root, LATENCY, IN_FLIGHT)?;
    let (mut plain, mut saving) = (Vec::new(), Vec::new());
    for number in 0..stage.rounds {
        for (ran, saves) in [(&mut plain, String::new()), (&mut saving, format!(", save_every: {SAVE_EVERY}"))] {
            let text = include_str!("pipeline.yaml").replace("FORMAT", format).replace("ENDING", ending);
            fs::write(folder.join("pipeline.yaml"), text.replace("SAVES", &saves))?;
            fs::copy(&original, folder.join(format!("table.{ending}")))?;
            ran.push(once(&binary, &folder, ending, n)?);
        }
        println!("round {} of {}", number + 1, stage.rounds);
    }
    println!(
        "\n### {n} rows of table.{ending}, answers in place, {LATENCY}, {IN_FLIGHT} in flight, ideal {IDEAL:.0}/s\n"
    );
    println!("a bare client that only sends and reads gets {floor:.0}/s here ({:.1} %)\n", floor * 100.0 / IDEAL);
    println!("| | steady /s | of the ideal | whole /s | of the ideal | us CPU per record | most memory, MB |");
    println!("|{}", " --- |".repeat(7));
    print("no saves", &plain, n);
    print("`save_every`", &saving, n);
    let share = |ran: &Ran| ran.saves.seconds * 100.0 / ran.saves.of;
    let (median, least, most) = measure::spread(saving.iter().map(share).collect());
    let counts: Vec<String> = saving.iter().map(|ran| ran.saves.n.to_string()).collect();
    println!(
        "\nsaves: {} in each run; one was being written in {median:.1} % of its time ({least:.1} to {most:.1}), to be at most 5 %",
        counts.join(", ")
    );
    Ok(fs::remove_dir_all(folder)?)
}

/// Prints the median of some runs, with the least and the greatest.
fn print(name: &str, ran: &[Ran], n: u64) {
    let of = |figure: &dyn Fn(&Ran) -> f64| measure::spread(ran.iter().map(figure).collect());
    let share = |rate: f64| rate * 100.0 / IDEAL;
    let (steady, least, most) = of(&|ran| ran.steady);
    let (whole, slowest, fastest) = of(&|ran| n as f64 / ran.measured.seconds);
    let cpu = of(&|ran| ran.measured.cpu / n as f64 * 1e6).0;
    let (ramp, memory) = (of(&|ran| ran.ramp).0, ran.iter().map(|ran| ran.measured.anonymous_mb).max().unwrap_or(0));
    println!(
        "| {name} | {steady:.0} ({least:.0} to {most:.0}), full after {ramp:.2} s | {:.1} % | {whole:.0} ({slowest:.0} to {fastest:.0}) \
         | {:.1} % | {cpu:.1} | {memory} |",
        share(steady),
        share(whole),
    );
}

fn once(binary: &Path, folder: &Path, ending: &str, n: u64) -> Result<Ran> {
    // How full the flow ever was is counted by the vendor over its life.
    let vendor = Vendor::start(binary, folder, &format!("counting: totals\nlatency: {{ fixed: {LATENCY} }}\n"))?;
    let model = format!("{{ name: m, channel: v, max_in_flight: {IN_FLIGHT} }}");
    let models = format!("channels: {{ v: {{ url: \"{}\" }} }}\nmodels: [{model}]\n", vendor.url);
    fs::write(folder.join("models.yaml"), models)?;
    let is_over = AtomicBool::new(false);
    let (measured, watched, saves) = std::thread::scope(|scope| {
        let running = scope.spawn(|| prompt::tidemill(binary, folder));
        let saves = scope.spawn(|| watch_saves(folder, ending, &is_over));
        let watched = latency::watch(&vendor, IN_FLIGHT as u64, n);
        // What is written behind the last answer is the output itself.
        is_over.store(true, Ordering::Relaxed);
        (running.join(), watched, saves.join())
    });
    let panicked = |_| anyhow::anyhow!("a thread panicked");
    let (measured, saves) = (measured.map_err(panicked)??, saves.map_err(panicked)?);
    let asked = vendor.count("asked")?;
    ensure!(asked == n, "the vendor was asked {asked} times for {n} records");
    let (ramp, steady) = watched.context("the flow cannot be watched; too few rows for it to be full?")?;
    Ok(Ran { measured, ramp, steady, saves })
}

/// Looks for the file that a save is written to, as long as records are asked for.
fn watch_saves(folder: &Path, ending: &str, is_over: &AtomicBool) -> Saves {
    const PAUSE: Duration = Duration::from_millis(5);
    let (mut saves, begun, mut since) = (Saves::default(), Instant::now(), None::<Instant>);
    while !is_over.load(Ordering::Relaxed) {
        match (is_saving(folder, ending), since) {
            (true, None) => {
                saves.n += 1;
                since = Some(Instant::now());
            }
            (false, Some(begun)) => {
                saves.seconds += begun.elapsed().as_secs_f64();
                since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
        std::thread::sleep(PAUSE);
    }
    saves.of = begun.elapsed().as_secs_f64();
    saves
}

/// Returns whether the table is on its way into its place.
fn is_saving(folder: &Path, ending: &str) -> bool {
    let begins = format!(".table.{ending}.");
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with(&begins))
}
