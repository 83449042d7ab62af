//! The journal alone; the program is `crates/store/examples/journal.rs`.

use std::path::Path;

use anyhow::{Context, Result};

use super::measure;

pub(super) fn run(root: &Path, rest: &[String]) -> Result<()> {
    let n = rest.first().map_or("1000000", String::as_str);
    let folder = measure::folder(root, "journal")?;
    measure::print_load();
    let folder = folder.to_str().context("the folder's name is text")?.to_owned();
    let args = ["run", "--release", "--locked", "-q", "-p", "store", "--example", "journal", "--", n, &folder];
    let measured = measure::run(root, Path::new("cargo"), &args)?;
    print!("{}", measured.stdout);
    measure::print_load();
    Ok(())
}
