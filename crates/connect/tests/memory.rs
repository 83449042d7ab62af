//! Tables that unfold into far more than they are: reading and rewriting them takes as much memory as any other.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
};

use connect::{AnswerColumns, FileSource, Place, SinkConfig, SinkPlaces, SourceConfig};
use domain::{
    End, Outcome, Read, SkipReason, Timestamp,
    ports::{Sink as _, Source as _, Starts},
};
use serde_json::{Value, json, value::RawValue};
use zip::{ZipWriter, write::SimpleFileOptions};

/// No more than this is added to what the process has already, however much there is to read.
const MOST: u64 = 96 << 20;

/// Writes a workbook of one sheet; `rows` writes what stands in its `sheetData`.
fn workbook(path: &Path, texts: &str, rows: impl Fn(&mut dyn std::io::Write)) {
    let relation = |id: &str, kind: &str, target: &str| {
        format!("<Relationship Id=\"{id}\" Type=\"http://x/relationships/{kind}\" Target=\"{target}\"/>")
    };
    let relations = |inner: String| format!("<Relationships xmlns=\"r\">{inner}</Relationships>");
    let parts = relation("rId1", "worksheet", "sheet1.xml") + &relation("rId2", "sharedStrings", "texts.xml");
    let mut zip = ZipWriter::new(BufWriter::new(File::create(path).expect("the folder can be written")));
    for (name, text) in [
        ("_rels/.rels", relations(relation("rId1", "officeDocument", "xl/workbook.xml"))),
        ("xl/_rels/workbook.xml.rels", relations(parts)),
        (
            "xl/workbook.xml",
            "<workbook xmlns:r=\"r\"><sheets><sheet name=\"s\" r:id=\"rId1\"/></sheets></workbook>".to_owned(),
        ),
        ("xl/texts.xml", format!("<sst><si><t>id</t></si><si><t>{texts}</t></si></sst>")),
    ] {
        zip.start_file(name, SimpleFileOptions::default()).expect("a part can be begun");
        zip.write_all(text.as_bytes()).expect("it can be written");
    }
    zip.start_file("xl/sheet1.xml", SimpleFileOptions::default().large_file(true)).expect("a part can be begun");
    let head = "<worksheet><dimension ref=\"A1:C9\"/><sheetData><row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c>\
                <c r=\"B1\" t=\"str\"><v>b</v></c><c r=\"C1\" t=\"str\"><v>c</v></c></row>";
    zip.write_all(head.as_bytes()).expect("it can be written");
    rows(&mut zip);
    zip.write_all(b"</sheetData></worksheet>").expect("it can be written");
    zip.finish().expect("it can be done");
}

fn source(path: &Path, options: Value) -> FileSource {
    let config: SourceConfig = serde_json::from_value(options).expect("it can be done");
    let place = Place { path: path.to_owned(), name: "in".to_owned() };
    let source = config.source(place, 0, AnswerColumns::default()).expect("it can be done");
    source.fingerprint().expect("it can be done");
    source
}

/// Reads to the end, and hands each record to `see`.
fn each(source: &FileSource, mut see: impl FnMut(Read)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it can be done");
    let mut records = source.open(&Starts::new()).expect("it can be done");
    loop {
        let some = runtime.block_on(records.next(16)).expect("it can be done");
        if some.is_empty() {
            return;
        }
        some.into_iter().for_each(&mut see);
    }
}

/// Returns the most memory that the process ever had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("it can be done");
    let kb = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it can be done");
    kb.trim().trim_end_matches(" kB").parse::<u64>().expect("it can be done") << 10
}

fn within_bounds<T>(what: impl FnOnce() -> T) -> T {
    let before = peak();
    let done = what();
    let more = peak() - before;
    assert!(more < MOST, "it took {} MiB", more >> 20);
    done
}

