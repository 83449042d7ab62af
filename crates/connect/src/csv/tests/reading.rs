//! Rows in.

use domain::{
    SkipReason,
    ports::{Change, Source as _, Starts},
};
use serde_json::json;

use super::super::{Declared, Dialect};
use crate::tests::Job;

fn csv(content: impl AsRef<[u8]>) -> Job {
    Job::of("csv", "in.csv").file("in.csv", content)
}

#[test]
fn a_row_is_an_object_of_texts_and_stays_what_it_was() {
    let job = csv("id,name,note\r\n007,\"Ann \"\"A\"\" B\", x \r\n1e5,true,\r\n\"a\nb\",\\,\"\t\"");
    assert_eq!(
        job.texts(),
        [
            r#"{"id":"007","name":"Ann \"A\" B","note":" x "}"#,
            r#"{"id":"1e5","name":"true","note":""}"#,
            r#"{"id":"a\nb","name":"\\","note":"\t"}"#,
        ]
    );
    let rows: Vec<_> = job.read().into_iter().map(|read| read.record.row.unwrap()).collect();
    assert_eq!(rows, ["007,\"Ann \"\"A\"\" B\", x ", "1e5,true,", "\"a\nb\",\\,\"\t\""]);
    assert_eq!(job.skips(), []);
}

#[test]
fn every_kind_of_line_end_ends_a_row_and_empty_rows_are_blank() {
    for (content, expected) in [
        ("", 0),
        ("a,b", 0),
        ("a,b\n", 0),
        ("a,b\n1,2", 1),
        ("a,b\n1,2\n", 1),
        ("a,b\n\n1,2\n\n\n", 4),
        ("a,b\r\n\r\n1,2\r\n", 2),
        ("a,b\r1,2\r3,4", 2),
        ("\u{feff}a,b\r\n1,2\r\n", 1),
    ] {
        let job = csv(content);
        let reads = job.read();
        assert_eq!(reads.len(), expected, "{content:?}");
        for (i, read) in reads.iter().enumerate() {
            let (record, i) = (&read.record, i as u64);
            assert_eq!((record.key.position, record.origin.line), (i, i + 2), "the header is the first row");
            let at = usize::try_from(record.origin.offset).unwrap();
            let row = record.row.as_deref().unwrap_or_default();
            assert!(content.as_bytes()[at..].starts_with(row), "{content:?} {at}");
        }
        let blank: Vec<_> = job.skips().into_iter().map(|(_, reason, _)| reason).collect();
        assert_eq!(blank, vec![SkipReason::Blank; reads.iter().filter(|read| read.record.bytes.is_empty()).count()]);
        assert_eq!(job.source().count().unwrap(), Some(expected as u64), "{content:?}");
    }
}

