//! Bytes that are not what was written.

use std::{path::PathBuf, sync::Arc};

use domain::ports::{Disk, Found, Journal as _};
use store::{Journal, Options};
use testkit::CrashDisk;

use crate::story::{FOLDER, hasty, key, open, outcome, raw_of, wait};

fn segment(number: u32) -> PathBuf {
    PathBuf::from(FOLDER).join(format!("{number:08}.seg"))
}

fn filled(options: Options, n: u64) -> (CrashDisk, Arc<dyn Disk>) {
    let crash_disk = CrashDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(crash_disk.clone());
    let (journal, _) = open(&disk, options).unwrap();
    for position in 0..n {
        wait(journal.append(vec![outcome(position, &[b'x'; 300])])).unwrap();
    }
    (crash_disk, disk)
}

#[test]
fn a_flipped_byte_in_a_sealed_segment_is_told_with_the_record_it_hit() {
    let (crash_disk, disk) = filled(hasty(), 30);
    crash_disk.flip(&segment(1), 1500);
    let (journal, recovered) = open(&disk, hasty()).unwrap();
    assert_eq!(recovered.settled.n_settled(0), 30, "the index still knows that all were settled");
    let mut outcomes = journal.outcomes(0).unwrap();
    let damaged: Vec<u64> = (0..30).filter(|p| matches!(outcomes.of(&key(*p)).unwrap(), Found::Damaged(_))).collect();
    assert_eq!(damaged.len(), 1, "one flipped byte hits one record: {damaged:?}");
    drop(journal);
    let verified = Journal::verify(&*disk, FOLDER.as_ref()).unwrap();
    assert_eq!(verified.iter().filter_map(|d| d.key).map(|k| k.position).collect::<Vec<_>>(), damaged);
}

#[test]
fn a_flipped_byte_in_the_open_segment_is_damage_and_not_a_torn_tail() {
    let options = Options { segment_bytes: 1 << 20, ..hasty() };
    let (crash_disk, disk) = filled(options, 10);
    crash_disk.flip(&segment(1), 1500);
    let (journal, recovered) = open(&disk, options).unwrap();
    assert_eq!(recovered.damage.len(), 1, "{:?}", recovered.damage);
    assert_eq!(recovered.torn_bytes, 0);
    assert_eq!(recovered.settled.n_settled(0), 9, "the records behind the break are kept");
    wait(journal.append(vec![outcome(10, b"more")])).unwrap();
    assert_eq!(raw_of(&journal, 10).unwrap(), b"more");
}

#[test]
fn a_torn_tail_is_kept_aside_and_cut() {
    let (_, disk) = filled(Options { segment_bytes: 1 << 20, ..hasty() }, 5);
    let file = disk.open(&segment(1), false).unwrap();
    let end = file.length().unwrap();
    file.write_at(b"TMJ1half a frame", end).unwrap();
    let (journal, recovered) = open(&disk, hasty()).unwrap();
    assert_eq!((recovered.torn_bytes, recovered.damage.len(), recovered.settled.n_settled(0)), (16, 0, 5));
    assert!(disk.list(FOLDER.as_ref()).unwrap().iter().any(|p| p.to_string_lossy().contains("torn-")));
    wait(journal.append(vec![outcome(5, b"more")])).unwrap();
    drop(journal);
    let (_, recovered) = open(&disk, hasty()).unwrap();
    assert_eq!((recovered.torn_bytes, recovered.settled.n_settled(0)), (0, 6));
}

#[test]
fn a_lost_index_is_built_again() {
    let (crash_disk, disk) = filled(hasty(), 30);
    crash_disk.flip(&segment(1).with_extension("idx"), 40);
    let (journal, recovered) = open(&disk, hasty()).unwrap();
    assert_eq!((recovered.settled.n_settled(0), recovered.damage.len()), (30, 0));
    assert_eq!(raw_of(&journal, 2).unwrap(), [b'x'; 300]);
}

#[test]
fn a_journal_of_another_run_is_refused() {
    let (_, disk) = filled(hasty(), 3);
    let Err(error) = Journal::open(disk, FOLDER.as_ref(), 8, hasty()) else { panic!("it must be refused") };
    assert!(error.0.contains("written by another run"), "{error}");
}