#[test]
fn rows_that_name_one_long_text_come_to_no_more_than_some_of_them() {
    let folder = tempfile::tempdir().expect("there is a folder");
    let path = folder.path().join("in.xlsx");
    // Each of the first rows comes to 2 MiB, each of the last to 6.
    let row = |number: u64, n_cells: u64| -> String {
        let cell = |column: u64| format!("<c r=\"{}{number}\" t=\"s\"><v>1</v></c>", ["A", "B", "C"][column as usize]);
        format!("<row r=\"{number}\">{}</row>", (0..n_cells).map(cell).collect::<String>())
    };
    workbook(&path, &"x".repeat(2 << 20), |out| {
        for number in 0..400 {
            out.write_all(row(number + 2, if number < 200 { 1 } else { 3 }).as_bytes()).expect("it can be written");
        }
    });
    let source = source(&path, json!({"excel": {"path": "in", "max_record": "4MiB"}}));
    let (mut n_sound, mut n_long) = (0, 0);
    within_bounds(|| {
        each(&source, |read| match read.flaw {
            None => {
                assert_eq!(read.record.bytes.len(), (2 << 20) + r#"{"id":"","b":null,"c":null}"#.len());
                n_sound += 1;
            }
            Some((reason, message)) => {
                assert_eq!(reason, SkipReason::TooLong, "{message}");
                let number = read.record.origin.line;
                let expected = format!(
                    "in row {number}: with the texts that its cells name the row has over 4 MiB; raise `max_record` to read it"
                );
                assert_eq!(message, expected);
                assert!(read.record.bytes.len() <= 200, "an excerpt is shown");
                n_long += 1;
            }
        });
    });
    assert_eq!((n_sound, n_long), (200, 200));
}

#[test]
fn a_row_of_blanks_without_end_is_too_long_and_the_workbook_is_written_again_around_it() {
    let folder = tempfile::tempdir().expect("there is a folder");
    let path = folder.path().join("in.xlsx");
    let blanks = [b' '; 1 << 20];
    let n_blanks = 200;
    workbook(&path, "x", |out| {
        let mut many = |before: &str, behind: &str| {
            out.write_all(before.as_bytes()).expect("it can be written");
            (0..n_blanks).for_each(|_| out.write_all(&blanks).expect("it can be written"));
            out.write_all(behind.as_bytes()).expect("it can be written");
        };
        many("<row r=\"2\"><c r=\"A2\" t=\"inlineStr\"><is><t>", "</t></is></c></row>");
        many("<row r=\"3\">", "<c r=\"A3\"><v>3</v></c></row>");
        many("", "<row r=\"4\"><c r=\"A4\"><v>4</v></c></row>");
    });
    let source = source(&path, json!({"excel": {"path": "in", "max_record": "1MiB"}}));
    within_bounds(|| {
        let config: SinkConfig =
            serde_json::from_value(json!({"excel": {"path": "out.xlsx"}})).expect("it can be done");
        let output = Place { path: folder.path().join("out.xlsx"), name: "out.xlsx".to_owned() };
        let mut sink =
            config.sink(SinkPlaces::beside(output, None), &["x".to_owned()], "run", &source).expect("it can be done");
        sink.prepare().expect("it can be done");
        sink.open(true).expect("it can be done");
        let mut merge = sink.merge().expect("it can be done");
        let mut reasons = Vec::new();
        each(&source, |read| {
            reasons.push(read.flaw.as_ref().map(|(reason, _)| *reason));
            let (end, output) = match read.flaw {
                Some((reason, message)) => (End::Skipped { reason, message }, None),
                None => (End::Succeeded, Some(RawValue::from_string(r#"{"x":9}"#.to_owned()).expect("it can be done"))),
            };
            let outcome = Outcome { output, attempts: 1, ..Outcome::of(&read.record, end, Timestamp(0)) };
            merge.write(&read.record, &outcome).expect("it can be done");
        });
        assert_eq!(reasons, [Some(SkipReason::TooLong), Some(SkipReason::TooLong), None]);
        merge.finish().expect("it can be done");
    });
}

#[test]
fn a_column_with_a_long_name_does_not_stand_in_memory_once_for_each_row() {
    let folder = tempfile::tempdir().expect("there is a folder");
    let path = folder.path().join("in.csv");
    fs::write(&path, format!("{},b\n{}", "n".repeat(4 << 20), "1\n".repeat(300))).expect("it can be done");
    let source = source(&path, json!({"csv": {"path": "in"}}));
    let mut n = 0;
    within_bounds(|| {
        each(&source, |read| {
            assert_eq!(read.record.bytes.len(), (4 << 20) + r#"{"":"1"}"#.len());
            n += 1;
        });
    });
    assert_eq!(n, 300);
}
