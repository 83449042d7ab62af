//! What a gateway's processes took, all of them together, as the kernel tells it.

use std::{
    collections::HashMap,
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

/// The kernel tells times in hundredths of a second, whatever its own clock is.
const TICKS: f64 = 100.0;

/// Returns a process and all that it started.
fn family(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = stat(pid).and_then(|stat| stat.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(pid) = family.get(at) {
        family.extend(children.remove(pid).unwrap_or_default());
        at += 1;
    }
    family
}

/// Returns the fields of `/proc/PID/stat` behind the name, which may hold blanks and brackets.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// Returns the seconds of user and system time that a process and all that it started have taken.
pub(super) fn cpu(root: u32) -> f64 {
    let of = |pid| {
        let stat = stat(pid)?;
        // The fields 14 and 15 of proc(5), of which two are before the name's end.
        Some(stat.get(11)?.parse::<f64>().ok()? + stat.get(12)?.parse::<f64>().ok()?)
    };
    family(root).into_iter().filter_map(of).sum::<f64>() / TICKS
}

/// Returns the resident memory of a process and all that it started, in MB (10^6 bytes). What they share counts for each.
pub(super) fn resident(root: u32) -> f64 {
    resident_of(&family(root))
}

fn resident_of(pids: &[u32]) -> f64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kb = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        kb.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    pids.iter().filter_map(of).sum::<f64>() * 1024.0 / 1e6
}

/// Does something and returns the greatest resident memory meanwhile, looked at every 10 ms.
pub(super) fn peak_while<T>(root: u32, act: impl FnOnce() -> T) -> (f64, T) {
    let (is_over, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut looks = 0_u64;
            let mut pids = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                // Who is there changes seldom, and takes longer to find out.
                if looks.is_multiple_of(20) {
                    pids = family(root);
                }
                looks += 1;
                peak.fetch_max(resident_of(&pids).to_bits(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let done = act();
        is_over.store(true, Ordering::Relaxed);
        done
    });
    (f64::from_bits(peak.into_inner()), done)
}
