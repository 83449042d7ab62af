//! How much disk a step will take, told before it does.
//!
//! A full disk loses nothing, but it stops a run in the middle of the night. So what the journal and the outputs will
//! take is reckoned before it starts, and held against what is free. It is an estimate, and never keeps a
//! run from starting.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::progress::size;

/// What an entry of the journal takes beside the answer's own text: its frame and header (some 600 bytes), and what a
/// vendor wraps around a text (some 800).
const AROUND_AN_ANSWER: u64 = 1400;
/// What an answer takes where nothing is known of it.
const USUAL_ANSWER: u64 = 600;
/// A forecast of less than this goes without saying.
const WORTH_SAYING: u64 = 1 << 30;

/// What is known of a step before it runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// Records of the source, times the samples of each.
    pub(crate) n_records: u64,
    /// Those of them that are settled already, in whatever way.
    pub(crate) n_settled: u64,
    /// What a record takes, in bytes.
    pub(crate) record_bytes: u64,
    /// What the journal takes already, in bytes.
    pub(crate) journal_bytes: u64,
    /// What the text of an answer takes, in bytes, where the caller can tell.
    pub(crate) answer_bytes: Option<u64>,
}

/// What a step will take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forecast {
    /// In the state folder.
    journal: u64,
    /// Beside the outputs: the live output and the final one, for a moment both.
    outputs: u64,
}

/// The room on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    /// Which disk.
    device: u64,
    free: u64,
    total: u64,
}

/// Returns what is worth saying of the room that a step will take, if anything: `state` is the state folder, `output` the
/// output's file. It looks at the file system, and may block.
pub(crate) fn told(expected: &Expected, state: &Path, output: &Path) -> Option<String> {
    let forecast = forecast(expected);
    let folder = output.parent().unwrap_or(Path::new(""));
    // Where the system does not tell, nothing is known.
    let rooms = (room(state).ok()?, room(folder).ok()?);
    judge(forecast, rooms, (&named(state), &named(folder)))
}

fn named(folder: &Path) -> String {
    if folder.as_os_str().is_empty() { ".".to_owned() } else { folder.display().to_string() }
}

fn forecast(expected: &Expected) -> Forecast {
    let Expected { n_records, n_settled, record_bytes, journal_bytes, answer_bytes } = *expected;
    let n_left = n_records.saturating_sub(n_settled);
    // What is settled tells best. Some records are not enough to tell.
    let so_far = (n_settled >= 100).then(|| journal_bytes / n_settled);
    let entry = so_far.unwrap_or(AROUND_AN_ANSWER + answer_bytes.unwrap_or(USUAL_ANSWER));
    let answer = entry.saturating_sub(AROUND_AN_ANSWER).max(50);
    let line = record_bytes.saturating_add(answer);
    Forecast {
        journal: n_left.saturating_mul(entry),
        // The live output grows by what is left; the final one is written whole.
        outputs: n_left.saturating_add(n_records).saturating_mul(line),
    }
}

fn judge(forecast: Forecast, rooms: (Room, Room), names: (&str, &str)) -> Option<String> {
    let Forecast { journal, outputs } = forecast;
    let (state, output) = rooms;
    let needs = if state.device == output.device {
        vec![(journal.saturating_add(outputs), state, format!("`{}` and `{}`", names.0, names.1))]
    } else {
        vec![(journal, state, format!("`{}`", names.0)), (outputs, output, format!("`{}`", names.1))]
    };
    let what = format!("about {} for the journal and {} for the outputs", size(journal), size(outputs));
    let does_not_fit = needs.iter().find(|(need, room, _)| *need > room.free);
    if let Some((need, room, place)) = does_not_fit {
        return Some(format!(
            "warning: this step needs {what}, {} of it in {place}, where {} are free: free some space, or the run will stop \
             there (nothing is lost, and it can be gone on with)",
            size(*need),
            size(room.free)
        ));
    }
    let is_narrow = |(need, room, _): &&(u64, Room, String)| room.free - need < room.total / 20;
    // Something that takes next to nothing is not the reason for a disk being full.
    if let Some((_, room, place)) = needs.iter().filter(|(need, ..)| *need >= WORTH_SAYING / 16).find(is_narrow) {
        return Some(format!(
            "warning: this step needs {what}, which leaves less than 5 % of the disk of {place} ({} are free)",
            size(room.free)
        ));
    }
    (journal.saturating_add(outputs) >= WORTH_SAYING).then(|| format!("disk: this step needs {what}; that fits"))
}

