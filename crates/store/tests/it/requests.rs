//! Which requests were answered, after whatever happened in between.

use std::{collections::VecDeque, fs, path::Path, sync::Arc};

use domain::{
    Entry, Header, Located,
    ports::{Disk, Journal as _, RequestTable as _},
};
use store::{HashFile, Journal, LocalDisk, Requests, RunFolder};

use crate::story::{hasty, key, outcome, wait};

const BOOT: u64 = 7;

fn disk() -> Arc<dyn Disk> {
    Arc::new(LocalDisk)
}

fn folder(state: &tempfile::TempDir) -> (RunFolder, Journal) {
    let folder = RunFolder::new(state.path(), "r1");
    folder.create().unwrap();
    let (journal, _) = Journal::open(disk(), &folder.journal(), 7, hasty()).unwrap();
    (folder, journal)
}

fn open(folder: &RunFolder, boot: u64) -> Requests {
    Requests::open(disk(), folder, 0, boot).unwrap()
}

fn append(journal: &Journal, entry: Entry) -> Located {
    wait(journal.append(vec![entry])).unwrap()
}

/// An outcome that was taken from another record: it is journaled, and not put in.
fn duplicate(position: u64) -> Entry {
    let mut entry = outcome(position, &[b'x'; 200]);
    if let Header::Outcome(outcome) = &mut entry.header {
        (outcome.request, outcome.same_as) = (Some(0), Some(key(0)));
    }
    entry
}

/// Returns a copy of a run's folder: what another process would find, were this one killed now.
fn as_killed_now(of: &RunFolder, state: &tempfile::TempDir) -> RunFolder {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (path, to) = {
                let entry = entry.unwrap();
                (entry.path(), to.join(entry.file_name()))
            };
            if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(|_| ()).unwrap() }
        }
    }
    let copied = RunFolder::new(state.path(), "r1");
    let _ = fs::remove_dir_all(copied.path());
    copy(of.path(), copied.path());
    copied
}

fn hash(n: u64) -> u128 {
    xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes())
}

#[test]
fn requests_that_were_answered_are_found_after_a_kill_and_after_a_crash() {
    let state = tempfile::tempdir().unwrap();
    let (folder, journal) = folder(&state);
    for position in 0..40 {
        wait(journal.append(vec![outcome(position, &[b'x'; 200])])).unwrap();
    }
    for boot in [7, 7, 8] {
        // The first opening finds no table, the second one of a killed process, the third one of another boot.
        let requests = open(&folder, boot);
        for position in 0..40 {
            let at = requests.get(position).unwrap().expect("it was answered");
            let entry = journal.read(at).unwrap().expect("it is sound");
            assert!(matches!(entry.header, Header::Outcome(o) if u128::from(o.key.position) == position));
        }
        assert_eq!(requests.get(40).unwrap(), None);
    }
    let mut requests = open(&folder, 8);
    let at = wait(journal.append(vec![outcome(40, b"late")])).unwrap();
    requests.put(3, at).unwrap();
    assert_eq!(requests.get(3).unwrap(), Some(at), "the last outcome of a request counts");
}

#[test]
fn a_kill_at_any_moment_loses_no_request_that_the_journal_has() {
    let (state, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, journal) = folder(&state);
    let mut requests = open(&folder, BOOT);
    // Settled and not put in yet: the loop that puts in is behind the journal, but by less than a segment.
    let mut behind = VecDeque::new();
    for position in 0..120 {
        // Some twelve outcomes fill a segment. For a long time nothing but duplicates is settled.
        let at = if (40..100).contains(&position) {
            append(&journal, duplicate(position))
        } else {
            let at = append(&journal, outcome(position, &[b'x'; 200]));
            behind.push_back((u128::from(position), at));
            at
        };
        // The table need not be told how far the journal has come; where it is, what is behind lies one segment back.
        if position < 70 {
            requests.reached(at.segment).unwrap();
        }
        if behind.len() > 3 || (40..100).contains(&position) {
            for (request, at) in behind.drain(..behind.len().min(2)) {
                requests.put(request, at).unwrap();
            }
        }
        let copied = as_killed_now(&folder, &killed);
        if (40..70).contains(&position) {
            let (table, _) = HashFile::open(disk(), &copied.path().join("requests-0"), BOOT).unwrap();
            let n_read_again = u64::from(at.segment) - table.note() + 1;
            assert_eq!(n_read_again, 2, "who tells how far the journal has come has little to read again");
        }
        let found = open(&copied, BOOT);
        for settled in (0..=position).filter(|position| !(40..100).contains(position)) {
            assert!(found.get(settled.into()).unwrap().is_some(), "{settled} is not found by a kill at {position}");
            let asked = requests.get(settled.into()).unwrap().is_some();
            assert!(asked || behind.iter().any(|(request, _)| *request == u128::from(settled)));
        }
    }
}

