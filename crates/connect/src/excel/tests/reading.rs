//! Sheets as records.

use std::io::Cursor;

use domain::ports::{Source as _, Starts};
use proptest::prelude::*;
use serde_json::Value;
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::{Desk, HEAD, NAMES, TAIL, book, book_of, reads, table, values};
use crate::SourceConfig;

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
