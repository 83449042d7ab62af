//! The tree itself: places, merges, limits, and that no file makes it panic.

use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::{STEP, sample};
use crate::config::{Span, decode};

fn span(line: usize, column: usize, length: usize) -> Option<Span> {
    Some(Span { line, column, length })
}

#[test]
fn a_path_leads_to_its_value() {
    let (_, document, _) = sample("version: 1\nsteps:\n  a:\n    fields: [x, yy]\n    work:\n      prompt: {}\n");
    assert_eq!(document.at(&["version"]), span(1, 10, 1));
    assert_eq!(document.at(&["steps", "a", "fields", "1"]), span(4, 17, 2));
    assert_eq!(document.at(&["steps", "b"]), None);
    assert_eq!(document.at(&["steps", "a", "fields", "2"]), None);
    assert_eq!(document.at(&["version", "x"]), None);
}

#[test]
fn anchors_aliases_and_merges_are_resolved() {
    let text = "
base: &base { path: a, require: [all] }
own: { <<: *base, path: b }
many: { <<: [{ x: 1 }, *base, { x: 2 }] }
list: [&n 5, *n]
quoted: { \"<<\": 1 }
";
    let (_, document, _) = sample(text);
    assert_eq!(
        document.to_json(),
        json!({
            "base": { "path": "a", "require": ["all"] },
            "own": { "path": "b", "require": ["all"] },
            "many": { "x": 1, "path": "a", "require": ["all"] },
            "list": [5, 5],
            "quoted": { "<<": 1 },
        })
    );
}

#[test]
fn scalars_and_blocks_become_json() {
    let text = "a: ~\nb: [true, 0x1F, 1.5, .nan, '5', 18446744073709551615]\nc: |\n  x\n   y\nd: >-\n  p\n  q\n1: z\n";
    let wanted = json!({
        "a": null, "b": [true, 31, 1.5, ".nan", "5", u64::MAX], "c": "x\n y\n", "d": "p q", "1": "z",
    });
    assert_eq!(sample(text).1.to_json(), wanted);
}

#[test]
fn the_order_of_the_file_is_kept() {
    let keys = |text| sample(text).1.to_json().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys("b: 1\na: 2\nc: 3"), ["b", "a", "c"]);
}

#[test]
fn a_file_that_explodes_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let uses = vec![format!("*a{}", n - 1); 9].join(", ");
        text += &format!("a{n}: &a{n} [{uses}]\n");
    }
    let (_, _, diagnostics) = sample(&text);
    assert_eq!(diagnostics[0].message, "aliases stand for more than 100000 values");

    let mut text = "a0: &a0 [x]\n".to_owned();
    for n in 1..100 {
        text += &format!("a{n}: &a{n} [*a{}]\n", n - 1);
    }
    assert_eq!(sample(&text).2[0].message, "nested more than 64 levels deep");
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        let text = open.repeat(10_000) + &close.repeat(10_000);
        assert!(!sample(&text).2.is_empty());
    }
}

#[test]
fn bytes_that_are_not_text_are_pointed_at() {
    assert_eq!(decode(Path::new("p"), "名".as_bytes()).unwrap(), "名");
    let diagnostic = decode(Path::new("p"), b"version: 1\r\nname: \xe5\x90\x8d\xff").unwrap_err();
    assert_eq!(diagnostic.message, "byte 0xff is not UTF-8");
    assert_eq!(Some(diagnostic.span), span(2, 8, 1));
    assert_eq!(decode(Path::new("p"), b"\xff").unwrap_err().span, Span::START);
}

fn survives(bytes: &[u8]) {
    let text = match decode(Path::new("p.yaml"), bytes) {
        Ok(text) => text.to_owned(),
        Err(diagnostic) => {
            diagnostic.render(true);
            String::from_utf8_lossy(bytes).into_owned()
        }
    };
    let (value, _, diagnostics) = sample(&text);
    assert_eq!(value.is_none(), !diagnostics.is_empty(), "{text:?}");
    let lines = text.split(['\n', '\r']).count();
    for diagnostic in diagnostics {
        assert!((1..=lines).contains(&diagnostic.span.line) && diagnostic.span.length > 0, "{text:?}");
        diagnostic.render(false);
        diagnostic.to_json();
    }
}

/// Pieces from which files grow that are nearly right.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "version",
        "steps",
        "source",
        "jsonl",
        "csv",
        "work",
        "prompt",
        "extra",
        "shape",
        "kind",
        "colour",
        "limits",
        ":",
        ": ",
        ":\n",
        "\n",
        "\r\n",
        "\r",
        "\t",
        " ",
        "  ",
        "    ",
        "- ",
        "? ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!x ",
        "|",
        ">-",
        "\"",
        "'",
        "# c",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "1",
        "-1.5",
        "true",
        "~",
        "名字",
        "\u{feff}",
        "\0",
        "\u{85}",
        "\u{2028}",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes);
    }

    #[test]
    fn no_nearly_right_file_makes_it_panic(text in pieces()) {
        survives(text.as_bytes());
    }

    /// A file that was right and lost or gained a byte.
    #[test]
    fn no_damaged_file_makes_it_panic(at in 0usize..200, byte in any::<u8>(), insert in any::<bool>()) {
        let mut bytes = format!("version: 1\nname: 客户\nsteps:\n  a: {{ {STEP} }}\nlimits: {{ width: 3 }}\n").into_bytes();
        let at = at % bytes.len();
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        survives(&bytes);
    }

    /// JSON is YAML: what serde_json writes is read back as it was.
    #[test]
    fn json_files_are_read_as_json(words in prop::collection::vec("\\PC{0,12}", 0..6), number in any::<i64>()) {
        let value = json!({ "words": words, "number": number, "nested": { "flag": true, "none": null } });
        let text = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(sample(&text).1.to_json(), value);
    }
}
