//! Workbooks.

use std::{
    fs,
    io::{Cursor, Read as _, Write as _},
};

use domain::{Read, SkipReason, ports::Source as _};
use serde_json::{Map, Value, json};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::{ANSWER, Desk, is_pending, read, xml::is_sound};
use crate::FileSource;

/// The parts of a small workbook that are changed, and what they are.
const PARTS: [(&str, &str); 6] = [
    ("xl/worksheets/sheet1.xml", include_str!("workbook/sheet1.xml")),
    ("xl/sharedStrings.xml", include_str!("workbook/sharedStrings.xml")),
    ("xl/styles.xml", include_str!("workbook/styles.xml")),
    ("xl/workbook.xml", include_str!("workbook/workbook.xml")),
    ("xl/_rels/workbook.xml.rels", include_str!("workbook/workbook.xml.rels")),
    ("_rels/.rels", include_str!("workbook/rels.xml")),
];

/// The answer goes into this column.
const FIELD: &str = "answer";

/// No part of a workbook of the fuzzer's is read into more memory than this.
const MOST: usize = 64 << 20;

/// Takes `data` for a workbook.
///
/// # Panics
/// Where a promise is broken.
pub fn workbook(data: &[u8]) {
    let desk = Desk::with("excel", data);
    let source = desk.source("kept", json!({}), FIELD);
    let Ok(reads) = read(&source) else { return };
    assert_eq!(source.count().ok().flatten(), Some(reads.len() as u64), "as many are counted as are read");
    let n_bytes: usize = reads.iter().map(|read| read.record.bytes.len()).sum();
    assert!(n_bytes < MOST, "what is read of a small file is small");
    for read in &reads {
        let text = str::from_utf8(&read.record.bytes);
        let is_object = |text: &str| text.is_empty() || serde_json::from_str::<Map<String, Value>>(text).is_ok();
        assert!(read.flaw.is_some() || text.is_ok_and(is_object), "a record is a JSON object: {text:?}");
    }
    no_record_is_longer_than_it_may_be(&desk, &reads);
    for field in [FIELD, "id"] {
        let source = desk.source("kept", json!({}), field);
        answered(&desk, &source, &reads, field);
        fs::write(desk.path().join("table"), data).expect("the folder can be written");
    }
}

/// Whatever its cells name, a row comes to no more than the longest record that is read; all others are what they were.
fn no_record_is_longer_than_it_may_be(desk: &Desk, reads: &[Read]) {
    const MAX: usize = 300;
    let source = desk.source("kept", json!({ "max_record": MAX }), FIELD);
    let limited = read(&source).expect("what was read can be read again");
    assert_eq!(limited.len(), reads.len(), "there are as many");
    for (read, whole) in limited.iter().zip(reads) {
        match &read.flaw {
            Some((SkipReason::TooLong, _)) => {}
            Some((reason, _)) => assert_eq!(Some(*reason), whole.flaw.as_ref().map(|(reason, _)| *reason)),
            None => {
                assert_eq!(read.record.bytes, whole.record.bytes, "what is short enough is what it was");
                assert!(read.record.bytes.len() <= MAX + 2, "a record is no longer than it may be");
            }
        }
    }
}

/// Takes `data` for a part of a workbook that is otherwise sound: its first byte says for which.
///
/// # Panics
/// Where a promise is broken.
pub fn sheet(data: &[u8]) {
    workbook(&package(data));
}

/// Returns the workbook of which `data` is a part.
#[must_use]
pub fn package(data: &[u8]) -> Vec<u8> {
    let (which, text) = data.split_first().unwrap_or((&0, &[]));
    let changed = usize::from(*which) % PARTS.len();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (number, (name, content)) in PARTS.iter().enumerate() {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(*name, options).expect("a part can be begun");
        zip.write_all(if number == changed { text } else { content.as_bytes() }).expect("a part can be written");
    }
    zip.finish().expect("a package can be finished").into_inner()
}

/// Returns what [`sheet`] may begin with: each part as it should be.
#[must_use]
pub fn sheet_seeds() -> Vec<Vec<u8>> {
    (0..).zip(PARTS).map(|(number, (_, content))| [&[number], content.as_bytes()].concat()).collect()
}

/// Puts answers into the column `field`, and holds the workbook against what it was.
fn answered(desk: &Desk, source: &FileSource, before: &[Read], field: &str) {
    // What cannot be written in place is not touched.
    let Ok(table) = desk.answer(source, before, field) else { return };
    let kept = fs::read(desk.path().join("kept")).expect("the copy is there");
    if before.iter().all(|read| !is_pending(source, read)) {
        assert_eq!(kept, table, "without an answer nothing is touched");
        return;
    }
    if !parts_of(&kept)
        .iter()
        .all(|(name, bytes)| is_sound(bytes) || !(name.ends_with(".xml") || name.ends_with(".rels")))
    {
        return;
    }
    only_one_part_is_another(&kept, &table);
    let after = read(&desk.source("table", json!({}), field)).expect("what was written can be read");
    assert_eq!(before.len(), after.len(), "there are as many rows as before");
    for (old, new) in before.iter().zip(&after) {
        if old.flaw.is_some() {
            continue;
        }
        let (was, mut is) = (fields_of(old), fields_of(new));
        let answer = is.remove(field);
        if is_pending(source, old) {
            assert_eq!(answer, Some(json!(ANSWER)), "the answer stands in its column");
        } else {
            let nothing = |value: Option<Value>| value.filter(|value| !value.is_null());
            assert_eq!(nothing(answer), nothing(was.get(field).cloned()), "without an answer nothing is touched");
        }
        let untouched: Map<_, _> = was.into_iter().filter(|(name, _)| name != field).collect();
        assert!(
            untouched == is || (is.is_empty() && untouched.values().all(Value::is_null)),
            "{untouched:?} is {is:?}"
        );
    }
}

fn fields_of(read: &Read) -> Map<String, Value> {
    serde_json::from_slice(&read.record.bytes).unwrap_or_default()
}

/// Every part of the package is what it was, but for the sheet.
fn only_one_part_is_another(before: &[u8], after: &[u8]) {
    let (before, after) = (parts_of(before), parts_of(after));
    let names = |parts: &[(String, Vec<u8>)]| parts.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after), "no part is added or lost");
    let n_changed = before.iter().zip(&after).filter(|(before, after)| before.1 != after.1).count();
    assert!(n_changed <= 1, "{n_changed} parts are others");
}

fn parts_of(package: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(Cursor::new(package)).expect("what was read is a package");
    let mut parts = Vec::new();
    for number in 0..zip.len() {
        let mut bytes = Vec::new();
        // A part that nobody can read is copied packed.
        let name = match zip.by_index(number) {
            Ok(part) => {
                let name = String::from_utf8_lossy(part.name_raw()).into_owned();
                let _ = part.take(MOST as u64).read_to_end(&mut bytes);
                name
            }
            Err(_) => continue,
        };
        parts.push((name, bytes));
    }
    parts
}
