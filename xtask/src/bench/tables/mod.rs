//! Tables in files: workbooks beside the libraries that people read and write them with, the filter of unprocessed rows
//! beside polars, and whole runs that put answers into the table they are about. Tables of databases, beside a client that
//! issues the same statements and no more.
//!
//! Each figure is of a process of its own, its start included: CPU is user and system time of all its threads, memory is the
//! most that was not the page cache. Ratios are taken within a round, because what else runs on the machine changes from
//! round to round.

mod contest;
mod databases;
mod filter;
mod programs;
mod rows;
mod runs;
mod workbooks;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::programs::Programs;
use super::measure;
use crate::tools;

/// What all parts need.
struct Stage {
    root: PathBuf,
    programs: Programs,
    /// The rows of each table; each part has its own number unless given.
    rows: Option<u64>,
    rounds: usize,
    without: Vec<String>,
    /// Our binary; built where none is given.
    binary: Option<PathBuf>,
}

impl Stage {
    fn leaves_out(&self, name: &str) -> bool {
        self.without.iter().any(|without| without == name)
    }

    fn binary(&self) -> Result<PathBuf> {
        self.binary.clone().map_or_else(|| measure::binary(&self.root), Ok)
    }
}

/// Measures one thing and prints it.
type Part = fn(&Stage) -> Result<()>;

/// All of them, with the word on the command line that asks for it, and the word that leaves it out.
const PARTS: [(&str, &str, Part); 5] = [
    ("xlsx", "workbooks", workbooks::run),
    ("filter", "filter", filter::run),
    ("csv", "runs", runs::csv),
    ("xlsx", "runs", runs::xlsx),
    ("databases", "databases", databases::run),
];

const USAGE: &str = "[xlsx|csv|filter|databases|all] [ROWS] [ROUNDS] [--without \
                     workbooks,runs,databases,mariadb,postgres,sqlite,openpyxl,polars,xlsxwriter] [--binary FILE], or `install-peers`";

pub(super) fn run(root: &Path, rest: &[String]) -> Result<()> {
    if rest.first().is_some_and(|first| first == "install-peers") {
        programs::build_peers(root)?;
        tools::install_tables(root)?;
        println!("the peers are in target/peers/tables and target/tools/tables");
        return Ok(());
    }
    let (which, stage) = read(root, rest)?;
    stage.programs.print();
    measure::print_load();
    for (word, name, part) in &PARTS {
        if (which == "all" || which == *word) && !stage.leaves_out(name) {
            part(&stage)?;
            measure::print_load();
        }
    }
    Ok(())
}

fn read(root: &Path, rest: &[String]) -> Result<(String, Stage)> {
    let (mut which, mut numbers) = ("all".to_owned(), Vec::new());
    let (mut without, mut binary) = (Vec::new(), None);
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("`{word}` needs a value; {USAGE}"));
        match word.as_str() {
            "--without" => without = value()?.split(',').map(str::to_owned).collect(),
            "--binary" => binary = Some(std::path::absolute(value()?)?),
            "xlsx" | "csv" | "filter" | "databases" | "all" => which.clone_from(word),
            number => {
                let number = number.parse::<u64>().ok().filter(|n| *n > 0 && numbers.len() < 2);
                numbers.push(number.with_context(|| format!("`{word}` is not understood; {USAGE}"))?);
            }
        }
    }
    let rounds = numbers.get(1).map_or(5, |n| *n as usize);
    let programs = Programs::find(root)?;
    Ok((which, Stage { root: root.to_owned(), programs, rows: numbers.first().copied(), rounds, without, binary }))
}
