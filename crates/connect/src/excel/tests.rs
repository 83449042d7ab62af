use std::io::{Cursor, Write as _};

use domain::{
    Read,
    ports::{Sink, Source, Starts},
};
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::{
    FileSource, Place, SinkConfig, SinkPlaces, SourceConfig,
    tests::{failed, succeeded},
};

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="m"><dimension ref="A1:C4"/><cols><col min="1" max="1" width="9"/></cols><sheetData>"#;
const TAIL: &str =
    r#"</sheetData><autoFilter ref="A1:C4"/><mergeCells count="1"><mergeCell ref="A9:B9"/></mergeCells></worksheet>"#;

/// A workbook of two sheets, the second of which is `rows`.
fn book(rows: &str, strings: &[&str]) -> Vec<u8> {
    book_of(&format!("{HEAD}{rows}{TAIL}"), strings)
}

fn book_of(sheet: &str, strings: &[&str]) -> Vec<u8> {
    let relation = |id: &str, kind: &str, target: &str| {
        format!(r#"<Relationship Id="{id}" Type="http://x/relationships/{kind}" Target="{target}"/>"#)
    };
    let relations = |inner: String| format!(r#"<?xml version="1.0"?><Relationships xmlns="r">{inner}</Relationships>"#);
    let strings: String = strings.iter().map(|text| format!("<si><t>{text}</t></si>")).collect();
    let parts = [
        ("[Content_Types].xml", "<Types/>".to_owned()),
        ("_rels/.rels", relations(relation("rId1", "officeDocument", "xl/workbook.xml"))),
        (
            "xl/workbook.xml",
            r#"<workbook xmlns:r="r"><!-- <sheet name="none" r:id="x"/> --><workbookPr/><sheets><sheet name="first" sheetId="1" r:id="rId1"/><sheet name="R&amp;D 数据" sheetId="2" r:id="rId2"/></sheets></workbook>"#.to_owned(),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            relations(
                relation("rId1", "worksheet", "worksheets/sheet1.xml")
                    + &relation("rId2", "worksheet", "/xl/worksheets/sheet2.xml")
                    + &relation("rId3", "sharedStrings", "sharedStrings.xml")
                    + &relation("rId4", "styles", "styles.xml"),
            ),
        ),
        (
            "xl/styles.xml",
            r#"<styleSheet><numFmts><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd"/></numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="9"/></cellXfs></styleSheet>"#.to_owned(),
        ),
        ("xl/worksheets/sheet1.xml", format!("{HEAD}<row r=\"1\"><c r=\"A1\"><v>1</v></c></row>{TAIL}")),
        ("xl/worksheets/sheet2.xml", sheet.to_owned()),
        ("xl/sharedStrings.xml", format!("<sst>{strings}</sst>")),
        ("xl/media/image1.png", "\u{1}not really".to_owned()),
    ];
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn part(book: &[u8], name: &str) -> String {
    std::io::read_to_string(ZipArchive::new(Cursor::new(book)).unwrap().by_name(name).unwrap()).unwrap()
}

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new(book: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("in.xlsx"), book).unwrap();
        Self { folder }
    }

    fn place(&self, name: &str) -> Place {
        Place { path: self.folder.path().join(name), name: name.to_owned() }
    }

    fn source(&self, options: &str) -> FileSource {
        let config = format!(r#"{{"excel": {{"path": "in.xlsx", "sheet": "R&D 数据"{options}}}}}"#);
        let config: SourceConfig = serde_json::from_str(&config).unwrap();
        config.source(self.place("in.xlsx"), 0, crate::AnswerColumns::default()).unwrap()
    }

    /// Writes an answer to each record, in `fields`; an answer that is not there leaves its record as it is.
    fn write(&self, options: &str, fields: &[&str], answers: &[Option<&str>]) -> Result<Vec<u8>, String> {
        let source = self.source("");
        let config = format!(r#"{{"excel": {{"path": "out.xlsx"{options}}}}}"#);
        let config: SinkConfig = serde_json::from_str(&config).unwrap();
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let places = SinkPlaces::beside(self.place("out.xlsx"), None);
        let mut sink = config.sink(places, &fields, "run", &source).map_err(|e| e.message)?;
        sink.prepare().map_err(|e| e.message)?;
        sink.open(true).unwrap();
        let mut merge = sink.merge().map_err(|e| e.message)?;
        let records = reads(&source, &Starts::new()).unwrap();
        for (read, answer) in records.iter().zip(answers.iter().chain(std::iter::repeat(&None))) {
            let Some(answer) = answer else { continue };
            merge.write(&read.record, &succeeded(&read.record, answer)).map_err(|e| e.message)?;
        }
        let rejected = merge.settle().map_err(|e| e.message)?;
        merge.finish().map_err(|e| e.message)?;
        if let Some(rejected) = rejected.first() {
            return Err(format!("row {}: {}", rejected.key.position + 2, rejected.failure));
        }
        let left: Vec<_> = std::fs::read_dir(self.folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "{left:?}");
        Ok(std::fs::read(self.folder.path().join("out.xlsx")).unwrap())
    }
}

impl Desk {
    /// Writes an answer to each record that has one, and hands on the others as well, as a run does.
    fn write_all(&self, fields: &[&str], answers: &[Option<&str>]) -> Result<(), String> {
        let source = self.source("");
        let config: SinkConfig = serde_json::from_str(r#"{"excel": {"path": "out.xlsx"}}"#).unwrap();
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let mut sink = config.sink(SinkPlaces::beside(self.place("out.xlsx"), None), &fields, "run", &source).unwrap();
        sink.prepare().unwrap();
        sink.open(true).unwrap();
        let mut merge = sink.merge().map_err(|e| e.message)?;
        for (read, answer) in reads(&source, &Starts::new()).unwrap().iter().zip(answers) {
            let outcome = answer.map_or_else(|| failed(&read.record), |answer| succeeded(&read.record, answer));
            merge.write(&read.record, &outcome).map_err(|e| e.message)?;
        }
        merge.finish().map(|_| ()).map_err(|e| e.message)
    }
}

fn reads(source: &FileSource, starts: &Starts) -> Result<Vec<Read>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut records = source.open(starts).map_err(|e| e.0)?;
        let mut all = Vec::new();
        loop {
            let some = records.next(7).await.map_err(|e| e.0)?;
            if some.is_empty() {
                return Ok(all);
            }
            all.extend(some);
        }
    })
}

