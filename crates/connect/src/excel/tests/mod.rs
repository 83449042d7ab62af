//! Workbooks that are made here, byte by byte.

mod reading;
mod writing;

use std::io::{Cursor, Write as _};

use domain::{
    Read,
    ports::{Sink, Source, Starts},
};
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
