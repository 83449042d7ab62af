//! Answers into sheets, and records into workbooks of their own.

use std::io::Cursor;

use domain::ports::{Sink as _, Starts};
use serde_json::Value;
use zip::ZipArchive;

use super::{Desk, HEAD, NAMES, TAIL, book, book_of, part, reads, table, values};
use crate::{SinkConfig, SinkPlaces, SourceConfig, tests::succeeded};

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