fn values(source: &FileSource) -> Vec<(u64, Value)> {
    let read = |read: Read| {
        assert_eq!(read.flaw, None);
        let text = if read.record.bytes.is_empty() { &b"null"[..] } else { &read.record.bytes };
        (read.record.origin.line, serde_json::from_slice(text).unwrap())
    };
    reads(source, &Starts::new()).unwrap().into_iter().map(read).collect()
}

const NAMES: &str = r#"<row r="1" spans="1:3"><c r="A1" s="2" t="s"><v>0</v></c><c r="B1" s="2" t="s"><v>1</v></c><c r="C1" t="inlineStr"><is><t>何时</t></is></c></row>"#;

/// A head and three rows, of which the second one is empty and the fourth is missing.
fn table() -> Vec<u8> {
    let rows = format!(
        r#"{NAMES}
        <row r="2" spans="1:3" ht="20"><c r="A2" t="s"><v>2</v></c><c r="B2"><v>0.10000000000000001</v></c><c r="C2" s="1"><v>45351</v></c></row>
        <row r="3"><c r="A3" s="2"/></row>
        <row r="5"><c r="A5" t="s"><v>3</v></c><c r="C5"><f>1+1</f><v>2</v></c><c r="D5" s="2"/></row>"#
    );
    book(&rows, &["id", "score", "00123", "a &lt;b&gt; \"c\""])
}

