//! What opening brings back.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    AnswerMeta, Attempted, End, EndClass, Entry, Failure, FailureKind, Header, Member, NoteKind, Noted, Parked, Reason,
    Receipt, Reopened, Started, Stopped, Timestamp, Usage,
    ports::{Disk, Journal as _},
};
use store::Journal;
use testkit::CrashDisk;

use crate::story::{FOLDER, attempt, hasty, key, open, outcome, raw_of, wait};

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

#[test]
fn a_record_that_is_opened_again_counts_in_no_way_until_it_is_settled_anew() {
    let disk: Arc<dyn Disk> = Arc::new(CrashDisk::new());
    let (journal, _) = open(&disk, hasty()).unwrap();
    let failed = |position| {
        let mut entry = outcome(position, b"bad");
        if let Header::Outcome(outcome) = &mut entry.header {
            outcome.end = End::Failed(Failure::new(FailureKind::InvalidOutput, "no JSON"));
        }
        entry
    };
    let reopened = |position| entry(Header::Reopened(Reopened { key: key(position), at: Timestamp(2) }));
    wait(journal.append(vec![attempt(1), failed(1), failed(2), outcome(3, b"good"), outcome(4, b"good")])).unwrap();
    // Enough for several segments, so that the opening is read from another one than the end.
    for position in 10..40 {
        wait(journal.append(vec![outcome(position, &[b'x'; 200])])).unwrap();
    }
    let failures = || {
        let is_failed = |_: &_, class| matches!(class, EndClass::Failed(_));
        let ended = Journal::ended(&*disk, std::path::Path::new(FOLDER), &is_failed).unwrap();
        ended.into_iter().map(|(key, _)| key.position).collect::<Vec<_>>()
    };
    assert_eq!(failures(), [1, 2]);
    wait(journal.append(vec![reopened(1), reopened(2), reopened(3)])).unwrap();
    wait(journal.append(vec![outcome(2, b"better")])).unwrap();
    assert_eq!(failures(), [0; 0]);
    assert_eq!((raw_of(&journal, 1), raw_of(&journal, 2)), (None, Some(b"better".to_vec())));
    drop(journal);

    let (journal, recovered) = open(&disk, hasty()).unwrap();
    let tally = &recovered.tally[&0];
    assert_eq!((tally.succeeded, tally.n_failed()), (32, 0));
    assert!(!recovered.settled.contains(&key(1)) && recovered.settled.contains(&key(2)));
    assert!(!recovered.succeeded.contains(&key(3)) && recovered.succeeded.contains(&key(2)));
    assert_eq!(recovered.spent.get(&key(1)), None, "its budgets are whole again");
    drop(journal);
    let (peeked, _) = Journal::peek(&*disk, std::path::Path::new(FOLDER)).unwrap();
    assert_eq!(peeked.tally[&0], *tally);
}

#[test]
fn the_last_refuted_answer_and_every_bill_come_back() {
    let disk: Arc<dyn Disk> = Arc::new(CrashDisk::new());
    let (journal, _) = open(&disk, hasty()).unwrap();
    let usage = Usage { prompt_tokens: 10, completion_tokens: 1, ..Usage::default() };
    let meta = AnswerMeta { usage: Some(usage), upstream: Some("a".to_owned()), ..AnswerMeta::default() };
    let refuted = |message: &str, raw: &'static str| {
        let failure = Failure::new(FailureKind::InvalidOutput, message).because(Reason::NoJson);
        let (members, left, at) = (Vec::new(), false, Timestamp(1));
        let attempted = Attempted { key: key(1), members, left, failure, meta: meta.clone(), at };
        Entry { header: Header::Attempted(attempted), raw: Bytes::from_static(raw.as_bytes()) }
    };
    wait(journal.append(vec![refuted("first", "one"), refuted("second", "two"), attempt(1)])).unwrap();
    let mut good = outcome(2, b"good");
    let mut again = outcome(2, b"good");
    for (entry, reparsed) in [(&mut good, false), (&mut again, true)] {
        let Header::Outcome(outcome) = &mut entry.header else { unreachable!() };
        (outcome.meta, outcome.reparsed) = (meta.clone(), reparsed);
    }
    wait(journal.append(vec![good, again])).unwrap();
    drop(journal);
    let (_, recovered) = open(&disk, hasty()).unwrap();
    let (failure, raw) = &recovered.refuted[&key(1)];
    assert_eq!((failure.message.as_str(), failure.reason, &raw[..]), ("second", Some(Reason::NoJson), &b"two"[..]));
    assert_eq!(recovered.billed[&0].0["a"].prompt_tokens, 30, "what is judged again is not billed again");
}
