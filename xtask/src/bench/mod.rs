//! The benchmarks, each a module of its own.

use std::path::Path;

use anyhow::{Context, Result};

/// A benchmark.
struct Bench {
    /// How it is called.
    name: &'static str,
    /// What it measures, in a line.
    about: &'static str,
    /// Runs it from the root of the repository, with the rest of the command line.
    run: fn(&Path, &[String]) -> Result<()>,
}

/// All of them, in the order of DESIGN 8.
const ALL: &[Bench] = &[];

/// Runs the benchmark called `name`, or lists them.
pub(crate) fn run(root: &Path, name: Option<&str>, rest: &[String]) -> Result<()> {
    let Some(name) = name else {
        for bench in ALL {
            println!("{:<16} {}", bench.name, bench.about);
        }
        return Ok(());
    };
    let bench = ALL.iter().find(|bench| bench.name == name);
    let bench = bench.with_context(|| format!("no benchmark is called `{name}`; `cargo xtask bench` lists them"))?;
    (bench.run)(root, rest)
}
