//! Programs that do the same, one after the other, round by round.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::super::measure::{self, Measured};

/// A contest: its first program is ours.
pub(super) struct Contest {
    title: String,
    programs: Vec<Contestant>,
}

struct Contestant {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    /// What it must have seen.
    rows: u64,
    /// Slow ones run in the first round only.
    is_once: bool,
    ran: Vec<Measured>,
}

impl Contest {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), programs: Vec::new() }
    }

    /// Adds a program, which prints that it saw `rows` rows.
    pub(super) fn add(&mut self, name: &'static str, program: &Path, args: &[&str], rows: u64) {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let program = program.to_owned();
        self.programs.push(Contestant { name, program, args, rows, is_once: false, ran: Vec::new() });
    }

    /// Lets the program that was added last run in the first round only.
    pub(super) fn once(&mut self) {
        if let Some(last) = self.programs.last_mut() {
            last.is_once = true;
        }
    }

    /// Runs them all once. Nobody is measured who did not see all there is.
    pub(super) fn round(&mut self, folder: &Path, number: usize) -> Result<()> {
        for contestant in self.programs.iter_mut().filter(|one| number == 0 || !one.is_once) {
            let args: Vec<&str> = contestant.args.iter().map(String::as_str).collect();
            let measured = measure::run(folder, &contestant.program, &args)?;
            let (said, rows) = (measured.stdout.trim(), contestant.rows);
            ensure!(said == format!("{rows} rows"), "{} saw `{said}` where there are {rows} rows", contestant.name);
            contestant.ran.push(measured);
        }
        Ok(())
    }

    /// Returns the seconds of CPU that a program took, round by round; nothing where it did not take part.
    pub(super) fn cpu(&self, name: &str) -> Vec<f64> {
        let ran = self.programs.iter().filter(|one| one.name == name).flat_map(|one| &one.ran);
        ran.map(|measured| measured.cpu).collect()
    }

    /// Returns the most memory that a program took in any round, in MB.
    pub(super) fn memory(&self, name: &str) -> u64 {
        let ran = self.programs.iter().filter(|one| one.name == name).flat_map(|one| &one.ran);
        ran.map(|measured| measured.anonymous_mb).max().unwrap_or(0)
    }

    /// Prints what each took: the median of the rounds, with the least and the greatest.
    pub(super) fn print(&self) {
        println!("\n### {}\n", self.title);
        println!("| | CPU s | of ours | wall s | most memory, MB |\n| --- | --- | --- | --- | --- |");
        let Some(ours) = self.programs.first().map(|ours| self.cpu(ours.name)) else { return };
        for Contestant { name, ran, .. } in self.programs.iter().filter(|one| !one.ran.is_empty()) {
            let (cpu, least, most) = measure::spread(ran.iter().map(|measured| measured.cpu).collect());
            let wall = measure::spread(ran.iter().map(|measured| measured.seconds).collect()).0;
            let memory = self.memory(name);
            let times = ratio(&self.cpu(name), &ours);
            let rounds = if ran.len() < ours.len() { ", once" } else { "" };
            println!("| {name}{rounds} | {cpu:.2} ({least:.2} to {most:.2}) | {times:.2} x | {wall:.2} | {memory} |");
        }
        println!();
    }
}

/// Returns the median of what each round says.
pub(super) fn ratio(one: &[f64], other: &[f64]) -> f64 {
    measure::spread(one.iter().zip(other).map(|(one, other)| one / other).collect()).0
}

/// Prints a ratio that is to stay below a bar; nothing where one of the two did not take part.
pub(super) fn print_bar(what: &str, one: &[f64], other: &[f64], bar: f64) {
    if !one.is_empty() && !other.is_empty() {
        let found = ratio(one, other);
        let word = if found <= bar { "held" } else { "MISSED" };
        println!("{what}: {found:.2} x the CPU, to be at most {bar:.2} x: {word}");
    }
}

/// Prints whether memory stayed below a bar.
pub(super) fn print_memory_bar(what: &str, found: u64, bar: u64) {
    let word = if found < bar { "held" } else { "MISSED" };
    println!("{what}: {found} MB, to be below {bar} MB: {word}");
}