#[test]
fn a_request_that_is_put_in_far_too_late_outlives_a_kill() {
    let state = tempfile::tempdir().unwrap();
    let (folder, journal) = folder(&state);
    let mut requests = open(&folder, BOOT);
    let late = append(&journal, outcome(0, b"early"));
    for position in 1..60 {
        let at = append(&journal, outcome(position, &[b'x'; 200]));
        requests.put(position.into(), at).unwrap();
    }
    assert_eq!(requests.get(0).unwrap(), None);
    requests.put(0, late).unwrap();
    drop(requests);
    assert_eq!(open(&folder, BOOT).get(0).unwrap(), Some(late));
}

#[test]
fn a_table_that_was_killed_while_it_was_filled_is_filled_again() {
    let state = tempfile::tempdir().unwrap();
    let (folder, journal) = folder(&state);
    for position in 0..60 {
        append(&journal, outcome(position, &[b'x'; 200]));
    }
    drop(open(&folder, BOOT));
    // The machine crashed; the next process came as far as opening the file.
    drop(HashFile::open(disk(), &folder.path().join("requests-0"), BOOT + 1).unwrap());
    let requests = open(&folder, BOOT + 1);
    assert!((0..60).all(|request| requests.get(request).unwrap().is_some()));
}

#[test]
fn many_requests_are_found_and_strange_ones_are_not() {
    let state = tempfile::tempdir().unwrap();
    let (folder, _journal) = folder(&state);
    let mut requests = open(&folder, BOOT);
    // More than are gathered at once, and than the first filter has room for.
    let at = |n: u64| Located { segment: 1 + n as u32 / 90_000, offset: n as u32 };
    for n in 0..200_000 {
        assert_eq!(requests.get(hash(n)).unwrap(), None);
        requests.put(hash(n), at(n)).unwrap();
    }
    requests.put(hash(17), at(199_999)).unwrap();
    assert_eq!(requests.get(hash(17)).unwrap(), Some(at(199_999)), "the last outcome counts");
    assert!((18..200_000).all(|n| requests.get(hash(n)).unwrap() == Some(at(n))));
}

/// CPU seconds of this thread: the machine may have others to work for.
fn worked() -> f64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    told.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Figures, on request: `cargo test --release -p store -- --ignored --nocapture a_request_costs`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "it is for those who asked for it")]
fn a_request_costs_so_much() {
    for n_requests in [200_000, 5_000_000_u64] {
        let state = tempfile::tempdir().unwrap();
        let (folder, _journal) = folder(&state);
        let each = |begun: f64| (worked() - begun) * 1e6 / n_requests as f64;
        let (mut table, _) = HashFile::open(disk(), &folder.path().join("one-by-one"), BOOT).unwrap();
        let begun = worked();
        for n in 0..n_requests {
            assert_eq!(table.get(hash(n)).unwrap(), None);
            table.set(hash(n), n).unwrap();
        }
        println!("{n_requests}: get and put, straight into the file: {:.2} us each", each(begun));
        fs::remove_file(folder.path().join("one-by-one")).unwrap();
        let mut requests = open(&folder, BOOT);
        let begun = worked();
        for n in 0..n_requests {
            assert_eq!(requests.get(hash(n)).unwrap(), None);
            requests.put(hash(n), Located { segment: 1 + (n / 200_000) as u32, offset: n as u32 }).unwrap();
        }
        println!("{n_requests}: get and put: {:.2} us each", each(begun));
        let begun = worked();
        for n in 0..n_requests {
            assert!(requests.get(hash(n)).unwrap().is_some());
        }
        println!("{n_requests}: get of one that is in: {:.2} us each", each(begun));
        drop(requests);
        let begun = worked();
        drop(open(&folder, BOOT));
        println!("{n_requests}: opening after a kill: {:.2} s", worked() - begun);
    }
}
