//! Listening to a journal while it is written.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use domain::{
    Header,
    ports::{Disk, Journal as _},
};
use store::{Journal, Options};
use testkit::CrashDisk;

use crate::story::{FOLDER, attempt, hasty, open, outcome, raw_of, wait};

type Heard = Arc<Mutex<Vec<(u64, Vec<u8>)>>>;

fn told(entry: &domain::Entry) -> (u64, Vec<u8>) {
    let position = match &entry.header {
        Header::Outcome(outcome) => outcome.key.position,
        Header::Attempted(attempted) => attempted.key.position,
        other => panic!("{other:?}"),
    };
    (position, entry.raw.to_vec())
}

#[test]
fn a_listener_hears_what_a_replay_tells_before_the_append_ends() {
    let disk: Arc<dyn Disk> = Arc::new(CrashDisk::new());
    for options in [hasty(), Options::default()] {
        let (journal, _) = open(&disk, options).unwrap();
        let heard = Heard::default();
        let hearing = Arc::clone(&heard);
        let begun = replayed(&disk).len();
        journal.tell(move |entry| hearing.lock().unwrap().push(told(entry)));
        for position in 0..100 {
            wait(journal.append(vec![attempt(position), outcome(position, b"yes")])).unwrap();
            assert_eq!(
                heard.lock().unwrap().len() as u64,
                2 * position + 2,
                "it is told before who appended it goes on"
            );
        }
        assert_eq!(heard.lock().unwrap()[..], replayed(&disk)[begun..]);
    }
}

fn replayed(disk: &Arc<dyn Disk>) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    Journal::replay(&**disk, Path::new(FOLDER), &mut |entry| all.push(told(&entry))).unwrap();
    all
}

#[test]
fn a_listener_that_panics_costs_the_journal_nothing() {
    let disk: Arc<dyn Disk> = Arc::new(CrashDisk::new());
    let (journal, _) = open(&disk, hasty()).unwrap();
    let heard = Heard::default();
    let hearing = Arc::clone(&heard);
    journal.tell(move |entry| {
        hearing.lock().unwrap().push(told(entry));
        panic!("a listener that fails");
    });
    for position in 0..3 {
        wait(journal.append(vec![outcome(position, b"yes")])).unwrap();
    }
    assert_eq!(raw_of(&journal, 2).as_deref(), Some(&b"yes"[..]));
    let n_heard = heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len();
    assert_eq!(n_heard, 1, "it is not called again");
}
