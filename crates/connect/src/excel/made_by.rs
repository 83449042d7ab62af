//! Workbooks that Excel, WPS and `LibreOffice` saved: answers go into them, and all that was there is there afterwards.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use domain::{
    Read,
    ports::{Sink, Source, Starts},
};
use serde_json::Value;
use zip::ZipArchive;

use crate::{AnswerColumns, FileSource, Place, SinkConfig, SinkPlaces, SourceConfig, tests::succeeded};

/// Each with its sheets, and the records that each of them has, which are as many as openpyxl finds.
const BOOKS: &[(&str, &[u64])] = &[
    ("excel_any_sheets.xlsx", &[3, 0, 0]),
    ("excel_merged.xlsx", &[3, 0, 0]),
    ("excel_plain.xlsx", &[2]),
    ("excel_tables.xlsx", &[4, 4, 9]),
    ("libreoffice_24_8.xlsx", &[1]),
    ("libreoffice_5_hidden.xlsx", &[5]),
    ("wps_hidden.xlsx", &[0, 0]),
];

/// The answer of a record.
fn answer(read: &Read) -> String {
    format!("row {} & more", read.record.origin.line)
}

fn source(folder: &Path, file: &str, sheet: usize) -> FileSource {
    let config = format!(r#"{{"excel": {{"path": "{file}", "sheet": {sheet}}}}}"#);
    let config: SourceConfig = serde_json::from_str(&config).unwrap();
    let place = Place { path: folder.join(file), name: file.to_owned() };
    config.source(place, 0, AnswerColumns::default()).unwrap()
}

/// The records of a sheet; nothing where it is one of no rows.
fn reads(source: &FileSource) -> Result<Vec<Read>, String> {
    source.fingerprint().map_err(|error| error.0)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut records = source.open(&Starts::new()).map_err(|error| error.0)?;
        let mut all = Vec::new();
        loop {
            let some = records.next(100).await.map_err(|error| error.0)?;
            if some.is_empty() {
                return Ok(all);
            }
            all.extend(some.into_iter().filter(|read| !read.record.bytes.is_empty()));
        }
    })
}

/// The parts of a workbook by name, unpacked.
fn parts(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut zip = ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let n = zip.len();
    let part = |index: usize| {
        let mut part = zip.by_index(index).unwrap();
        let mut bytes = Vec::new();
        part.read_to_end(&mut bytes).unwrap();
        (part.name().unwrap().into_owned(), bytes)
    };
    (0..n).map(part).collect()
}

#[test]
fn workbooks_of_other_programs_keep_all_that_is_in_them() {
    let made_by = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/excel/made_by");
    let mut found = Vec::new();
    for (file, sheets) in BOOKS {
        let mut n_records = Vec::new();
        for sheet in 1..=sheets.len() {
            let folder = tempfile::tempdir().unwrap();
            std::fs::copy(made_by.join(file), folder.path().join(file)).unwrap();
            let before = source(folder.path(), file, sheet);
            let records = match reads(&before) {
                Ok(records) => records,
                Err(what) => {
                    assert!(
                        what.contains("empty") || what.contains("no row") || what.contains("chart"),
                        "{file}: {what}"
                    );
                    n_records.push(0);
                    continue;
                }
            };
            n_records.push(records.len() as u64);

            let config: SinkConfig = serde_json::from_str(r#"{"excel": {"path": "out.xlsx"}}"#).unwrap();
            let out = Place { path: folder.path().join("out.xlsx"), name: "out.xlsx".to_owned() };
            let places = SinkPlaces::beside(out.clone(), None);
            let mut sink = config.sink(places, &["the answer".to_owned()], "run", &before).unwrap();
            sink.prepare().unwrap();
            sink.open(true).unwrap();
            let mut merge = sink.merge().unwrap();
            for read in &records {
                let output = serde_json::json!({ "the answer": answer(read) }).to_string();
                merge.write(&read.record, &succeeded(&read.record, &output)).unwrap();
            }
            assert_eq!(merge.settle().unwrap(), []);
            merge.finish().unwrap();

            let (old, new) = (parts(&folder.path().join(file)), parts(&out.path));
            assert!(old.keys().eq(new.keys()), "{file}");
            let changed: Vec<&String> = old.keys().filter(|name| old[*name] != new[*name]).collect();
            assert!(changed.iter().all(|name| name.starts_with("xl/worksheets/sheet")), "{file}: {changed:?}");
            assert!(changed.len() <= 1, "{file}: {changed:?}");
            // Whatever stood in the sheet still does, in its order: only cells were put in between.
            for name in changed {
                let (old, new) = (text_of(&old[name]), text_of(&new[name]));
                let mut rest = new.as_str();
                for tag in old.split_inclusive('>') {
                    let at = rest.find(tag).unwrap_or_else(|| panic!("{file} {name}: `{tag}` is lost"));
                    rest = &rest[at + tag.len()..];
                }
            }
            let after = reads(&source(folder.path(), "out.xlsx", sheet)).unwrap();
            assert_eq!(after.len(), records.len());
            for (before, after) in records.iter().zip(&after) {
                let mut expected: Value = serde_json::from_slice(&before.record.bytes).unwrap();
                expected["the answer"] = answer(before).into();
                let found: Value = serde_json::from_slice(&after.record.bytes).unwrap();
                assert_eq!((found, after.record.origin.line), (expected, before.record.origin.line), "{file}");
            }
        }
        found.push((*file, n_records));
    }
    let expected: Vec<_> = BOOKS.iter().map(|(file, sheets)| (*file, sheets.to_vec())).collect();
    assert_eq!(found, expected);
}

/// Returns a sheet without what is said anew of it: the range that it has, and where the cells of a row are.
fn text_of(sheet: &[u8]) -> String {
    let text = String::from_utf8(sheet.to_vec()).unwrap();
    let mut out = String::new();
    for tag in text.split_inclusive('>') {
        if tag.contains("<row") {
            let words = tag.trim_end_matches('>').split(' ').filter(|word| !word.starts_with("spans="));
            out.push_str(&(words.collect::<Vec<_>>().join(" ") + ">"));
        } else if !tag.contains("<dimension") {
            out.push_str(tag);
        }
    }
    out
}