/// Looks at the disk of a folder, or of the nearest one above that exists.
fn room(folder: &Path) -> io::Result<Room> {
    let folder = std::path::absolute(folder)?;
    let exists: PathBuf = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned();
    let device = std::fs::metadata(&exists)?.dev();
    let stat = rustix::fs::statvfs(&exists)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Room { device, free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn expected() -> Expected {
        Expected { n_records: 1_000_000, record_bytes: 200, answer_bytes: Some(300), ..Expected::default() }
    }

    fn room(device: u64, free: u64) -> Room {
        Room { device, free, total: 100 * GIB }
    }

    fn said(forecast: Forecast, state: Room, output: Room) -> String {
        judge(forecast, (state, output), (".tidemill", "out")).unwrap_or_default()
    }

    #[test]
    fn a_new_run_takes_its_entries_and_its_outputs_twice() {
        let now = forecast(&expected());
        assert_eq!(now, Forecast { journal: 1_000_000 * 1700, outputs: 2 * 1_000_000 * (200 + 300) });
        let unknown = forecast(&Expected { answer_bytes: None, ..expected() });
        assert_eq!(unknown, Forecast { journal: 1_000_000 * 2000, outputs: 2 * 1_000_000 * (200 + 600) });
    }

    #[test]
    fn what_is_settled_tells_what_the_rest_will_take() {
        let settled = Expected { n_settled: 250_000, journal_bytes: 250_000 * 1600, ..expected() };
        let rest = Forecast { journal: 750_000 * 1600, outputs: 1_750_000 * (200 + 200) };
        assert_eq!(forecast(&settled), rest);
        let few = Expected { n_settled: 99, journal_bytes: 1 << 40, ..expected() };
        assert_eq!(forecast(&few).journal, 999_901 * 1700, "a few records tell nothing");
        let all = Expected { n_settled: 1_000_000, journal_bytes: 1_600_000_000, ..expected() };
        assert_eq!(forecast(&all).journal, 0);
        assert_eq!(forecast(&Expected::default()), Forecast { journal: 0, outputs: 0 });
        let absurd = Expected { n_records: u64::MAX, record_bytes: u64::MAX, ..Expected::default() };
        assert_eq!(forecast(&absurd).journal, u64::MAX);
    }

    #[test]
    fn what_does_not_fit_is_told_and_where() {
        let forecast = Forecast { journal: 3 * GIB, outputs: 4 * GIB };
        let one = said(forecast, room(1, 6 * GIB), room(1, 6 * GIB));
        for part in ["warning", "3.0 GiB for the journal", "7.0 GiB of it in `.tidemill` and `out`, where 6.0 GiB"] {
            assert!(one.contains(part), "{one}");
        }
        let two = said(forecast, room(1, 60 * GIB), room(2, 3 * GIB));
        assert!(two.contains("4.0 GiB of it in `out`, where 3.0 GiB are free"), "{two}");
    }

    #[test]
    fn a_disk_that_will_be_nearly_full_is_told() {
        let forecast = Forecast { journal: 3 * GIB, outputs: 4 * GIB };
        let narrow = said(forecast, room(1, 11 * GIB), room(1, 11 * GIB));
        assert!(narrow.contains("leaves less than 5 %"), "{narrow}");
        let wide = said(forecast, room(1, 13 * GIB), room(1, 13 * GIB));
        assert_eq!(wide, "disk: this step needs about 3.0 GiB for the journal and 4.0 GiB for the outputs; that fits");
    }

    #[test]
    fn a_small_run_on_a_full_disk_says_nothing() {
        let forecast = Forecast { journal: 1 << 20, outputs: 1 << 20 };
        assert_eq!(said(forecast, room(1, GIB), room(1, GIB)), "");
        assert!(said(forecast, room(1, 1 << 20), room(1, 1 << 20)).contains("warning"));
    }

    #[test]
    fn a_folder_that_is_not_there_yet_lies_on_the_disk_of_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        let deep = super::room(&folder.path().join("a/b/c")).unwrap();
        assert_eq!(deep.device, super::room(folder.path()).unwrap().device);
        assert!(deep.free > 0 && deep.free <= deep.total);
        let huge = Expected { n_records: 1 << 50, ..Expected::default() };
        let told = told(&huge, folder.path(), &folder.path().join("out/x.jsonl")).unwrap();
        assert!(told.contains("warning") && told.contains("are free"), "{told}");
    }
}
