//! Tables in text.

use bytes::Bytes;
use domain::{Read, SkipReason, ports::Source as _};
use serde_json::json;

use super::{ANSWER, Desk, is_pending, read, read_pending};
use crate::{
    FileSource,
    csv::{Dialect, Heading, cells_of},
};

/// Tables as people have them.
const TABLES: [&str; 13] = [
    "id,phone,text\r\n00123,+8613800000000,\"a, \"\"quoted\"\" one\"\r\n2,,\r\n",
    "\u{feff}id;text;phone\n001;\"two\nlines; one cell\";+86\n\n002;1e5;00123\n",
    "a\tb\n'it''s'\t1\n'x\ty'\t2\n",
    "a|b|c\n1|2\n1|2|3|4\n",
    "only\nx\n\"\"\n",
    "",
    "a,b\n",
    "a,b",
    "a,b\r1,2\r3,4",
    "a,b\n\"open, 1\n2,3\n",
    "x,a\n,1\n9,2\n",
    "id,t\n1,'a, \"b\"'\n2,'c''d'\n",
    "编号,内容\n一,“引号”\n",
];

/// Returns what [`csv`] may begin with.
#[must_use]
pub fn csv_seeds() -> Vec<Vec<u8>> {
    TABLES.map(|table| table.as_bytes().to_vec()).to_vec()
}

/// Takes `data` for a CSV file: finds out its dialect, reads its rows, puts answers into it.
///
/// # Panics
/// Where a promise is broken.
pub fn csv(data: &[u8]) {
    for has_header in [true, false] {
        let desk = Desk::with("csv", data);
        let source = desk.source("kept", json!({ "header": has_header }), "x");
        let Ok(reads) = read(&source) else { continue };
        let Ok(Some(heading)) = source.heading() else { panic!("what can be read has a heading") };
        assert_eq!(source.count().ok().flatten(), Some(reads.len() as u64), "as many are counted as are read");
        if is_plain_utf8(data) {
            nothing_is_lost(data, &heading, &reads);
        }
        // A new column, and one in place of the last one that there is.
        let last = heading.names().last().cloned();
        for field in ["x".to_owned()].into_iter().chain(last) {
            let source = desk.source("kept", json!({ "header": has_header }), &field);
            what_is_answered_is_told_by_its_row(&source, &reads);
            answered(&desk, &source, &heading, &reads, &field, has_header);
            std::fs::copy(desk.path().join("kept"), desk.path().join("table")).expect("the folder can be written");
        }
    }
}

/// A row that is passed over, since it is answered, is one that is answered when it is looked into, and comes to the same record.
fn what_is_answered_is_told_by_its_row(source: &FileSource, reads: &[Read]) {
    source.fingerprint().expect("what was read can be read again");
    let again = read_pending(source);
    assert_eq!(again.len(), reads.len(), "as many are read again");
    for (whole, read) in reads.iter().zip(&again) {
        let reason = |flaw: &Option<(SkipReason, String)>| flaw.as_ref().map(|(reason, _)| *reason);
        let expected = match whole.flaw {
            None => source.inspect(&whole.record).err().map(|(reason, _)| reason),
            Some(_) => reason(&whole.flaw),
        };
        let found = reason(&read.flaw).or_else(|| source.inspect(&read.record).err().map(|(reason, _)| reason));
        assert_eq!(found, expected, "it is told for the same reason");
        let record = source.whole(&read.record).expect("its part is there");
        assert_eq!(
            (record.bytes, record.row),
            (whole.record.bytes.clone(), whole.record.row.clone()),
            "it is the same"
        );
    }
}

/// UTF-16 is told by its mark, and is decoded before anything is looked at.
fn is_plain_utf8(data: &[u8]) -> bool {
    !data.starts_with(&[0xff, 0xfe]) && !data.starts_with(&[0xfe, 0xff])
}

/// Between rows stand line ends and nothing else.
fn nothing_is_lost(data: &[u8], heading: &Heading, reads: &[Read]) {
    let mut at = if data.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
    let rows = reads.iter().map(|read| (own(read), read.next_offset));
    if let Some(header) = heading.header() {
        assert!(data[at..].starts_with(header), "the header stands at the beginning");
        at += header.len();
        at += line_end(&data[at..]);
    }
    for (row, next) in rows {
        assert!(data[at..].starts_with(&row), "the row stands in the file at byte {at}");
        at += row.len();
        at += line_end(&data[at..]);
        assert_eq!(at as u64, next, "nothing stands between two rows");
    }
    assert_eq!(at, data.len(), "nothing stands behind the last row");
}

/// Returns a row as it stood.
fn own(read: &Read) -> Bytes {
    read.record.row.clone().unwrap_or_else(|| read.record.bytes.clone())
}

fn line_end(bytes: &[u8]) -> usize {
    match bytes {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

/// Puts answers into the column `field`, and holds the table against what it was.
fn answered(desk: &Desk, source: &FileSource, heading: &Heading, before: &[Read], field: &str, has_header: bool) {
    // What cannot be written in place is not touched.
    let Ok(table) = desk.answer(source, before, field) else { return };
    if before.iter().all(|read| !is_pending(source, read)) {
        assert_eq!(std::fs::read(desk.path().join("kept")).ok(), Some(table), "without an answer nothing is touched");
        return;
    }
    let Dialect { delimiter, quote } = heading.dialect();
    let quote = quote.map_or("none".to_owned(), |quote| char::from(quote).to_string());
    let options = json!({ "header": has_header, "delimiter": char::from(delimiter).to_string(), "quote": quote });
    let written = desk.source("table", options, field);
    let after = read(&written).expect("what was written can be read");
    assert_eq!(before.len(), after.len(), "there are as many rows as before");
    let column = heading.names().iter().position(|name| name == field);
    let n = heading.names().len();
    for (old, new) in before.iter().zip(&after) {
        let Some(row) = old.record.row.as_ref().filter(|_| old.flaw.is_none()) else {
            assert_eq!(own(old), own(new), "what is no record stands as it stood");
            continue;
        };
        let now = new.record.row.as_ref().expect("a row is a row");
        let (old_cells, new_cells) = (cells_of(row, heading.dialect()), cells_of(now, heading.dialect()));
        for i in (0..n).filter(|i| column != Some(*i)) {
            let (old, new) = (old_cells.get(i).copied().unwrap_or_default(), new_cells.get(i).copied());
            assert_eq!(new.unwrap_or_default(), old, "an untouched cell is byte for byte as it was");
        }
        if is_pending(source, old) {
            let at = column.unwrap_or(n);
            assert_eq!(new_cells.get(at).copied(), Some(ANSWER.as_bytes()), "the answer stands in its column");
        }
    }
}
