//! The programs that are measured: ours, and those of the peers, where they are installed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::super::measure;
use crate::shell;

pub(super) struct Programs {
    /// `crates/connect/examples/tables.rs`.
    pub(super) ours: PathBuf,
    /// `crates/connect/examples/databases`: ours, the plain client and the servers.
    pub(super) databases: PathBuf,
    /// `xtask/peers/tables`.
    pub(super) rust: Option<PathBuf>,
    /// The Python of the peers; its script is [`Programs::script`].
    pub(super) python: Option<PathBuf>,
    pub(super) script: PathBuf,
    /// The versions of the peers that are there.
    versions: Vec<String>,
}

impl Programs {
    /// Builds ours, and looks for the others.
    pub(super) fn find(root: &Path) -> Result<Self> {
        let mut build = shell::cargo(root);
        build.args(["build", "--quiet", "--release", "--locked", "-p", "connect"]);
        shell::run(build.args(["--example", "tables", "--example", "databases"]))?;
        let examples = measure::target(root).join("release/examples");
        let (ours, databases) = (examples.join("tables"), examples.join("databases"));
        let script = root.join("xtask/peers/tables/tables.py");
        let rust = Some(peers(root).join("release/tables")).filter(|program| program.exists());
        let python = Some(root.join("target/tools/tables/bin/python3")).filter(|program| program.exists());
        let mut versions = Vec::new();
        if rust.is_some() {
            let lock = std::fs::read_to_string(root.join("xtask/peers/tables/Cargo.lock"))?;
            versions.extend(["calamine", "rust_xlsxwriter"].map(|name| format!("{name} {}", locked(&lock, name))));
        }
        if let Some(python) = &python {
            let said = shell::run_quietly(shell::program(root, python).arg(&script).arg("versions"))?;
            versions.push(said.trim().to_owned());
        }
        Ok(Self { ours, databases, rust, python, script, versions })
    }

    /// Says who is measured.
    pub(super) fn print(&self) {
        println!("peers: {}", self.versions.join(", "));
        let missing = [("those in Rust", self.rust.is_none()), ("those in Python", self.python.is_none())];
        for (which, _) in missing.iter().filter(|(_, is_missing)| *is_missing) {
            println!("left out: {which}, which are not installed; `cargo xtask bench tables install-peers` does that");
        }
    }
}

/// Builds the peers in Rust.
pub(super) fn build_peers(root: &Path) -> Result<()> {
    let manifest = root.join("xtask/peers/tables/Cargo.toml");
    let mut build = shell::cargo(root);
    build.args(["build", "--release", "--locked", "--manifest-path"]).arg(manifest);
    shell::run(build.arg("--target-dir").arg(peers(root))).context("the peers in Rust cannot be built")
}

/// Where they are built.
fn peers(root: &Path) -> PathBuf {
    root.join("target/peers/tables")
}

/// Returns the version of a package in a lock file.
fn locked<'a>(lock: &'a str, name: &str) -> &'a str {
    let behind = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1);
    behind.and_then(|rest| rest.split('"').next()).unwrap_or("of unknown version")
}
