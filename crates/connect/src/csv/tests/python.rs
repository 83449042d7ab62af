//! Python's `csv` module opens what was written, and finds the input with the new columns.

use std::process::Command;

use serde_json::json;

use crate::tests::Job;

const SCRIPT: &str = r#"
import csv, io, json, sys
def rows(path, encoding, delimiter):
    with open(path, newline="", encoding=encoding) as file:
        return [row for row in csv.reader(file, delimiter=delimiter) if row]
before = rows(sys.argv[1], sys.argv[3], sys.argv[5])
after = rows(sys.argv[2], sys.argv[4], sys.argv[6])
width = len(before[0])
assert all(len(row) <= width for row in before)
expected = [row + [""] * (width - len(row)) for row in before]
expected[0] += ["x", "n"]
for i, row in enumerate(expected[1:]):
    row += [json.loads(sys.argv[7]), json.dumps({"i": i}, separators=(",", ":"))]
assert after == expected, (after, expected)
print(len(after))
"#;

#[test]
#[expect(clippy::disallowed_methods, reason = "another program judges what was written")]
#[expect(clippy::print_stderr, reason = "a test that leaves itself out says so")]
fn python_finds_the_input_with_new_columns() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!(
            "left out: there is no python3 here; the properties in `writing` hold the same against the `csv` crate"
        );
        return;
    }
    let text = "他说：“好”, \"quoted\"\r\nand 'more'\t;";
    let content =
        "id,名字,\"te,xt\"\r\n001,\"张三\"\"\",\"line\nbreak\"\r\n002\r\n\r\n003, 李四 ,it's\r\n\"\",x\"y,😀\r\n";
    let gb18030 = encoding_rs::GB18030.encode(content).0.into_owned();
    let marked = [b"\xef\xbb\xbf".to_vec(), content.as_bytes().to_vec()].concat();
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(content.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for (input, declared, encoding, sink, out_encoding, delimiter) in [
        (content.as_bytes().to_vec(), None, "utf-8", json!({"csv": {"path": "out"}}), "utf-8", ","),
        (marked, None, "utf-8-sig", json!({"csv": {"path": "out"}}), "utf-8-sig", ","),
        (
            gb18030.clone(),
            Some("gb18030"),
            "gb18030",
            json!({"csv": {"path": "out", "encoding": "gb18030"}}),
            "gb18030",
            ",",
        ),
        (gb18030, Some("gb18030"), "gb18030", json!({"tsv": {"path": "out", "bom": true}}), "utf-8-sig", "\t"),
        (
            utf16,
            None,
            "utf-16",
            json!({"csv": {"path": "out", "encoding": "utf-16le", "delimiter": ";"}}),
            "utf-16",
            ";",
        ),
    ] {
        let (format, options) = sink.as_object().unwrap().iter().next().unwrap();
        let mut job = Job::of("csv", "in.csv").file("in.csv", input).fields(&["x", "n"]).into(format, options.clone());
        if let Some(declared) = declared {
            job = job.with("encoding", declared);
        }
        let n = std::cell::Cell::new(0);
        job.merge(|_| json!({ "x": text, "n": { "i": n.replace(n.get() + 1) } }).to_string());
        let output = Command::new("python3")
            .args(["-c", SCRIPT])
            .args([job.path().join("in.csv"), job.path().join("out")])
            .args([encoding, out_encoding, ",", delimiter, &json!(text).to_string()])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "5\n", "{declared:?} {sink}: {told}");
    }
}
