//! Encodings.

use domain::SkipReason;
use proptest::prelude::*;
use serde_json::json;

use crate::{file::encoding::Written, tests::Job};

fn gb18030(text: &str) -> Vec<u8> {
    encoding_rs::GB18030.encode(text).0.into_owned()
}

#[test]
fn a_declared_encoding_is_read_and_written() {
    let lines = "{\"名字\":\"张三，“好”😀\"}\n{\"名字\":\"é\"}\n";
    let job = Job::of("jsonl", "in.jsonl")
        .file("in.jsonl", gb18030(lines))
        .with("encoding", "GB18030")
        .into("jsonl", json!({"path": "out.jsonl", "encoding": "gb18030"}));
    assert_eq!(job.texts(), ["{\"名字\":\"张三，“好”😀\"}", "{\"名字\":\"é\"}"]);
    job.merge(|_| json!({"x": "标签"}).to_string());
    let expected = "{\"名字\":\"张三，“好”😀\",\"x\":\"标签\"}\n{\"名字\":\"é\",\"x\":\"标签\"}\n";
    assert_eq!(job.bytes("out.jsonl"), gb18030(expected));
}

#[test]
fn bytes_that_are_not_valid_spoil_their_own_record_and_no_other() {
    let mut content = gb18030("{\"k\":\"一\"}\n{\"k\":\"二\"}\n{\"k\":\"三\"}\n");
    let at = content.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    content[at + 7] = b'\xff';
    let job = Job::of("jsonl", "in.jsonl").file("in.jsonl", &content).with("encoding", "gb18030");
    let what = "in.jsonl line 2: not valid gb18030 behind the first 6 characters of the line";
    let skips = job.skips();
    assert_eq!((skips.len(), skips[0].0, skips[0].1), (1, 1, SkipReason::BadText));
    assert!(skips[0].2.starts_with(what), "{skips:?}");
    assert_eq!(job.texts()[2], "{\"k\":\"三\"}");

    // A character that a line end cuts off takes nothing of the next line with it.
    let mut content = gb18030("{\"k\":\"一\n{\"k\":\"二\"}\n");
    let at = content.iter().position(|byte| *byte == b'\n').unwrap();
    content.remove(at - 1);
    let job = Job::of("jsonl", "in.jsonl").file("in.jsonl", &content).with("encoding", "gb18030");
    assert_eq!((job.skips().len(), job.texts()[1].as_str()), (1, "{\"k\":\"二\"}"));

    let rows = [gb18030("名,值\n一,二\n"), b"\x81\xff,3\n".to_vec(), gb18030("四,五\n"), b"6,\x81".to_vec()].concat();
    let job = Job::of("csv", "in.csv").file("in.csv", rows).with("encoding", "gb18030");
    let found = job.skips();
    assert_eq!(
        found.iter().map(|skip| (skip.0, skip.1)).collect::<Vec<_>>(),
        [(1, SkipReason::BadText), (3, SkipReason::BadText)]
    );
    assert_eq!(found[0].2, "in.csv row 3: column `名`: not valid gb18030 behind the first 0 characters of the row");
    assert_eq!(found[1].2, "in.csv row 5: column `值`: not valid gb18030 behind the first 2 characters of the row");
}

#[test]
fn a_byte_order_mark_says_what_follows() {
    let lines = "{\"k\":\"é😀\"}\n{}\n";
    let wide =
        |to: fn(u16) -> [u8; 2]| -> Vec<u8> { [0xfeff].into_iter().chain(lines.encode_utf16()).flat_map(to).collect() };
    let marked = format!("\u{feff}{lines}");
    for (content, declared) in [
        (marked.clone().into_bytes(), None),
        (marked.clone().into_bytes(), Some("gb18030")),
        (wide(u16::to_le_bytes), None),
        (wide(u16::to_be_bytes), None),
        (wide(u16::to_le_bytes), Some("utf-16be")),
        (gb18030(&marked), Some("gb18030")),
        (wide(u16::to_le_bytes)[2..].to_vec(), Some("utf-16le")),
    ] {
        let mut job = Job::of("jsonl", "in.jsonl").file("in.jsonl", &content);
        if let Some(declared) = declared {
            job = job.with("encoding", declared);
        }
        assert_eq!(job.texts(), ["{\"k\":\"é😀\"}", "{}"], "{declared:?} {content:?}");
    }
}

