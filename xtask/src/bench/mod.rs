//! The benchmarks, each a module of its own.
//!
//! What makes them honest stands in DESIGN 8: a fixed payload, the journal on a real disk, ordered output finished
//! inside the clock, user and system time of all our processes, interleaved rounds with median and spread, the load
//! average printed, the vendor's count checked, and the peer or the floor measured in the same run.

mod everything;
#[cfg(target_os = "linux")]
mod gateway;
mod journal;
mod latency;
mod measure;
mod memory;
mod prompt;
mod start;
mod tables;
mod vendor;

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
const ALL: &[Bench] = &[
    Bench {
        name: "prompt",
        about: "an instant vendor in another process, against two Python loops: [RECORDS] [ROUNDS]",
        run: prompt::run,
    },
    Bench {
        name: "everything",
        about: "the same with everything on, against plain, and against another binary: [RECORDS] [ROUNDS] [BINARY]",
        run: everything::run,
    },
    Bench { name: "latency", about: "50 ms and 100 in flight; 1 s and 4,096 in flight", run: latency::run },
    Bench {
        name: "memory",
        about: "memory at two sizes, and resume of the greater: [SMALL] [GREAT]",
        run: memory::run,
    },
    Bench { name: "journal", about: "the journal alone, against raw append and sync: [RECORDS]", run: journal::run },
    #[cfg(target_os = "linux")]
    Bench {
        name: "gateway",
        about: "directly, through nginx, LiteLLM, ours: [whole|streams|latency|memory|all] [ROUNDS], `install-peers`",
        run: gateway::run,
    },
    Bench {
        name: "tables",
        about: "workbooks, filter, runs in place, databases, against others: [xlsx|csv|filter|databases|all] [ROWS] [ROUNDS], `install-peers`",
        run: tables::run,
    },
    Bench { name: "start", about: "start of the binary, to `--version`", run: start::run },
];

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
