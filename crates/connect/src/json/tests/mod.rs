//! What a user of JSON arrays may rely on.

use domain::{
    SkipReason,
    ports::{Change, Source as _, Starts},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::items::Items;
use crate::{
    ByteSize,
    table::{About, Splitter, Words},
    tests::Job,
};

fn array(content: impl AsRef<[u8]>) -> Job {
    Job::of("json", "in.json").file("in.json", content).into("json", json!({"path": "out.json"}))
}

#[test]
fn elements_are_taken_as_they_stand() {
    for (content, expected) in [
        ("[]", vec![]),
        (" [ ] \n", vec![]),
        ("\u{feff}[{\"a\":1}]", vec!["{\"a\":1}"]),
        (
            "[{\"a\": 1.10 ,\n \"b\":[{},\"]}\\\"\"]},\r\n\t{}\n]\n",
            vec!["{\"a\": 1.10 ,\n \"b\":[{},\"]}\\\"\"]}", "{}"],
        ),
        (
            "[1,-2.5e3 ,\"a,]\\\\\",null,true,[1,[2]],{}]",
            vec!["1", "-2.5e3", "\"a,]\\\\\"", "null", "true", "[1,[2]]", "{}"],
        ),
        ("[{},]", vec!["{}"]),
    ] {
        let job = array(content);
        assert_eq!(job.texts(), expected, "{content}");
        assert_eq!(job.source().count().unwrap(), Some(expected.len() as u64));
        job.source().fingerprint().unwrap();
        for (i, read) in job.read().iter().enumerate() {
            let (record, i) = (&read.record, i as u64);
            assert_eq!((record.key.position, record.origin.line), (i, i + 1));
            let (from, to) =
                (usize::try_from(record.origin.offset).unwrap(), usize::try_from(read.next_offset).unwrap());
            assert_eq!(&content.as_bytes()[from..to], &record.bytes[..]);
        }
    }
}

#[test]
fn an_element_that_is_no_object_is_a_bad_record_and_stops_nothing() {
    let job = array("[{\"a\":1}, 7, {\"a\":1,}, {\"x\":1}, {\"a\":\"\0\"}]").forbidding(&["x"]);
    let skips = job.skips();
    assert_eq!(skips[0], (1, SkipReason::BadRecord, "in.json item 2: a number, not a JSON object".to_owned()));
    assert_eq!((skips[1].0, skips[1].1), (2, SkipReason::BadRecord));
    assert!(skips[1].2.starts_with("in.json item 3: not valid JSON: trailing comma"), "{skips:?}");
    assert_eq!((skips[2].0, skips[2].1), (3, SkipReason::NameTaken));
    assert_eq!(skips[3].2, "in.json item 5: not text: a NUL byte at byte 7 of the item");
}

#[test]
fn an_array_that_cannot_be_followed_stops_the_run_and_says_where() {
    for (content, expected) in [
        (
            "[{\"a\":1} {\"b\":2}]",
            "`in.json` cannot be read on from byte 10: behind an element stands `{`, where `,` or `]` should",
        ),
        ("[{\"a\":[1}]", "`in.json` cannot be read on from byte 9: `}` closes what it did not open"),
        ("[{},,{}]", "`in.json` cannot be read on from byte 5: a comma stands where an element should"),
        ("[{}]{}", "`in.json` cannot be read on from byte 5: something stands behind the end of the array"),
        ("[{}:", "`in.json` cannot be read on from byte 4: behind an element stands `:`, where `,` or `]` should"),
        ("[}", "`in.json` cannot be read on from byte 2: `}` stands where an element should"),
        ("[{},", "`in.json` ends before its array does: it was cut short, or is still being written"),
        ("[{}", "`in.json` ends before its array does: it was cut short, or is still being written"),
        ("[{\"a\":\"]", "`in.json` ends before its array does: it was cut short, or is still being written"),
        ("[1", "`in.json` ends before its array does: it was cut short, or is still being written"),
    ] {
        let job = array(content);
        assert_eq!(job.error(), expected, "{content}");
        assert!(job.source().count().is_err(), "{content}");
    }
    for (content, expected) in [
        ("", "`in.json` is empty; it should hold an array of objects"),
        (
            "\n{\"a\":1}",
            "cannot read `in.json`: it begins with an object, and should be an array of objects; if every line is an \
             object, read it with `jsonl:` in place of `json:`",
        ),
        ("id,name", "cannot read `in.json`: it begins with `i`, and should be an array of objects"),
    ] {
        assert_eq!(array(content).source().fingerprint().unwrap_err().0, expected);
    }
}

#[test]
fn records_before_the_place_where_an_array_breaks_are_read() {
    let job = array("[{\"a\":1},{\"a\":2}");
    let mut records = job.source().open(&Starts::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(records.next(10)).unwrap().len(), 2);
    assert!(runtime.block_on(records.next(10)).is_err(), "an end in the middle is never taken for the end");
}

#[test]
fn records_are_written_one_a_line() {
    let job = array("[\n  {\n    \"a\": \"x\\ny\",\n    \"b\": [1, 2]\n  },\n  {\"a\": 1.10}\n]\n");
    job.merge(|record| json!({ "x": record.key.position }).to_string());
    assert_eq!(job.text("out.json"), "[\n{\"a\":\"x\\ny\",\"b\":[1,2],\"x\":0},\n{\"a\": 1.10,\"x\":1}\n]\n");
    let job = array("[]");
    job.merge(|_| unreachable!());
    assert_eq!(job.text("out.json"), "[]\n");
    let job = array("[{\n\"a\":1}]").into("jsonl", json!({"path": "out.jsonl"}));
    job.merge(|_| r#"{"x":1}"#.to_owned());
    assert_eq!(job.text("out.jsonl"), "{\"a\":1,\"x\":1}\n");
}

#[test]
fn an_element_over_the_limit_is_passed_over_and_one_of_fifty_megabytes_is_not() {
    let long = format!("{{\"a\":\"{}\"}}", "\\\"]".repeat(17_000_000));
    let job = array(format!("[{{}},{long},{{}}]"));
    assert_eq!(job.read()[1].record.bytes.len(), long.len());
    assert_eq!(job.skips(), []);
    let job = job.with("max_record", "1MB");
    let [(1, SkipReason::TooLong, what)] = &job.skips()[..] else { panic!("one is too long") };
    assert!(what.contains("the item has 51000008 bytes") && what.contains("raise `max_record`"), "{what}");
    assert_eq!(job.texts()[2], "{}");
}

#[test]
fn an_array_does_not_grow() {
    let job = array("[{}]");
    let before = job.source().fingerprint().unwrap();
    job.write("in.json", "[{}]\n\n");
    assert!(matches!(job.source().compare(&before).unwrap(), Change::Appended { .. }), "white space is nothing");
    job.write("in.json", "[{}],[{}]");
    let Change::Changed(what) = job.source().compare(&before).unwrap() else { panic!("it is another one") };
    assert!(what.starts_with("`in.json` has grown behind what was its end"), "{what}");
    job.write("in.json", "[{},{}]");
    assert!(matches!(job.source().compare(&before).unwrap(), Change::Changed(_)));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[\\[\\]{},:\"\\\\ a\n]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[\\[\\]{},\"\\\\a]{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Any array, in blocks of any sizes, is cut into the elements that serde finds.
    #[test]
    fn any_array_is_cut_into_its_elements(
        elements in prop::collection::vec(any_value(), 0..6),
        is_pretty in any::<bool>(),
        cuts in prop::collection::vec(1_usize..30, 1..20),
    ) {
        let array = Value::from(elements.clone());
        let text = if is_pretty { serde_json::to_string_pretty(&array).unwrap() } else { array.to_string() };
        let words = Words { noun: "item", limit: "max_record" };
        let about = About { name: "x".into(), words, step: 0, part: 0, max: ByteSize(1 << 20), first: 1, answers: Default::default() };
        let mut splitter = Splitter::new(about, Items::new(), 0, 0);
        let (mut reads, mut rest, mut cuts) = (Vec::new(), text.as_bytes(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (block, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            splitter.push(&block.to_vec().into(), &mut reads).unwrap();
            rest = later;
        }
        splitter.finish(&mut reads).unwrap();
        let found: Vec<Value> = reads.iter().map(|read| serde_json::from_slice(&read.record.bytes).unwrap()).collect();
        prop_assert_eq!(found, elements);
        for read in &reads {
            let (from, to) = (read.record.origin.offset as usize, read.next_offset as usize);
            prop_assert_eq!(&text.as_bytes()[from..to], &read.record.bytes[..]);
        }
    }

    /// No bytes make it panic, or hold more than they are.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(prop::sample::select(b"[]{},:\"\\ 1a\n".to_vec()), 0..60)) {
        let content = [b"[".as_slice(), &bytes].concat();
        let job = array(content);
        let _ = crate::tests::try_all(job.source().open(&Starts::new()).unwrap());
    }
}
