//! Tables of databases: taken by the key and written back in place, beside a client that issues the same statements and no
//! more, and beside what most people would write. The servers are real ones, started here.
//!
//! What is measured is the wall, the server's part included; the CPU is that of the client alone.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{
    Stage,
    contest::{Contest, ratio},
};
use crate::{bench::measure, shell};

const OURS: &str = "tidemill";
const PLAIN: &str = "plain client, the same statements";
const EACH: &str = "plain client, one unguarded UPDATE a row";

/// What ours is to reach of the plain client's rows a second.
const BAR: f64 = 0.8;

/// A database, and the kinds of key that its tables are measured with: `MariaDB` has another statement for each.
const DATABASES: [(&str, &[&str]); 3] =
    [("mariadb", &["integer", "text"]), ("postgres", &["integer"]), ("sqlite", &["integer"])];

pub(super) fn run(stage: &Stage) -> Result<()> {
    let n = stage.rows.unwrap_or(200_000);
    for (which, keys) in DATABASES.iter().filter(|(which, _)| !stage.leaves_out(which)) {
        let folder = measure::folder(&stage.root, "tables/databases")?;
        let (program, server) = (&stage.programs.databases, Server::start(&stage.programs.databases, which)?);
        let Some(server) = server else {
            println!("left out: `{which}` is not installed");
            continue;
        };
        let version =
            shell::run_quietly(Command::new(program).args(["version", &server.address]).current_dir(&folder))?;
        for key in *keys {
            measure::run(&folder, program, &["fill", &server.address, &n.to_string(), key])?;
            contests(stage, &folder, &server.address, n, &format!("{}, {key} key", version.trim()))?;
        }
        drop(server);
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// Lets each read, and each write what ours took.
fn contests(stage: &Stage, folder: &Path, address: &str, n: u64, what: &str) -> Result<()> {
    let program = &stage.programs.databases;
    let (reset, check) = (["reset", address], ["check", address]);
    let mut reads = Contest::new(format!("{what}: {n} rows read"));
    reads.add(OURS, program, &["read", address], n);
    reads.around(&reset, &[]);
    reads.add(PLAIN, program, &["plain-read", address], n);
    let mut writes = Contest::new(format!("{what}: two answers written into each of {n} rows"));
    for (name, command) in [(OURS, "write"), (PLAIN, "plain-write"), (EACH, "plain-each")] {
        writes.add(name, program, &[command, address], n);
        writes.around(&reset, &check);
    }
    for number in 0..stage.rounds {
        reads.round(folder, number)?;
        writes.round(folder, number)?;
        println!("round {} of {}", number + 1, stage.rounds);
    }
    reads.print();
    writes.print();
    let sums = |name| -> Vec<f64> { reads.wall(name).iter().zip(writes.wall(name)).map(|(r, w)| r + w).collect() };
    print_bar(what, "read", n, &reads.wall(OURS), &reads.wall(PLAIN));
    print_bar(what, "written back", n, &writes.wall(OURS), &writes.wall(PLAIN));
    print_bar(what, "read and written back", n, &sums(OURS), &sums(PLAIN));
    Ok(())
}

/// Prints what ours reaches of the plain client's rows a second.
fn print_bar(what: &str, done: &str, n: u64, ours: &[f64], plain: &[f64]) {
    let (rate, least, most) = measure::spread(ours.iter().map(|seconds| n as f64 / seconds).collect());
    let found = ratio(plain, ours);
    let word = if found >= BAR { "held" } else { "MISSED" };
    println!(
        "{what}, {done}: {rate:.0} rows/s ({least:.0} to {most:.0}), {found:.2} x the plain client's, to be at least {BAR:.2} x: \
         {word}"
    );
}

/// A server that is gone when this is.
struct Server {
    address: String,
    child: Option<Child>,
}

impl Server {
    /// Starts a server; nothing where it is not installed.
    fn start(program: &Path, which: &str) -> Result<Option<Self>> {
        if which == "sqlite" {
            return Ok(Some(Self { address: "sqlite:t.db".to_owned(), child: None }));
        }
        let mut command = Command::new(program);
        let mut child = command.args(["serve", which]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().context("it is piped")?).read_line(&mut address)?;
        if address.is_empty() {
            child.wait()?;
            return Ok(None);
        }
        ensure!(address.contains("://"), "`{address}` is no address of a server");
        Ok(Some(Self { address: address.trim().to_owned(), child: Some(child) }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The end of its input is the end of it.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}
