//! Lines in.

use std::fs;

use domain::{
    SkipReason,
    ports::{Change, Source as _, Starts},
};
use proptest::prelude::*;

use super::{super::source::Lines, Tickets, all};
use crate::{
    ByteSize,
    table::{About, Splitter, Words},
};

fn texts(tickets: &Tickets) -> Vec<String> {
    tickets.records().iter().map(|r| String::from_utf8_lossy(&r.bytes).into_owned()).collect()
}

#[test]
fn every_line_is_a_record_and_its_position_is_its_line_number_less_one() {
    for (content, expected) in [
        ("", vec![]),
        ("a", vec!["a"]),
        ("a\n", vec!["a"]),
        ("a\nb", vec!["a", "b"]),
        ("\n\na\n \n", vec!["", "", "a", " "]),
        ("a\r\nb\r\n\r\n", vec!["a", "b", ""]),
        ("a\rb\r\r\nc\r", vec!["a\rb\r", "c\r"]),
        ("\u{feff}a\nb\n", vec!["a", "b"]),
        ("\u{feff}", vec![]),
        ("a\n\u{feff}b\n", vec!["a", "\u{feff}b"]),
    ] {
        let tickets = Tickets::new(content);
        assert_eq!(texts(&tickets), expected, "{content:?}");
        for (i, read) in tickets.read().iter().enumerate() {
            let (record, i) = (&read.record, i as u64);
            assert_eq!((record.key.position, record.origin.line), (i, i + 1));
            assert!(content.as_bytes()[usize::try_from(record.origin.offset).unwrap()..].starts_with(&record.bytes));
        }
    }
}

#[test]
fn a_reading_goes_on_from_any_line() {
    let tickets = Tickets::new(format!("\u{feff}{}\r\n\nlast", "x".repeat(200_000)));
    let whole = tickets.read();
    assert_eq!(whole.len(), 3);
    for i in 0..whole.len() {
        let rest = all(tickets.source().open(&Starts::from([(0, (i as u64 + 1, whole[i].next_offset))])).unwrap());
        let texts = |reads: &[domain::Read]| -> Vec<_> {
            reads.iter().map(|r| (r.record.key, r.record.origin, r.record.bytes.clone())).collect()
        };
        assert_eq!(texts(&rest), texts(&whole[i + 1..]));
    }
    let Err(error) = tickets.source().open(&Starts::from([(0, (1, 7))])) else { panic!("byte 7 is within a line") };
    assert_eq!(error.0, "`tickets.jsonl` has no line that begins at byte 7: it is another file");
    let Err(error) = tickets.source().open(&Starts::from([(0, (1, 1 << 30))])) else { panic!("there is no such byte") };
    assert!(error.0.contains("became shorter"), "{error}");
}

#[test]
fn a_line_of_fifty_megabytes_is_a_record_and_one_over_the_limit_is_passed_over() {
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(50_000_000));
    let tickets = Tickets::new(format!("{{\"a\":1}}\n{long}\n{{\"a\":2}}\n"));
    let read = tickets.read();
    assert_eq!((read.len(), read[1].record.bytes.len(), &read[1].flaw), (3, long.len(), &None));
    assert!(tickets.source().inspect(&read[1].record).is_ok());

    let tickets = tickets.with("max_line", "1MB");
    let read = tickets.read();
    let (reason, message) = read[1].flaw.clone().unwrap();
    assert_eq!(reason, SkipReason::TooLong);
    assert_eq!(
        message,
        "tickets.jsonl line 2: the line has 50000011 bytes, over the limit of 1000000 bytes; raise `max_line` to read it"
    );
    assert_eq!(read[1].record.bytes.len(), 200);
    assert_eq!(read[2].record.bytes, "{\"a\":2}");
    assert_eq!(read[2].record.origin.offset, 8 + long.len() as u64 + 1);
}

