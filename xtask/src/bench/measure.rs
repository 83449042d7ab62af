//! Running a program and weighing it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// What a program took.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Seconds on the wall.
    pub(super) seconds: f64,
    /// User and system seconds of the program and what it waited for.
    pub(super) cpu: f64,
    /// The greatest anonymous memory seen, in MB, looked at every 20 ms. Page cache and mapped files do not count.
    pub(super) anonymous_mb: u64,
    pub(super) stdout: String,
}

/// Builds the release binary and returns its path.
pub(super) fn binary(root: &Path) -> Result<PathBuf> {
    let built = Command::new("cargo").current_dir(root).args(["build", "--release", "--locked"]).status()?;
    if !built.success() {
        bail!("the release build failed");
    }
    Ok(target(root).join("release/tidemill"))
}

/// Returns the folder that cargo builds into.
pub(super) fn target(root: &Path) -> PathBuf {
    std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root.join("target"), PathBuf::from)
}

/// Makes an empty folder for a benchmark, on the disk that the repository is on.
pub(super) fn folder(root: &Path, name: &str) -> Result<PathBuf> {
    let folder = root.join("target/bench").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Runs a program to its end. It must succeed.
pub(super) fn run(folder: &Path, program: &Path, args: &[&str]) -> Result<Measured> {
    // The shell's own `time` is everywhere and counts what the program and its children took.
    let script = r#"TIMEFORMAT="measured %R %U %S"; time "$@""#;
    let child = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{}` cannot be started", program.display()))?;
    let (shell, is_over, peak) = (child.id(), AtomicBool::new(false), AtomicU64::new(0));
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                peak.fetch_max(anonymous_of_children(shell), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let output = child.wait_with_output();
        is_over.store(true, Ordering::Relaxed);
        output
    })?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("`{} {}` failed: {stderr}", program.display(), args.join(" "));
    }
    let times =
        stderr.lines().rev().find_map(|line| line.strip_prefix("measured ")).context("the shell told no times")?;
    let times: Vec<f64> = times.split(' ').filter_map(|time| time.parse().ok()).collect();
    let [seconds, user, system] = times[..] else { bail!("the shell told odd times") };
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Measured { seconds, cpu: user + system, anonymous_mb: peak.into_inner() / 1000, stdout })
}

/// Anonymous memory of a process's children, in kB.
fn anonymous_of_children(pid: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let of = |child: &str| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let kb = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        kb.and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
    };
    children.split_whitespace().map(of).sum()
}

/// Median, least and greatest of some figures.
pub(super) fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let median = figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN);
    (median, figures.first().copied().unwrap_or(f64::NAN), figures.last().copied().unwrap_or(f64::NAN))
}

/// Prints the machine's load: a figure without it says little.
pub(super) fn print_load() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("load average {} on {cores} cores", load.join(" "));
}
