//! How long the binary takes to start.

use std::path::Path;

use anyhow::Result;

use super::measure;

pub(super) fn run(root: &Path, _rest: &[String]) -> Result<()> {
    let binary = measure::binary(root)?;
    measure::print_load();
    let runs = (0..21).map(|_| measure::run(root, &binary, &["--version"])).collect::<Result<Vec<_>>>()?;
    let (median, least, most) = measure::spread(runs.iter().map(|run| run.seconds * 1000.0).collect());
    println!("{}: {median:.0} ms ({least:.0} to {most:.0})", runs[0].stdout.trim());
    let bytes = std::fs::metadata(&binary)?.len();
    println!("the binary has {:.1} MB", bytes as f64 / 1e6);
    Ok(())
}