#[test]
fn what_is_no_record_is_skipped_with_file_line_and_reason() {
    use SkipReason::{BadRecord, BadText, Blank, MissingField, NameTaken};
    let cases: [(&[u8], SkipReason, &str); 15] = [
        (b"", Blank, "the line is blank"),
        (b" \t\r", Blank, "the line is blank"),
        (b"{\"id\":\"\0\"}", BadText, "not text: a NUL byte at byte 8 of the line"),
        (
            b"{\"id\":\"\xff\"}",
            BadText,
            "not valid UTF-8 from byte 8 of the line; convert the file to UTF-8, or say what it is in with `encoding:`",
        ),
        (
            b"{\"id\":\"\xe4\xb8",
            BadText,
            "not valid UTF-8 from byte 8 of the line; convert the file to UTF-8, or say what it is in with `encoding:`",
        ),
        (b"[1]", BadRecord, "an array, not a JSON object"),
        (b"\"id\"", BadRecord, "a string, not a JSON object"),
        (b"{\"id\":1,}", BadRecord, "not valid JSON: trailing comma at column 9"),
        (b"{\"id\":1 \"b\":2}", BadRecord, "not valid JSON: expected `,` or `}` at column 9"),
        (b"{\"id\":", BadRecord, "not valid JSON: it ends too early, at column 6 (EOF while parsing a value)"),
        (b"{\"id\":1}{}", BadRecord, "not valid JSON: trailing characters at column 9"),
        (b"{\"ID\":1}", MissingField, "the key field `id` is missing"),
        (b"{\"id\":null}", MissingField, "the key field `id` is null"),
        (b"{\"id\":[1]}", BadRecord, "the key field `id` is an array, and must be text or a number"),
        (
            b"{\"id\":1,\"topic\":2}",
            NameTaken,
            "the record already has a field `topic`; give the new field another name with `columns:`, set \
             `overwrite: true`, or `pending: true` on the source to work only on records without an answer",
        ),
    ];
    for (line, reason, message) in cases {
        let mut tickets = Tickets::new([b"{}\n", line, b"\n"].concat()).with("key", "id");
        tickets.forbidden = vec!["topic".to_owned(), "score".to_owned()];
        let record = tickets.records().remove(1);
        let found = tickets.source().inspect(&record).unwrap_err();
        assert_eq!(found, (reason, format!("tickets.jsonl line 2: {message}")));
    }
}

#[test]
fn a_user_key_is_the_text_of_a_scalar() {
    for (line, expected) in [
        ("{\"id\":\"a\\u00e9\\\"\"}", "aé\""),
        ("{\"id\":12345678901234567890123}", "12345678901234567890123"),
        ("{\"id\":1.10}", "1.10"),
        ("{\"x\":{\"id\":0},\"id\":true}", "true"),
    ] {
        let tickets = Tickets::new(line).with("key", "id");
        let found = tickets.source().inspect(&tickets.records()[0]).unwrap();
        assert_eq!(found.user_key.as_deref(), Some(expected));
    }
    let tickets = Tickets::new("{\"id\":1}");
    assert_eq!(tickets.source().inspect(&tickets.records()[0]).unwrap().user_key, None);
}

#[test]
fn a_source_that_is_none_says_what_to_do() {
    let tickets = Tickets::new("{}");
    fs::rename(tickets.path().join("tickets.jsonl"), tickets.path().join("Tickets.json")).unwrap();
    assert_eq!(
        tickets.source().fingerprint().unwrap_err().0,
        "cannot read `tickets.jsonl`: there is no such file; did you mean `Tickets.json`?"
    );
    fs::rename(tickets.path().join("Tickets.json"), tickets.path().join("other")).unwrap();
    assert!(tickets.source().fingerprint().unwrap_err().0.ends_with("nothing in `.` has a name like it"));
    fs::create_dir(tickets.path().join("tickets.jsonl")).unwrap();
    assert_eq!(
        tickets.source().fingerprint().unwrap_err().0,
        "cannot read `tickets.jsonl`: it is a folder; name a file in it, or several: `tickets.jsonl/*`"
    );
}