#[test]
fn no_encoding_writes_one_character_as_another() {
    let labels = [
        "gb18030",
        "gbk",
        "big5",
        "shift_jis",
        "euc-jp",
        "iso-2022-jp",
        "euc-kr",
        "windows-1250",
        "windows-1251",
        "windows-1252",
        "windows-1253",
        "windows-1254",
        "windows-1255",
        "windows-1256",
        "windows-1257",
        "windows-1258",
        "windows-874",
        "iso-8859-2",
        "iso-8859-5",
        "iso-8859-8",
        "iso-8859-15",
        "koi8-r",
        "koi8-u",
        "macintosh",
        "ibm866",
        "x-mac-cyrillic",
        "x-user-defined",
        "utf-16le",
        "utf-16be",
    ];
    for label in labels {
        let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap();
        let written = Written::new(encoding).unwrap();
        let mut n_written = 0;
        for character in (0..=0xffff_u32).chain((0x1_0000..0x11_0000).step_by(257)).filter_map(char::from_u32) {
            let (text, mut bytes) = (format!("a{character}\\"), Vec::new());
            match written.encode(&text, &mut bytes) {
                Ok(()) => {
                    n_written += 1;
                    assert_eq!(encoding.decode_without_bom_handling(&bytes).0, text, "{label} {character:?}");
                }
                Err((found, at)) => assert_eq!((found, at), (character, 1 + character.len_utf8()), "{label}"),
            }
        }
        assert!(n_written >= 128, "{label}");
    }
}

#[test]
fn characters_that_an_encoding_lacks_are_numbers_in_json_and_an_error_in_a_table() {
    for label in ["shift_jis", "big5", "iso-2022-jp", "windows-1252", "gbk"] {
        let line = "{\"k\":\"a¥\\\\日😀本é\"}\n";
        let job = Job::of("jsonl", "in.jsonl")
            .file("in.jsonl", line)
            .into("jsonl", json!({"path": "out.jsonl", "encoding": label}));
        job.merge(|_| json!({"x": "😀é~"}).to_string());
        let again = Job::of("jsonl", "o").file("o", job.bytes("out.jsonl")).with("encoding", label);
        let found: serde_json::Value = serde_json::from_str(&again.texts()[0]).unwrap();
        assert_eq!(found, json!({"k": "a¥\\日😀本é", "x": "😀é~"}), "{label}");
    }
    for label in ["utf-16le", "utf-16be", "gb18030"] {
        let job = Job::of("jsonl", "in.jsonl")
            .file("in.jsonl", "{\"k\":\"日😀本é\"}\n")
            .into("csv", json!({"path": "out.csv", "encoding": label}));
        job.merge(|_| r#"{"x":1}"#.to_owned());
        let again = Job::of("csv", "o.csv").file("o.csv", job.bytes("out.csv")).with("encoding", label);
        assert_eq!(again.texts(), ["{\"k\":\"日😀本é\",\"x\":\"1\"}"], "{label}");
    }
    let job =
        Job::of("csv", "in.csv").file("in.csv", "k\n1\n").into("csv", json!({"path": "out.csv", "encoding": "gbk"}));
    let error = job.try_merge(|_| r#"{"x":"😀"}"#.to_owned()).unwrap_err();
    assert_eq!(error, "the character `😀` does not exist in GBK; choose another `encoding`, such as gb18030 or utf-8");
    let job = Job::of("jsonl", "i").file("i", "{\"k\":1}\n").into("csv", json!({"path": "out.csv", "encoding": "gbk"}));
    let error = job.try_merge(|_| r#"{"x":"😀"}"#.to_owned()).unwrap_err();
    assert!(error.contains("record 1 of the output: the character `😀` does not exist in GBK"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Any text in GB18030 is read as what it was and written as the same bytes.
    #[test]
    fn any_text_goes_through_gb18030(texts in prop::collection::vec(any::<String>(), 1..6)) {
        let lines: String = texts.iter().map(|text| format!("{}\n", json!({ "k": text }))).collect();
        let job = Job::of("jsonl", "in.jsonl")
            .file("in.jsonl", gb18030(&lines))
            .with("encoding", "gb18030")
            .into("jsonl", json!({"path": "out.jsonl", "encoding": "gb18030"}))
            .fields(&[]);
        prop_assert_eq!(job.texts().concat(), lines.replace('\n', ""));
        job.merge(|_| "{}".to_owned());
        prop_assert_eq!(job.bytes("out.jsonl"), gb18030(&lines));
    }

    /// No bytes of any encoding make it panic, and the number of lines is that of the text.
    #[test]
    fn any_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        label in prop::sample::select(vec!["gb18030", "shift_jis", "big5", "iso-2022-jp", "euc-kr", "utf-16le", "windows-1252"]),
    ) {
        let bytes: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte > 0xe0).collect();
        let job = Job::of("jsonl", "in").file("in", &bytes).with("encoding", label).with("compression", "none");
        let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap();
        let expected = encoding.decode_with_bom_removal(&bytes).0.into_owned();
        let found = job.texts();
        prop_assert_eq!(found.len(), expected.split_inclusive('\n').count());
    }
}
