//! Rows out.

use domain::ports::Sink as _;
use proptest::prelude::*;
use serde_json::json;

use crate::tests::{Job, succeeded};

fn csv(content: impl AsRef<[u8]>) -> Job {
    Job::of("csv", "in.csv").file("in.csv", content).into("csv", json!({"path": "out.csv"}))
}

#[test]
fn untouched_cells_are_written_byte_for_byte_with_new_ones_behind_them() {
    for (content, expected) in [
        ("a,b\n1,2\n", "a,b,x\n1,2,9\n"),
        ("a,b\r\n 1 ,\"2\"\r\n", "a,b,x\r\n 1 ,\"2\",9\r\n"),
        ("\"a\",b\n\"x\"\"y\",\"l1\nl2\"", "\"a\",b,x\n\"x\"\"y\",\"l1\nl2\",9\n"),
        ("a;b\n1,5;2\n", "a;b;x\n1,5;2;9\n"),
        ("\u{feff}a,b\n1,2\n", "\u{feff}a,b,x\n1,2,9\n"),
        ("a,b,c\n1\n\n1,2\n", "a,b,c,x\n1,,,9\n1,2,,9\n"),
        ("a,b\r1,2\r", "a,b,x\r1,2,9\r"),
        ("a\n\"\"\n", "a,x\n\"\",9\n"),
        ("a,b\n1,2,3\n4,5\n", "a,b,x\n4,5,9\n"),
    ] {
        let job = csv(content);
        job.merge(|_| r#"{"x":9}"#.to_owned());
        assert_eq!(job.text("out.csv"), expected, "{content:?}");
    }
    let job = csv("1,2\n3,4\n").with("header", false);
    job.merge(|_| r#"{"x":9}"#.to_owned());
    assert_eq!(job.text("out.csv"), "1,2,9\n3,4,9\n", "there was no header, and there is none");
    let job = csv("");
    job.merge(|_| unreachable!());
    assert_eq!(job.text("out.csv"), "x\n");
    let job = csv("a,b\n");
    job.merge(|_| unreachable!());
    assert_eq!(job.text("out.csv"), "a,b,x\n");
}

#[test]
fn rows_stay_byte_for_byte_whatever_was_found_to_quote() {
    for content in [
        "id,text\n1,'say \"hi\", it''s me'\n2,'a, b'\n3,\"c\n",
        "id,text\n1,\"it's, 'so'\"\n2,'tis\n",
        "id,text\n1,'yes'\n2,'it's'\n3,''\n",
    ] {
        let job = csv(content).fields(&["x"]);
        job.merge(|_| r#"{"x":"it's, \"9\""}"#.to_owned());
        let after = job.text("out.csv");
        let rows: Vec<_> = content.lines().collect();
        for (row, line) in rows[1..].iter().zip(after.lines().skip(1)) {
            assert!(line.starts_with(&format!("{row},")), "{row} is {line}");
        }
        let again = Job::of("csv", "in.csv").file("in.csv", after);
        assert!(again.texts().iter().all(|text| text.ends_with(r#""x":"it's, \"9\""}"#)), "{:?}", again.texts());
    }
}

#[test]
fn values_are_cells_as_people_write_them() {
    let job = csv("a\n1\n").fields(&["t", "n", "f", "b", "o", "l", "z", "m"]);
    job.merge(|_| {
        r#"{"t":"say \"hi\", twice\n","n":1.10,"f":1e400,"b":true,"o":{"k": [1, "a b"]},"l":[],"z":null}"#.to_owned()
    });
    let expected =
        "a,t,n,f,b,o,l,z,m\n1,\"say \"\"hi\"\", twice\n\",1.10,1e400,true,\"{\"\"k\"\":[1,\"\"a b\"\"]}\",[],,\n";
    assert_eq!(job.text("out.csv"), expected);
}

#[test]
fn overwriting_replaces_just_that_cell() {
    let content = "id,label,note\n\"1\",\"old\", n \n2\n3,,\"x,y\"\n";
    let job = csv(content).fields(&["label", "y"]).into("csv", json!({"path": "out.csv", "overwrite": true}));
    job.merge(|_| r#"{"label":"new, one","y":1}"#.to_owned());
    assert_eq!(
        job.text("out.csv"),
        "id,label,note,y\n\"1\",\"new, one\", n ,1\n2,\"new, one\",,1\n3,\"new, one\",\"x,y\",1\n"
    );
    let job = csv(content).fields(&["label"]);
    let error = job.sink().check().unwrap_err().message;
    assert_eq!(
        error,
        "the source already has a column `label`; give the new field another name with `columns:` or set `overwrite: true`"
    );
    let job = csv("only\nold\n").fields(&["only"]).into("csv", json!({"path": "out.csv", "overwrite": true}));
    job.merge(|_| r#"{"only":null}"#.to_owned());
    assert_eq!(job.text("out.csv"), "only\n\"\"\n", "a row of one empty cell is a row");
}

#[test]
fn a_quote_that_is_never_closed_gets_no_line_end_of_ours_into_its_cell() {
    for open in ["1,2\n3,\"open\n4,5\n", "1,2\n3,\"open"] {
        let job = csv(format!("a,b\n{open}")).into("csv", json!({"path": "out.csv", "rows": "all"}));
        job.merge(|_| r#"{"x":9}"#.to_owned());
        assert_eq!(job.text("out.csv"), format!("a,b,x\n{}", open.replacen("1,2\n", "1,2,9\n", 1)));
    }
}

#[test]
fn another_dialect_is_written_where_one_is_declared() {
    let content = "a;b\n\"1;5\";it's\n\"say \"\"hi\"\"\";2\n";
    let job = csv(content).into("tsv", json!({"path": "out.tsv"}));
    job.merge(|_| r#"{"x":"t\tt"}"#.to_owned());
    assert_eq!(job.text("out.tsv"), "a\tb\tx\n1;5\tit's\t\"t\tt\"\n\"say \"\"hi\"\"\"\t2\t\"t\tt\"\n");
    let job = csv(content).into("csv", json!({"path": "out.csv", "delimiter": "|", "quote": "'"}));
    job.merge(|_| r#"{"x":1}"#.to_owned());
    assert_eq!(job.text("out.csv"), "a|b|x\n1;5|'it''s'|1\nsay \"hi\"|2|1\n");
    let job = csv(content).into("tsv", json!({"path": "out.tsv", "quote": "none"}));
    let error = job.try_merge(|_| r#"{"x":"t\tt"}"#.to_owned()).unwrap_err();
    assert_eq!(
        error,
        "the cell of column `x` holds the delimiter or a line end, which no file can hold with `quote: \
         none`; name a quote, or write to `jsonl`"
    );
    assert_eq!(job.text("out.tsv"), "a\tb\tx\n", "an answer that the file cannot hold costs its record alone");
    assert!(job.text("out.failures.jsonl").contains("\"kind\":\"write_rejected\""));
}

#[test]
fn records_of_other_formats_get_the_columns_that_any_of_them_has() {
    let lines = "{\"b\":1.10,\"a\":\"x\"}\n{\"a\":null,\"c\":{\"k\": [1]}}\n\n{\"b\":\"01\",\"d\":\"\\ud800\"}\n";
    let job = Job::of("jsonl", "in.jsonl")
        .file("in.jsonl", lines)
        .into("csv", json!({"path": "out.csv", "columns": {"x": "ai_x"}}))
        .fields(&["x", "never"]);
    let artefacts = job.merge(|record| format!("{{\"x\":{}}}", record.key.position));
    assert_eq!(
        job.text("out.csv"),
        "b,a,c,d,ai_x,never\n1.10,x,,,0,\n,,\"{\"\"k\"\":[1]}\",,1,\n01,,,\"\"\"\\ud800\"\"\",3,\n"
    );
    assert_eq!(artefacts[0].records, 3);
    assert_eq!(job.names(), ["in.jsonl", "out.csv", "out.failures.jsonl"]);

    let job = Job::of("jsonl", "in.jsonl")
        .file("in.jsonl", "{\"x\":1,\"a\":2}\n")
        .into("csv", json!({"path": "out.csv", "overwrite": true, "bom": true, "delimiter": ";"}));
    job.merge(|_| r#"{"x":"n"}"#.to_owned());
    assert_eq!(job.text("out.csv"), "\u{feff}x;a\nn;2\n");
    let job =
        Job::of("jsonl", "in.jsonl").file("in.jsonl", "").into("tsv", json!({"path": "out.tsv"})).fields(&["x", "y"]);
    job.merge(|_| unreachable!());
    assert_eq!(job.text("out.tsv"), "x\ty\n");
}

#[test]
fn more_columns_than_any_program_opens_are_refused() {
    let job = Job::of("jsonl", "in.jsonl").into("csv", json!({"path": "out.csv"}));
    let lines: String = (0..170)
        .map(|i| {
            let members: Vec<String> = (0..100).map(|j| format!("\"k{i}_{j}\":0")).collect();
            format!("{{{}}}\n", members.join(","))
        })
        .collect();
    job.write("in.jsonl", lines);
    let error = job.try_merge(|_| r#"{"x":1}"#.to_owned()).unwrap_err();
    assert!(
        error.starts_with("in.jsonl line 164: with it the records have more than 16384 different fields"),
        "{error}"
    );
}

#[test]
fn rows_become_json_and_several_samples_of_one_stand_behind_each_other() {
    let job = csv("a,b\n1,\"2\n3\"\n4\n");
    let records: Vec<_> = job.read().into_iter().map(|read| read.record).collect();
    for (format, name, expected) in [
        ("csv", "out.csv", "a,b,x\n1,\"2\n3\",0\n1,\"2\n3\",1\n4,,0\n4,,1\n"),
        (
            "jsonl",
            "out.jsonl",
            "{\"a\":\"1\",\"b\":\"2\\n3\",\"x\":0}\n{\"a\":\"1\",\"b\":\"2\\n3\",\"x\":1}\n{\"a\":\"4\",\"x\":0}\n{\"a\":\"4\",\"x\":1}\n",
        ),
        (
            "json",
            "out.json",
            "[\n{\"a\":\"1\",\"b\":\"2\\n3\",\"x\":0},\n{\"a\":\"1\",\"b\":\"2\\n3\",\"x\":1},\n{\"a\":\"4\",\"x\":0},\n{\"a\":\"4\",\"x\":1}\n]\n",
        ),
    ] {
        let job = csv("a,b\n1,\"2\n3\"\n4\n").into(format, json!({"path": name}));
        let mut merge = job.sink().merge().unwrap();
        for record in &records {
            for sample in 0..2 {
                let mut record = record.clone();
                record.key.sample = sample;
                merge.write(&record, &succeeded(&record, &format!("{{\"x\":{sample}}}"))).unwrap();
            }
        }
        assert_eq!(merge.finish().unwrap()[0].records, 4);
        assert_eq!(job.text(name), expected);
    }
}

#[test]
fn parts_stand_in_one_table_only_under_one_header() {
    let job = Job::of("csv", "d/*.csv").into("csv", json!({"path": "out.csv"}));
    job.write("d/1.csv", "a,b\r\n1,2\r\n");
    job.write("d/2.csv", "");
    job.write("d/3.csv", "a,b\n3,4");
    job.merge(|_| r#"{"x":9}"#.to_owned());
    assert_eq!(job.text("out.csv"), "a,b,x\r\n1,2,9\r\n3,4,9\r\n");
    for (other, expected) in [
        ("b,a\n3,4\n", "its column 1 is `b`, and there it is `a`"),
        ("a;b\n3;4\n", "its delimiter is `;`, and there it is `,`"),
        ("a,b,c\n3,4,5\n", "it has 3 columns, and there are 2"),
    ] {
        job.write("d/3.csv", other);
        let error = job.sink().check().unwrap_err().message;
        assert_eq!(
            error,
            format!(
                "the rows of `d/3.csv` cannot stand in one table with those of `d/1.csv`: {expected}; write to `jsonl`, or \
                 read them in steps of their own"
            )
        );
    }
    let job = Job::of("csv", "d/*.csv").into("jsonl", json!({"path": "out.jsonl"}));
    job.write("d/1.csv", "a,b\n1,2\n");
    job.write("d/3.csv", "b;a\n3;4\n");
    job.merge(|_| r#"{"x":9}"#.to_owned());
    assert_eq!(job.text("out.jsonl"), "{\"a\":\"1\",\"b\":\"2\",\"x\":9}\n{\"b\":\"3\",\"a\":\"4\",\"x\":9}\n");
}

#[test]
fn failures_name_file_row_and_sample() {
    let job = Job::of("csv", "d/*.csv").with("delimiter", ",").into("csv", json!({"path": "out.csv"}));
    job.write("d/a.csv", "k\n1\n");
    job.write("d/b.csv", "k\n2\n3,4\n");
    let mut merge = job.sink().merge().unwrap();
    let reads = job.read();
    let mut second = reads[1].record.clone();
    second.key.sample = 1;
    let mut failure = crate::tests::failed(&second);
    merge.write(&second, &failure).unwrap();
    failure = crate::tests::skipped(&reads[2].record, domain::SkipReason::BadRecord, "why");
    merge.write(&reads[2].record, &failure).unwrap();
    merge.finish().unwrap();
    assert_eq!(
        job.text("out.failures.jsonl"),
        "{\"file\":\"d/b.csv\",\"row\":2,\"sample\":1,\"status\":\"failed\",\"kind\":\"timeout\",\"message\":\"no answer \
         within 60 s\",\"attempts\":3,\"record\":{\"k\":\"2\"}}\n{\"file\":\"d/b.csv\",\"row\":3,\"status\":\"skipped\",\
         \"kind\":\"bad_record\",\"message\":\"why\",\"attempts\":3,\"text\":\"3,4\"}\n"
    );
}

/// A table as Python would read it.
fn table(content: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(content);
    reader.byte_records().map(|row| row.unwrap().iter().map(<[u8]>::to_vec).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever cells hold, they come out as the bytes that they were, and the table is the old one with a column more.
    #[test]
    fn any_table_comes_out_as_it_was_with_new_columns(
        rows in prop::collection::vec(prop::collection::vec("[a \",;'\r\né]{0,6}", 3), 0..8),
        is_quoted in any::<bool>(),
        line_end in prop::sample::select(vec!["\n", "\r\n"]),
        has_last_end in any::<bool>(),
        has_bom in any::<bool>(),
        value in any::<String>(),
    ) {
        let quote = |cell: &str| {
            let needs = is_quoted || cell.contains([',', '"', '\r', '\n']);
            if needs { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
        };
        let mut lines = vec!["\"first\",second,\"thi,rd\"".to_owned()];
        lines.extend(rows.iter().map(|row| row.iter().map(|cell| quote(cell)).collect::<Vec<_>>().join(",")));
        let mut content = lines.join(line_end);
        if has_last_end {
            content.push_str(line_end);
        }
        let mark = if has_bom { "\u{feff}" } else { "" };
        let job = csv(format!("{mark}{content}")).with("delimiter", ",").with("quote", "\"");
        job.merge(|_| json!({ "x": value }).to_string());
        let out = job.text("out.csv");
        let body = out.strip_prefix(mark).unwrap();

        // A header without any line end tells of none.
        let line_end = if content == lines[0] { "\n" } else { line_end };

        // Byte for byte: every line is there whole, and what stands behind it is the new cell.
        let mut rest = body;
        for (i, line) in lines.iter().enumerate() {
            prop_assert!(rest.starts_with(line.as_str()), "{:?} at {:?}", line, rest);
            rest = rest[line.len()..].strip_prefix(',').unwrap();
            let new = if i == 0 { "x".to_owned() } else { new_cell(&value) };
            rest = rest.strip_prefix(new.as_str()).unwrap().strip_prefix(line_end).unwrap();
        }
        prop_assert_eq!(rest, "");

        // And as a table: the old one, with a column more.
        let mut expected = table(content.as_bytes());
        for (i, row) in expected.iter_mut().enumerate() {
            row.push(if i == 0 { b"x".to_vec() } else { value.clone().into_bytes() });
        }
        prop_assert_eq!(table(body.as_bytes()), expected);
    }

    /// Whatever objects hold is in the table of them.
    #[test]
    fn any_objects_become_a_table(
        objects in prop::collection::vec(prop::collection::btree_map("[a-c \",\n]{1,2}", any::<String>(), 0..4), 1..6),
    ) {
        let lines: String = objects.iter().map(|object| format!("{}\n", json!(object))).collect();
        let job = Job::of("jsonl", "in.jsonl").file("in.jsonl", lines).into("csv", json!({"path": "out.csv"}));
        job.merge(|record| json!({ "x": record.key.position }).to_string());
        let table = table(&job.bytes("out.csv"));
        let names: Vec<String> = table[0].iter().map(|name| String::from_utf8(name.clone()).unwrap()).collect();
        prop_assert_eq!(names.last().map(String::as_str), Some("x"));
        prop_assert_eq!(table.len(), objects.len() + 1);
        for (i, (row, object)) in table[1..].iter().zip(&objects).enumerate() {
            for (name, cell) in names.iter().zip(row) {
                let old = object.get(name).cloned().unwrap_or_default();
                let expected = if name == "x" { i.to_string() } else { old };
                prop_assert_eq!(str::from_utf8(cell).unwrap(), expected);
            }
        }
    }
}

/// A text as the sink writes it.
fn new_cell(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[test]
fn a_file_that_ends_like_a_packed_one_is_packed_and_its_sum_is_that_of_the_file() {
    use sha2::Digest as _;
    for (name, unpack) in [
        (
            "out.csv.gz",
            (|bytes| {
                let mut text = String::new();
                std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(bytes), &mut text).unwrap();
                text
            }) as fn(&[u8]) -> String,
        ),
        ("out.csv.zst", |bytes| String::from_utf8(zstd::decode_all(bytes).unwrap()).unwrap()),
        ("out.csv", |bytes| String::from_utf8(bytes.to_vec()).unwrap()),
    ] {
        let job = csv("a,b\n1,2\n").into("csv", json!({"path": name}));
        let artefacts = job.merge(|_| r#"{"x":9}"#.to_owned());
        let bytes = job.bytes(name);
        assert_eq!(unpack(&bytes), "a,b,x\n1,2,9\n");
        let sha256: String = sha2::Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!((artefacts[0].bytes, &artefacts[0].sha256), (bytes.len() as u64, &sha256));
        assert!(job.names().contains(&"out.failures.jsonl".to_owned()), "{:?}", job.names());
    }
    let job = csv("a\n1\n").into("csv", json!({"path": "out.csv", "compression": "zstd"}));
    job.merge(|_| r#"{"x":9}"#.to_owned());
    assert_eq!(zstd::decode_all(&*job.bytes("out.csv")).unwrap(), b"a,x\n1,9\n");
    assert_eq!(job.text("out.failures.jsonl"), "", "the failures stay to be read");
}
