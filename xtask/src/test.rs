//! `cargo xtask test`: everything that is tested, from the fastest to tell to the slowest, ending at the first failure.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    generate, shell, tidy,
    tools::{DENY, NEXTEST, SHEAR, Tools},
};

/// How a step went.
enum Outcome {
    Passed(Duration),
    LeftOut,
}

/// One step: its name and what it does. `false` says that it was left out because its tool is missing.
type Step = (&'static str, fn(&Path, &mut Tools) -> Result<bool>);

/// In this order. Tidy is last because it reads which tests ran.
const STEPS: [Step; 10] = [
    ("fetch", fetch),
    ("format", |root, _| cargo(root, &["fmt", "--all", "--check"])),
    ("clippy", |root, _| {
        cargo(root, &["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    }),
    ("rustdoc", |root, _| {
        let mut command = shell::cargo(root);
        command.args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items", "--locked"]);
        ran(command.env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("tests", tests),
    ("doctests", |root, _| cargo(root, &["test", "--quiet", "--workspace", "--doc", "--locked"])),
    ("edges", |root, tools| {
        let Some(deny) = tools.cargo_tool(&DENY, "the check of edges, licences and sources") else { return Ok(false) };
        let mut command = shell::program(root, deny);
        command.args(["--offline", "--workspace", "--locked", "check", "--hide-inclusion-graph"]);
        // A wrapper that nobody uses yet is a door that is open and not a breach.
        ran(command.args(["--allow", "unused-wrapper", "bans", "licenses", "sources"]))
    }),
    ("unused", |root, tools| {
        let Some(shear) = tools.cargo_tool(&SHEAR, "the check for unused dependencies") else { return Ok(false) };
        ran(shell::program(root, shear).args(["--locked", "--offline", "--deny-warnings"]))
    }),
    ("reference", |root, _| generate::run(root, true).map(|()| true)),
    ("tidy", |root, _| tidy::run(root).map(|()| true)),
];

/// Runs all steps, or those that are named.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    if let Some(name) = names.iter().find(|name| STEPS.iter().all(|(step, _)| step != name)) {
        let known: Vec<&str> = STEPS.iter().map(|(step, _)| *step).collect();
        bail!("no step is called `{name}`; the steps are {}", known.join(", "));
    }
    let started = Instant::now();
    let mut tools = Tools::install(root);
    stop_in_ci(&tools)?;
    let mut outcomes = Vec::new();
    for (name, step) in STEPS {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("== {name}");
        let began = Instant::now();
        match step(root, &mut tools) {
            Ok(true) => outcomes.push((name, Outcome::Passed(began.elapsed()))),
            Ok(false) => outcomes.push((name, Outcome::LeftOut)),
            Err(error) => {
                summary(&outcomes, &tools);
                println!("{name:<10} FAILED after {:.1} s", began.elapsed().as_secs_f64());
                return Err(error);
            }
        }
        stop_in_ci(&tools)?;
    }
    summary(&outcomes, &tools);
    println!("all in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Fails in CI if something could not be had: nobody reads there what was left out.
fn stop_in_ci(tools: &Tools) -> Result<()> {
    let missing: Vec<String> = tools.missing.iter().map(ToString::to_string).collect();
    if shell::is_ci() && !missing.is_empty() {
        bail!("CI must run everything, but\n{}", missing.join("\n"));
    }
    Ok(())
}

fn summary(outcomes: &[(&str, Outcome)], tools: &Tools) {
    println!("== summary");
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed(time) => println!("{name:<10} passed in {:.1} s", time.as_secs_f64()),
            Outcome::LeftOut => println!("{name:<10} LEFT OUT"),
        }
    }
    for missing in &tools.missing {
        println!("{missing}");
    }
}

/// Downloads the crates of all platforms, so that the later steps, which look at the whole tree, need no network.
fn fetch(root: &Path, _: &mut Tools) -> Result<bool> {
    if shell::works(shell::cargo(root).args(["fetch", "--quiet", "--locked", "--offline"])) {
        return Ok(true);
    }
    cargo(root, &["fetch", "--quiet", "--locked"])
}

fn tests(root: &Path, tools: &mut Tools) -> Result<bool> {
    // The report of an earlier run must not vouch for this one.
    let report = root.join(tidy::REPORT);
    if report.exists() {
        fs::remove_file(report)?;
    }
    let Some(nextest) = tools.cargo_tool(&NEXTEST, "all tests") else {
        bail!("no tests without cargo-nextest: {}", tools.missing.last().map(ToString::to_string).unwrap_or_default());
    };
    let arguments = ["nextest", "run", "--workspace", "--locked", "--profile", "ci", "--cargo-quiet"];
    ran(shell::program(root, nextest).args(arguments))
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<bool> {
    ran(shell::cargo(root).args(arguments))
}

fn ran(command: &mut Command) -> Result<bool> {
    shell::run(command).map(|()| true)
}
