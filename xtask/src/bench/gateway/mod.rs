//! Gateways between the load and a vendor that costs next to nothing: none, a bare relay, nginx, `LiteLLM` and ours,
//! interleaved.
//!
//! The steady figure is CPU per request of all processes of a gateway. Rates and latencies are those of this machine, on
//! which load, gateway and vendor share the cores.

mod bodies;
mod figures;
mod latency;
mod loaded;
mod memory;
mod peers;
mod processes;
mod streams;
mod whole;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::measure;
use crate::{shell, tools};

/// What the command line says.
struct Options {
    which: String,
    rounds: usize,
    /// Seconds of each measurement.
    seconds: f64,
    without: Vec<String>,
    /// Our binary; built where none is given.
    binary: Option<PathBuf>,
}

/// What all parts need.
struct Stage {
    root: PathBuf,
    /// The release build of this program, which holds load and vendor.
    xtask: PathBuf,
    /// Our gateway, unless it is left out.
    tidemill: Option<PathBuf>,
    rounds: usize,
    seconds: f64,
    without: Vec<String>,
}

/// Measures one thing and prints it.
type Part = fn(&Stage) -> Result<()>;

/// All of them, by their names on the command line.
const PARTS: [(&str, Part); 4] =
    [("whole", whole::run), ("streams", streams::run), ("latency", latency::run), ("memory", memory::run)];

const USAGE: &str = "[whole|streams|latency|memory|all] [ROUNDS] [--seconds N] [--without relay,nginx,litellm,tidemill] \
                     [--binary FILE], or `install-peers`";

pub(super) fn run(root: &Path, rest: &[String]) -> Result<()> {
    if rest.first().is_some_and(|first| first == "install-peers") {
        tools::install_litellm(root)?;
        println!("LiteLLM is in target/tools/litellm; nginx comes from the system: `apt-get install nginx-light`");
        return Ok(());
    }
    let options = Options::read(rest)?;
    let files = crate::load::raise_open_files();
    if files < 12_000 && matches!(options.which.as_str(), "memory" | "all") {
        bail!("10,000 connections need 12,000 open files and this shell may have {files}; try `ulimit -Hn 20000`");
    }
    let stage = Stage::set(root, options.without, options.binary, options.rounds, options.seconds)?;
    measure::print_load();
    println!("open files: {files}; load and vendor: `xtask bench-load` and `bench-vendor`, a thread each\n");
    for (name, part) in &PARTS {
        if options.which == "all" || options.which == *name {
            part(&stage)?;
            measure::print_load();
            println!();
        }
    }
    Ok(())
}

impl Options {
    fn read(rest: &[String]) -> Result<Self> {
        let mut options = Self { which: "all".to_owned(), rounds: 5, seconds: 3.0, without: Vec::new(), binary: None };
        let mut words = rest.iter();
        let mut plain = 0;
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("`{word}` needs a value; {USAGE}"));
            match word.as_str() {
                "--seconds" => options.seconds = value()?.parse()?,
                "--without" => options.without = value()?.split(',').map(str::to_owned).collect(),
                "--binary" => options.binary = Some(std::path::absolute(value()?)?),
                "whole" | "streams" | "latency" | "memory" | "all" if plain == 0 => options.which.clone_from(word),
                word => {
                    let rounds = word.parse().ok().filter(|rounds| *rounds > 0);
                    options.rounds = rounds.with_context(|| format!("`{word}` is not understood; {USAGE}"))?;
                }
            }
            plain += 1;
        }
        Ok(options)
    }
}

impl Stage {
    fn set(root: &Path, without: Vec<String>, binary: Option<PathBuf>, rounds: usize, seconds: f64) -> Result<Self> {
        let xtask = if cfg!(debug_assertions) {
            shell::run(shell::cargo(root).args(["build", "--quiet", "--release", "--locked", "--package", "xtask"]))?;
            measure::target(root).join("release/xtask")
        } else {
            std::env::current_exe()?
        };
        let tidemill = match binary {
            _ if without.iter().any(|name| name == "tidemill") => None,
            Some(binary) => Some(binary),
            None => Some(measure::binary(root)?),
        };
        Ok(Self { root: root.to_owned(), xtask, tidemill, rounds, seconds, without })
    }
}
