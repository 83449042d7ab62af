//! The table against a map, and its edges.

use std::collections::HashMap;

use super::*;
use crate::LocalDisk;

fn hash(n: u64) -> u128 {
    xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes())
}

/// A key whose probe begins at a slot of a table with `1 << FIRST_LOG2` slots.
fn at_slot(slot: u64, n: u64) -> u128 {
    u128::from(slot) << 64 | u128::from(n)
}

fn table(folder: &tempfile::TempDir) -> HashFile {
    HashFile::open(Arc::new(LocalDisk), &folder.path().join("keys"), 7).unwrap().0
}

fn assert_holds(table: &HashFile, model: &HashMap<u128, u64>) {
    assert_eq!(table.n_keys(), model.len() as u64);
    assert!(model.iter().all(|(key, number)| table.get(*key).unwrap() == Some(*number)));
    let mut n = 0;
    table.each_key(|key| n += u64::from(model.contains_key(&key))).unwrap();
    assert_eq!(n, model.len() as u64, "no key is there twice, and no other one");
}

#[test]
fn keys_survive_growth_and_both_ways_of_closing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let open = |boot| HashFile::open(Arc::new(LocalDisk), &path, boot).unwrap();
    let (mut table, is_whole) = open(7);
    assert!(!is_whole);
    for n in 0..20_000 {
        assert_eq!(table.insert(hash(n), n).unwrap(), None);
    }
    assert_eq!(table.insert(hash(17), 99).unwrap(), Some(17));
    table.set_note(5).unwrap();
    drop(table); // as a kill leaves it

    let (table, is_whole) = open(7);
    assert!(is_whole && table.n_keys() == 20_000 && table.note() == 5);
    assert!((0..20_000).all(|n| table.get(hash(n)).unwrap() == Some(n)));
    assert_eq!(table.get(hash(20_000)).unwrap(), None);
    table.close().unwrap();

    let (table, is_whole) = open(8); // another boot, after closing in good order
    assert!(is_whole && table.n_keys() == 20_000);
    drop(table);
    let (table, is_whole) = open(9); // another boot, after a crash of the machine
    assert!(!is_whole && table.get(hash(3)).unwrap().is_none());
    assert_eq!(table.note(), 0);
}

#[test]
fn a_table_of_the_first_version_is_read_as_one_without_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = table(&folder);
    first.set(hash(1), 1).unwrap();
    first.set_note(u64::MAX).unwrap();
    first.file.write_at(&1_u32.to_le_bytes(), 16).unwrap();
    drop(first);
    let table = table(&folder);
    assert_eq!((table.get(hash(1)).unwrap(), table.note()), (Some(1), 0));
}

#[test]
fn many_keys_at_a_time_are_those_that_were_put_in_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mut table, mut model) = (table(&folder), HashMap::new());
    let mut next = 0;
    // Batches of every size, each with some keys that are in already, over several growths.
    for n in [0, 1, 2, 1000, 3, 1047, 40, 30_000, 1, 7, 70_000, 5000] {
        let mut keys: HashMap<u128, u64> = (next..next + n).map(|n| (hash(n), n)).collect();
        keys.extend((0..n / 3).map(|n| (hash(n * 2), next + n)));
        table.set_all(&mut keys.iter().map(|(key, number)| (*key, *number)).collect::<Vec<_>>()).unwrap();
        model.extend(keys);
        next += n;
        assert_eq!(table.insert(hash(u64::MAX - n), n).unwrap(), model.insert(hash(u64::MAX - n), n));
    }
    assert_holds(&table, &model);
}

#[test]
fn probes_run_over_the_end_of_what_is_read_at_once_and_over_the_end_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let (mut table, mut model) = (table(&folder), HashMap::new());
    let last = (1 << FIRST_LOG2) - 1;
    for round in 0..2 {
        // A hundred keys want one slot, three times as many as are read behind it; others begin where those ended up.
        let crowds = [0, 5, 2000, last - 3, last].map(|slot| (slot, if slot == 5 { 1 } else { 100 }));
        let keys = crowds.iter().flat_map(|(slot, n)| (0..*n).map(|n| at_slot(*slot, n * 2 + round)));
        let mut keys: Vec<(u128, u64)> = keys.chain([at_slot(2001, round)]).map(|key| (key, round)).collect();
        model.extend(keys.iter().copied());
        table.set_all(&mut keys).unwrap();
        assert_holds(&table, &model);
    }
    assert_eq!(table.log2, FIRST_LOG2, "it did not grow, which would have scattered them");
    table.make_room(1 << 14).unwrap();
    assert_holds(&table, &model);
}
