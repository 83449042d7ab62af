//! The rows that lack an answer: ours reads every row and looks into it, polars reads the file and filters.

use std::fs;

use anyhow::Result;

use super::{Stage, contest::Contest, rows};
use crate::bench::measure;

pub(super) fn run(stage: &Stage) -> Result<()> {
    let n = stage.rows.unwrap_or(1_000_000);
    let folder = measure::folder(&stage.root, "tables/filter")?;
    rows::write(&folder.join("half.csv"), n, |row| row % 2 == 0)?;
    let pending = n - n / 2;
    let mut contest = Contest::new(format!("the unprocessed half of {n} rows of a CSV file"));
    contest.add("tidemill", &stage.programs.ours, &["pending", "half.csv", rows::ANSWER], pending);
    if let Some(python) = stage.programs.python.as_ref().filter(|_| !stage.leaves_out("polars")) {
        let script = stage.programs.script.to_string_lossy();
        contest.add("polars", python, &[&script, "pending-polars", "half.csv", rows::ANSWER], pending);
    }
    for number in 0..stage.rounds {
        contest.round(&folder, number)?;
    }
    contest.print();
    Ok(fs::remove_dir_all(folder)?)
}