#[test]
fn ragged_rows_lack_fields_or_are_bad() {
    let job = csv("a,b,c\n1\n1,2\n1,2,3\n1,2,3,4\n").forbidding(&["x"]);
    assert_eq!(job.texts()[..3], [r#"{"a":"1"}"#, r#"{"a":"1","b":"2"}"#, r#"{"a":"1","b":"2","c":"3"}"#]);
    let what =
        "in.csv row 5: the row has 4 cells, and the header has 3; a cell that holds the delimiter must be in quotes";
    assert_eq!(job.skips(), [(3, SkipReason::BadRecord, what.to_owned())]);
    assert_eq!(job.texts()[3], "1,2,3,4", "what stood there is shown");
}

#[test]
fn without_a_header_columns_have_numbers() {
    let job = csv("x,y\n1,2\n").with("header", false);
    assert_eq!(job.texts(), [r#"{"c1":"x","c2":"y"}"#, r#"{"c1":"1","c2":"2"}"#]);
    assert_eq!(job.read()[0].record.origin.line, 1);
    assert_eq!(job.source().count().unwrap(), Some(2));
    // Empty lines before them say nothing of how many columns there are.
    let job = csv("\n\r\n1,2\n3,4\n").with("header", false);
    assert_eq!(job.texts(), ["", "", r#"{"c1":"1","c2":"2"}"#, r#"{"c1":"3","c2":"4"}"#]);
}

#[test]
fn a_header_that_names_two_columns_alike_or_one_not_at_all_is_a_mistake() {
    const ADVICE: &str = "every column needs a name of its own, unless the first row is no header (`header: false`)";
    for (header, expected) in [
        ("a,b,a", format!("`in.csv`: columns 1 and 3 are both called `a`; {ADVICE}")),
        ("a,,c", format!("`in.csv`: column 2 has no name in the header; {ADVICE}")),
        ("a,b,", format!("`in.csv`: column 3 has no name in the header; {ADVICE}")),
        ("", "`in.csv`: the first line is empty, and should name the columns".to_owned()),
    ] {
        let job = csv(format!("{header}\n1,2,3\n"));
        assert_eq!(job.source().fingerprint().unwrap_err().0, expected);
        csv(format!("{header}\n1,2,3\n")).with("header", false).source().fingerprint().unwrap();
    }
    let error = csv(b"id,\xd0\xc5\n1,2\n").source().fingerprint().unwrap_err().0;
    assert_eq!(
        error,
        "`in.csv`: the name of column 2 is not valid UTF-8; say what the file is in with `encoding:`, such as \
         `encoding: gb18030`"
    );
}

#[test]
fn text_that_is_none_is_named_with_row_and_column() {
    let job = csv(b"id,name\n1,\"\xff\"\n2,b\n3,\"c\0\"\n".as_slice());
    let skips = job.skips();
    assert_eq!(skips.len(), 2);
    assert_eq!((skips[0].0, skips[0].1), (0, SkipReason::BadText));
    assert!(skips[0].2.starts_with("in.csv row 2: column `name`: not valid UTF-8 from byte 4 of the row"), "{skips:?}");
    let nul = "in.csv row 4: column `name`: not text: a NUL byte at byte 5 of the row";
    assert_eq!(skips[1], (2, SkipReason::BadText, nul.to_owned()));
}

#[test]
fn a_quote_that_is_never_closed_is_told_and_is_no_record() {
    let job = csv("a,b\n1,2\n3,\"4\n5,6\n");
    let [(1, SkipReason::BadRecord, what)] = &job.skips()[..] else { panic!("{:?}", job.skips()) };
    assert!(what.starts_with("in.csv row 3: a quote is opened in it and never closed"), "{what}");
    assert_eq!(job.source().count().unwrap(), Some(2));
    let job = csv("a,b\n1,2\n3,\"4\n5,6\n").with("quote", "none");
    assert_eq!(job.texts()[1], r#"{"a":"3","b":"\"4"}"#);
}

#[test]
fn a_row_over_the_limit_is_passed_over_and_a_cell_of_fifty_megabytes_is_not() {
    let long = "x\"\"\n".repeat(12_500_000);
    let content = format!("a,b\n1,2\n3,\"{long}\"\n5,6\n");
    let job = csv(&content);
    let reads = job.read();
    assert_eq!(reads.len(), 3);
    assert_eq!(reads[1].record.row.as_ref().unwrap().len(), long.len() + 4);
    assert_eq!(reads[1].record.bytes.len(), r#"{"a":"3","b":""}"#.len() + 12_500_000 * "x\\\"\\n".len());
    assert_eq!(job.skips(), []);
    let job = job.with("max_record", "1MB");
    let what = format!(
        "in.csv row 3: the row has {} bytes, over the limit of 1000000 bytes; raise `max_record` to read it",
        long.len() + 4
    );
    assert_eq!(job.skips(), [(1, SkipReason::TooLong, what)]);
    assert_eq!(job.texts()[2], r#"{"a":"5","b":"6"}"#);
}

#[test]
fn a_key_that_is_an_empty_cell_is_missing() {
    let job = csv("id,n\n7,a\n,b\n").with("key", "id");
    assert_eq!(job.skips(), [(1, SkipReason::MissingField, "in.csv row 3: the key field `id` is empty".to_owned())]);
    assert_eq!(job.source().inspect(&job.read()[0].record).unwrap().user_key.as_deref(), Some("7"));
}

#[test]
fn the_dialect_is_found_out_from_the_first_rows() {
    for (head, delimiter, quote) in [
        ("a,b\n1,2\n", b',', b'"'),
        ("a;b\n1,5;2,5\n", b';', b'"'),
        ("a\tb, c\n1\t2, 3\n", b'\t', b'"'),
        ("a|b\n1|2\n", b'|', b'"'),
        ("name;\"x,y,z\"\n1;2\n", b';', b'"'),
        ("text\nhello, world\nyes\n", b';', b'"'),
        ("id,text\n1,a; b; c\n2,d; e\n", b',', b'"'),
        ("'a','b,c'\n'1','2, 3'\n", b',', b'\''),
        ("it,'s\n'tis,y\n", b',', b'"'),
        // Apostrophes that quote, with quotes and apostrophes within the text.
        ("id,text\n1,'say \"hi\", it''s me'\n2,'a, b'\n", b',', b'\''),
        ("'id','text'\n'1','she said \"no\"'\n'2','\"well\"'\n", b',', b'\''),
        ("id;text\n1;'a, \"b\", c'\n2;'d; e'\n3;\"f\"\n", b';', b'\''),
        ("id,text\n1,'one'\n2,'two'\n", b',', b'\''),
        ("'a, b; c';'d'\n'e, f; g';'h'\n", b';', b'\''),
        // Quotes that quote, with many apostrophes.
        ("id,text\n1,\"it's, 'so'\"\n2,'tis\n3,\"'a','b, c','d'\"\n", b',', b'"'),
        ("id,text\n1,\"'a', 'b'\"\n2,\"'c', 'd'\"\n", b',', b'"'),
        ("id,text,more\n1,\"x, y\",'a'\n2,\"z\",'b'\n", b',', b'"'),
        ("\"a, b\";\"c, d\"\n\"e, f\";\"g, h\"\n", b';', b'"'),
        // Apostrophes in a text that nothing quotes.
        ("id,text\n1,'yes'\n2,'no'\n3,maybe\n", b',', b'"'),
        ("id,text\n1,'it's so'\n2,'it's not'\n", b',', b'"'),
        ("id,text\n1,'never closed\n2,'nor this\n", b',', b'"'),
        ("a,\"it's\"\n1,2\n", b',', b'"'),
        ("", b',', b'"'),
        ("alone", b',', b'"'),
    ] {
        let found = Declared::default().detect(head.as_bytes(), true, true);
        assert_eq!(found, Dialect { delimiter, quote: Some(quote) }, "{head}");
    }
    let apostrophes = "id,text\n1,'a, b'\n2,'c, d'\n";
    assert_eq!(csv(apostrophes).texts()[0], r#"{"id":"1","text":"a, b"}"#);
    assert_eq!(csv(apostrophes).with("quote", "\"").texts()[0], "1,'a, b'", "what is declared is not found out");
    let job = csv("a;b\n1;2,3\n").with("delimiter", ",");
    assert_eq!(job.texts(), [r#"{"a;b":"1;2"}"#].map(|_| "1;2,3"), "what is declared is not found out");
    assert_eq!(csv("a!b\n1!2\n").with("delimiter", "!").texts(), [r#"{"a":"1","b":"2"}"#]);
    let tsv = Job::of("tsv", "in.tsv").file("in.tsv", "a,x\tb\n1,2\t3\n");
    assert_eq!(tsv.texts(), [r#"{"a,x":"1,2","b":"3"}"#]);
}

#[test]
fn rows_may_be_added_but_the_last_one_not_continued() {
    for (before, more, n_new) in [
        ("a,b\n1,2\n", "3,4\n", Some(1)),
        ("a,b\n1,2", "\n3,4\n", Some(1)),
        ("a,b\r\n1,2", "\r\n3,4", Some(1)),
        ("a,b\r1,2\r", "3,4\r", Some(1)),
        ("a,b\r\n1,2\r", "\n3,4\r\n", Some(1)),
        ("a,b\n1,2", "5\n3,4\n", None),
        ("a,b\n1,\"2", "\n3\"\n4,5\n", None),
        ("a,b\n1,\"2\n", "3\"\n", None),
        ("a,b", "\n1,2\n", Some(1)),
        ("a,b", ",c\n1,2,3\n", None),
    ] {
        let job = csv(before);
        let fingerprint = job.source().fingerprint().unwrap();
        let old = job.read();
        job.write("in.csv", [before, more].concat());
        let source = job.source();
        match (source.compare(&fingerprint).unwrap(), n_new) {
            (Change::Appended { now }, Some(n)) => {
                assert_eq!(now, job.source().fingerprint().unwrap());
                let starts = match old.last() {
                    Some(last) => Starts::from([(0, (old.len() as u64, last.next_offset))]),
                    None => Starts::new(),
                };
                let new = crate::tests::all(source.open(&starts).unwrap());
                assert_eq!(new.len(), n, "{before:?} {more:?}");
                let texts: Vec<_> = new.iter().map(|read| read.record.bytes.clone()).collect();
                assert_eq!(texts[..], job.texts()[old.len()..]);
            }
            (Change::Changed(what), None) => assert!(what.contains("was continued"), "{what}"),
            (found, expected) => panic!("{before:?} {more:?}: {found:?}, and not {expected:?}"),
        }
    }
}

#[test]
fn reading_does_not_begin_in_the_middle_of_a_row() {
    let job = csv("a,b\n11,22\n3,4\n");
    let Err(error) = job.source().open(&Starts::from([(0, (1, 6))])) else { panic!("byte 6 is within a row") };
    assert_eq!(error.0, "`in.csv` has no row that begins at byte 6: it is another file");
}

#[test]
fn options_that_contradict_each_other_are_mistakes() {
    let config = crate::tests::source_config(json!({"csv": {"path": "x", "delimiter": "'", "quote": "'"}}));
    assert_eq!(config.mistakes()[0].option, "quote");
    let config = crate::tests::source_config(json!({"tsv": {"path": "x", "encoding": "gb18033"}}));
    let mistakes = config.mistakes();
    assert_eq!(mistakes[0].option, "encoding");
    assert_eq!(mistakes[0].message, "`gb18033` is no encoding that is known; did you mean `gb18030`?");
    let config = crate::tests::sink_config(json!({"csv": {"path": "x", "encoding": "big5", "bom": true}}));
    assert_eq!(config.mistakes()[0].message, "there is no byte order mark in Big5; leave `bom` out");
    let wrong = |text: &str| serde_json::from_str::<crate::SourceConfig>(text).unwrap_err().to_string();
    assert!(wrong(r#"{"csv": {"path": "x", "delimiter": "ab"}}"#).contains("`ab` is no delimiter"));
    assert!(wrong(r#"{"csv": {"path": "x", "quote": ""}}"#).contains("is no quote"));
    assert!(wrong(r#"{"tsv": {"path": "x", "delimiter": ","}}"#).contains("unknown field `delimiter`"));
}
