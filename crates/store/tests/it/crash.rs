//! Thousands of power failures.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    Entry,
    ports::{Disk, Found, Journal as _},
};
use testkit::{CrashDisk, Draw};

use crate::story::{attempt, hasty, key, open, outcome, wait};

/// What a caller may rely on: kept through all lives of one disk.
#[derive(Default)]
struct Promised {
    /// Acknowledged outcomes and their raw bytes.
    acknowledged: BTreeMap<u64, Vec<u8>>,
    /// Outcomes that were handed over; those that were not acknowledged may or may not be there.
    handed_over: BTreeMap<u64, Vec<u8>>,
    /// Acknowledged failed attempts by position.
    attempts: BTreeMap<u64, u32>,
    attempts_handed_over: BTreeMap<u64, u32>,
}

/// **Invariant 2**: nothing acknowledged is lost at a power failure, nothing appears that was not handed over, and what
/// was half written never looks like damage.
#[test]
fn no_acknowledged_entry_is_lost_in_thousands_of_power_failures() {
    let mut n_crashes = 0;
    let mut n_acknowledged = 0;
    for seed in 0..600 {
        let mut draw = Draw::new(seed);
        let crash_disk = CrashDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(crash_disk.clone());
        let mut promised = Promised::default();
        let mut next = 0;
        for _life in 0..6 {
            crash_disk.fail_after(1 + draw.below(40));
            live(&disk, &mut draw, &mut promised, &mut next);
            crash_disk.crash(draw.number());
            n_crashes += 1;
            check(&disk, &promised, seed);
        }
        n_acknowledged += promised.acknowledged.len();
    }
    assert!(n_crashes >= 3000 && n_acknowledged > 5000, "{n_crashes} crashes, {n_acknowledged} acknowledged");
}

/// Appends until the power fails.
fn live(disk: &Arc<dyn Disk>, draw: &mut Draw, promised: &mut Promised, next: &mut u64) {
    let Ok((journal, _)) = open(disk, hasty()) else { return };
    wait(async {
        loop {
            let mut batch: Vec<Entry> = Vec::new();
            let mut outcomes = Vec::new();
            let mut attempts = BTreeSet::new();
            for _ in 0..=draw.below(4) {
                if draw.one_in(5) {
                    let position = *next + 1000;
                    attempts.insert(position);
                    *promised.attempts_handed_over.entry(position).or_default() += 1;
                    batch.push(attempt(position));
                    *next += 1;
                } else {
                    let raw = vec![(*next % 251) as u8; draw.below(1500) as usize];
                    batch.push(outcome(*next, &raw));
                    promised.handed_over.insert(*next, raw.clone());
                    outcomes.push((*next, raw));
                    *next += 1;
                }
            }
            if journal.append(batch).await.is_err() {
                return;
            }
            promised.acknowledged.extend(outcomes);
            for position in attempts {
                *promised.attempts.entry(position).or_default() += 1;
            }
        }
    });
}

fn check(disk: &Arc<dyn Disk>, promised: &Promised, seed: u64) {
    let (journal, recovered) = open(disk, hasty()).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    assert_eq!(recovered.damage, [], "seed {seed}: a crash is not damage");
    let mut outcomes = journal.outcomes(0).unwrap();
    for (position, raw) in &promised.acknowledged {
        assert!(recovered.settled.contains(&key(*position)), "seed {seed}: {position} was acknowledged and is lost");
        let Found::Outcome(entry) = outcomes.of(&key(*position)).unwrap() else {
            panic!("seed {seed}: {position} is settled and cannot be read");
        };
        assert_eq!(entry.raw, raw, "seed {seed}: {position} reads as something else");
    }
    let n_known = promised.handed_over.keys().filter(|p| recovered.settled.contains(&key(**p))).count() as u64;
    assert_eq!(recovered.settled.n_settled(0), n_known, "seed {seed}: something appeared from nowhere");
    for (position, n) in &promised.attempts {
        let found = recovered.spent.get(&key(*position)).map_or(0, domain::Spent::total);
        assert!(found >= *n, "seed {seed}: a failed attempt was forgotten, so a budget was refilled");
        assert!(found <= promised.attempts_handed_over[position]);
    }
}
