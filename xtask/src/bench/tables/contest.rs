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
    /// Arguments with which our program is run before each turn, unmeasured: it puts things back to what they were.
    before: Vec<String>,
    /// The same behind each turn: it counts what is done.
    behind: Vec<String>,
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
        self.programs.push(Contestant {
            name,
            program,
            args,
            rows,
            is_once: false,
            before: Vec::new(),
            behind: Vec::new(),
            ran: Vec::new(),
        });
    }

    /// Lets the program that was added last run in the first round only.
    pub(super) fn once(&mut self) {
        if let Some(last) = self.programs.last_mut() {
            last.is_once = true;
        }
    }

    /// Has our program run with these arguments before each turn of the program that was added last, and with those behind
    /// it, where they print how many rows the turn was good for.
    pub(super) fn around(&mut self, before: &[&str], behind: &[&str]) {
        if let Some(last) = self.programs.last_mut() {
            [last.before, last.behind] =
                [before, behind].map(|args| args.iter().map(|arg| (*arg).to_owned()).collect());
        }
    }

    /// Runs them all once. Nobody is measured who did not see all there is.
    pub(super) fn round(&mut self, folder: &Path, number: usize) -> Result<()> {
        let ours = self.programs.first().map(|ours| ours.program.clone()).unwrap_or_default();
        for contestant in self.programs.iter_mut().filter(|one| number == 0 || !one.is_once) {
            let run = |program: &Path, args: &[String]| -> Result<Measured> {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let measured = measure::run(folder, program, &args)?;
                let (said, rows) = (measured.stdout.trim(), contestant.rows);
                let name = contestant.name;
                ensure!(said == format!("{rows} rows"), "{name}: {args:?} saw `{said}` where there are {rows} rows");
                Ok(measured)
            };
            if !contestant.before.is_empty() {
                run(&ours, &contestant.before)?;
            }
            let measured = run(&contestant.program, &contestant.args)?;
            if !contestant.behind.is_empty() {
                run(&ours, &contestant.behind)?;
            }
            contestant.ran.push(measured);
        }
        Ok(())
    }

    /// Returns the seconds of CPU that a program took, round by round; nothing where it did not take part.
    pub(super) fn cpu(&self, name: &str) -> Vec<f64> {
        let ran = self.programs.iter().filter(|one| one.name == name).flat_map(|one| &one.ran);
        ran.map(|measured| measured.cpu).collect()
    }

    /// Returns the seconds on the wall that a program took, round by round.
    pub(super) fn wall(&self, name: &str) -> Vec<f64> {
        let ran = self.programs.iter().filter(|one| one.name == name).flat_map(|one| &one.ran);
        ran.map(|measured| measured.seconds).collect()
    }

    /// Returns the most memory that a program took in any round, in MB.
    pub(super) fn memory(&self, name: &str) -> u64 {
        let ran = self.programs.iter().filter(|one| one.name == name).flat_map(|one| &one.ran);
        ran.map(|measured| measured.anonymous_mb).max().unwrap_or(0)
    }

    /// Prints what each took: the median of the rounds, with the least and the greatest.
    pub(super) fn print(&self) {
        println!("\n### {}\n", self.title);
        println!("| | CPU s | of ours | wall s | rows/s | most memory, MB |\n|{}", " --- |".repeat(6));
        let Some(ours) = self.programs.first().map(|ours| self.cpu(ours.name)) else { return };
        for Contestant { name, ran, rows, .. } in self.programs.iter().filter(|one| !one.ran.is_empty()) {
            let (cpu, least, most) = measure::spread(ran.iter().map(|measured| measured.cpu).collect());
            let wall = measure::spread(self.wall(name)).0;
            let (memory, rate) = (self.memory(name), *rows as f64 / wall);
            let times = ratio(&self.cpu(name), &ours);
            let rounds = if ran.len() < ours.len() { ", once" } else { "" };
            println!(
                "| {name}{rounds} | {cpu:.2} ({least:.2} to {most:.2}) | {times:.2} x | {wall:.2} | {rate:.0} | {memory} |"
            );
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
