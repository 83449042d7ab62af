//! Walking over a journal that may be open elsewhere.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{
    End, EndClass, Entry, Failure, FailureKind, Header, RecordKey, Reopened, Timestamp,
    ports::{Disk, Journal as _},
};
use store::{Journal, LocalDisk, Walk};
use testkit::Draw;

use crate::story::{attempt, hasty, key, outcome, wait};

fn disk() -> Arc<dyn Disk> {
    Arc::new(LocalDisk)
}

fn random_entry(draw: &mut Draw) -> Entry {
    let key = RecordKey { step: draw.below(2) as u16, part: 0, sample: draw.below(3) as u32, position: draw.below(40) };
    if draw.one_in(5) {
        return Entry { header: Header::Reopened(Reopened { key, at: Timestamp(1) }), raw: Vec::new().into() };
    }
    if draw.one_in(5) {
        return attempt(key.position);
    }
    let mut entry = outcome(key.position, draw.number().to_string().as_bytes());
    let Header::Outcome(outcome) = &mut entry.header else { unreachable!() };
    outcome.key = key;
    if draw.one_in(3) {
        outcome.end = End::Failed(Failure::new(FailureKind::Timeout, "no answer"));
    }
    entry
}

/// Every settled record with how it ended and the raw bytes of its last outcome.
type Ends = Vec<(RecordKey, EndClass, Vec<u8>)>;

fn walked(mut walk: Walk) -> Ends {
    let mut ends = Vec::new();
    while let Some(settled) = walk.next_settled().unwrap() {
        let entry = walk.read(&settled).unwrap().expect("nothing is damaged");
        ends.push((settled.key, settled.class, entry.raw.to_vec()));
    }
    ends
}

fn replayed(folder: &Path) -> Ends {
    let mut last = BTreeMap::new();
    let damage = Journal::replay(&LocalDisk, folder, &mut |entry| match entry.header {
        Header::Outcome(outcome) => {
            last.insert(outcome.key, (outcome.end.class(), entry.raw.to_vec()));
        }
        Header::Reopened(reopened) => {
            last.remove(&reopened.key);
        }
        _ => {}
    });
    assert_eq!(damage.unwrap(), []);
    last.into_iter().map(|(key, (class, raw))| (key, class, raw)).collect()
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_walk_tells_the_last_outcome_of_every_record_in_order_and_changes_nothing() {
    for seed in 0..40 {
        let mut draw = Draw::new(seed);
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("journal");
        let (journal, _) = Journal::open(disk(), &folder, 7, hasty()).unwrap();
        for _ in 0..draw.below(300) {
            let entries = (0..=draw.below(3)).map(|_| random_entry(&mut draw)).collect();
            wait(journal.append(entries)).unwrap();
        }
        // The journal stays open: this is how a run looks that another process works on.
        let (before, expected) = (files(&folder), replayed(&folder));
        assert_eq!(walked(Journal::walk(disk(), &folder).unwrap()), expected, "seed {seed}");
        assert_eq!(files(&folder), before, "seed {seed}: a walk writes nothing");
    }
}

#[test]
fn what_is_appended_while_a_walk_goes_on_is_not_seen_and_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("journal");
    let (journal, _) = Journal::open(disk(), &folder, 7, hasty()).unwrap();
    for position in 0..60 {
        wait(journal.append(vec![outcome(position, &[b'x'; 200])])).unwrap();
    }
    let expected = replayed(&folder);
    let walk = Journal::walk(disk(), &folder).unwrap();
    for position in 0..100 {
        wait(journal.append(vec![outcome(position, &[b'y'; 200])])).unwrap();
    }
    journal.outcomes(0).unwrap();
    assert_eq!(walked(walk), expected);
}

#[test]
fn a_damaged_outcome_is_told_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("journal");
    let (journal, _) = Journal::open(disk(), &folder, 7, hasty()).unwrap();
    wait(journal.append((0..3).map(|n| outcome(n, format!("answer {n}").as_bytes())).collect())).unwrap();
    journal.outcomes(0).unwrap();
    drop(journal);
    let segment = folder.join("00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(8).position(|window| window == b"answer 1").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let mut walk = Journal::walk(disk(), &folder).unwrap();
    let mut sound = Vec::new();
    while let Some(settled) = walk.next_settled().unwrap() {
        sound.push((settled.key, walk.read(&settled).unwrap().is_some()));
    }
    assert_eq!(sound, [(key(0), true), (key(1), false), (key(2), true)]);
}
