//! Workbooks of six columns: read, written new, and written again with four columns more.

use std::{fs, path::Path};

use anyhow::Result;

use super::{
    Stage,
    contest::{Contest, print_bar, print_memory_bar},
};
use crate::bench::measure;

pub(super) fn run(stage: &Stage) -> Result<()> {
    let n = stage.rows.unwrap_or(1_000_000);
    let folder = measure::folder(&stage.root, "tables/workbooks")?;
    let Some(peer) = &stage.programs.rust else {
        // Without the peer there is none but our own workbook to read.
        measure::run(&folder, &stage.programs.ours, &["new", "inline.xlsx", &n.to_string()])?;
        return rounds(stage, &folder, n, &["inline"]);
    };
    measure::run(&folder, peer, &["new", "inline.xlsx", &n.to_string()])?;
    measure::run(&folder, peer, &["new-shared", "shared.xlsx", &n.to_string()])?;
    rounds(stage, &folder, n, &["inline", "shared"])
}

const OURS: &str = "tidemill";
const CALAMINE: &str = "calamine, cell by cell";
const WRITER: &str = "rust_xlsxwriter, constant memory";

fn rounds(stage: &Stage, folder: &Path, n: u64, texts: &[&str]) -> Result<()> {
    let mut reads: Vec<Contest> = texts.iter().map(|texts| reading(stage, texts, n)).collect();
    let mut writes = writing(stage, n);
    let mut rewrites: Vec<Contest> = texts.iter().map(|texts| rewriting(stage, texts, n)).collect();
    for number in 0..stage.rounds {
        for contest in reads.iter_mut().chain([&mut writes]).chain(&mut rewrites) {
            contest.round(folder, number)?;
        }
        println!("round {} of {}", number + 1, stage.rounds);
    }
    reads.iter().chain([&writes]).chain(&rewrites).for_each(Contest::print);
    for (texts, read) in texts.iter().zip(&reads) {
        let what = format!("read of {texts} texts against calamine");
        print_bar(&what, &read.cpu(OURS), &read.cpu(CALAMINE), 1.15);
        print_memory_bar(&format!("read of {texts} texts"), read.memory(OURS), 60);
    }
    print_bar("write against rust_xlsxwriter", &writes.cpu(OURS), &writes.cpu(WRITER), 0.85);
    print_memory_bar("write", writes.memory(OURS), 50);
    for ((texts, read), rewrite) in texts.iter().zip(&reads).zip(&rewrites) {
        for (who, reader, writer) in
            [("our read and write", OURS, OURS), ("calamine and rust_xlsxwriter", CALAMINE, WRITER)]
        {
            let both = sums(&read.cpu(reader), &writes.cpu(writer));
            print_bar(&format!("rewrite of {texts} texts against {who}"), &rewrite.cpu(OURS), &both, 1.0);
        }
    }
    Ok(fs::remove_dir_all(folder)?)
}

fn sums(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one + other).collect()
}

fn reading(stage: &Stage, texts: &str, n: u64) -> Contest {
    let mut contest = Contest::new(format!("read of a workbook, {n} rows x 6 columns, {texts} texts"));
    let (programs, file) = (&stage.programs, format!("{texts}.xlsx"));
    contest.add(OURS, &programs.ours, &["read", &file], n);
    if let Some(program) = &programs.rust {
        contest.add(CALAMINE, program, &["read", &file], n);
    }
    python(&mut contest, stage, "polars", "polars with fastexcel", &["read-polars", &file], n);
    python(&mut contest, stage, "openpyxl", "openpyxl, read_only", &["read-openpyxl", &file], n);
    contest
}

fn writing(stage: &Stage, n: u64) -> Contest {
    let mut contest = Contest::new(format!("write of a new workbook, {n} rows x 6 columns"));
    let (programs, rows) = (&stage.programs, n.to_string());
    contest.add(OURS, &programs.ours, &["new", "ours.xlsx", &rows], n);
    if let Some(program) = &programs.rust {
        contest.add(WRITER, program, &["new", "theirs.xlsx", &rows], n);
    }
    let name = "XlsxWriter, constant_memory";
    python(&mut contest, stage, "xlsxwriter", name, &["new-xlsxwriter", "python.xlsx", &rows], n);
    let name = "openpyxl, write_only";
    python(&mut contest, stage, "openpyxl", name, &["new-openpyxl", "python.xlsx", &rows], n);
    contest
}

fn rewriting(stage: &Stage, texts: &str, n: u64) -> Contest {
    let mut contest =
        Contest::new(format!("the workbook of {n} rows written again with 4 columns more, {texts} texts"));
    contest.add(OURS, &stage.programs.ours, &["rewrite", &format!("{texts}.xlsx"), "again.xlsx"], n);
    contest
}

/// Adds a peer in Python, unless it is left out. What takes minutes runs once.
fn python(contest: &mut Contest, stage: &Stage, word: &str, name: &'static str, args: &[&str], n: u64) {
    let Some(python) = stage.programs.python.as_ref().filter(|_| !stage.leaves_out(word)) else { return };
    let script = stage.programs.script.to_string_lossy();
    contest.add(name, python, &[&[&*script], args].concat(), n);
    if word == "openpyxl" {
        contest.once();
    }
}