#[test]
fn cells_are_what_they_mean() {
    let desk = Desk::new(&table());
    let found = values(&desk.source(""));
    let expected = [
        (2, serde_json::json!({ "id": "00123", "score": 0.1, "何时": "2024-02-29" })),
        (3, Value::Null),
        (5, serde_json::json!({ "id": "a <b> \"c\"", "score": null, "何时": 2 })),
    ];
    assert_eq!(found, expected);
    let source = desk.source("");
    assert_eq!(source.count().unwrap(), Some(3));
    let all = reads(&source, &Starts::new()).unwrap();
    assert_eq!(source.place_of(&all[2].record), "in.xlsx row 5");
    // What is read from the middle is what was read from the beginning.
    let starts = Starts::from([(0, (1, all[0].next_offset))]);
    let rest = reads(&source, &starts).unwrap();
    assert_eq!(rest.len(), 2);
    assert_eq!((&rest[1].record.bytes, rest[1].record.key), (&all[2].record.bytes, all[2].record.key));
}

#[test]
fn numbers_keep_what_they_say() {
    let numbers =
        ["1", "-0", "007", "1.5E3", "123456789012345678", "1e-7", "1E300", "0.30000000000000004", "abc", "-12.50"];
    let cells: String = numbers
        .iter()
        .enumerate()
        .map(|(i, n)| format!("<row r=\"{}\"><c r=\"A{0}\"><v>{n}</v></c></row>", i + 2))
        .collect();
    let rows = format!("<row r=\"1\"><c r=\"A1\" t=\"str\"><v>n</v></c></row>{cells}");
    let desk = Desk::new(&book(&rows, &[]));
    let found: Vec<String> = reads(&desk.source(""), &Starts::new())
        .unwrap()
        .iter()
        .map(|read| String::from_utf8(read.record.bytes.to_vec()).unwrap())
        .collect();
    let expected =
        ["1", "0", "7", "1500", "123456789012345680", "0.0000001", "1e300", "0.30000000000000004", "\"abc\"", "-12.5"];
    assert_eq!(found, expected.map(|n| format!("{{\"n\":{n}}}")));
}