#[test]
fn growth_is_told_from_change() {
    let lines = |n: usize| (0..n).map(|i| format!("{{\"i\":{i}}}\n")).collect::<String>();
    let changed = |what: &str| Change::Changed(what.to_owned());
    for n in [3, 500_000] {
        let tickets = Tickets::new(lines(n));
        let path = tickets.path().join("tickets.jsonl");
        let length = lines(n).len();
        let before = tickets.source().fingerprint().unwrap();
        assert_eq!(tickets.source().compare(&before).unwrap(), Change::Unchanged);

        tickets.append("{\"i\":-1}\n");
        let now = tickets.source().fingerprint().unwrap();
        assert_eq!(tickets.source().compare(&before).unwrap(), Change::Appended { now });

        let mut content = fs::read(&path).unwrap();
        content[3] = b'j';
        fs::write(&path, &content).unwrap();
        let differs = changed("the content of `tickets.jsonl` differs from what the run was begun with");
        assert_eq!(tickets.source().compare(&before).unwrap(), differs);

        fs::write(&path, &content[..length - 1]).unwrap();
        let shorter = format!("`tickets.jsonl` is shorter: it had {length} bytes and has {}", length - 1);
        assert_eq!(tickets.source().compare(&before).unwrap(), changed(&shorter));

        fs::remove_file(&path).unwrap();
        let Change::Changed(what) = tickets.source().compare(&before).unwrap() else { panic!("it is gone") };
        assert!(what.starts_with("`tickets.jsonl` is missing"), "{what}");
    }
}

#[test]
fn a_last_line_without_an_end_may_be_given_one_but_not_be_continued() {
    for (more, expected) in
        [("\n{\"i\":2}\n", vec!["{\"i\":2}"]), ("\r\n{\"i\":2}", vec!["{\"i\":2}"]), ("\n", vec![]), (",", vec!["-"])]
    {
        let tickets = Tickets::new("{\"i\":1}");
        let before = tickets.source().fingerprint().unwrap();
        let end = tickets.read()[0].next_offset;
        tickets.append(more);
        let source = tickets.source();
        match source.compare(&before).unwrap() {
            Change::Appended { .. } => {
                let rest = all(source.open(&Starts::from([(0, (1, end))])).unwrap());
                let texts: Vec<_> = rest.iter().map(|r| str::from_utf8(&r.record.bytes).unwrap()).collect();
                assert_eq!(texts, expected, "{more:?}");
            }
            Change::Changed(what) => assert!(more == "," && what.contains("was continued"), "{what}"),
            Change::Unchanged => panic!("it has grown"),
        }
    }
}

#[test]
fn what_is_appended_during_a_run_is_not_read_by_it() {
    let tickets = Tickets::new("{\"i\":1}\n");
    let source = tickets.source();
    source.fingerprint().unwrap();
    tickets.append("{\"i\":2}\n{\"i\"");
    assert_eq!(all(source.open(&Starts::from([(0, (0, 0))])).unwrap()).len(), 1);
    fs::write(tickets.path().join("tickets.jsonl"), "{}").unwrap();
    assert!(source.open(&Starts::from([(0, (0, 0))])).err().unwrap().0.contains("became shorter"));
}

proptest! {
    /// The lines of any bytes, in blocks of any sizes, are those of the standard library.
    #[test]
    fn splitting_equals_the_standard_librarys(
        content in prop::collection::vec(prop::sample::select(b"ab\r\n\n".to_vec()), 0..200),
        cuts in prop::collection::vec(1_usize..40, 1..20),
        limit in 1_u64..30,
    ) {
        let expected: Vec<Vec<u8>> = content.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let words = Words { noun: "line", limit: "max_line" };
        let about = About { name: "x".into(), words, step: 0, part: 0, max: ByteSize(limit), first: 1, answers: Default::default() };
        let mut splitter = Splitter::new(about, Lines::new(), 5, 100);
        let (mut found, mut rest, mut cuts) = (Vec::new(), content.as_slice(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (block, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            splitter.push(&block.to_vec().into(), &mut found).unwrap();
            rest = later;
        }
        splitter.finish(&mut found).unwrap();
        prop_assert_eq!(found.len(), expected.len());
        let mut offset = 100;
        for (i, (read, line)) in found.iter().zip(&expected).enumerate() {
            let whole = line.strip_suffix(b"\n").unwrap_or(line);
            prop_assert_eq!(read.record.key.position, 5 + i as u64);
            prop_assert_eq!(read.record.origin.offset, offset);
            offset += line.len() as u64;
            prop_assert_eq!(read.next_offset, offset);
            prop_assert_eq!(read.flaw.is_some(), whole.len() as u64 > limit);
            let text = if line.ends_with(b"\n") { whole.strip_suffix(b"\r").unwrap_or(whole) } else { whole };
            prop_assert_eq!(&read.record.bytes[..], text);
        }
    }
}
