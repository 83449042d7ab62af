//! What opening brings back.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    End, EndClass, Entry, Failure, FailureKind, Header, Member, NoteKind, Noted, Parked, Receipt, Started, Stopped,
    Timestamp,
    ports::{Disk, Journal as _},
};
use testkit::CrashDisk;

use crate::story::{attempt, hasty, key, open, outcome, raw_of, wait};

fn entry(header: Header) -> Entry {
    Entry { header, raw: Bytes::from_static(b"raw") }
}

#[test]
fn budgets_items_and_the_place_to_read_on_come_back() {
    let disk: Arc<dyn Disk> = Arc::new(CrashDisk::new());
    let (journal, _) = open(&disk, hasty()).unwrap();
    let members = vec![Member { first: key(50), n: 10 }];
    let note = |tag: &str| Noted {
        id: key(50),
        members: members.clone(),
        kind: NoteKind::Intent,
        tag: tag.to_owned(),
        at: Timestamp(1),
    };
    let parked = Parked {
        id: key(50),
        members: members.clone(),
        receipt: Receipt("batch_1".to_owned()),
        look_again_at: Timestamp(9),
        at: Timestamp(1),
    };
    let mut entries = vec![entry(Header::Started(Started { at: Timestamp(1), version: "0".into(), asked_again: 0 }))];
    entries.extend((0..40).filter(|p| *p != 33).map(|p| outcome(p, b"answer")));
    entries.extend([attempt(33), attempt(33), attempt(5), entry(Header::Noted(note("upload")))]);
    entries.push(entry(Header::Parked(parked)));
    // Half of the chunk came back before the kill.
    entries.extend((50..55).map(|p| outcome(p, b"answer")));
    wait(journal.append(entries)).unwrap();
    drop(journal);

    let (_, recovered) = open(&disk, hasty()).unwrap();
    assert_eq!(recovered.spent.len(), 1, "only records that are not settled have a budget to remember");
    assert_eq!(recovered.spent[&key(33)].api, 2);
    assert_eq!(recovered.resume_at[&(0, 0)], (32, 3200));
    assert_eq!(recovered.n_processes, 1);
    let item = &recovered.open[&key(50)];
    assert_eq!((item.notes.len(), item.notes[0].0.tag.as_str(), &item.notes[0].1[..]), (1, "upload", &b"raw"[..]));
    assert_eq!(item.parked.as_ref().unwrap().receipt.0, "batch_1");
    assert_eq!(item.members, members);
}

#[test]
fn a_record_settled_twice_counts_once_and_reads_as_the_last() {
    let disk: Arc<dyn Disk> = Arc::new(CrashDisk::new());
    let (journal, _) = open(&disk, hasty()).unwrap();
    let mut first = outcome(3, b"first");
    if let Header::Outcome(o) = &mut first.header {
        o.end = End::Failed(Failure::new(FailureKind::Timeout, "no answer"));
    }
    wait(journal.append(vec![first])).unwrap();
    for position in 10..40 {
        wait(journal.append(vec![outcome(position, &[b'x'; 200])])).unwrap();
    }
    wait(journal.append(vec![outcome(3, b"second")])).unwrap();
    assert_eq!(raw_of(&journal, 3).unwrap(), b"second");
    drop(journal);
    let (_, recovered) = open(&disk, hasty()).unwrap();
    let tally = &recovered.tally[&0];
    assert_eq!((tally.succeeded, tally.n_failed(), tally.n_settled()), (31, 0, 31));
    assert!(EndClass::Succeeded == EndClass::from_code(0).unwrap());
}

#[test]
fn answers_lost_with_a_killed_process_are_counted_exactly() {
    let disk: Arc<dyn Disk> = Arc::new(CrashDisk::new());
    let begin = || entry(Header::Started(Started { at: Timestamp(1), version: "0".into(), asked_again: 0 }));
    let (journal, recovered) = open(&disk, hasty()).unwrap();
    assert_eq!(recovered.n_lost_in_flight, 0);
    wait(journal.append(vec![begin()])).unwrap();
    journal.asking(0, &key(0), 1).unwrap(); // settled below
    journal.asking(1, &key(1), 1).unwrap(); // lost
    journal.asking(2, &key(2), 1).unwrap(); // failed below, not asked again yet
    journal.asking(3, &key(3), 1).unwrap();
    journal.asking(3, &key(3), 0).unwrap(); // came back, and the lane paid
    wait(journal.append(vec![outcome(0, b"answer"), attempt(2)])).unwrap();
    drop(journal);

    let (journal, recovered) = open(&disk, hasty()).unwrap();
    assert_eq!(recovered.n_lost_in_flight, 1);
    wait(journal.append(vec![begin()])).unwrap();
    journal.asking(0, &key(2), 2).unwrap(); // lost
    drop(journal);

    let (journal, recovered) = open(&disk, hasty()).unwrap();
    assert_eq!(recovered.n_lost_in_flight, 1, "marks of earlier processes do not count again");
    wait(journal.append(vec![begin(), entry(Header::Stopped(Stopped { at: Timestamp(2), reason: "end".into() }))]))
        .unwrap();
    drop(journal);
    let (_, recovered) = open(&disk, hasty()).unwrap();
    assert_eq!((recovered.n_lost_in_flight, recovered.n_processes), (0, 3));
}