#[test]
fn cells_are_text_where_that_is_wanted() {
    let row = "<row r=\"2\"><c r=\"A2\"><v>5</v></c><c r=\"B2\" t=\"b\"><v>1</v></c><c r=\"C2\" t=\"str\"><v>x</v></c>\
               <c r=\"D2\"><v>1E300</v></c></row>";
    let head: String = ["A", "B", "C", "D", "E"].map(|c| format!("<c r=\"{c}1\" t=\"str\"><v>{c}</v></c>")).concat();
    let desk = Desk::new(&book(&format!("<row r=\"1\">{head}</row>{row}"), &[]));
    let read = |options| {
        let reads = reads(&desk.source(options), &Starts::new()).unwrap();
        String::from_utf8(reads[0].record.bytes.to_vec()).unwrap()
    };
    assert_eq!(read(""), r#"{"A":5,"B":true,"C":"x","D":1e300,"E":null}"#);
    assert_eq!(read(r#", "text": true"#), r#"{"A":"5","B":"TRUE","C":"x","D":"1e300","E":null}"#);
}

#[test]
fn answers_go_into_new_columns_and_all_else_stays_as_it_is() {
    let before = table();
    let desk = Desk::new(&before);
    let answers = [
        Some(r#"{"label":"x < \"y\" & z ","n":12,"ok":true}"#),
        None,
        Some(r#"{"label":null,"n":1234567890123456,"ok":[1, {"a":"b"}]}"#),
    ];
    let after = desk.write(r#", "columns": {"label": "ai label"}"#, &["label", "n", "ok"], &answers).unwrap();
    let sheet = part(&after, "xl/worksheets/sheet2.xml");
    let expected = part(&before, "xl/worksheets/sheet2.xml")
        .replace("A1:C4", "A1:F4")
        .replacen("autoFilter ref=\"A1:F4\"", "autoFilter ref=\"A1:C4\"", 1)
        .replacen(" spans=\"1:3\"", "", 2)
        .replacen("<t>何时</t></is></c>", r#"<t>何时</t></is></c><c r="D1" t="inlineStr"><is><t>ai label</t></is></c><c r="E1" t="inlineStr"><is><t>n</t></is></c><c r="F1" t="inlineStr"><is><t>ok</t></is></c>"#, 1)
        .replacen("<v>45351</v></c>", r#"<v>45351</v></c><c r="D2" t="inlineStr"><is><t xml:space="preserve">x &lt; "y" &amp; z </t></is></c><c r="E2"><v>12</v></c><c r="F2" t="b"><v>1</v></c>"#, 1)
        .replacen(r#"<c r="D5" s="2"/>"#, r#"<c r="D5" s="2"/><c r="E5" t="inlineStr"><is><t>1234567890123456</t></is></c><c r="F5" t="inlineStr"><is><t>[1,{"a":"b"}]</t></is></c>"#, 1);
    assert_eq!(sheet, expected);
    // Nothing else in the package was even unpacked.
    let (mut old, mut new) =
        (ZipArchive::new(Cursor::new(&before)).unwrap(), ZipArchive::new(Cursor::new(&after)).unwrap());
    assert_eq!(old.len(), new.len());
    for index in 0..old.len() {
        let (old, new) = (old.by_index_raw(index).unwrap(), new.by_index_raw(index).unwrap());
        assert_eq!(old.name().unwrap(), new.name().unwrap());
        let is_sheet = old.name().unwrap() == "xl/worksheets/sheet2.xml";
        assert!(is_sheet || (old.crc32(), old.compressed_size()) == (new.crc32(), new.compressed_size()));
    }
    // What was written is read again as it was meant.
    std::fs::write(desk.folder.path().join("in.xlsx"), after).unwrap();
    let found = values(&desk.source(""));
    assert_eq!(found[0].1["ai label"], "x < \"y\" & z ");
    assert_eq!((&found[0].1["ok"], &found[2].1["n"]), (&Value::Bool(true), &Value::from("1234567890123456")));
}

#[test]
fn answers_go_into_columns_that_are_there_only_where_that_is_said_and_never_over_a_formula() {
    let desk = Desk::new(&table());
    let taken = desk.write("", &["score"], &[]).unwrap_err();
    assert!(taken.contains("already has a column `score`") && taken.contains("overwrite: true"), "{taken}");
    let answers = [Some(r#"{"score":"new"}"#), None, Some(r#"{"score":null}"#)];
    let after = desk.write(r#", "overwrite": true"#, &["score"], &answers).unwrap();
    let sheet = part(&after, "xl/worksheets/sheet2.xml");
    assert!(sheet.contains(r#"<c r="B2" t="inlineStr"><is><t>new</t></is></c><c r="C2" s="1">"#), "{sheet}");
    let formula = [None, None, Some(r#"{"何时":"new"}"#)];
    let before = part(&table(), "xl/worksheets/sheet2.xml");
    let refused = desk.write(r#", "overwrite": true"#, &["何时"], &formula).unwrap_err();
    assert!(refused.contains("cell C5 holds a formula"), "{refused}");
    let after = part(&std::fs::read(desk.folder.path().join("out.xlsx")).unwrap(), "xl/worksheets/sheet2.xml");
    let rows = |sheet: &str| sheet.split_once("</row>").unwrap().1.to_owned();
    assert_eq!(rows(&after), rows(&before), "the row is what it was, and so are all others");
}

#[test]
fn what_stands_in_a_column_without_a_name_is_not_written_over() {
    let rows = format!(
        "{NAMES}<row r=\"2\"><c r=\"A2\"><v>1</v></c><c r=\"E2\" t=\"str\"><v>mine</v></c><c r=\"G2\" s=\"2\"/></row>"
    );
    let sheet = format!("{HEAD}{rows}{TAIL}").replace("A1:C4", "A1:G4");
    let desk = Desk::new(&book_of(&sheet, &["id", "score"]));
    let after = desk.write("", &["new"], &[Some(r#"{"new":1}"#)]).unwrap();
    let sheet = part(&after, "xl/worksheets/sheet2.xml");
    assert!(sheet.contains(r#"<v>mine</v></c><c r="F2"><v>1</v></c><c r="G2" s="2"/></row>"#), "{sheet}");
}

#[test]
fn new_columns_stand_behind_all_that_rows_hold_whatever_the_sheet_says_of_itself() {
    let rows = format!("{NAMES}<row r=\"2\"><c r=\"A2\"><v>1</v></c></row><row r=\"3\"><c r=\"D3\"><v>7</v></c></row>");
    // What it says is fewer than there are names, or nothing at all.
    for range in ["<dimension ref=\"A1\"/>", ""] {
        let sheet = format!("{HEAD}{rows}{TAIL}").replace("<dimension ref=\"A1:C4\"/>", range);
        let desk = Desk::new(&book_of(&sheet, &["id", "score"]));
        let after = desk.write("", &["new"], &[Some(r#"{"new":1}"#)]).unwrap();
        let sheet = part(&after, "xl/worksheets/sheet2.xml");
        assert!(sheet.contains(r#"<c r="E2"><v>1</v></c></row><row r="3"><c r="D3"><v>7</v></c></row>"#), "{sheet}");
    }
    // As many as there are names, which cannot be told from the truth before all rows are read: no output is made of it.
    let answer = Some(r#"{"new":1}"#);
    for (rows, answers) in
        [(rows.clone(), [answer, None]), (rows.replace("D3", "E3"), [None, None]), (rows, [None, answer])]
    {
        let desk = Desk::new(&book(&rows, &["id", "score"]));
        let written = desk.write_all(&["new"], &answers);
        match rows.contains("D3") {
            true => {
                let what = "in.xlsx row 3: cell D3 holds something, and the sheet says that it has no such column; open and save the \
                            workbook in Excel, and run the same command again";
                assert_eq!(written, Err(what.to_owned()));
                assert!(!desk.folder.path().join("out.xlsx").exists());
            }
            false => assert_eq!(written, Ok(()), "what stands further away is in nobody's way"),
        }
    }
}

#[test]
fn a_text_that_no_cell_can_hold_is_told_with_its_place() {
    let desk = Desk::new(&table());
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(32_768));
    let error = desk.write("", &["a"], &[Some(&long)]).unwrap_err();
    assert!(error.contains("row 2: write_rejected: the cell of column `a`: the text has 32768 characters"), "{error}");
    let after = part(&std::fs::read(desk.folder.path().join("out.xlsx")).unwrap(), "xl/worksheets/sheet2.xml");
    assert!(after.contains("<t>a</t>") && !after.contains("xxx"), "all but this answer is written: {after}");
    let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(32_767));
    desk.write("", &["a"], &[Some(&fits)]).unwrap();
}

#[test]
fn the_row_that_names_the_columns_and_the_sheet_can_be_chosen() {
    let rows = "<row r=\"1\"><c r=\"A1\" t=\"str\"><v>A report</v></c></row><row r=\"3\"><c r=\"A3\" t=\"s\"><v>0</v></c></row><row r=\"4\"><c r=\"A4\"><v>9</v></c></row>";
    let desk = Desk::new(&book(rows, &["id"]));
    assert_eq!(values(&desk.source(r#", "header_row": 3"#)), [(4, serde_json::json!({ "id": 9 }))]);
    let names: Vec<_> = values(&desk.source("")).into_iter().map(|(line, value)| (line, value.to_string())).collect();
    assert_eq!(names[0], (3, r#"{"A report":"id"}"#.to_owned()));
    for (options, expected) in [
        (r#", "header_row": 2"#, "row 2 is empty, and should name the columns"),
        (r#", "header_row": 9"#, "it has no row 9"),
    ] {
        let error = desk.source(options).fingerprint().unwrap_err().0;
        assert!(error.contains(expected), "{error}");
    }
    let of = |sheet: &str| {
        let config = format!(r#"{{"excel": {{"path": "in.xlsx", "sheet": {sheet}}}}}"#);
        let config: SourceConfig = serde_json::from_str(&config).unwrap();
        config
            .source(desk.place("in.xlsx"), 0, crate::AnswerColumns::default())
            .unwrap()
            .fingerprint()
            .map(|_| ())
            .map_err(|e| e.0)
    };
    assert_eq!(of("2"), Ok(()));
    assert_eq!(of("\"first\""), Ok(()));
    assert!(of("3").unwrap_err().contains("it has no sheet 3; there are 2: `first`, `R&D 数据`"));
    assert!(of("\"second\"").unwrap_err().contains("it has no sheet `second`"));
}

#[test]
fn what_is_no_workbook_is_told_to_be_none() {
    for (bytes, expected) in [
        (b"id,score\n1,2\n".to_vec(), "it is no Excel workbook; a table in a text file is read with `csv:`"),
        ([0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1].to_vec(), "of the old kind (.xls), or under a password"),
        (table()[..900].to_vec(), "damaged or cut short"),
        (book("", &[]), "it is empty; its first row should name the columns"),
        (book_of("<worksheet><sheetData/></worksheet>", &[]), "it is empty"),
        (book_of("<worksheet><sheetData><row r=\"1\"><c r=\"A1\"><v>1</v></c>", &[]), "no beginning or no end"),
        (
            book("<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"C1\" t=\"s\"><v>0</v></c></row>", &["x"]),
            "row 1: columns A and C are both called `x`",
        ),
        (book("<row r=\"1\"><c r=\"A1\" t=\"s\"><v>4</v></c></row>", &["x"]), "a text that the workbook does not have"),
    ] {
        let error = Desk::new(&bytes).source("").fingerprint().unwrap_err().0;
        assert!(error.contains(expected), "{expected}: {error}");
    }
    // A sheet that ends within its rows is noticed when they are read.
    let cut = book_of(&format!("{HEAD}{NAMES}<row r=\"2\"><c r=\"A2\"><v>1</v></c></row><row r=\"3\">"), &["a", "b"]);
    let error = reads(&Desk::new(&cut).source(""), &Starts::new()).unwrap_err();
    assert!(error.contains("ends in the middle of its rows"), "{error}");
}

#[test]
fn bytes_that_turned_are_noticed_and_a_workbook_is_not_taken_for_text() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut old = ZipArchive::new(Cursor::new(table())).unwrap();
    for index in 0..old.len() {
        let mut file = old.by_index(index).unwrap();
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file(file.name().unwrap().into_owned(), stored).unwrap();
        std::io::copy(&mut file, &mut zip).unwrap();
    }
    let mut bytes = zip.finish().unwrap().into_inner();
    assert_eq!(values(&Desk::new(&bytes).source("")).len(), 3);
    let at = memchr::memmem::find(&bytes, b"<v>45351").unwrap();
    bytes[at + 3] = b'5';
    let error = reads(&Desk::new(&bytes).source(""), &Starts::new()).unwrap_err();
    assert!(error.contains("a part of it does not hold what was put into it"), "{error}");
    let desk = Desk::new(&table());
    for word in ["csv", "jsonl", "json"] {
        let config: SourceConfig = serde_json::from_str(&format!(r#"{{"{word}": {{"path": "in.xlsx"}}}}"#)).unwrap();
        let source = config.source(desk.place("in.xlsx"), 0, crate::AnswerColumns::default()).unwrap();
        let error =
            source.fingerprint().map(|_| ()).and_then(|()| source.open(&Starts::new()).map(|_| ())).unwrap_err();
        assert!(error.0.contains("a workbook is read with `excel:`"), "{error}");
    }
}

#[test]
fn a_cell_that_cannot_be_read_costs_its_row_and_no_other() {
    let rows = format!(
        "{NAMES}<row r=\"2\"><c r=\"A2\" t=\"s\"><v>77</v></c></row><row r=\"3\"><c r=\"A3\"><v>1</v></c></row>"
    );
    let found = reads(&Desk::new(&book(&rows, &["a", "b"])).source(""), &Starts::new()).unwrap();
    let (_, what) = found[0].flaw.clone().unwrap();
    assert!(what.starts_with("in.xlsx row 2: column A: a cell names a text that the workbook does not have"), "{what}");
    assert_eq!(found[1].flaw, None);
}

#[test]
fn a_row_whose_cells_stand_in_no_order_is_told_and_no_value_goes_to_another_column() {
    let rows = format!(r#"{NAMES}<row r="2"><c r="B2"><v>1</v></c><c r="A2"><v>2</v></c></row>"#);
    let desk = Desk::new(&book(&rows, &["id", "score"]));
    let flaw = reads(&desk.source(""), &Starts::new()).unwrap().remove(0).flaw.unwrap();
    assert!(flaw.1.starts_with("in.xlsx row 2: column A: the cell stands behind one of a later column"), "{flaw:?}");
    let desk = Desk::new(&book(&NAMES.replace("B1", "A1"), &["id", "score"]));
    let error = reads(&desk.source(""), &Starts::new()).unwrap_err();
    assert!(error.contains("row 1: column A: the cell stands behind one of a later column"), "{error}");
}

#[test]
fn a_sheet_is_read_wherever_in_it_a_block_ends() {
    // The tag before the rows ends where the first block does.
    let blanks = " ".repeat((64 << 10) - HEAD.len());
    let sheet = format!("{}{blanks}<sheetData>{NAMES}</sheetData></worksheet>", HEAD.replace("<sheetData>", ""));
    let desk = Desk::new(&book_of(&sheet, &["id", "score"]));
    assert_eq!(values(&desk.source("")), []);
    let cut = format!("{}<sheetData>", HEAD.replace("<sheetData>", ""));
    let desk = Desk::new(&book_of(&cut, &[]));
    let error = reads(&desk.source(""), &Starts::new()).unwrap_err();
    assert!(error.contains("it is damaged: its rows have no beginning or no end"), "{error}");
}

#[test]
fn records_of_other_sources_get_a_workbook_of_their_own() {
    let desk = Desk::new(&table());
    let lines = "{\"id\":\"007\",\"price\":19.90,\"tags\":[1,\"a\"]}\n{\"id\":\"x < y\",\"note\":\"line 1\\nline 2\",\"big\":12345678901234567890}\n";
    std::fs::write(desk.folder.path().join("in.jsonl"), lines).unwrap();
    let config: SourceConfig = serde_json::from_str(r#"{"jsonl": {"path": "in.jsonl"}}"#).unwrap();
    let source = config.source(desk.place("in.jsonl"), 0, crate::AnswerColumns::default()).unwrap();
    let config: SinkConfig = serde_json::from_str(r#"{"excel": {"path": "out.xlsx"}}"#).unwrap();
    let places = SinkPlaces::beside(desk.place("out.xlsx"), None);
    let mut sink = config.sink(places, &["label".to_owned(), "ok".to_owned()], "run", &source).unwrap();
    sink.prepare().unwrap();
    sink.open(true).unwrap();
    let mut merge = sink.merge().unwrap();
    let answers = [r#"{"label":"good","ok":true}"#, r#"{"label":null,"ok":false}"#];
    for (read, answer) in reads(&source, &Starts::new()).unwrap().iter().zip(answers) {
        merge.write(&read.record, &succeeded(&read.record, answer)).unwrap();
    }
    let artefacts = merge.finish().unwrap();
    assert_eq!((artefacts[0].records, &*artefacts[0].path), (2, "out.xlsx"));
    let mut left: Vec<_> = std::fs::read_dir(desk.folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["in.jsonl", "in.xlsx", "out.failures.jsonl", "out.xlsx"]);
    let config: SourceConfig = serde_json::from_str(r#"{"excel": {"path": "out.xlsx"}}"#).unwrap();
    let found = values(&config.source(desk.place("out.xlsx"), 0, crate::AnswerColumns::default()).unwrap());
    let expected = [
        (
            2,
            serde_json::json!({"id": "007", "price": 19.9, "tags": "[1,\"a\"]", "note": null, "big": null, "label": "good", "ok": true}),
        ),
        (
            3,
            serde_json::json!({"id": "x < y", "price": null, "tags": null, "note": "line 1\nline 2", "big": "12345678901234567890", "label": null, "ok": false}),
        ),
    ];
    assert_eq!(found, expected);
}

#[test]
fn more_rows_than_a_file_is_to_have_go_on_in_further_ones() {
    let desk = Desk::new(&table());
    let lines: String = (0..5).map(|n| format!("{{\"id\":{n}}}\n")).collect();
    std::fs::write(desk.folder.path().join("in.jsonl"), lines).unwrap();
    let config: SourceConfig = serde_json::from_str(r#"{"jsonl": {"path": "in.jsonl"}}"#).unwrap();
    let source = config.source(desk.place("in.jsonl"), 0, crate::AnswerColumns::default()).unwrap();
    let config: SinkConfig = serde_json::from_str(r#"{"excel": {"path": "out.xlsx", "rows_per_file": 2}}"#).unwrap();
    assert_eq!(config.mistakes(), []);
    let places = SinkPlaces::beside(desk.place("out.xlsx"), None);
    let mut sink = config.sink(places, &["x".to_owned()], "run", &source).unwrap();
    sink.prepare().unwrap();
    sink.open(true).unwrap();
    let mut merge = sink.merge().unwrap();
    for read in reads(&source, &Starts::new()).unwrap() {
        merge.write(&read.record, &succeeded(&read.record, r#"{"x":"y"}"#)).unwrap();
    }
    let artefacts = merge.finish().unwrap();
    let told: Vec<_> = artefacts.iter().map(|artefact| (&*artefact.path, artefact.records)).collect();
    assert_eq!(told, [("out.xlsx", 2), ("out-2.xlsx", 2), ("out-3.xlsx", 1), ("out.failures.jsonl", 0)]);
    let mut ids = Vec::new();
    for name in ["out.xlsx", "out-2.xlsx", "out-3.xlsx"] {
        let config: SourceConfig = serde_json::from_str(&format!(r#"{{"excel": {{"path": "{name}"}}}}"#)).unwrap();
        let found = values(&config.source(desk.place(name), 0, crate::AnswerColumns::default()).unwrap());
        ids.extend(found.iter().map(|(row, value)| (*row, value["id"].as_u64().unwrap(), value["x"].clone())));
    }
    let y = || serde_json::json!("y");
    assert_eq!(ids, [(2, 0, y()), (3, 1, y()), (2, 2, y()), (3, 3, y()), (2, 4, y())]);
    let wrong: SinkConfig = serde_json::from_str(r#"{"excel": {"path": "out.xlsx", "rows_per_file": 0}}"#).unwrap();
    assert_eq!(wrong.mistakes()[0].option, "rows_per_file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn rows_of_any_length_are_read_and_written_whole(
        lengths in prop::collection::vec(0..40_000_usize, 1..12),
        has_prefix in any::<bool>(),
    ) {
        let rows: String = lengths
            .iter()
            .enumerate()
            .map(|(i, n)| format!("<row r=\"{}\"><c r=\"A{0}\" t=\"inlineStr\"><is><t>{}</t></is></c></row>\n", i + 2, "y".repeat(*n)))
            .collect();
        let mut sheet = format!("{HEAD}{NAMES}{rows}{TAIL}");
        if has_prefix {
            for tag in ["worksheet", "dimension", "cols", "sheetData", "row", "c", "v", "is", "t", "autoFilter", "mergeCells"] {
                for end in [" ", ">"] {
                    sheet = sheet.replace(&format!("<{tag}{end}"), &format!("<x:{tag}{end}")).replace(&format!("</{tag}{end}"), &format!("</x:{tag}{end}"));
                }
            }
        }
        let desk = Desk::new(&book_of(&sheet, &["id", "score"]));
        let found = values(&desk.source(""));
        let expected: Vec<_> = lengths
            .iter()
            .map(|n| if *n == 0 { Value::Null } else { serde_json::json!({ "id": "y".repeat(*n), "score": null, "何时": null }) })
            .collect();
        prop_assert_eq!(found.iter().map(|it| it.1.clone()).collect::<Vec<_>>(), expected);
        let answers: Vec<_> = lengths.iter().map(|n| (*n % 2 == 1).then_some(r#"{"a":"z"}"#)).collect();
        let after = desk.write("", &["a"], &answers).unwrap();
        std::fs::write(desk.folder.path().join("in.xlsx"), after).unwrap();
        for ((_, value), answer) in values(&desk.source("")).iter().zip(&answers) {
            prop_assert_eq!(value.get("a").and_then(Value::as_str), answer.map(|_| "z"));
        }
    }
}
